"""The kinds of criteria on a run, of which claim files are made.

Exponent        of the power law of a measure in the width lies in a range
Level           the measure at one width lies in a range
Ratio           the measure of one setting over that of another, paired by seed, lies in a range
FailureCount    how many networks are above or below a bound
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ntk1bit.claims.criteria import Criterion, FailureRateBelow, IntervalWithin, NoFailures
from ntk1bit.claims.evidence import Count, IntervalEstimate
from ntk1bit.claims.measures import at, exponent
from ntk1bit.claims.run_criterion import PAIR, Answer, RunCriterion, listed
from ntk1bit.errors import InputError
from ntk1bit.estimators.against_width import AgainstWidth
from ntk1bit.estimators.network_values import ratio
from ntk1bit.experiments import SweepSpec
from ntk1bit.statistics import ENOUGH_SEEDS
from ntk1bit.statistics.power_law import FEWEST_WIDTHS


@dataclass(frozen=True)
class _InRange(RunCriterion):
    """What criteria on an interval share: the range, and the seeds that a finding needs.

    Attributes
    ----------
    low, high
        The range that the whole 95 % interval has to lie in; at least one of them.
    seeds
        Fewest seeds for a finding.
    """

    low: float = -math.inf
    high: float = math.inf
    seeds: int = ENOUGH_SEEDS

    def __post_init__(self) -> None:
        """Refuse a range that everything or nothing lies in."""
        super().__post_init__()
        if math.isinf(self.low) and math.isinf(self.high):
            raise InputError(f"the {self.KIND} of {self.measure!r} needs a range; give low, high or both")
        IntervalWithin(self.name, self.low, self.high, self.seeds)

    @property
    def refuted_by(self) -> str:
        """What would refute it, in words."""
        low = "" if math.isinf(self.low) else f"below {self.low:g}"
        high = "" if math.isinf(self.high) else f"above {self.high:g}"
        return f"a whole interval of the {self.KIND} of {self.measure} {' or '.join(filter(None, (low, high)))}"

    @property
    def bounds(self) -> dict[str, float]:
        """The ends of the range."""
        return {"low": self.low, "high": self.high}

    def criterion(self, name: str, spec: SweepSpec | None) -> Criterion:  # noqa: ARG002 - a range is the same for every sweep
        """Return the criterion on the interval."""
        return IntervalWithin(name, self.low, self.high, self.seeds)

    def short_of(self, spec: SweepSpec) -> list[str]:
        """Say if there are too few seeds."""
        count = len(spec.seeds)
        return [f"{count} seed{'s' * (count > 1)}, and a finding needs {self.seeds}"] if count < self.seeds else []

    def against_width(self, frame: pd.DataFrame) -> AgainstWidth:
        """Return what is judged against width."""
        return self.read(frame, self.where).against_width()

    def precision_of(self, one: AgainstWidth) -> str:
        """Return the precision of the networks behind it."""
        sides = {settings.get("precision") for settings in self.selections}
        return PAIR if len(sides) > 1 else str(one.settings["precision"])


@dataclass(frozen=True)
class Exponent(_InRange):
    """The exponent p of a measure in the width, `A m^p`, lies in [low, high].

    Where the law is seen to be curved it is the exponent over the widest half of the widths.
    """

    KIND: ClassVar[str] = "exponent"

    def __post_init__(self) -> None:
        """Refuse a measure without a logarithm."""
        super().__post_init__()
        if self.definition.signed:
            raise InputError(f"measure {self.measure!r} can have either sign, so it has no exponent; use a level")

    @property
    def sentence(self) -> str:
        """What stands for the number on a page."""
        return self.label or f"exponent in m of {self.what}"

    def short_of(self, spec: SweepSpec) -> list[str]:
        """Say if there are too few seeds or widths."""
        lacking = super().short_of(spec)
        if len(spec.widths) < FEWEST_WIDTHS:
            lacking.append(f"{len(spec.widths)} widths, and an exponent needs {FEWEST_WIDTHS}")
        return lacking

    def answer(self, frame: pd.DataFrame, name: str, study: str, spec: SweepSpec) -> Answer:  # noqa: ARG002
        """Fit the power law."""
        one = self.against_width(frame)
        return Answer(exponent(one, name, study), one.table, self.precision_of(one), law_of(one), one.notes)


@dataclass(frozen=True)
class Level(_InRange):
    """The measure at one width lies in [low, high].

    Attributes
    ----------
    width
        Which; 0 for the widest of the sweep.
    """

    width: int = 0
    KIND: ClassVar[str] = "level"

    @property
    def sentence(self) -> str:
        """What stands for the number on a page."""
        return self.label or self.told(f"{self.measure} at {self.place}")

    @property
    def place(self) -> str:
        """The width in words."""
        return f"m = {self.width}" if self.width else "the largest m"

    def require_answerable(self, spec: SweepSpec) -> None:
        """Refuse a sweep without the width, besides what all refuse."""
        super().require_answerable(spec)
        if self.width and self.width not in spec.widths:
            known = ", ".join(map(str, sorted(spec.widths)))
            raise InputError(
                f"the {self.KIND} of {self.measure!r} is asked for at width {self.width}; this sweep has: {known}"
            )

    def answer(self, frame: pd.DataFrame, name: str, study: str, spec: SweepSpec) -> Answer:
        """Take the value at the width; one that was left out is not replaced by another."""
        one = self.against_width(frame)
        width = self.width or max(spec.widths)
        places = np.flatnonzero(one.table["width"].to_numpy() == width)
        if len(places):
            measure = at(one, name, study, place=int(places[0]))
        else:
            why = f"there is no value at m = {width}: {'; '.join(one.notes)}"
            measure = IntervalEstimate(name, one.meaning, math.nan, math.nan, math.nan, 0, f"m = {width}", study, why)
        return Answer(measure, one.table, self.precision_of(one), law_of(one) | {"width": float(width)}, one.notes)


@dataclass(frozen=True)
class Ratio(Level):
    """The measure of one setting over that of another, at one width, lies in [low, high].

    Networks are paired by seed; the average is geometric, its interval Student's on the logarithms of the pairs.

    Attributes
    ----------
    of, over
        Settings of either side, besides those of `where`: ``of = {"precision": "one_bit"}, over = {"precision":
        "full"}``.
    """

    of: dict = field(default_factory=dict)
    over: dict = field(default_factory=dict)
    KIND: ClassVar[str] = "ratio"

    def __post_init__(self) -> None:
        """Refuse one side over itself, and a measure without a logarithm."""
        super().__post_init__()
        if self.selections[0] == self.selections[1]:
            raise InputError("a ratio needs two settings; give 'of' and 'over', such as of = {precision = 'one_bit'}")
        if self.definition.signed:
            raise InputError(f"measure {self.measure!r} can have either sign, so a ratio of it has no logarithm")

    @property
    def selections(self) -> tuple[dict[str, Any], ...]:
        """The settings of both sides."""
        return self.where | self.of, self.where | self.over

    @property
    def what(self) -> str:
        """The ratio in a few words."""
        return self.told(f"{self.measure} of {self.sides}")

    @property
    def sides(self) -> str:
        """Both sides in words."""
        return " over ".join(listed(side) or "the rest" for side in (self.of, self.over))

    @property
    def sentence(self) -> str:
        """What stands for the number on a page."""
        return self.label or self.told(f"{self.measure} of {self.sides} at {self.place}")

    def against_width(self, frame: pd.DataFrame) -> AgainstWidth:
        """Return the ratio against width."""
        return ratio(*(self.read(frame, settings) for settings in self.selections)).against_width()


@dataclass(frozen=True)
class FailureCount(RunCriterion):
    """How many networks fail: those whose measure is above or below a bound, and those that diverged.

    A network without a value at the moment (a loss that it never reaches) is no trial.

    Attributes
    ----------
    above, below
        A network fails if its measure is above the one or below the other; at least one of them.
    rate
        The failure rate that is allowed at every width; 0: no failure at all.
    """

    above: float = math.inf
    below: float = -math.inf
    rate: float = 0.0
    KIND: ClassVar[str] = "count"

    def __post_init__(self) -> None:
        """Refuse bounds that no network, or every network, passes."""
        super().__post_init__()
        if math.isnan(self.above) or math.isnan(self.below) or (math.isinf(self.above) and math.isinf(self.below)):
            raise InputError(f"the count of {self.measure!r} needs a bound; give above, below or both")
        if self.above <= self.below:
            raise InputError(
                f"the count of {self.measure!r} needs above > below, got {self.above:g} and {self.below:g}"
            )
        if not 0 <= self.rate < 1:
            raise InputError(f"the count of {self.measure!r} needs a rate from 0 to below 1, got {self.rate:g}")

    @property
    def failure(self) -> str:
        """What counts as a failure, in words."""
        above = [] if math.isinf(self.above) else [f"above {self.above:g}"]
        below = [] if math.isinf(self.below) else [f"below {self.below:g}"]
        return " or ".join([*above, *below])

    @property
    def refuted_by(self) -> str:
        """What would refute it, in words."""
        if self.rate:
            return (
                f"a width at which more than a share {self.rate:g} of the networks have {self.measure} {self.failure}"
            )
        return f"a single network with {self.measure} {self.failure}"

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds beyond which a network fails, and the rate that is allowed."""
        return {"low": self.below, "high": self.above, "rate": self.rate}

    @property
    def sentence(self) -> str:
        """What stands for the number on a page."""
        return self.label or self.told(f"{self.measure} {self.failure} in a network")

    def criterion(self, name: str, spec: SweepSpec | None) -> Criterion:
        """Return the criterion on the count: every network of the selection is a trial."""
        if self.rate:
            return FailureRateBelow(name, self.rate)
        return NoFailures(name, 1 if spec is None else max(self.networks(spec), 1))

    def short_of(self, spec: SweepSpec) -> list[str]:
        """Say if there are too few networks at a width to show so small a rate."""
        if not self.rate:
            return []
        count = self.networks(spec) // len(spec.widths)
        needed = FailureRateBelow(self.name, self.rate).trials_needed
        return [f"{count} networks a width, and a rate of {self.rate:g} needs {needed}"] if count < needed else []

    def answer(self, frame: pd.DataFrame, name: str, study: str, spec: SweepSpec) -> Answer:  # noqa: ARG002
        """Count the networks that fail, at every width."""
        one = self.read(frame, self.where)
        gone = pd.DataFrame(list(one.diverged), columns=pd.Index(one.values.index.names)).assign(value=math.nan)
        table = one.values.rename("value").reset_index()
        table = pd.concat([table, gone], ignore_index=True) if len(gone) else table
        diverged = np.arange(len(table)) >= len(one.values)
        table["failed"] = (table["value"] > self.above) | (table["value"] < self.below) | diverged
        table["diverged"] = diverged
        tried = table.loc[table["value"].notna() | table["diverged"]]
        untried = len(table) - len(tried)
        notes = [*one.notes]
        if one.diverged:
            notes.append(f"{len(one.diverged)} of the failures are networks that diverged")
        if untried:
            notes.append(f"{untried} of {len(table)} networks have no value at {self.moment.text!r} and are no trials")
        if tried.empty:
            return Answer(None, table, str(one.settings["precision"]), {}, tuple(notes))
        by_width = tried.groupby("width")["failed"].agg(["sum", "count"])
        settings = tuple((int(failed), int(trials)) for failed, trials in by_width.to_numpy())
        widths = f"m = {', '.join(f'{width:g}' for width in by_width.index)}"
        failures, trials = int(tried["failed"].sum()), len(tried)
        meaning = f"{self.failure} is a failure: {one.meaning}"
        count = Count(name, meaning, failures, trials, widths, study, "; ".join(notes), settings)
        return Answer(count, table, str(one.settings["precision"]), {}, tuple(notes))


KINDS: dict[str, type[RunCriterion]] = {one.KIND: one for one in (Exponent, Level, Ratio, FailureCount)}


def law_of(one: AgainstWidth) -> dict[str, float]:
    """Return a fitted law as a figure draws it; empty where there is none."""
    fit = one.power
    names = ("exponent", "exponent_low", "exponent_high", "amplitude", "smallest", "largest")
    return {name: float(getattr(fit, name)) for name in names} if fit.warranted else {}
