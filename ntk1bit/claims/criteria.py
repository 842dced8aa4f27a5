"""Criteria: how one measure speaks for or against a claim.

Each is a frozen description with its numbers in it, made before any data is seen; numbers that everything or nothing
could meet are refused when it is made. Given evidence it finds *supported* (all values within the error are as the
claim says), *refuted* (none is), or *inconclusive*: the interval reaches both sides, there are too few seeds, or the
measure could not be made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

from scipy import stats

from ntk1bit.claims.evidence import Count, Estimate, Evidence, Number
from ntk1bit.errors import InputError, require_choice

Outcome = Literal["refuted", "inconclusive", "supported"]

OUTCOMES: tuple[Outcome, ...] = ("refuted", "inconclusive", "supported")  # the order of tables: bad news first
LEVEL = 0.95
ENOUGH_SEEDS = 5  # an interval over fewer seeds is an indication, not a result


@dataclass(frozen=True)
class Finding:
    """What a criterion says of some evidence.

    Attributes
    ----------
    outcome
        ``"supported"``, ``"refuted"`` or ``"inconclusive"``.
    measure
        The name of the measure judged.
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
    rule: str
    why: str

    def __post_init__(self) -> None:
        """Refuse an outcome that is none."""
        require_choice("outcome", self.outcome, OUTCOMES)


@dataclass(frozen=True)
class Inside:
    """The whole 95 % interval of an estimate lies in [low, high]; refuted when all of it lies outside.

    Attributes
    ----------
    measure
        Name of an `Estimate`.
    low, high
        The range the claim allows; infinite on one side for a bound.
    seeds
        Fewest seeds for a finding, at least 1.

    Raises
    ------
    InputError
        For a range that everything or nothing lies in, or no seeds.
    """

    measure: str
    low: float = -math.inf
    high: float = math.inf
    seeds: int = ENOUGH_SEEDS

    def __post_init__(self) -> None:
        """Refuse a range that everything or nothing lies in."""
        if not self.low < self.high or (math.isinf(self.low) and math.isinf(self.high)):
            given = f"got {self.low} and {self.high}"
            raise InputError(f"criterion on {self.measure!r} needs low < high, one of them finite, {given}")
        _require_count(self.measure, "seeds", self.seeds)

    @property
    def rule(self) -> str:
        """The criterion in words."""
        if math.isinf(self.low):
            return f"{self.measure} is at most {self.high:g}"
        if math.isinf(self.high):
            return f"{self.measure} is at least {self.low:g}"
        return f"{self.measure} lies in [{self.low:g}, {self.high:g}]"

    def judge(self, evidence: Evidence) -> Finding:
        """Compare the interval with the range."""
        found = evidence.get(self.measure)
        if not isinstance(found, Estimate):
            return _missing(self.measure, self.rule, found)
        seen = f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"
        if math.isnan(found.low):  # a measure has both bounds or none
            return Finding("inconclusive", self.measure, self.rule, found.note or f"no interval: {seen}")
        if found.seeds < self.seeds:
            why = f"{seen} from {found.seeds} seeds; a finding needs {self.seeds}"
            return Finding("inconclusive", self.measure, self.rule, why)
        if self.low <= found.low and found.high <= self.high:
            return Finding("supported", self.measure, self.rule, seen)
        if found.high < self.low or found.low > self.high:
            return Finding("refuted", self.measure, self.rule, seen)
        return Finding("inconclusive", self.measure, self.rule, f"{seen} reaches both sides")


