"""Intervals, resampling of seeds, and power laws in one variable: the statistics that everything else imports."""

from ntk1bit.statistics.intervals import (
    ENOUGH_SEEDS,
    LEVEL,
    geometric_interval,
    percentile_interval,
    proportion_interval,
    standard_error,
    student_interval,
)
from ntk1bit.statistics.power_law import PowerFit, fit_power, fit_power_with_floor, log_slope
from ntk1bit.statistics.resampling import Samples, bootstrap, mean_of, root_mean_square_of

__all__ = [
    "ENOUGH_SEEDS",
    "LEVEL",
    "PowerFit",
    "Samples",
    "bootstrap",
    "fit_power",
    "fit_power_with_floor",
    "geometric_interval",
    "log_slope",
    "mean_of",
    "percentile_interval",
    "proportion_interval",
    "root_mean_square_of",
    "standard_error",
    "student_interval",
]
