"""What was measured for a claim: estimates with intervals, counts of failures, numbers, and the tables behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from ntk1bit.errors import InputError


@dataclass(frozen=True)
class Estimate:
    """A quantity with a 95 % interval over seeds.

    Attributes
    ----------
    name
        What criteria call it; unique within the evidence.
    meaning
        What it is, in words, with its normalisation.
    value, low, high
        The estimate and its interval. NaN bounds: there is no interval (`note` says why).
    seeds
        Fewest independent networks behind any point of it.
    span
        The range it holds for: `m = 64..16384, 9 widths`.
    study
        The run behind it.
    note
        A caution, or why there is no number; may be empty.
    """

    name: str
    meaning: str
    value: float
    low: float
    high: float
    seeds: int
    span: str
    study: str
    note: str = ""


@dataclass(frozen=True)
class Count:
    """How often something failed, in independent trials or over configurations.

    Attributes
    ----------
    name, meaning, span, study, note
        As in `Estimate`; `meaning` says what counts as a failure.
    failures, trials
        0 <= failures <= trials.
    """

    name: str
    meaning: str
    failures: int
    trials: int
    span: str
    study: str
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse counts that cannot be."""
        if not 0 <= self.failures <= self.trials:
            raise InputError(f"count {self.name!r} needs 0 <= failures <= trials, got {self.failures} of {self.trials}")


@dataclass(frozen=True)
class Number:
    """A number without statistical error: the largest rounding error of an identity, a constant, a ratio.

    Attributes
    ----------
    name, meaning, span, study
        As in `Estimate`.
    value
        The number.
    """

    name: str
    meaning: str
    value: float
    span: str
    study: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was measured for one claim.

    Attributes
    ----------
    measures
        Estimates, counts and numbers; criteria find them by name.
    tables
        Frames by name: what figures draw and pages print.
    remarks
        Sentences a reader has to know: what was left out, what surprised.

    Raises
    ------
    InputError
        If two measures have one name.
    """

    measures: tuple[Estimate | Count | Number, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse ambiguous names."""
        names = [one.name for one in self.measures]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"measures of one evidence need names of their own; given twice: {', '.join(twice)}")

    def get(self, name: str) -> Estimate | Count | Number | None:
        """Return the measure of this name, or None if it was not made."""
        return next((one for one in self.measures if one.name == name), None)
