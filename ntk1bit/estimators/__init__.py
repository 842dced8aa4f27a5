"""Estimates from a sweep's frame: each quantity against width, with intervals, and exponents where warranted."""

from typing import TYPE_CHECKING

from ntk1bit.estimators.against_width import AgainstWidth, estimate_against
from ntk1bit.estimators.convergence import decay_rate, first_below, floor, loss_at_end, steps_needed, width_needed
from ntk1bit.estimators.kernel_drift import activation_changes, drift, kernel_shift, movement, sign_flips
from ntk1bit.estimators.outputs import distance_to_predictions, gap, spread
from ntk1bit.estimators.run_overview import Overview, overview
from ntk1bit.old_names import missing_name

__all__ = [
    "AgainstWidth",
    "Overview",
    "activation_changes",
    "decay_rate",
    "distance_to_predictions",
    "drift",
    "estimate_against",
    "first_below",
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
