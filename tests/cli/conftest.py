from ..scaling.conftest import make_curves, runs, sweep, widths

__all__ = ["make_curves", "runs", "sweep", "widths"]
