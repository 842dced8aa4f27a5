"""Criteria: how one measure speaks for or against a claim.

Each is a frozen description with its numbers in it, made before any data is seen; numbers that everything or nothing
could meet are refused when it is made. Given evidence it finds *supported* (all values within the error are as the
claim says), *refuted* (none is), or *inconclusive*: the interval includes values inside and outside the range, there
are too few seeds, or the measure could not be made.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Literal

from ntk1bit.claims.evidence import Count, Evidence, IntervalEstimate, Number
from ntk1bit.errors import InputError, require_choice
from ntk1bit.statistics import ENOUGH_SEEDS, proportion_interval

Outcome = Literal["refuted", "inconclusive", "supported"]

OUTCOMES: tuple[Outcome, ...] = ("refuted", "inconclusive", "supported")  # the order of tables: bad news first


@dataclass(frozen=True)
class Finding:
    """What a criterion says of some evidence.

    Attributes
    ----------
    outcome
        ``"supported"``, ``"refuted"`` or ``"inconclusive"``.
    measure, label
        The measure judged: its id, and the sentence that stands for it.
    rule
        The criterion in words.
    why
        The numbers that led there.

    Raises
    ------
    InputError
        For another outcome.
    """

    outcome: Outcome
    measure: str
    label: str
    rule: str
    why: str

    def __post_init__(self) -> None:
        """Refuse an outcome that is none."""
        require_choice("outcome", self.outcome, OUTCOMES)


@dataclass(frozen=True)
class Criterion(ABC):
    """What all criteria share: the id of the measure judged, and how a finding is made.

    Attributes
    ----------
    measure
        Id of a measure in the evidence, of the kind that the criterion judges.
    """

    measure: str
    judges: ClassVar[type]

    @abstractmethod
    def rule(self, label: str) -> str:
        """Return the criterion in words, `label` standing for the measure."""

    @abstractmethod
    def compare(self, found: Any) -> tuple[Outcome, str]:
        """Return the outcome for a measure of the right kind, and the numbers that led there."""

    def judge(self, evidence: Evidence, label: str = "") -> Finding:
        """Find what the evidence says; a measure that is missing, or of another kind, decides nothing."""
        label = label or self.measure
        found = evidence.get(self.measure)
        outcome: Outcome = "inconclusive"
        if isinstance(found, self.judges):
            outcome, why = self.compare(found)
        elif found is None:
            why = "was not measured"
        else:
            why = f"is a {type(found).__name__}, which this criterion cannot judge"
        return Finding(outcome, self.measure, label, self.rule(label), why)


@dataclass(frozen=True)
class IntervalWithin(Criterion):
    """The whole 95 % interval of an estimate lies in [low, high]; refuted when all of it lies outside.

    Attributes
    ----------
    low, high
        The range the claim allows; infinite on one side for a bound.
    seeds
        Fewest seeds for a finding, at least 1.

    Raises
    ------
    InputError
        For a range that everything or nothing lies in, or no seeds.
    """

    low: float = -math.inf
    high: float = math.inf
    seeds: int = ENOUGH_SEEDS
    judges = IntervalEstimate

    def __post_init__(self) -> None:
        """Refuse a range that everything or nothing lies in."""
        if not self.low < self.high or (math.isinf(self.low) and math.isinf(self.high)):
            given = f"got {self.low} and {self.high}"
            raise InputError(f"criterion on {self.measure!r} needs low < high, one of them finite, {given}")
        _require_count(self.measure, "seeds", self.seeds)

    def rule(self, label: str) -> str:
        """Return the criterion in words."""
        if math.isinf(self.low):
            return f"{label} is at most {self.high:g}"
        if math.isinf(self.high):
            return f"{label} is at least {self.low:g}"
        return f"{label} lies in [{self.low:g}, {self.high:g}]"

    def compare(self, found: IntervalEstimate) -> tuple[Outcome, str]:
        """Compare the interval with the range."""
        seen = f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"
        if math.isnan(found.low):  # a measure has both bounds or none
            return "inconclusive", found.note or f"no interval: {seen}"
        if found.seeds < self.seeds:
            return "inconclusive", f"{seen} from {found.seeds} seeds; a finding needs {self.seeds}"
        if self.low <= found.low and found.high <= self.high:
            return "supported", seen
        if found.high < self.low or found.low > self.high:
            return "refuted", seen
        return "inconclusive", f"{seen} includes values inside and outside the range"


@dataclass(frozen=True)
class AtMost(Criterion):
    """A number without statistical error is at most `bound` (an identity to rounding, a deterministic bound).

    Raises
    ------
    InputError
        If the bound is not finite.
    """

    bound: float
    judges = Number

    def __post_init__(self) -> None:
        """Refuse a bound that every number meets, or none."""
        if not math.isfinite(self.bound):
            raise InputError(f"criterion on {self.measure!r} needs a finite bound, got {self.bound}")

    def rule(self, label: str) -> str:
        """Return the criterion in words."""
        return f"{label} is at most {self.bound:g}"

    def compare(self, found: Number) -> tuple[Outcome, str]:
        """Compare the number with the bound."""
        if not math.isfinite(found.value):
            return "inconclusive", f"it came out as {found.value}"
        return ("supported" if found.value <= self.bound else "refuted"), number(found.value)


@dataclass(frozen=True)
class NoFailures(Criterion):
    """No failure in at least `trials` trials: for statements that allow none, where a single one refutes.

    Raises
    ------
    InputError
        If `trials` is not a whole number of at least 1.
    """

    trials: int
    judges = Count

    def __post_init__(self) -> None:
        """Refuse a rule that nothing could contradict."""
        _require_count(self.measure, "trials", self.trials)

    def rule(self, label: str) -> str:
        """Return the criterion in words."""
        return f"{label}: no failure in {self.trials:,} or more trials"

    def compare(self, found: Count) -> tuple[Outcome, str]:
        """Look for a failure, and for enough trials."""
        seen = f"{found.failures:,} failures in {found.trials:,}"
        if found.failures:
            return "refuted", seen
        if found.trials < self.trials:
            return "inconclusive", f"{seen}; needs {self.trials:,} trials"
        return "supported", seen


@dataclass(frozen=True)
class FailureRateBelow(Criterion):
    """The failure rate is at most `rate`, by an exact binomial interval over independent trials.

    Supported when the upper end of the Clopper-Pearson 95 % interval is at most `rate`, refuted when its lower end is
    above it.

    Raises
    ------
    InputError
        If the rate is not between 0 and 1.
    """

    rate: float
    judges = Count

    def __post_init__(self) -> None:
        """Refuse rates that no data could tell from."""
        if not 0 < self.rate < 1:
            raise InputError(f"criterion on {self.measure!r} needs a rate between 0 and 1, got {self.rate}")

    def rule(self, label: str) -> str:
        """Return the criterion in words."""
        return f"{label}: failure rate at most {self.rate:g}"

    def compare(self, found: Count) -> tuple[Outcome, str]:
        """Compare the binomial interval with the rate."""
        low, high = proportion_interval(found.failures, found.trials)
        seen = f"{found.failures:,} of {found.trials:,}: rate in [{number(low)}, {number(high)}]"
        if high <= self.rate:
            return "supported", seen
        return ("refuted", seen) if low > self.rate else ("inconclusive", f"{seen}: too few trials to tell")


def number(value: float) -> str:
    """Write a number with three significant digits."""
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.2e}"


def _require_count(measure: str, what: str, value: object) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise InputError(f"criterion on {measure!r} needs a whole number of {what}, at least 1, got {value!r}")
