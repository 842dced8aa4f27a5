"""The experiments of D25's Fig. 1 to 3 at four sizes, as lists of measurements.

`smoke` takes a minute, `quick` most of an hour and `standard` a day on one core; `thorough` has D25's own sizes and
numbers of steps, and takes weeks. `ntk1bit deep --dry-run` prints the time for each.

**Learning rates.** D25 gives none. Those of Fig. 1 start from a short search, for each precision and depth:
`pilot_rates` repeats it. It uses seeds that no experiment uses, two of the six functions, the number of steps of
`quick` and a size near its lower end (further up, full precision ends at rounding at several rates, and nothing is left
to choose by), and takes the rate with the least geometric mean of the least training losses. Both precisions are
searched in the same way, and each gets its own rate: with one rate for both, the comparison would be of how well that
rate suits either. Adam moves every weight by about its rate, so what a step does to an output grows with width, and the
best rate falls with it: 1-bit networks are trained at smaller rates too, and at each depth and size the one with the
least geometric mean of the least training losses counts (`tables.at_best_rate`). Full precision keeps the one rate of
the search: with it most networks end at rounding or near it, f3 excepted.

**The rate of Fig. 2 and 3** is one for both precisions and all sizes, 0.01, which is what makes their difference a
matter of the quantiser alone: of 0.003, 0.01 and 0.03 it gave the least loss of both, or one within 5 % of it, at k =
10, 32 and 100 (seed 1000).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ntk1bit.data.cubes_and_curves import CUBES, CURVES
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.measurements import Measurement
from ntk1bit.networks.two_layer import PRECISIONS, Precision

FIGURES = (1, 2, 3)
SIZES = ("smoke", "quick", "standard", "thorough")
DEPTHS = (3, 5)
RATES: dict[tuple[str, int], tuple[float, ...]] = {  # (precision, depth) -> Adam's largest rates, `pilot_rates`' first
    ("one_bit", 3): (0.01, 0.003, 0.001),
    ("one_bit", 5): (0.01, 0.003, 0.001),
    ("full", 3): (0.003,),
    ("full", 5): (0.001,),
}
PILOT_TASKS, PILOT_SEEDS, PILOT_PARAMETERS, PILOT_STEPS = ("f2", "f4"), (1000, 1001, 1002), 2**13, 5000
PILOT_RATES = (0.0003, 0.001, 0.003, 0.01, 0.03)
CURVE_RATE = 0.01  # of Fig. 2 and 3
_BATCH = 10
_SPEED = 8e10  # floating-point operations a second of one core: 6e10 to 13e10 measured
_AT_ONCE = 5_000_000  # parameters of networks trained side by side, so that a process stays below a gigabyte


@dataclass(frozen=True)
class DeepSpec:
    """How large the experiments of a size are.

    Attributes
    ----------
    parameters
        Sizes of the networks of Fig. 1.
    steps
        Their number of steps.
    tasks
        Functions of Fig. 1.
    sizes
        k of Fig. 2 and 3.
    epochs
        Of Fig. 2 and 3.
    seeds
        Networks at each setting of Fig. 1.
    curve_seeds
        The same of Fig. 2 and 3.
    """

    parameters: tuple[int, ...]
    steps: int
    tasks: tuple[str, ...]
    sizes: tuple[int, ...]
    epochs: int
    seeds: int
    curve_seeds: int


_SPECS = {
    "smoke": DeepSpec((2**8, 2**9, 2**10), 200, ("f2", "f4"), (4, 8, 16), 10, 5, 5),
    "quick": DeepSpec(tuple(2**i for i in range(12, 18)), 5000, CUBES, (10, 32, 100, 316), 50, 5, 5),
    "standard": DeepSpec(tuple(2**i for i in range(12, 20)), 20_000, CUBES, (10, 32, 100, 316, 1000), 50, 10, 5),
    "thorough": DeepSpec(tuple(2**i for i in range(17, 22)), 100_000, CUBES, (10, 32, 100, 316, 1000), 50, 10, 10),
}


def deep_spec(size: str) -> DeepSpec:
    """Return the specification of a size.

    Raises
    ------
    InputError
        For an unknown size.
    """
    require_choice("preset", size, SIZES)
    return _SPECS[size]


def measurements(figure: int, size: str) -> tuple[Measurement, ...]:
    """Return the measurements of a figure; 2 and 3 share theirs. Costs are rough seconds on one core.

    Raises
    ------
    InputError
        For an unknown figure or size.
    """
    if figure not in FIGURES:
        raise InputError(f"unknown figure {figure}; choose one of: {', '.join(map(str, FIGURES))} of D25")
    spec = deep_spec(size)
    return scaling_measurements(spec) if figure == 1 else similarity_measurements(spec)


def scaling_measurements(spec: DeepSpec) -> tuple[Measurement, ...]:
    """Return the measurements of Fig. 1: one for each function, depth, precision and size (and group of seeds)."""
    made = []
    # functions innermost: those with as many inputs share what was compiled
    axes = itertools.product(spec.parameters, DEPTHS, PRECISIONS)
    every = [(*one, rate, task) for one in axes for rate in RATES[one[2], one[1]] for task in spec.tasks]
    for parameters, depth, precision, rate, task in every:
        for seeds in _groups(spec.seeds, parameters):
            settings = {
                "task": task,
                "depth": depth,
                "precision": precision,
                "parameters": parameters,
                "steps": spec.steps,
                "rate": rate,
                "seeds": seeds,
            }
            made.append(_measurement("scaling", settings, 6.0 * parameters * 100 * spec.steps * len(seeds)))
    return tuple(made)


def similarity_measurements(spec: DeepSpec) -> tuple[Measurement, ...]:
    """Return the measurements of Fig. 2 and 3: one for each function and size (and group of seeds)."""
    made = []
    for k, task in itertools.product(spec.sizes, CURVES):
        parameters = 20 * k**2 + 41 * k
        for seeds in _groups(spec.curve_seeds, parameters):
            settings = {
                "task": task,
                "k": k,
                "epochs": spec.epochs,
                "batch": _BATCH,
                "rate": CURVE_RATE,
                "seeds": seeds,
            }
            # both precisions; an epoch trains on 100 points and evaluates on 300, and each step moves all parameters
            points = 2.0 * spec.epochs * (6 * 100 + 2 * 300 + 10 * 60) * len(seeds)
            made.append(_measurement("similarity", settings, parameters * points))
    return tuple(made)


def pilot_rates(
    *,
    tasks: tuple[str, ...] = PILOT_TASKS,
    seeds: tuple[int, ...] = PILOT_SEEDS,
    parameters: int = PILOT_PARAMETERS,
    steps: int = PILOT_STEPS,
    rates: tuple[float, ...] = PILOT_RATES,
    precisions: tuple[Precision, ...] = ("one_bit", "full"),
    depths: tuple[int, ...] = DEPTHS,
    parameterisation: Literal["standard", "ntk"] = "standard",
) -> pd.DataFrame:
    """Repeat the search that `RATES` comes from, or one like it; about two minutes on one core.

    Parameters
    ----------
    tasks, seeds, parameters, steps, rates, precisions, depths, parameterisation
        What is tried: as in `experiments.scaling`.

    Returns
    -------
    A row a (precision, depth, rate): `least_loss`, the geometric mean over functions and seeds; `best`, whether it is
    the least of its precision and depth. A rate at which a network diverges is never the best.
    """
    from ntk1bit.experiments.deep import scaling  # imports JAX, which the rest of this module does not need

    rows = []
    for precision, depth, rate in itertools.product(precisions, depths, rates):
        settings: Any = {
            "depth": depth,
            "precision": precision,
            "parameters": parameters,
            "steps": steps,
            "parameterisation": parameterisation,
        }
        frames = [scaling(task=task, rate=rate, seeds=seeds, **settings) for task in tasks]
        found = pd.concat(frames, ignore_index=True)
        loss = found["least_loss"].where(found["diverged_at"] < 0, np.inf).to_numpy(dtype=np.float64)
        with np.errstate(divide="ignore"):
            mean = float(np.exp(np.log(loss).mean()))
        rows.append({"precision": precision, "depth": depth, "rate": rate, "least_loss": mean})
    table = pd.DataFrame(rows)
    least = table.groupby(["precision", "depth"])["least_loss"].transform("min")
    return table.assign(best=table["least_loss"] == least)


def _groups(seeds: int, parameters: int) -> list[tuple[int, ...]]:
    """Cut the seeds into groups that are trained side by side: all of them, but for large networks."""
    at_once = min(max(_AT_ONCE // parameters, 1), 5)
    return [tuple(range(low, min(low + at_once, seeds))) for low in range(0, seeds, at_once)]


def _measurement(name: str, settings: dict[str, Any], operations: float) -> Measurement:
    compiling = 2.0  # seconds
    return Measurement(f"ntk1bit.experiments.deep:{name}", tuple(settings.items()), compiling + operations / _SPEED)
