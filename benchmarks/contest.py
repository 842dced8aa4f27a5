"""What is raced: a pair is a name, sizes, goals and a function that sets the race up. Nothing runs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    goals
        The ratio to reach, by backend of the cores and number of threads.
    """

    product: str
    sizes: Sizes
    prepare: Callable[[Sizes, np.random.Generator], Contest]
    goals: Mapping[tuple[str, int], float] = field(default_factory=dict)


def goals(*, avx512: float | None = None, avx2: float | None = None) -> dict[tuple[str, int], float]:
    """Return the ratios to reach with one thread."""
    given = {"avx512": avx512, "avx2": avx2}
    return {(backend, 1): goal for backend, goal in given.items() if goal is not None}