@dataclass(frozen=True)
class Exact:
    """A number without statistical error is at most `at_most` (an identity to rounding, a deterministic bound).

    Raises
    ------
    InputError
        If the bound is not finite.
    """

    measure: str
    at_most: float

    def __post_init__(self) -> None:
        """Refuse a bound that every number meets, or none."""
        if not math.isfinite(self.at_most):
            raise InputError(f"criterion on {self.measure!r} needs a finite bound, got {self.at_most}")

    @property
    def rule(self) -> str:
        """The criterion in words."""
        return f"{self.measure} is at most {self.at_most:g}"

    def judge(self, evidence: Evidence) -> Finding:
        """Compare the number with the bound."""
        found = evidence.get(self.measure)
        if not isinstance(found, Number):
            return _missing(self.measure, self.rule, found)
        if not math.isfinite(found.value):
            return Finding("inconclusive", self.measure, self.rule, f"it came out as {found.value}")
        outcome: Outcome = "supported" if found.value <= self.at_most else "refuted"
        return Finding(outcome, self.measure, self.rule, number(found.value))


@dataclass(frozen=True)
class Never:
    """No failure in at least `trials` trials: for statements that allow none, where a single one refutes.

    Raises
    ------
    InputError
        If `trials` is not a whole number of at least 1.
    """

    measure: str
    trials: int

    def __post_init__(self) -> None:
        """Refuse a rule that nothing could contradict."""
        _require_count(self.measure, "trials", self.trials)

    @property
    def rule(self) -> str:
        """The criterion in words."""
        return f"{self.measure}: no failure in {self.trials:,} or more trials"

    def judge(self, evidence: Evidence) -> Finding:
        """Look for a failure, and for enough trials."""
        found = evidence.get(self.measure)
        if not isinstance(found, Count):
            return _missing(self.measure, self.rule, found)
        seen = f"{found.failures:,} failures in {found.trials:,}"
        if found.failures:
            return Finding("refuted", self.measure, self.rule, seen)
        if found.trials < self.trials:
            return Finding("inconclusive", self.measure, self.rule, f"{seen}; needs {self.trials:,} trials")
        return Finding("supported", self.measure, self.rule, seen)


@dataclass(frozen=True)
class Rarely:
    """The failure rate is at most `rate`, by an exact binomial interval over independent trials.

    Supported when the upper end of the Clopper-Pearson 95 % interval is at most `rate`, refuted when its lower end is
    above it.

    Raises
    ------
    InputError
        If the rate is not between 0 and 1.
    """

    measure: str
    rate: float

    def __post_init__(self) -> None:
        """Refuse rates that no data could tell from."""
        if not 0 < self.rate < 1:
            raise InputError(f"criterion on {self.measure!r} needs a rate between 0 and 1, got {self.rate}")

    @property
    def rule(self) -> str:
        """The criterion in words."""
        return f"{self.measure}: failure rate at most {self.rate:g}"

    def judge(self, evidence: Evidence) -> Finding:
        """Compare the binomial interval with the rate."""
        found = evidence.get(self.measure)
        if not isinstance(found, Count):
            return _missing(self.measure, self.rule, found)
        low, high = binomial_interval(found.failures, found.trials)
        seen = f"{found.failures:,} of {found.trials:,}: rate in [{number(low)}, {number(high)}]"
        if high <= self.rate:
            return Finding("supported", self.measure, self.rule, seen)
        if low > self.rate:
            return Finding("refuted", self.measure, self.rule, seen)
        return Finding("inconclusive", self.measure, self.rule, f"{seen}: too few trials to tell")


Criterion = Inside | Exact | Never | Rarely


def binomial_interval(failures: int, trials: int) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a failure rate at 95 %; (0, 1) without trials."""
    tail = (1 - LEVEL) / 2
    low = 0.0 if failures == 0 else float(stats.beta.ppf(tail, failures, trials - failures + 1))
    high = 1.0 if failures == trials else float(stats.beta.ppf(1 - tail, failures + 1, trials - failures))
    return low, high


def number(value: float) -> str:
    """Write a number with three significant digits."""
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.2e}"


def _require_count(measure: str, what: str, value: object) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise InputError(f"criterion on {measure!r} needs a whole number of {what}, at least 1, got {value!r}")


def _missing(measure: str, rule: str, found: object) -> Finding:
    why = "was not measured" if found is None else f"is a {type(found).__name__}, which this criterion cannot judge"
    return Finding("inconclusive", measure, rule, why)
