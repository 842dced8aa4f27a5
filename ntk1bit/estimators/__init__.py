"""Estimates from a sweep's frame: each quantity against width, with intervals, and exponents where warranted."""

from ntk1bit.estimators.against_width import AgainstWidth, estimate_against
from ntk1bit.estimators.convergence import decay_rate, first_below, floor, loss_at_end, steps_needed, width_needed
from ntk1bit.estimators.kernel_drift import activation_changes, drift, kernel_shift, movement, sign_flips
from ntk1bit.estimators.outputs import distance_to_predictions, gap, spread
from ntk1bit.estimators.run_overview import Overview, overview

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
