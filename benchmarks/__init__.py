"""Each product against its best rival, as a ratio measured in one process: `python -m benchmarks`."""

from benchmarks.contest import Contest, Pair, Sizes
from benchmarks.report import plot_ratios, table
from benchmarks.rounds import Result, measure

__all__ = ["Contest", "Pair", "Result", "Sizes", "measure", "plot_ratios", "table"]
