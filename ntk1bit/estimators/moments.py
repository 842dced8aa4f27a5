"""When in training a measure is read: at its start or end, at a fixed step, time or loss, or where it is largest.

start  end  last tenth  largest  smallest        of training
step 100  time 0.5  loss 0.1                     at a fixed step, a fixed time eta t, a fixed share of L(0)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.estimators.measured import MeasureDefinition

MOMENTS = {  # as they are written, and what they are
    "start": "before the first step",
    "end": "after the last step",
    "last tenth": "mean over the last tenth of the steps: a 1-bit loss jumps from step to step",
    "largest": "largest over the steps at which it is recorded",
    "smallest": "smallest over the steps at which it is recorded",
    "step N": "after N descent steps, such as step 100",
    "time T": "first at which eta t is at least T, the time of gradient flow, such as time 0.5",
    "loss S": "first at which L(t) is at most S L(0) (of a pair: of both), such as loss 0.1",
}
_EARLY = 1 - 1e-12  # a time is reached that eta t misses by rounding alone
_NEARBY = 3  # recorded steps named on either side of one that is not


@dataclass(frozen=True)
class Moment:
    """When in training a measure is read; `read_moment` makes one of what a person writes.

    Attributes
    ----------
    kind
        The first word of its key in `MOMENTS`, or ``"last tenth"``.
    at
        The step, the time or the share of the loss; NaN for the others.
    """

    kind: str
    at: float = math.nan

    @property
    def text(self) -> str:
        """What a person writes for it."""
        return self.kind if math.isnan(self.at) else f"{self.kind} {self.at:g}"

    @property
    def words(self) -> str:
        """The same in words, for the meaning of an estimate."""
        return {
            "start": "before training",
            "end": "after training",
            "last tenth": "mean over the last tenth of the steps",
            "largest": "largest over training",
            "smallest": "smallest over training",
            "step": f"after {self.at:g} steps",
            "time": f"when eta t is first at least {self.at:g}",
            "loss": f"when L is first at most {self.at:g} L(0)",
        }[self.kind]

    def pick(self, curve: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
        """Return one row for each network that has a value at this moment: columns value and time, indexed by `by`.

        Parameters
        ----------
        curve
            Columns `by`, step, value, share (of the starting loss) and time; steps in order within each network.
        by
            What tells networks apart.
        """
        networks = curve.groupby(list(by))
        if self.kind in ("largest", "smallest", "last tenth"):
            how = {"largest": "max", "smallest": "min", "last tenth": "mean"}[self.kind]
            if self.kind == "last tenth":
                last = pd.Series(networks["step"].transform("max"))
                chosen = curve.loc[curve["step"] > last - np.maximum(1, np.ceil(last / 10))]
                found = chosen.groupby(list(by))["value"].agg(lambda values: values.to_numpy().mean())
            else:
                found = networks["value"].agg(how)
            return pd.DataFrame({"value": found, "time": networks["time"].max()})
        if self.kind == "end":
            return pd.DataFrame(networks[["value", "time"]].last())
        reached = {
            "start": curve["step"] == 0,
            "step": curve["step"] == self.at,
            "time": curve["time"] >= self.at * _EARLY,
            "loss": curve["share"] <= self.at,
        }[self.kind]
        return pd.DataFrame(curve.loc[reached].groupby(list(by))[["value", "time"]].first())


def read_moment(text: str) -> Moment:
    """Read a moment as a person writes it, such as ``largest`` or ``step 100``.

    Raises
    ------
    InputError
        For anything else, with the forms there are, and for a number out of range.
    """
    words = text.split()
    if len(words) == 2 and words[0] in ("step", "time", "loss"):
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", words[1]):
            raise InputError(f"cannot read the number in the moment {text!r}; write it as in '{words[0]} 0.5'")
        at = float(words[1])
        if words[0] == "step" and not (at >= 0 and at == int(at)):
            raise InputError(f"the moment {text!r} needs a whole number of steps, at least 0")
        if words[0] == "time" and not (at >= 0 and math.isfinite(at)):
            raise InputError(f"the moment {text!r} needs a time of at least 0, in units of eta t")
        if words[0] == "loss" and not 0 < at <= 1:
            raise InputError(f"the moment {text!r} needs a share of the starting loss, above 0 and at most 1")
        return Moment(words[0], at)
    kind = " ".join(words)
    if kind in MOMENTS and kind[-1].islower():
        return Moment(kind)
    raise InputError(f"unknown moment {text!r}; write one of: {', '.join(MOMENTS)} (such as step 100, loss 0.1)")


def require_step(moment: Moment, definition: MeasureDefinition, steps: Sequence[int] | np.ndarray) -> None:
    """Refuse a fixed step at which a measure has no value.

    Parameters
    ----------
    moment, definition
        What is asked for; moments that are no fixed step pass.
    steps
        Those at which the measure is there, in order.

    Raises
    ------
    InputError
        Naming the steps nearby.
    """
    known = np.unique(np.asarray(steps, dtype=np.int64))
    if moment.kind != "step" or not len(known) or int(moment.at) in known:
        return
    if moment.at > known[-1]:
        raise InputError(f"{moment.text!r} is after the last step, {known[-1]}; choose an earlier one, or 'end'")
    place = int(np.searchsorted(known, moment.at))
    near = ", ".join(map(str, known[max(0, place - _NEARBY) : place + _NEARBY]))
    raise InputError(
        f"{definition.name!r} is not recorded at step {moment.at:g}; recorded steps nearby: {near} "
        "(more with --checkpoints of the sweep)"
    )
