"""The experiments on initial networks within a ball of radius R, at three sizes, and what their claims share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
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
KERNEL_MULTIPLES = (1.0, 1e4, 1e5, 1e6, 3e6)  # of `within_ball.unit`: from the lemma's radius to one that flips signs
STEP_MULTIPLES = (1.0, 1e3, 1e6)  # three radii, and rates: the lemmas', with constants 1/64, 16 and 16,000
LONG = 4  # steps where several are taken
_POINTS = 8
_SIZES: dict[str, dict[str, Any]] = {  # a failure rate of 5 % takes 72 draws without a failure, and more with some
    "quick": {
        "weights": ((3, 8, 32), (64, 256), 80),
        "kernels": ((8, 32), (256,), 80),
        "steps": ((8, 32), (64, 256), 80),
        "long": 64,
    },
    "standard": {
        "weights": ((3, 8, 32, 128), (64, 256, 1024, 4096), 400),
        "kernels": ((8, 32), (1024, 4096), 100),
        "steps": ((8, 32), (256, 1024, 4096, 16384), 200),
        "long": 1024,
    },
    "thorough": {
        "weights": ((3, 8, 32, 128), (64, 256, 1024, 4096, 16384), 800),
        "kernels": ((8, 32, 64), (1024, 4096, 16384), 200),
        "steps": ((8, 32, 128), (256, 1024, 4096, 16384, 65536), 400),
        "long": 4096,
    },
}


def ball_experiments(preset: str) -> dict[str, tuple[str, tuple[Experiment, ...]]]:
    """Return purpose and experiments of each study by its name, for a preset of `studies.PRESETS`."""
    size = _SIZES[preset]
    weights = [WeightsInBall(d, m, RADII, draws) for d, m, draws in _settings(*size["weights"])]
    kernels = [KernelInBall(d, m, _POINTS, KERNEL_MULTIPLES, draws) for d, m, draws in _settings(*size["kernels"])]
    dims, widths, draws = size["steps"]
    steps = [StepInBall(d, m, _POINTS, STEP_MULTIPLES, 1, draws) for d, m, draws in _settings(dims, widths, draws)]
    steps += [StepInBall(d, size["long"], _POINTS, STEP_MULTIPLES, LONG, draws) for d in dims]
    return {
        WEIGHTS: ("weights, moments and quantisation differences over balls around the start", tuple(weights)),
        KERNELS: ("how far the kernel can move while weights stay within R of the start", tuple(kernels)),
        STEPS: ("the four terms of steps at the rate of D25's lemmas, as D25 defines them", tuple(steps)),
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


def _settings(dims: tuple[int, ...], widths: tuple[int, ...], draws: int) -> Iterator[tuple[int, int, int]]:
    """Give d, m and the number of draws of each setting."""
    return itertools.product(dims, widths, (draws,))
