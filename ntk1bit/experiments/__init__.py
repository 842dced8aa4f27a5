"""Experiments: trained or measured in parallel, a file each, that can be stopped, resumed, extended and read back."""

from typing import TYPE_CHECKING

from ntk1bit.experiments import at_start, deep_spec, feed_forward, language_spec  # noqa: F401 - kinds that `open_run` knows
from ntk1bit.experiments.executors import local_executor
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.run import Run, open_run
from ntk1bit.experiments.runner import Outcome, run_all
from ntk1bit.experiments.specification import ExperimentList, Specification, Stage
from ntk1bit.experiments.store import Store
from ntk1bit.experiments.sweep import SweepSpec
from ntk1bit.experiments.two_layer import TwoLayer
from ntk1bit.old_names import missing_name

__all__ = [
    "Experiment",
    "ExperimentList",
    "Outcome",
    "Run",
    "Specification",
    "Stage",
    "Store",
    "SweepSpec",
    "TwoLayer",
    "local_executor",
    "open_run",
    "run_all",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        raise missing_name(__name__, name)
