"""Experiments: trained or measured in parallel, a file each, that can be stopped, resumed, extended and read back.

Every kind of experiment and of specification is imported here, so that `open_run` knows it.
"""

from typing import TYPE_CHECKING

from ntk1bit.experiments.alternating_gains import AlternatingGain
from ntk1bit.experiments.at_start import AtStart, FlipProbability, LimitDistances, LimitsInDim, StepNoise
from ntk1bit.experiments.deep import DeepScaling, DeepSimilarity
from ntk1bit.experiments.deep_oscillation import DeepOscillation
from ntk1bit.experiments.deep_spec import DeepScalingSpec, DeepSimilaritySpec
from ntk1bit.experiments.executors import LocalProcesses
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.feed_forward import FeedForward
from ntk1bit.experiments.input_pairs import InputPairs
from ntk1bit.experiments.kernel_spectra import KernelSpectra
from ntk1bit.experiments.language import LanguageModel, PostTrained
from ntk1bit.experiments.language_oscillation import LanguageOscillation
from ntk1bit.experiments.language_spec import LanguageSpec
from ntk1bit.experiments.layer_variance import LayerVariance
from ntk1bit.experiments.mean_fields import (
    FloorOnTask,
    MeanFieldOnTask,
    OppositeNetworks,
    OscillationOnTask,
    SpreadOnTask,
)
from ntk1bit.experiments.run import Run, open_run
from ntk1bit.experiments.runner import Outcome, run_all
from ntk1bit.experiments.sign_reversals import SignReversals
from ntk1bit.experiments.specification import ExperimentList, Specification, Stage
from ntk1bit.experiments.stability_spec import StabilitySpec
from ntk1bit.experiments.step_within_ball import StepInBall
from ntk1bit.experiments.store import Store
from ntk1bit.experiments.surrogate_kernels import SurrogateKernels
from ntk1bit.experiments.sweep import SweepSpec
from ntk1bit.experiments.transformer_kernels import TransformerKernels
from ntk1bit.experiments.two_layer import TwoLayer
from ntk1bit.experiments.two_layer_jax import TwoLayerJax
from ntk1bit.experiments.update_flips import UpdateFlips
from ntk1bit.experiments.within_ball import KernelInBall, WeightsInBall
from ntk1bit.old_names import missing_name

__all__ = [
    "AlternatingGain",
    "AtStart",
    "DeepOscillation",
    "DeepScaling",
    "DeepScalingSpec",
    "DeepSimilarity",
    "DeepSimilaritySpec",
    "Experiment",
    "ExperimentList",
    "FeedForward",
    "FlipProbability",
    "FloorOnTask",
    "InputPairs",
    "KernelInBall",
    "KernelSpectra",
    "LanguageModel",
    "LanguageOscillation",
    "LanguageSpec",
    "LayerVariance",
    "LimitDistances",
    "LimitsInDim",
    "LocalProcesses",
    "MeanFieldOnTask",
    "OppositeNetworks",
    "OscillationOnTask",
    "Outcome",
    "PostTrained",
    "Run",
    "SignReversals",
    "Specification",
    "SpreadOnTask",
    "StabilitySpec",
    "Stage",
    "StepInBall",
    "StepNoise",
    "Store",
    "SurrogateKernels",
    "SweepSpec",
    "TransformerKernels",
    "TwoLayer",
    "TwoLayerJax",
    "UpdateFlips",
    "WeightsInBall",
    "open_run",
    "run_all",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        raise missing_name(__name__, name)
