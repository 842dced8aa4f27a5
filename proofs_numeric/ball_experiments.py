"""The experiments on initial networks within a ball of radius R, at three sizes, and what their claims share."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ntk1bit.claims import Count
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.step_within_ball import StepInBall
from ntk1bit.experiments.within_ball import KernelInBall, WeightsInBall

WEIGHTS, KERNELS, STEPS = "ball-weights", "ball-kernels", "ball-steps"
RADII = (0.01, 0.1, 1.0, 10.0)
KERNEL_MULTIPLES = (1.0, 1e4, 1e5, 1e6, 1e7)  # of `within_ball.unit`: from the lemma's radius to one that flips signs
STEP_MULTIPLES = (1.0, 1e3, 1e6)  # three radii, and rates: the lemmas', with constants 1/64, 16 and 16,000
LONG = 4  # steps where several are taken
_POINTS = 8
_SIZES: dict[str, dict[str, Any]] = {  # draws: what a failure rate of 5 % takes, and for rates near it more
    "quick": {"dims": (8, 32), "widths": (64, 256), "draws": 80, "kernels": (256,), "long": 256},
    "standard": {
        "dims": (8, 32),
        "widths": (256, 1024, 4096, 16384),
        "draws": 200,
        "kernels": (1024, 4096),
        "long": 1024,
    },
    "thorough": {
        "dims": (8, 32, 128),
        "widths": (256, 1024, 4096, 16384, 65536),
        "draws": 400,
        "kernels": (1024, 4096, 16384),
        "long": 4096,
    },
}


def ball_experiments(preset: str) -> dict[str, tuple[str, tuple[Experiment, ...]]]:
    """Return purpose and experiments of each study by its name, for a preset of `studies.PRESETS`."""
    size = _SIZES[preset]
    dims, draws = size["dims"], size["draws"]
    pairs = tuple(itertools.product(dims, size["widths"]))
    weights = [WeightsInBall(d, m, RADII, 2 * draws) for d in (3, *dims, 128) for m in (64, 256, *size["kernels"])]
    kernels = [KernelInBall(d, m, _POINTS, KERNEL_MULTIPLES, draws) for d in dims for m in size["kernels"]]
    steps = [StepInBall(d, m, _POINTS, STEP_MULTIPLES, 1, draws) for d, m in pairs]
    steps += [StepInBall(d, size["long"], _POINTS, STEP_MULTIPLES, LONG, draws) for d in dims]
    return {
        WEIGHTS: ("weights, moments and quantisation differences over balls around the start", _once(weights)),
        KERNELS: ("how far the kernel can move while weights stay within R of the start", _once(kernels)),
        STEPS: ("the four terms of steps at the rate of D25's lemmas, as D25 defines them", _once(steps)),
    }


def count_failures(
    measure: str, meaning: str, frame: pd.DataFrame, failed: str, keys: list[str], span: str, study: str
) -> Count:
    """Count the rows whose boolean column `failed` is true, at each combination of `keys` too."""
    by_setting = frame.groupby(keys)[failed].agg(["sum", "size"]).to_numpy(dtype=np.int64)
    settings = tuple((int(failures), int(trials)) for failures, trials in by_setting)
    failures, trials = by_setting.sum(axis=0)
    return Count(measure, meaning, int(failures), int(trials), span, study, settings=settings)


def median(values: ArrayLike) -> float:
    """Return the median as a plain number."""
    return float(np.median(np.asarray(values, dtype=np.float64)))


def lowest(values: ArrayLike) -> float:
    """Return the smallest entry as a plain number."""
    return float(np.min(np.asarray(values, dtype=np.float64)))


def _once(experiments: list[Any]) -> tuple[Experiment, ...]:
    """Drop repeated experiments."""
    return tuple(dict.fromkeys(experiments))
