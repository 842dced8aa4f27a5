"""How learning rates are chosen: by the least loss of networks that were trained to find out.

Language models try multiples of a first rate until the best is enclosed (`RateSearch`); deep networks choose among
fixed rates by the geometric mean of their losses (`at_best_rate`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd

Rate = TypeVar("Rate", int, float)


def best_of(losses: Mapping[Rate, float]) -> Rate:
    """Return the rate (or its exponent) with the least loss, of equal ones the smallest.

    A loss that is NaN or infinite is the least only if all are such.
    """
    return min(losses, key=lambda rate: (losses[rate] if losses[rate] < math.inf else math.inf, rate))


@dataclass
class RateSearch:
    """The search for one network's rate among `rate factor^e`: e = -1, 0, 1, then further while the best is at an edge.

    Attributes
    ----------
    rate, factor
        The first rate, and how far neighbours are apart.
    losses
        What was found, by e.
    """

    rate: float
    factor: float
    losses: dict[int, float] = field(default_factory=dict)

    @property
    def untried(self) -> list[int]:
        """The exponents to try next; none once the best is enclosed."""
        if not self.losses:
            return [-1, 0, 1]
        best, low, high = best_of(self.losses), min(self.losses), max(self.losses)
        return [low - 1] if best == low else [high + 1] if best == high else []

    @property
    def best(self) -> float:
        """The rate with the least loss so far."""
        return self.value(best_of(self.losses))

    def value(self, exponent: int) -> float:
        """Return a rate, to six digits: what names and files show is what is trained."""
        return float(f"{self.rate * self.factor**exponent:.6g}")


def at_best_rate(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the networks of D25's Fig. 1 at the best rate of their depth, precision and size.

    The best has the least geometric mean, over functions and seeds, of the least training losses; a rate at which a
    network diverged is the best only if all are such.
    """
    kept = []
    for _, part in frame.groupby(["depth", "precision", "parameters"]):
        means = {float(rate): log_mean(tried) for rate, tried in part.groupby("rate")}  # pyright: ignore[reportArgumentType]
        kept.append(part.loc[part["rate"] == best_of(means)])
    return pd.concat(kept, ignore_index=True)


def log_mean(tried: pd.DataFrame) -> float:
    """Return the mean logarithm of the least losses; infinite if a network diverged, -inf if a loss is 0."""
    diverged = tried["diverged_at"].to_numpy() >= 0
    losses = np.where(diverged, np.inf, tried["least_loss"].to_numpy(np.float64))
    with np.errstate(divide="ignore"):
        return float(np.log(losses).mean())
