from ..scaling.conftest import chinchilla, floored, runs, widths

__all__ = ["chinchilla", "floored", "runs", "widths"]
