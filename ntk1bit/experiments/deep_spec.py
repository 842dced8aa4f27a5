"""What runs of D25's Fig. 1 and of its Fig. 2 and 3 are asked for, at four sizes.

`smoke` is a smoke test; the verdicts rest on `quick`; `thorough` has D25's own sizes and steps.

**Learning rates.** D25 gives none. Those of Fig. 1 start from a short search, for each precision and depth:
`pilot_rates` repeats it. It uses seeds that no experiment uses, two of the six functions, the number of steps of
`quick` and a size near its lower end (further up, full precision ends at rounding at several rates, and nothing is left
to choose by), and takes the rate with the least geometric mean of the least training losses. Both precisions are
searched in the same way, and each gets its own rate: with one rate for both, the comparison would be of how well that
rate suits either. Adam moves every weight by about its rate, so what a step does to an output grows with width, and the
best rate falls with it: 1-bit networks are trained at smaller rates too, and at each depth and size the one with the
least geometric mean of the least training losses counts (`rate_search.at_best_rate`). Full precision keeps the one rate
of the search: with it most networks end at rounding or near it, f3 excepted.

**The rate of Fig. 2 and 3** is one for both precisions and all sizes, 0.01, which is what makes their difference a
matter of the quantiser alone: of 0.003, 0.01 and 0.03 it gave the least loss of both, or one within 5 % of it, at k =
10, 32 and 100 (seed 1000).
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from ntk1bit.data.cubes_and_curves import CUBES, CURVES
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.deep import DeepScaling, DeepSimilarity, curve_parameters
from ntk1bit.experiments.rate_search import best_of, log_mean
from ntk1bit.experiments.specification import Specification, Stage, Stages
from ntk1bit.networks.two_layer import PRECISIONS

FIGURES = (1, 2, 3)
DEPTHS = (3, 5)
RATES: dict[tuple[str, int], tuple[float, ...]] = {  # (precision, depth) -> Adam's largest rates, `pilot_rates`' first
    ("one_bit", 3): (0.01, 0.003, 0.001),
    ("one_bit", 5): (0.01, 0.003, 0.001),
    ("full", 3): (0.003,),
    ("full", 5): (0.001,),
}
PILOT_RATES, PILOT_SEEDS = (0.0003, 0.001, 0.003, 0.01, 0.03), (1000, 1001, 1002)
_AT_ONCE = 5_000_000  # parameters of networks trained side by side, so that a process stays below a gigabyte


@dataclass(frozen=True)
class DeepScalingSpec(Specification):
    """What a run of D25's Fig. 1 is asked for: every function, depth and size, each precision at its rates (`RATES`).

    Attributes
    ----------
    parameters
        Sizes of the networks.
    steps
        Of every training.
    tasks
        Functions f1..f6.
    seeds
        Networks per setting.
    """

    NAME: ClassVar[str] = "deep-scaling"
    COMMAND: ClassVar[str] = "ntk1bit deep --figure 1"
    AXES: ClassVar[tuple[str, ...]] = ("parameters", "tasks", "seeds")

    parameters: tuple[int, ...]
    steps: int
    tasks: tuple[str, ...] = CUBES
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        super().__post_init__()
        _check_axes(self)
        for task in self.tasks:
            require_choice("function", task, CUBES)
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, got {self.steps}")

    def stages(self) -> Stages:
        """Yield an experiment for each function, depth, precision, size and rate (and group of seeds)."""
        axes = itertools.product(self.parameters, DEPTHS, PRECISIONS)
        settings = [(*one, rate, task) for one in axes for rate in RATES[one[2], one[1]] for task in self.tasks]
        experiments = [
            DeepScaling(task, depth, precision, parameters, self.steps, rate, seeds)
            for parameters, depth, precision, rate, task in settings
            for seeds in _groups(self.seeds, parameters)
        ]
        yield Stage("training", tuple(experiments))


@dataclass(frozen=True)
class DeepSimilaritySpec(Specification):
    """What a run of D25's Fig. 2 and 3 is asked for: every function of one variable at every size.

    Attributes
    ----------
    sizes
        k.
    epochs
        Of every training.
    tasks
        Functions of one variable.
    seeds
        Networks per setting.
    """

    NAME: ClassVar[str] = "deep-similarity"
    COMMAND: ClassVar[str] = "ntk1bit deep --figure 3"
    AXES: ClassVar[tuple[str, ...]] = ("sizes", "tasks", "seeds")

    sizes: tuple[int, ...]
    epochs: int = 50
    tasks: tuple[str, ...] = CURVES
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        super().__post_init__()
        _check_axes(self)
        for task in self.tasks:
            require_choice("function", task, CURVES)
        if self.epochs < 1:
            raise InputError(f"epochs must be at least 1, got {self.epochs}")

    def stages(self) -> Stages:
        """Yield an experiment for each function and size (and group of seeds)."""
        experiments = [
            DeepSimilarity(task, k, self.epochs, seeds)
            for k, task in itertools.product(self.sizes, self.tasks)
            for seeds in _groups(self.seeds, curve_parameters(k))
        ]
        yield Stage("training", tuple(experiments))


def _check_axes(spec: DeepScalingSpec | DeepSimilaritySpec) -> None:
    for axis in spec.AXES:
        values = getattr(spec, axis)
        if not values or len(set(values)) < len(values):
            raise InputError(f"{axis} must be one value or more, each once, got {values}")


def _groups(seeds: tuple[int, ...], parameters: int) -> Iterator[tuple[int, ...]]:
    """Cut the seeds into groups that are trained side by side: five, but fewer of large networks."""
    at_once = min(max(_AT_ONCE // parameters, 1), 5)
    return (seeds[low : low + at_once] for low in range(0, len(seeds), at_once))


_TEN = tuple(range(10))
SCALING_PRESETS: dict[str, DeepScalingSpec] = {  # `thorough` has D25's own sizes and steps
    "smoke": DeepScalingSpec((2**8, 2**9, 2**10), 200, ("f2", "f4")),
    "quick": DeepScalingSpec(tuple(2**i for i in range(12, 18)), 5000),
    "standard": DeepScalingSpec(tuple(2**i for i in range(12, 20)), 20_000, seeds=_TEN),
    "thorough": DeepScalingSpec(tuple(2**i for i in range(17, 22)), 100_000, seeds=_TEN),
}
SIMILARITY_PRESETS: dict[str, DeepSimilaritySpec] = {
    "smoke": DeepSimilaritySpec((4, 8, 16), 10),
    "quick": DeepSimilaritySpec((10, 32, 100, 316)),
    "standard": DeepSimilaritySpec((10, 32, 100, 316, 1000)),
    "thorough": DeepSimilaritySpec((10, 32, 100, 316, 1000), seeds=_TEN),
}


def deep_specification(figure: int, preset: str) -> DeepScalingSpec | DeepSimilaritySpec:
    """Return the specification of a preset for one of D25's figures; 2 and 3 share their networks.

    Raises
    ------
    InputError
        For an unknown figure or preset.
    """
    if figure not in FIGURES:
        raise InputError(f"unknown figure {figure}; choose one of: {', '.join(map(str, FIGURES))} of D25")
    presets = SCALING_PRESETS if figure == 1 else SIMILARITY_PRESETS
    return presets[require_choice("preset", preset, presets)]


def pilot_rates(
    *,
    tasks: tuple[str, ...] = ("f2", "f4"),
    seeds: tuple[int, ...] = PILOT_SEEDS,
    parameters: int = 2**13,
    steps: int = 5000,
    rates: tuple[float, ...] = PILOT_RATES,
    precisions: tuple[str, ...] = PRECISIONS,
    depths: tuple[int, ...] = DEPTHS,
    parameterisation: str = "standard",
) -> pd.DataFrame:
    """Repeat the search that `RATES` comes from, or one like it; about two minutes on one core.

    Parameters
    ----------
    tasks, seeds, parameters, steps, rates, precisions, depths, parameterisation
        What is tried: as in `DeepScaling`.

    Returns
    -------
    A row for each (precision, depth, rate): `least_loss`, the geometric mean over functions and seeds; `best`, whether
    it is the least of its precision and depth. A rate at which a network diverges is never the best.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for precision, depth in itertools.product(precisions, depths):
            means = {}
            for rate in rates:
                tried = [
                    DeepScaling(
                        task, depth, precision, parameters, steps, rate, seeds, parameterisation=parameterisation
                    )
                    for task in tasks
                ]
                means[rate] = log_mean(pd.concat([one.run(Path(name) / one.key) for one in tried], ignore_index=True))
            for rate, mean in means.items():
                row = {"precision": precision, "depth": depth, "rate": rate, "least_loss": math.exp(mean)}
                rows.append(row | {"best": rate == best_of(means)})
    return pd.DataFrame(rows)
