"""Intervals over seeds, the jackknife, power laws in one variable and plateaus: the statistics that all else imports.

docs/statistics.md says which method is used for what, and how often its intervals hold the truth in simulations.
"""

from ntk1bit.statistics.intervals import (
    ENOUGH_SEEDS,
    LEVEL,
    Interval,
    detectable_effect,
    geometric_interval,
    holm,
    proportion_interval,
    root_mean_square_interval,
    standard_error,
    student_interval,
)
from ntk1bit.statistics.jackknife import (
    LeaveOneOut,
    MeanOf,
    RootMeanSquareOf,
    Samples,
    Statistic,
    cluster_slope,
    leave_one_out,
    logarithmic_interval,
)
from ntk1bit.statistics.plateau import Plateau, judge_plateau
from ntk1bit.statistics.power_law import PowerFit, fit_power, fit_power_with_floor, log_slope

__all__ = [
    "ENOUGH_SEEDS",
    "LEVEL",
    "Interval",
    "LeaveOneOut",
    "MeanOf",
    "Plateau",
    "PowerFit",
    "RootMeanSquareOf",
    "Samples",
    "Statistic",
    "cluster_slope",
    "detectable_effect",
    "fit_power",
    "fit_power_with_floor",
    "geometric_interval",
    "holm",
    "judge_plateau",
    "leave_one_out",
    "log_slope",
    "logarithmic_interval",
    "proportion_interval",
    "root_mean_square_interval",
    "standard_error",
    "student_interval",
]
