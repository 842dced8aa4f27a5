"""What was measured for a claim: estimates with intervals, counts of failures, numbers, and the tables behind them.

A measure checks itself when it is made, whoever makes it: an experiment, a test, or the reader of stored verdicts. A
rule that is applied to it afterwards only has to compare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real

import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.statistics.jackknife import NETWORKS


@dataclass(frozen=True)
class IntervalEstimate:
    """A quantity with a 95 % interval over seeds.

    Attributes
    ----------
    id
        What criteria call it: short, lower case, parts between dots, unique within the evidence (``gap.d.sphere.iid``).
        The sentence that stands for it on a page is its claim's label.
    meaning
        What it is, in words, with its normalisation.
    value, low, high
        The estimate and its interval, low <= value <= high, all finite. NaN for both bounds: there is no interval
        (`note` says why); then the value may be NaN as well.
    seeds
        Fewest independent networks behind any point of it; at least 1 behind an interval.
    span
        The range it holds for: `m = 64..16384, 9 widths`.
    study
        The run behind it.
    note
        A caution, or why there is no number; may be empty.
    units
        What the interval is over, in words: what was drawn independently.

    Raises
    ------
    InputError
        If these numbers are not an estimate with its interval.
    """

    id: str
    meaning: str
    value: float
    low: float
    high: float
    seeds: int
    span: str
    study: str
    note: str = ""
    units: str = NETWORKS

    def __post_init__(self) -> None:
        """Refuse an interval that is none, or is not around its value."""
        seen = f"got {self.value} [{self.low}, {self.high}]"
        for value in (self.value, self.low, self.high):
            if not _is_number(value) or math.isinf(value):
                raise InputError(f"estimate {self.id!r} needs finite numbers (or NaN for an unknown one), {seen}")
        if not _is_count(self.seeds):
            raise InputError(f"estimate {self.id!r} needs a whole number of seeds, 0 or more, got {self.seeds!r}")
        if math.isnan(self.low) and math.isnan(self.high):
            return
        if not self.low <= self.value <= self.high:
            raise InputError(f"estimate {self.id!r} needs low <= value <= high, or NaN for both bounds; {seen}")
        if self.seeds < 1:
            raise InputError(f"estimate {self.id!r} has an interval, so it needs at least one seed; {seen} of 0")


@dataclass(frozen=True)
class Count:
    """How often something failed, in independent trials or over configurations.

    Attributes
    ----------
    id, meaning, span, study, note
        As in `IntervalEstimate`; `meaning` says what counts as a failure.
    failures, trials
        Whole numbers, 0 <= failures <= trials, and at least one trial: where nothing was tried, leave the count out of
        the evidence, which then decides nothing.
    settings
        Failures and trials at each setting, which add up to those of the count; empty where all trials are alike. A
        rate is judged at the worst of them.

    Raises
    ------
    InputError
        If the numbers are not such a count.
    """

    id: str
    meaning: str
    failures: int
    trials: int
    span: str
    study: str
    note: str = ""
    settings: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuse counts that cannot be, and one of no trials, which is no evidence."""
        seen = f"got {self.failures} of {self.trials}"
        if not (_is_count(self.failures) and _is_count(self.trials)):
            raise InputError(f"count {self.id!r} needs whole numbers of failures and trials, {seen}")
        if not self.failures <= self.trials:
            raise InputError(f"count {self.id!r} needs 0 <= failures <= trials, {seen}")
        if self.trials < 1:
            raise InputError(f"count {self.id!r} needs at least one trial, {seen}; leave out what was not tried")
        if self.settings:
            sums = tuple(map(sum, zip(*self.settings, strict=True)))
            if sums != (self.failures, self.trials) or not all(0 <= f <= n and n for f, n in self.settings):
                raise InputError(f"count {self.id!r} is not the sum of its {len(self.settings)} settings, {seen}")

    @property
    def at_settings(self) -> tuple[tuple[int, int], ...]:
        """Failures and trials at each setting; of a count without settings its own."""
        return self.settings or ((self.failures, self.trials),)


@dataclass(frozen=True)
class Number:
    """A number without statistical error: the largest rounding error of an identity, a constant, a ratio.

    Attributes
    ----------
    id, meaning, span, study
        As in `IntervalEstimate`.
    value
        The number; NaN or infinite if it came out so, which decides nothing.

    Raises
    ------
    InputError
        If the value is no number.
    """

    id: str
    meaning: str
    value: float
    span: str
    study: str

    def __post_init__(self) -> None:
        """Refuse what is no number."""
        if not _is_number(self.value):
            raise InputError(f"number {self.id!r} needs a real number, got {self.value!r}")


Measure = IntervalEstimate | Count | Number
_KINDS: dict[str, type[Measure]] = {"estimate": IntervalEstimate, "count": Count, "number": Number}


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was measured for one claim.

    Attributes
    ----------
    measures
        Estimates, counts and numbers; criteria find them by id.
    tables
        Frames by name: what figures draw and pages print.
    remarks
        Sentences a reader has to know: what was left out, what surprised.

    Raises
    ------
    InputError
        If two measures have one id.
    """

    measures: tuple[Measure, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse ambiguous ids."""
        ids = [one.id for one in self.measures]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise InputError(f"measures of one evidence need ids of their own; given twice: {', '.join(twice)}")

    def get(self, measure: str) -> Measure | None:
        """Return the measure of this id, or None if it was not made."""
        return next((one for one in self.measures if one.id == measure), None)


def kind_of(measure: Measure) -> str:
    """Return what a stored measure calls its kind: ``"estimate"``, ``"count"`` or ``"number"``."""
    return next(name for name, kind in _KINDS.items() if isinstance(measure, kind))


def stored_measure(entry: Mapping[str, object]) -> Measure:
    """Return a measure as verdicts.json holds it: its fields beside its ``kind``, with null where there is no number.

    Raises
    ------
    InputError
        If its numbers are not a measure of that kind; it must have all its fields already.
    """
    kind = _KINDS[str(entry["kind"])]
    given = {one.name: entry[one.name] for one in fields(kind) if one.name in entry}
    unknown = {name: math.nan for name in ("value", "low", "high") if name in given and given[name] is None}
    if "settings" in given:
        given["settings"] = tuple(tuple(one) for one in given["settings"])  # pyright: ignore[reportGeneralTypeIssues]
    return kind(**(given | unknown))  # pyright: ignore[reportArgumentType] - each class checks what it is given


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0
