"""Regression tasks on the unit sphere, by name: real data sets, the paper's target functions, synthetic targets."""

from ntk1bit.data.task import Task
from ntk1bit.data.tasks import describe, dims_allowed, from_arrays, load, names

__all__ = ["Task", "describe", "dims_allowed", "from_arrays", "load", "names"]
