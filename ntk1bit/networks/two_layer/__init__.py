"""The two-layer network of D25, in 1-bit and full precision, and its training by descent on latent weights."""

from typing import TYPE_CHECKING

from ntk1bit.networks.two_layer.descent import Trajectory, log_steps, train
from ntk1bit.networks.two_layer.initial_weights import DrawnWeights, init
from ntk1bit.networks.two_layer.memory import TrainingMemory
from ntk1bit.networks.two_layer.network import (
    ACTIVITIES,
    INITS,
    PRECISIONS,
    Activity,
    Init,
    Precision,
    Weights,
    activation_patterns,
    coactive_counts,
    kernel_from_counts,
    outputs,
    outputs_reference,
    packed_activation_patterns,
)
from ntk1bit.networks.two_layer.terms import StepTerms, step_terms
from ntk1bit.old_names import missing_name

__all__ = [
    "ACTIVITIES",
    "INITS",
    "PRECISIONS",
    "Activity",
    "DrawnWeights",
    "Init",
    "Precision",
    "StepTerms",
    "TrainingMemory",
    "Trajectory",
    "Weights",
    "activation_patterns",
    "coactive_counts",
    "init",
    "kernel_from_counts",
    "log_steps",
    "outputs",
    "outputs_reference",
    "packed_activation_patterns",
    "step_terms",
    "train",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        raise missing_name(__name__, name)
