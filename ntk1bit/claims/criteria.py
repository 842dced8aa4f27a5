"""Criteria: how one measure speaks for or against a claim.

Each is a frozen description with its numbers in it, made before any data is seen; numbers that everything or nothing
could meet are refused when it is made. Given evidence it finds *supported* (all values within the error are as the
claim says), *refuted* (none is), or *inconclusive*: the interval includes values inside and outside the range, there
are too few seeds, or the measure could not be made.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import special

from ntk1bit.claims.evidence import Count, Evidence, IntervalEstimate, Number
from ntk1bit.errors import InputError, require_choice
from ntk1bit.statistics import ENOUGH_SEEDS, LEVEL, detectable_effect, holm, proportion_interval
from ntk1bit.statistics.intervals import POWER, student_quantile

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
    power
        What the design could have told, in words: the smallest effect that it detects with probability 0.8; empty where
        there is no statistical error.
    p
        The p-value, on one side, of what the criterion found, or would have found first had there been more seeds: at
        most 0.025 where it decides. None where there is no statistical error, or nothing was measured.

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
    power: str = ""
    p: float | None = None

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

    def power(self, found: Any) -> str:  # noqa: ARG002 - of use to those with a statistical error
        """Return what the design behind a measure could tell, in words; empty where there is nothing to say."""
        return ""

    def p_value(self, found: Any) -> float | None:  # noqa: ARG002 - of use to those with a statistical error
        """Return the p-value of what is found, on one side; None without a statistical error.

        It is at most `TAIL` exactly where the criterion is supported or refuted.
        """
        return None

    def judge(self, evidence: Evidence, label: str = "") -> Finding:
        """Find what the evidence says; a measure that is missing, or of another kind, decides nothing."""
        label = label or self.measure
        found = evidence.get(self.measure)
        outcome: Outcome = "inconclusive"
        power, p = "", None
        if isinstance(found, self.judges):
            outcome, why = self.compare(found)
            power, p = self.power(found), self.p_value(found)
        elif found is None:
            why = "was not measured"
        else:
            why = f"is a {type(found).__name__}, which this criterion cannot judge"
        return Finding(outcome, self.measure, label, self.rule(label), why, power, p)


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

    def power(self, found: IntervalEstimate) -> str:
        """Say how far beyond a bound a true value must lie to be told apart from it with probability 0.8."""
        half = (found.high - found.low) / 2
        effect = detectable_effect(half, found.seeds - 1)
        if not math.isfinite(effect):
            return ""
        told = f"tells a value {number(effect)} beyond a bound with probability {POWER:g}"
        if 2 * half >= self.high - self.low:
            return f"{told}; the interval is wider than the range, so nothing could lie inside"
        return told

    def p_value(self, found: IntervalEstimate) -> float | None:
        """Return the p-value of the value lying inside, or outside, by Student's t on the side that faces the bound.

        The standard error there is what gives the interval's end, with a degree of freedom fewer than seeds: exact for
        a mean, an approximation for other intervals, and always at most `TAIL` where the whole interval decides.
        """
        if math.isnan(found.low) or found.seeds < self.seeds or found.seeds < 2:
            return None
        freedom = found.seeds - 1

        def beyond(distance: float, half: float) -> float:
            t = distance / half * student_quantile(freedom) if half > 0 else math.copysign(math.inf, distance)
            return float(special.stdtr(freedom, -t))

        above, below = found.high - found.value, found.value - found.low  # widths of the interval on both sides
        if found.value > self.high:
            return beyond(found.value - self.high, below)
        if found.value < self.low:
            return beyond(self.low - found.value, above)
        return max(
            beyond(self.high - found.value, above) if math.isfinite(self.high) else 0.0,
            beyond(found.value - self.low, below) if math.isfinite(self.low) else 0.0,
        )


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

    def power(self, found: Count) -> str:
        """Say at which failure rates so many trials pass half the time, and fail with probability 0.8."""
        half, most = (1 - (1 - share) ** (1 / found.trials) for share in (0.5, POWER))
        return (
            f"passes half the time at a failure rate of {number(half)}, is refuted with probability {POWER:g} at "
            f"{number(most)}"
        )


@dataclass(frozen=True)
class FailureRateBelow(Criterion):
    """The failure rate is at most `rate` at every setting, by exact binomial intervals over independent trials.

    Supported when the upper end of the Clopper-Pearson 95 % interval is at most `rate` at each setting: a statement
    about all of them needs each one shown, at the full level (Berger 1982). Refuted when the lower end is above it at
    some setting, at a level that is divided among the settings (Holm 1979): one of many goes astray by chance. A count
    without settings is one setting.

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

    @property
    def trials_needed(self) -> int:
        """Fewest trials at a setting that can support it: without a failure, their interval ends at the rate."""
        about = math.ceil(math.log(TAIL) / math.log1p(-self.rate))  # 1 - TAIL^(1/n) is the end; to rounding
        return next(n for n in itertools.count(max(about - 1, 1)) if proportion_interval(0, n)[1] <= self.rate)

    def rule(self, label: str) -> str:
        """Return the criterion in words."""
        return f"{label}: failure rate at most {self.rate:g} at every setting"

    def compare(self, found: Count) -> tuple[Outcome, str]:
        """Compare the binomial intervals with the rate, that of the worst setting first."""
        settings = found.at_settings
        several = "" if len(settings) == 1 else f" at the worst of {len(settings)} settings"
        uppers = [proportion_interval(*one)[1] for one in settings]
        tails = holm([_tail(*one, self.rate) for one in settings])
        worst = settings[int(np.argmin(tails))] if min(tails) <= TAIL else settings[int(np.argmax(uppers))]
        low, high = proportion_interval(*worst)
        seen = f"{worst[0]:,} of {worst[1]:,}{several}: rate in [{number(low)}, {number(high)}]"
        if len(settings) > 1:
            seen = f"{found.failures:,} of {found.trials:,} in all; {seen}"
        if min(tails) <= TAIL:
            return "refuted", seen
        return ("supported", seen) if max(uppers) <= self.rate else ("inconclusive", f"{seen}: too few trials to tell")

    def power(self, found: Count) -> str:
        """Say which failure rate at one setting would be found out with probability 0.8."""
        settings = found.at_settings
        fewest = min(trials for _, trials in settings)
        level = TAIL / len(settings)
        needed = next((k for k in range(fewest + 1) if _tail(k, fewest, self.rate) <= level), None)
        if needed is None:
            return f"no number of failures in {fewest:,} trials would refute it"
        rate = float(special.betaincinv(needed, fewest - needed + 1, POWER))
        passes = self.trials_needed
        short = f"; fewer than {passes:,} trials a setting cannot support it" if fewest < passes else ""
        return f"finds out a rate of {number(rate)} at one setting with probability {POWER:g}{short}"

    def p_value(self, found: Count) -> float | None:
        """Return the smaller p-value of a rate above `rate` at some setting, and of one below it at all."""
        settings = found.at_settings
        above = float(min(holm([_tail(*one, self.rate) for one in settings])))
        below = max(float(special.bdtr(failures, trials, self.rate)) for failures, trials in settings)
        return min(above, below)


TAIL = (1 - LEVEL) / 2  # of a test on one side: what a 95 % interval leaves out there


def _tail(failures: int, trials: int, rate: float) -> float:
    """Return the probability of at least so many failures at this rate."""
    return float(special.betainc(failures, trials - failures + 1, rate)) if failures else 1.0


def number(value: float) -> str:
    """Write a number with three significant digits."""
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.2e}"


def _require_count(measure: str, what: str, value: object) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise InputError(f"criterion on {measure!r} needs a whole number of {what}, at least 1, got {value!r}")
