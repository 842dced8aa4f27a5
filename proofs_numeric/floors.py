"""Losses at the end of training: at two times, over the widest widths, and whether they are level between the two.

A loss that "has stopped" is one that does not change between half of a run and its end. So whatever is said of floors
is said of both, the mean loss over the last tenth of the steps taken by T/2 and by T, and the slope of log L in log t
between them is a measure with an interval of its own: no width is taken for level by a test, and none is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from ntk1bit.claims import IntervalEstimate, IntervalWithin
from ntk1bit.claims.criteria import Criterion
from ntk1bit.claims.measures import against, at, exponent, select
from ntk1bit.estimators import loss_at_end, spread
from ntk1bit.estimators.against_width import AgainstWidth
from proofs_numeric.data import Data, cells, span_of, widest
from proofs_numeric.studies import FLOOR_DATA_SETS

TIMES = {"": "loss_end", ".half": "loss_half"}  # suffixes of measures, and columns of `cells`
LEVEL = 0.05  # |d log L/d log t| below which a loss is level: another tenfold training changes it by less than 12 %
ABOUT_LEVEL = f"{LEVEL:g} in the slope in time is 12 % in a tenfold training, our reading of 'stops'"


def ends(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the `cells` of the 1-bit networks of a sweep, with `slope` = d log L/d log t between half and whole run.

    Networks that diverged keep their rows, with losses up to then: `exponents` and `slope_in_time` refuse such a table.
    """
    found = cells(frame.loc[frame["precision"] == "one_bit"])
    return found.assign(slope=np.log(found["loss_end"] / found["loss_half"]) / math.log(2))


def spreads(data: Data, *, half: bool) -> pd.DataFrame:
    """Return the spread on each data set drawn anew, a row a width: the unit is a data set with its networks."""
    parts = []
    for place, study in enumerate(FLOOR_DATA_SETS):
        frame = data.frame(study)
        one = select(spread(first_half(frame) if half else frame), precision="one_bit")
        parts.append(one.table.filter(["width", "value"]).assign(seed=place, data_seed=place))
    return pd.concat(parts, ignore_index=True)


def first_half(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the first half of every run of a sweep."""
    last = np.asarray(frame.groupby("key")["step"].transform("max"))
    return frame.loc[frame["step"].to_numpy() <= last / 2]


def exponents(table: pd.DataFrame, x: str, measure: str, study: str) -> list[IntervalEstimate]:
    """Return the exponent of the loss in `x` at the end and at half of the run, as `measure` and `measure.half`.

    There is none where a network diverged, of which no loss is known then: the others' alone would flatter.
    """
    words = {"": "mean loss over the last tenth of the steps", ".half": "the same, when half of them were taken"}
    if note := _diverged(table):
        return [_nothing(f"{measure}{suffix}", meaning, study, note) for suffix, meaning in words.items()]
    return [
        exponent(against(table, x, column, meaning=words[suffix]), f"{measure}{suffix}", study)
        for suffix, column in TIMES.items()
    ]


def slope_in_time(table: pd.DataFrame, measure: str, study: str) -> IntervalEstimate:
    """Return d log L/d log t between half of the run and its end, mean over the settings of a table, seed by seed.

    There is none where a network diverged.
    """
    meaning = "slope of log L in log t between half of the run and its end, mean over settings"
    if note := _diverged(table):
        return _nothing(measure, meaning, study, note)
    one = against(table.assign(all=1.0), "all", "slope", meaning=meaning, signed=True)
    where = span_of(table, m="width", d="dim", n="n_train")
    return replace(at(one, measure, study), span=where)


def in_width(frame: pd.DataFrame, measure: str, level: str, study: str) -> list[IntervalEstimate]:
    """Return both exponents over the four widest widths, and the slope in time there."""
    table = widest(ends(frame))
    return [*exponents(table, "width", measure, study), slope_in_time(table, level, study)]


def against_width(frame: pd.DataFrame) -> AgainstWidth:
    """Return the loss at the end against all widths, for tables, curvature, and laws of all of them.

    Widths at which a network diverged are left out, as its notes say.
    """
    return select(loss_at_end(frame.loc[frame["precision"] == "one_bit"]), precision="one_bit")


def ranges(measure: str, low: float, high: float) -> tuple[IntervalWithin, ...]:
    """Return the rule that an exponent lies in a range at both times."""
    return tuple(IntervalWithin(f"{measure}{suffix}", low, high) for suffix in TIMES)


def level(measure: str) -> Criterion:
    """Return the rule that a loss is level between half of the run and its end."""
    return IntervalWithin(measure, -LEVEL, LEVEL)


def labels(words: Mapping[str, str]) -> dict[str, str]:
    """Return labels of exponents at both times, from what each is in words."""
    return {
        f"{measure}{suffix}": said + (" at T/2" if suffix else "")
        for measure, said in words.items()
        for suffix in TIMES
    }


def _diverged(table: pd.DataFrame) -> str:
    """Say how many networks of a table diverged; nothing if none did."""
    count = int(np.sum(table["diverged"].to_numpy(dtype=bool)))
    return f"{count} of {len(table)} networks diverged, so they have no loss at the end" if count else ""


def _nothing(measure: str, meaning: str, study: str, note: str) -> IntervalEstimate:
    """Return an estimate that could not be made."""
    return IntervalEstimate(measure, meaning, math.nan, math.nan, math.nan, 0, "", study, note)
