"""Which learning rates networks of each arm and size tolerate (W23, Fig. 5): larger and larger ones, until all diverge.

W23 trains its arms at one large rate and shows which curve goes up. Here every arm and size is trained at rates a
factor apart, so that the rate itself at which it diverges is found, seed by seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from ntk1bit.data import text as texts
from ntk1bit.errors import InputError
from ntk1bit.experiments.language_run import ngram_losses
from ntk1bit.experiments.language_spec import STABILITY, LanguageSpec
from ntk1bit.experiments.rate_search import RateSearch
from ntk1bit.experiments.specification import Specification, Stage, Stages

FIRST = 1  # the largest exponent of the first stage
_FARTHEST = 64  # exponents that a specification may have


def lost(train_loss: float, unigram: float) -> bool:
    """Say whether a network has diverged.

    It has if the loss is not finite, or if it makes less of all its context than counting characters does. So has a
    network that learns too slowly to get there: at the smallest rates of a short training this need not be divergence.

    Parameters
    ----------
    train_loss
        Mean training loss over the last tenth of the steps (`experiments.language.LanguageModel.run`).
    unigram
        Loss of the unigram model on the validation windows (`experiments.language_run.ngram_losses`).
    """
    return not (math.isfinite(train_loss) and train_loss <= unigram)


@dataclass(frozen=True)
class StabilitySpec(LanguageSpec):
    """All sizes are trained in all arms with all seeds at rates `rate * rate_factor^k`, k = lowest, lowest + 1, ...

    An arm and size is tried at the next rate until all its seeds have diverged (`lost`) at the last one. Rates are not
    searched for: `rate_rounds` has no part in it, `stability` is empty, and arms are trained ones.

    Attributes
    ----------
    lowest
        The smallest exponent, at most 1.
    most
        The largest exponent, 1 or more. Networks that have not diverged there are not tried further.

    Raises
    ------
    InputError
        As `LanguageSpec`; and for exponents out of range, rates that are 0, infinite or equal to six digits, multiples
        in `stability`, or an arm that is not trained.
    """

    NAME: ClassVar[str] = "stability"
    COMMAND: ClassVar[str] = "ntk1bit verify"
    AXES: ClassVar[tuple[str, ...]] = ("sizes", "arms", "seeds")

    lowest: int = -2
    most: int = 9

    def __post_init__(self) -> None:
        """Refuse a specification that could not run."""
        super().__post_init__()
        if not -_FARTHEST <= self.lowest <= FIRST <= self.most <= _FARTHEST:
            raise InputError(
                f"lowest must be {-_FARTHEST} to {FIRST} and most {FIRST} to {_FARTHEST}, "
                f"got {self.lowest} and {self.most}"
            )
        rates = [self.rate_at(exponent) for exponent in range(self.lowest, self.most + 1)]
        if not (rates[0] > 0 and math.isfinite(rates[-1]) and len(set(rates)) == len(rates)):
            raise InputError(
                f"rates must be positive, finite and differ in six digits, got {rates[0]:g} to {rates[-1]:g} in steps "
                f"of {self.rate_factor:g}; change rate, rate_factor, lowest or most"
            )
        if self.stability:
            raise InputError("stability must be empty here: rates are multiples of rate by powers of rate_factor")
        if untrained := [arm for arm in self.arms if arm not in self.trained_arms]:
            raise InputError(f"arm {untrained[0]!r} is not trained, so it cannot diverge; leave it out")

    def rate_at(self, exponent: int) -> float:
        """Return the rate of an exponent, to six digits."""
        return RateSearch(self.rate, self.rate_factor).value(exponent)

    def stages(self) -> Stages:
        """Yield a stage for each largest exponent: the first from `lowest` to 1, then one exponent each.

        What is tried depends on losses only, so a resumed run makes the same choices.

        Raises
        ------
        InputError
            If the text cannot be loaded: before any worker starts, so that a missing package is reported at once.
        """
        corpus = texts.load(self.text)
        texts.validation_windows(corpus.validation, context=self.context, count=self.windows)
        remaining = [(size, arm) for size in self.shapes for arm in self.arms]
        for last in range(FIRST, self.most + 1):
            exponents = range(self.lowest, last + 1) if last == FIRST else (last,)
            networks = [
                self.network(size, arm, self.rate_at(exponent), seed)
                for size, arm in remaining
                for exponent in exponents
                for seed in self.seeds
            ]
            read = yield Stage(f"{STABILITY} {last}", tuple(networks))
            if last == self.most:
                return
            trained, unigram = read(), ngram_losses(self)["unigram"]
            trained = trained.loc[trained["rate"] == self.rate_at(last)]
            names = ["layers", "width", "arm", "train_loss"]
            trainable = {
                (layers, width, arm)
                for layers, width, arm, loss in zip(*(trained[name] for name in names), strict=True)
                if not lost(loss, unigram)
            }
            remaining = [(size, arm) for size, arm in remaining if (size.layers, size.width, arm) in trainable]
            if not remaining:
                return

    def supposed(self, stage: Stage) -> pd.DataFrame:
        """Suppose that all diverge half-way to `most`."""
        found = Specification.supposed(self, stage)
        half = self.rate_at(max(self.most // 2, FIRST))
        return found.assign(train_loss=np.where(found["rate"] < half, 0.0, np.inf))

    @property
    def seconds(self) -> float:
        """Rough seconds of one processor, if all have diverged half-way to `most`."""
        rates = max(self.most // 2, FIRST) - self.lowest + 1
        each = rates * len(self.seeds)
        return each * sum(self.network(size, arm, self.rate, 0).cost for size in self.shapes for arm in self.arms)
