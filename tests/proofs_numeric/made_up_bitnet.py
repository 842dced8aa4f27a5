"""Runs like the study `bitnet`, with losses and accuracies by formulas and a little noise over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.experiments.language_spec import LanguageSpec
from proofs_numeric.bitnet_studies import bitnet_studies
from proofs_numeric.data import Data

TRAINED = ("fp16-preln", "bitnet")
SPEC = cast(LanguageSpec, next(one.specification for one in bitnet_studies("standard") if one.name == "bitnet"))
NOISE = 1e-4  # standard deviation of a loss and of an accuracy, over seeds, of what arms do not share
LOST = {  # nats that quantising after training loses
    "absmax-w8a8": 0.02, "smoothquant-w8a8": 0.01, "absmax-w4a4": 0.9, "smoothquant-w4a4": 1.0, "gptq-w4": 0.6,
    "gptq-w2": 1.5, "quip-w2": 1.2, "absmax-w1a8": 3.0, "smoothquant-w1a8": 2.5, "absmean-w1a8": 2.0,
}  # fmt: skip

Law = Callable[[float], float]


def floats(n: float) -> float:
    """Return the loss of the 16-bit networks."""
    return 1.0 + 30 * n**-0.35


def closing(n: float) -> float:
    """Return a loss of BitNet whose gap closes as n^-0.3."""
    return floats(n) + 5 * n**-0.3


def answered(n: float) -> float:
    """Return an accuracy that grows by 0.1 a decade."""
    return 0.3 + 0.1 * float(np.log10(n / 3072))


def made_up(
    bitnet: Law = closing,
    *,
    float_loss: Law = floats,
    lost: Mapping[str, float] | None = None,
    accuracy: Mapping[str, Law] | None = None,
    missing: tuple[tuple[str, str, int], ...] = (),
) -> Data:
    """Return the data of such a run; networks that are `missing` (arm, size, seed) have no loss."""
    rng = np.random.default_rng(0)
    lost = LOST | dict(lost or {})
    laws = {"fp16-preln": float_loss, "bitnet": bitnet}
    rates = {(arm, size): 0.004 for arm in TRAINED for size in SPEC.sizes}
    rows: list[dict[str, Any]] = []
    for shape, size in zip(SPEC.shapes, SPEC.sizes, strict=True):
        n = shape.parameters
        about = {"size": size, "parameters": n, "tokens": SPEC.tokens, "seconds": 1.0, "diverged": False}
        for seed in SPEC.seeds:
            common = 1e-3 * rng.standard_normal()
            for arm in SPEC.arms:
                trained = arm if arm in TRAINED else "fp16-preln"
                loss = laws[trained](n) + lost.get(arm, 0.0) + common + NOISE * rng.standard_normal()
                loss = np.nan if (arm, size, seed) in missing else loss
                right = (accuracy or {}).get(arm, answered)(n) - 0.05 * lost.get(arm, 0.0)
                rows.append(
                    about
                    | {"stage": "seeds", "evaluated": arm, "arm": trained, "rate": 0.004, "seed": seed, "loss": loss}
                    | {"loss_error": 0.01, "bits": loss / np.log(2), "bits_error": 0.014, "train_loss": loss}
                    | {"accuracy_0": right + NOISE * rng.standard_normal()}
                    | {"accuracy_4": right + 0.02 + NOISE * rng.standard_normal()}
                )
        for arm in TRAINED:
            rows += [
                about
                | {"stage": "search", "evaluated": arm, "arm": arm, "rate": rate, "seed": 0}
                | {"train_loss": laws[arm](n) + abs(np.log(rate / 0.004))}
                for rate in (0.002, 0.004, 0.008)
            ]
    run = LanguageRun(SPEC, pd.DataFrame(rows), rates, {"loss": 2.5})
    return Data(Path("nowhere"), languages={"bitnet": run})
