"""Estimates from a sweep's frame: each quantity against width, with intervals, and exponents where warranted."""

from typing import TYPE_CHECKING

from ntk1bit.estimators.against_width import AgainstWidth, Samples, against_width, bootstrap
from ntk1bit.estimators.convergence import decay_rate, first_below, floor, loss_at_end, steps_needed, width_needed
from ntk1bit.estimators.drift import activity_changes, drift, kernel_shift, movement, sign_flips
from ntk1bit.estimators.gap import gap
from ntk1bit.estimators.overview import Overview, overview
from ntk1bit.estimators.power import PowerFit, fit_power, fit_power_with_floor
from ntk1bit.estimators.predictions import distance_to_predictions
from ntk1bit.estimators.spread import spread
from ntk1bit.old_names import missing_name

__all__ = [
    "AgainstWidth",
    "Overview",
    "PowerFit",
    "Samples",
    "activity_changes",
    "against_width",
    "bootstrap",
    "decay_rate",
    "distance_to_predictions",
    "drift",
    "first_below",
    "fit_power",
    "fit_power_with_floor",
    "floor",
    "gap",
    "kernel_shift",
    "loss_at_end",
    "movement",
    "overview",
    "sign_flips",
    "spread",
    "steps_needed",
    "width_needed",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        raise missing_name(__name__, name)
