"""What experiments share that draw data sets of one task, each with networks of its own."""

from __future__ import annotations

from dataclasses import dataclass

from ntk1bit.data import tasks
from ntk1bit.data.tasks import Task
from ntk1bit.experiments.experiment import Experiment


@dataclass(frozen=True)
class OnDataSets(Experiment):
    """Draw a data set for each seed, with networks of its own: data sets are the unit.

    Attributes
    ----------
    task, dim
        Name of a task, and its dimension; 0 where the task has one of its own.
    n_train, width
        Points and neurons.
    seeds
        A data set and its networks each.
    """

    task: str
    dim: int
    n_train: int
    width: int
    seeds: tuple[int, ...]

    def data_set(self, seed: int) -> Task:
        """Return the data set of a seed, without test inputs."""
        return tasks.load(self.task, n_train=self.n_train, n_test=0, seed=seed, dim=self.dim or None)
