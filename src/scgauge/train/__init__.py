"""Training plans, data splitters and schedules for Lightning."""

__all__: list[str] = []
