"""Planted studies: made-up frames in which what a claim is about holds, or fails by a known amount.

A frame starts as all combinations of some settings, a row each, with a column `noise` of independent standard normal
numbers. Laws, functions of the frame made so far, give the other columns; the noise enters where a law asks for it:

    combinations(width=(64, 256, 1024), seed=SEEDS).assign(drift=power(-0.5, noise=0.02))

`networks` has the settings of a sweep, and a second column of such numbers, `shared` by the two networks of a pair, of
one start and seed and either precision. `sweep` gives every network its steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence
from proofs_numeric.data import Data

Law = Callable[[pd.DataFrame], Any] | float | str

WIDTHS = (64, 256, 1024, 4096)
SEEDS = tuple(range(6))
BOTH = ("one_bit", "full")
SETTINGS: Mapping[str, Any] = {  # of a network of a sweep, unless a study says otherwise
    "task": "digits",
    "dim": 64,
    "n_train": 16,
    "n_test": 4,
    "width": WIDTHS,
    "precision": BOTH,
    "init": "paired",
    "kappa": 1.0,
    "eta_rel": 0.5,
    "seed": SEEDS,
}
ARRAYS = ("outputs", "test_outputs")  # columns with an array in each row
ALWAYS = ("key", "scale", "eta", "diverged", "step", "loss")  # known at every step, whatever is recorded


def combinations(**axes: Any) -> pd.DataFrame:
    """Return a row for each combination of values, a tuple of them or one, with the column `noise`."""
    several = [value if isinstance(value, tuple) else (value,) for value in axes.values()]
    frame = pd.DataFrame(list(itertools.product(*several)), columns=list(axes))
    return frame.assign(noise=np.random.default_rng(0).standard_normal(len(frame)))


def evaluate(law: Law, frame: pd.DataFrame) -> Any:
    """Return what a law gives for a frame; a constant is one, too."""
    return law(frame) if callable(law) else law


def networks(**axes: Any) -> pd.DataFrame:
    """Return a row for each network of a sweep: all combinations of these settings, the others from `SETTINGS`."""
    chosen = {**SETTINGS, **axes}
    frame = combinations(**chosen)
    pair = frame.groupby([name for name in chosen if name != "precision"]).ngroup().to_numpy()
    return frame.assign(
        shared=np.random.default_rng(1).standard_normal(len(frame))[pair],
        key=[" ".join(map(str, row)) for row in frame[list(chosen)].itertuples(index=False)],
        scale=where("none", "std", precision="full"),
        eta=0.1,
        diverged=False,
    )


def sweep(of: pd.DataFrame, loss: Law, *, steps: int = 2, every: int = 1, **laws: Law) -> pd.DataFrame:
    """Return what a sweep of these networks would have stored: a row for each network and step.

    Parameters
    ----------
    of
        From `networks`.
    loss
        Law of the loss; it and the others see the settings and `step`.
    steps
        Their number; step 0 comes before any.
    every
        The other columns are recorded at every so many steps only, and unknown between.
    laws
        Those of the other columns, made in this order.
    """
    frame = of.loc[of.index.repeat(steps + 1)].reset_index(drop=True)
    frame["step"] = np.tile(np.arange(steps + 1), len(of))
    recorded = frame["step"] % every == 0
    for name, law in {"loss": loss, "drift": 0.0, **laws}.items():
        frame[name] = evaluate(law, frame)
        if name not in ALWAYS and not recorded.all():
            unknown = None if name in ARRAYS else np.nan
            frame[name] = frame[name].where(recorded, unknown)
    return frame.drop(columns=["noise", "shared"])


def drawn(dims: Sequence[int] = (8, 32, 128), draws: int = 40, **laws: Law) -> pd.DataFrame:
    """Return a study like `start`: networks as drawn, n = 64 at every d and m, and n = 16 and 256 at d = 32."""
    axes: dict[str, Any] = {"width": WIDTHS, "seed": tuple(range(draws))}
    parts = [combinations(dim=tuple(dims), n_train=64, **axes), combinations(dim=32, n_train=(16, 256), **axes)]
    frame = pd.concat(parts, ignore_index=True)
    frame["noise"] = np.random.default_rng(2).standard_normal(len(frame))
    return frame.assign(**laws)


def power(exponent: float, column: str = "width", *, noise: float = 0.0, size: float = 1.0) -> Callable[..., Any]:
    """Return the law size (x/64)^exponent of a column x, within a factor exp(noise) of one standard deviation."""
    return lambda frame: size * (frame[column] / 64.0) ** exponent * np.exp(noise * frame["noise"])


def around(exponent: float, along: Sequence[float], column: str = "width", *, size: float = 1.0) -> Callable[..., Any]:
    """Return a power of a column that is `size` at the geometric mean of these values, whatever the exponent.

    So laws of different exponents have the same mean logarithm over these values.
    """
    middle = float(np.exp(np.log(along).mean()))
    return lambda frame: size * (frame[column] / middle) ** exponent


def narrow_off(exponent: float, shift: float) -> Callable[..., Any]:
    """Return a power of m from which the narrowest two of six doubling widths, from 64 on, are off.

    Over all six the exponent is larger by `shift`. No bend is seen, in which case a fit would look at the widest alone:
    of deviations 1 and 5 at the first two of six equal steps a parabola has no part, and a line falls by 20/35 a step.
    """
    first = -shift * np.log(2) * 35 / 20
    off = {64: first, 128: 5 * first}
    straight = power(exponent)
    return lambda frame: straight(frame) * np.exp([off.get(width, 0.0) for width in frame["width"]])


def where(then: Law, other: Law, **settings: Any) -> Callable[..., Any]:
    """Return the law that is `then` in rows that have all these settings, and `other` in the rest."""

    def law(frame: pd.DataFrame) -> Any:
        chosen = np.all([frame[name] == value for name, value in settings.items()], axis=0)
        return np.where(chosen, evaluate(then, frame), evaluate(other, frame))

    return law


def settling(level: Law, *, rate: Law = 2.0, half: Law | None = None) -> Callable[..., Any]:
    """Return the law of a loss that falls from 4 to a level by exp(-rate t), and stays there within 1 %.

    With `half` that is its level up to half of the steps only, and from then on it is `level`.
    """

    def law(frame: pd.DataFrame) -> Any:
        end, speed = evaluate(level, frame), evaluate(rate, frame)
        if half is not None:
            end = np.where(frame["step"] <= frame["step"].max() / 2, evaluate(half, frame), end)
        jumps = np.where(frame["step"] > 0, 0.01 * np.random.default_rng(5).standard_normal(len(frame)), 0.0)
        fallen = np.exp(-speed * frame["step"])
        return (end * (1 - fallen) + 4.0 * fallen) * (1 + jumps)

    return law


def falling(loss: Law, slope: Law) -> Callable[..., Any]:
    """Return the law of a loss times (t/T)^slope, T being the last step: one that is not level where `loss` is."""

    def law(frame: pd.DataFrame) -> Any:
        share = np.maximum(frame["step"], 1) / frame["step"].max()
        return evaluate(loss, frame) * share ** evaluate(slope, frame)

    return law


def on_data_set(frame: pd.DataFrame, place: int) -> pd.DataFrame:
    """Return a study as if it had data of another seed, which is part of the keys of its networks."""
    return frame.assign(key=[f"{key} data {place}" for key in frame["key"]])


def apart(size: Law, outputs: Law = 1.0) -> Callable[..., Any]:
    """Return the law of outputs on four test inputs: what a pair has in common, and on one a difference of this size.

    It is the 1-bit network's, of either sign: the largest over inputs is `size`, the root mean square half of it. What
    they have in common has the root mean square `outputs`.
    """

    def law(frame: pd.DataFrame) -> Any:
        rng = np.random.default_rng(4)
        drawn_once = {key: rng.standard_normal(4) for key in sorted(set(frame["shared"]))}
        common = {key: one / np.sqrt(np.mean(one**2)) for key, one in drawn_once.items()}
        away = where(size, 0.0, precision="one_bit")(frame) * (-1.0) ** frame["seed"]
        large = np.broadcast_to(outputs(frame) if callable(outputs) else outputs, len(frame))
        triples = zip(frame["shared"], large, away, strict=True)
        return [common[key] * much + np.eye(4)[1] * one for key, much, one in triples]

    return law


def slope_error(x: Sequence[float], seeds: int, noise: float) -> float:
    """Return the standard error of an exponent over values x, `seeds` networks each, with this noise in logarithms."""
    away = np.log(x) - np.log(x).mean()
    return float(noise / np.sqrt(seeds * (away @ away)))


def stored(frames: Mapping[str, pd.DataFrame]) -> Data:
    """Return these studies as a verification's."""
    return Data(Path("nowhere"), frames=frames)


def outcomes(claim: Claim, found: Evidence) -> dict[str, str]:
    """Return the outcome of each criterion of a claim's rule, by its measure."""
    return {one.measure: one.outcome for one in claim.judge(found).findings}


def context(claim: Claim, found: Evidence) -> dict[str, str]:
    """Return the outcome of each criterion that does not decide, by its measure."""
    return {one.measure: one.outcome for one in claim.judge(found).context}
