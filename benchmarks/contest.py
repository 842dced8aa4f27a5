"""What is raced: a pair is a name, sizes, a goal and a function that sets the race up. Nothing runs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """Inputs n, input dimension d and neurons m of a race."""

    n: int
    d: int
    m: int


@dataclass(frozen=True)
class Contest:
    """A race that is ready to run.

    Attributes
    ----------
    ours
        What is measured; called many times.
    rivals
        Other ways to the same result, by name; the fastest one counts.
    ours_bytes, rival_bytes
        Memory of the weights or bits as we hold them and as the rivals do.
    """

    ours: Callable[[], object]
    rivals: Mapping[str, Callable[[], object]]
    ours_bytes: int
    rival_bytes: int


@dataclass(frozen=True)
class Pair:
    """A declared race.

    Attributes
    ----------
    product
        Name of what is computed.
    sizes
        The sizes.
    prepare
        Makes the data, checks that the contestants agree, and returns the race.
    goal
        The ratio to reach, or None.
    goal_threads
        The number of threads the goal is for.
    """

    product: str
    sizes: Sizes
    prepare: Callable[[Sizes, np.random.Generator], Contest]
    goal: float | None = None
    goal_threads: int = 1
