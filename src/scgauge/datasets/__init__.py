"""Public single-cell data sets and simulators with known truth."""

__all__: list[str] = []
