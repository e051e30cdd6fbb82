"""The numbers behind the checks: arrays in, numbers out."""

__all__: list[str] = []
