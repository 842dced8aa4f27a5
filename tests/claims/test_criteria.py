from __future__ import annotations

import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import stats

from ntk1bit.claims import (
    AtMost,
    Claim,
    Count,
    Evidence,
    FailureRateBelow,
    Finding,
    IntervalEstimate,
    IntervalWithin,
    NoFailures,
    Number,
    Verdict,
    combine,
)
from ntk1bit.errors import InputError

from ..statistics.studies import draws, most


def estimate(value, low, high, *, seeds=8, note=""):
    return IntervalEstimate("slope", "made", float(value), float(low), float(high), seeds, "m = 1..2", "made", note)


def outcome(criterion, *measures):
    return criterion.judge(Evidence(measures)).outcome


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((-0.5, -0.52, -0.48), "supported"),
        ((-0.5, -0.55, -0.45), "supported"),  # the ends belong to the range
        ((-0.5, -0.56, -0.45), "inconclusive"),
        ((-0.5, -2.0, 1.0), "inconclusive"),  # noise that reaches both sides
        ((-0.4, -0.44, -0.36), "refuted"),
        ((-0.7, -0.75, -0.56), "refuted"),
        ((-0.45, -0.5, -0.4), "inconclusive"),
    ],
)
def test_an_interval_is_held_against_a_range(interval, expected):
    assert outcome(IntervalWithin("slope", -0.55, -0.45), estimate(*interval)) == expected


def test_a_bound_has_one_side():
    assert outcome(IntervalWithin("slope", high=-0.5), estimate(-0.7, -0.8, -0.6)) == "supported"
    assert outcome(IntervalWithin("slope", high=-0.5), estimate(-0.3, -0.4, -0.2)) == "refuted"
    assert outcome(IntervalWithin("slope", low=0.5), estimate(0.5, 0.4, 0.6)) == "inconclusive"


def test_too_few_seeds_no_interval_or_no_measure_decide_nothing():
    rule = IntervalWithin("slope", high=0.0)
    few = rule.judge(Evidence((estimate(-1, -1.1, -0.9, seeds=4),)))
    assert (few.outcome, "needs 5" in few.why) == ("inconclusive", True)
    none = rule.judge(Evidence((estimate(math.nan, math.nan, math.nan, note="too few widths (2, needs 3)"),)))
    assert (none.outcome, none.why) == ("inconclusive", "too few widths (2, needs 3)")
    assert outcome(rule, estimate(-1, math.nan, math.nan)) == "inconclusive"
    assert outcome(rule) == "inconclusive"
    assert outcome(rule, Number("slope", "made", -1.0, "", "")) == "inconclusive"


def test_identities_are_held_to_rounding():
    def error(value):
        return Number("error", "made", value, "", "made")

    assert outcome(AtMost("error", 1e-10), error(3e-15)) == "supported"
    assert outcome(AtMost("error", 1e-10), error(1e-9)) == "refuted"
    assert outcome(AtMost("error", 1e-10), error(math.nan)) == "inconclusive"


def test_a_single_failure_refutes_what_allows_none():
    def counted(failures, trials):
        return Count("beyond", "made", failures, trials, "", "made")

    assert outcome(NoFailures("beyond", 100), counted(0, 100)) == "supported"
    assert outcome(NoFailures("beyond", 100), counted(0, 99)) == "inconclusive"
    assert outcome(NoFailures("beyond", 100), counted(1, 10**6)) == "refuted"
    assert outcome(NoFailures("beyond", 100), counted(1, 1)) == "refuted"


def test_failure_rates_go_through_an_exact_binomial_interval():
    def counted(failures, trials):
        return Count("fails", "made", failures, trials, "", "made")

    assert outcome(FailureRateBelow("fails", 0.05), counted(0, 100)) == "supported"  # upper end 0.036
    assert outcome(FailureRateBelow("fails", 0.05), counted(0, 20)) == "inconclusive"
    assert outcome(FailureRateBelow("fails", 0.05), counted(20, 100)) == "refuted"
    assert outcome(FailureRateBelow("fails", 0.05), counted(6, 100)) == "inconclusive"


def counts(*settings):
    failures, trials = map(sum, zip(*settings, strict=True))
    return Count("fails", "made", failures, trials, "", "made", settings=settings)


def test_a_rate_is_judged_at_the_worst_setting():
    """Three of 35 settings fail at 30 %: pooled, their 2.6 % would pass for a rate of at most 5 %."""
    rng = np.random.default_rng(0)
    many = counts(*((int(rng.binomial(80, 0.3 if k in (3, 17, 30) else 0.0)), 80) for k in range(35)))
    rule = FailureRateBelow("fails", 0.05)
    assert outcome(rule, Count("fails", "made", many.failures, many.trials, "", "made")) == "supported"
    found = rule.judge(Evidence((many,)))
    assert found.outcome == "refuted"
    worst = max(failures for failures, _ in many.settings)
    assert f"{many.failures} of 2,800 in all; {worst} of 80 at the worst of 35 settings: rate in [" in found.why


def test_a_rate_is_supported_only_where_every_setting_shows_it():
    rule = FailureRateBelow("fails", 0.05)
    assert outcome(rule, counts(*[(0, 80)] * 35)) == "supported"  # upper end of none in 80: 0.045
    assert outcome(rule, counts(*[(0, 80)] * 34, (1, 80))) == "inconclusive"  # 0.068
    assert outcome(rule, counts(*[(0, 80)] * 34, (0, 60))) == "inconclusive"  # 0.0596
    # 10 of 80 has a lower end of 0.062 alone, and may well be among 35: P(10 or more) = 0.7 % each
    assert outcome(rule, counts((10, 80))) == "refuted"
    assert outcome(rule, counts((10, 80), *[(0, 80)] * 34)) == "inconclusive"


def test_of_many_settings_at_the_rate_few_refute_it():
    """35 settings that fail at exactly 5 %: refuted in at most 2.5 % of 400 studies; unadjusted it would be most."""
    refuted = 0
    for rng in draws(70):
        found = FailureRateBelow("fails", 0.05).compare(counts(*((int(f), 80) for f in rng.binomial(80, 0.05, 35))))
        refuted += found[0] == "refuted"
    assert refuted <= most(0.025)


def power(criterion, *measures):
    return criterion.judge(Evidence(measures)).power


def test_what_a_count_without_failures_could_have_told():
    beyond = Count("beyond", "made", 0, 100, "", "made")
    assert power(NoFailures("beyond", 100), beyond) == (
        "passes half the time at a failure rate of 0.00691, is refuted with probability 0.8 at 0.016"
    )
    passing = [stats.binom.pmf(0, 100, rate) for rate in (0.00691, 0.016)]
    assert passing == pytest.approx([0.5, 0.2], abs=0.002)  # the rates have three digits


def test_what_a_rate_could_have_told():
    """At the rate named, the number of failures that refutes is reached with probability 0.8."""
    rule, many = FailureRateBelow("fails", 0.05), counts(*[(0, 80)] * 35)
    needed = next(k for k in range(81) if stats.binom.sf(k - 1, 80, 0.05) <= 0.025 / 35)
    words = power(rule, many)
    rate = float(words.removeprefix("finds out a rate of ").partition(" ")[0])
    assert words == f"finds out a rate of {rate:.3g} at one setting with probability 0.8"
    assert stats.binom.sf(needed - 1, 80, rate) == pytest.approx(0.8, abs=0.01)  # the rate has three digits
    assert outcome(rule, counts((needed, 80), *[(0, 80)] * 34)) == "refuted"
    assert outcome(rule, counts((needed - 1, 80), *[(0, 80)] * 34)) != "refuted"
    # upper ends of none in 71 and 72 are 0.0506 and 0.0499
    assert power(rule, counts((0, 71))).endswith("; fewer than 72 trials a setting cannot support it")
    assert "cannot support" not in power(rule, counts((0, 72)))
    assert power(rule, counts((0, 1), (0, 1))) == "no number of failures in 1 trials would refute it"


def test_what_an_interval_could_have_told():
    """Eight seeds: t_0.975(7) = 2.3646 and t_0.8(7) = 0.8960, so 1.379 half widths."""
    told = power(IntervalWithin("slope", -0.55, -0.45), estimate(-0.5, -0.54, -0.46))
    assert told == "tells a value 0.0552 beyond a bound with probability 0.8"
    wide = power(IntervalWithin("slope", -0.55, -0.45), estimate(-0.5, -0.6, -0.4))
    assert wide == (
        "tells a value 0.138 beyond a bound with probability 0.8; "
        "the interval is wider than the range, so nothing could lie inside"
    )
    assert "wider" not in power(IntervalWithin("slope", high=-0.45), estimate(-0.5, -0.6, -0.4))
    assert power(IntervalWithin("slope", high=0.0), estimate(-1, math.nan, math.nan)) == ""
    assert power(IntervalWithin("slope", high=0.0), estimate(-1, -2, 0, seeds=1)) == ""
    assert power(IntervalWithin("slope", high=0.0)) == ""
    assert power(AtMost("error", 1e-10), Number("error", "made", 0.0, "", "made")) == ""


def test_rules_err_no_more_often_than_their_level():
    """A slope of exactly -1/2 is refuted by `slope <= -0.5` in at most 2.5 % of noisy experiments."""
    rng = np.random.default_rng(0)
    refuted = supported = 0
    trials = 2000
    for _ in range(trials):
        values = -0.5 + 0.1 * rng.standard_normal(8)
        half = stats.t.ppf(0.975, 7) * values.std(ddof=1) / np.sqrt(8)
        found = outcome(
            IntervalWithin("slope", high=-0.5), estimate(values.mean(), values.mean() - half, values.mean() + half)
        )
        refuted += found == "refuted"
        supported += found == "supported"
    for wrong in (refuted, supported):  # each is one tail of 2.5 %: 1e-6 by the binomial distribution
        assert stats.binom.sf(wrong - 1, trials, 0.025) > 1e-6
        assert stats.binom.cdf(wrong, trials, 0.025) > 1e-6


def claim(*criteria, **more):
    about = {"id": "X", "title": "x", "statement": "x", "source": "made", "assumptions": "", "refuted_by": "x"}
    return Claim(**about, criteria=criteria, **more)


def test_a_claim_needs_all_its_criteria_and_falls_with_one():
    rules = (IntervalWithin("slope", high=-0.5), NoFailures("beyond", 10))
    good, bad, open_ = estimate(-1, -1.1, -0.9), estimate(0, -0.1, 0.1), estimate(-0.5, -0.9, -0.1)
    none, one = Count("beyond", "", 0, 10, "", ""), Count("beyond", "", 1, 10, "", "")
    for measures, expected in (
        ((good, none), "supported"),
        ((open_, none), "inconclusive"),
        ((bad, none), "refuted"),
        ((open_, one), "refuted"),
        ((good,), "inconclusive"),
    ):
        assert claim(*rules).judge(Evidence(measures)).outcome == expected


def test_context_is_judged_but_does_not_decide():
    verdict = claim(NoFailures("beyond", 1), context=(IntervalWithin("slope", high=-0.5),)).judge(
        Evidence((Count("beyond", "", 0, 1, "", ""), estimate(0, -0.1, 0.1)))
    )
    assert verdict.outcome == "supported"
    assert verdict.context[0].outcome == "refuted"
    assert "beyond" in verdict.reason
    assert "slope" not in verdict.reason


def test_combining_nothing_supports_nothing():
    assert combine([]) == "inconclusive"
    assert combine(["supported", "supported"]) == "supported"
    assert combine(["supported", "inconclusive"]) == "inconclusive"


UNKNOWN: Any = math.nan
HALF: Any = 0.5
NOTHING: Any = None
COMPLEX: Any = 1j
WORD: Any = "true"
REFUSED = {
    "a claim without a rule": lambda: claim(),
    "a range without an end": lambda: IntervalWithin("slope"),
    "a range the wrong way round": lambda: IntervalWithin("slope", 1.0, 0.0),
    "a range of one value": lambda: IntervalWithin("slope", 1.0, 1.0),
    "a range from infinity": lambda: IntervalWithin("slope", low=math.inf),
    "a range that ends at -infinity": lambda: IntervalWithin("slope", high=-math.inf),
    "a range with an unknown end": lambda: IntervalWithin("slope", math.nan, 1.0),
    "a range for no seeds": lambda: IntervalWithin("slope", high=0.0, seeds=0),
    "a bound that all meet": lambda: AtMost("error", math.inf),
    "a bound that none meets": lambda: AtMost("error", -math.inf),
    "an unknown bound": lambda: AtMost("error", math.nan),
    "a rule for no trials": lambda: NoFailures("beyond", 0),
    "a rule for fewer": lambda: NoFailures("beyond", -1),
    "a rule for an unknown number": lambda: NoFailures("beyond", UNKNOWN),
    "a rule for half a trial": lambda: NoFailures("beyond", HALF),
    "a rate that none has": lambda: FailureRateBelow("fails", 0.0),
    "an unknown rate": lambda: FailureRateBelow("fails", math.nan),
    "more failures than trials": lambda: Count("x", "", 2, 1, "", ""),
    "fewer failures than none": lambda: Count("x", "", -1, 1, "", ""),
    "no trial": lambda: Count("x", "", 0, 0, "", ""),
    "settings that are not all": lambda: Count("x", "", 1, 9, "", "", settings=((1, 4), (0, 4))),
    "a setting without trials": lambda: Count("x", "", 1, 4, "", "", settings=((1, 4), (0, 0))),
    "an unknown number of failures": lambda: Count("x", "", UNKNOWN, 1, "", ""),
    "half a failure": lambda: Count("x", "", HALF, 1, "", ""),
    "an interval the wrong way round": lambda: estimate(-1, -0.5, -1.5),
    "an interval above its value": lambda: estimate(-1, -0.5, 0.5),
    "an interval below its value": lambda: estimate(1, -0.5, 0.5),
    "half an interval": lambda: estimate(-1, math.nan, -0.5),
    "an interval around nothing": lambda: estimate(math.nan, -1, 1),
    "an endless interval": lambda: estimate(0, -math.inf, 1),
    "an infinite estimate": lambda: estimate(math.inf, math.nan, math.nan),
    "an interval from no seed": lambda: estimate(0, -1, 1, seeds=0),
    "half a seed": lambda: estimate(0, -1, 1, seeds=HALF),
    "a number that is none": lambda: Number("x", "", NOTHING, "", ""),
    "a number that is complex": lambda: Number("x", "", COMPLEX, "", ""),
    "two measures of one id": lambda: Evidence((estimate(0, 0, 0), estimate(1, 1, 1))),
    "an outcome that is none": lambda: Finding(WORD, "x", "", "", ""),
    "a verdict from nothing": lambda: Verdict(claim(NoFailures("x", 1)), "supported", ()),
    "a verdict against its findings": lambda: Verdict(
        claim(NoFailures("x", 1)), "supported", (Finding("refuted", "x", "", "", ""),)
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_claims_rules_and_evidence_that_mean_nothing_are_refused(what, untyped):
    with pytest.raises(InputError) as told:
        REFUSED[what]()
    assert "\n" not in str(told.value)


def test_a_measure_is_called_by_its_label_or_else_by_its_id():
    labelled = claim(
        IntervalWithin("slope", high=-0.5), NoFailures("beyond", 1), labels={"slope": "slope of the drift"}
    )
    assert labelled.rule == "slope of the drift is at most -0.5; beyond: no failure in 1 or more trials"
    verdict = labelled.judge(Evidence((estimate(0, -0.1, 0.1),)))
    assert [(one.measure, one.label) for one in verdict.findings] == [("slope", "slope of the drift"), ("beyond",) * 2]
    assert verdict.reason == "slope of the drift 0 [-0.1, 0.1]"


ends = st.floats(allow_nan=True, allow_infinity=True)


@hypothesis.given(value=ends, low=ends, high=ends, seeds=st.integers(-1, 3), rule_low=ends, rule_high=ends)
def test_whatever_is_supported_or_refuted_has_an_interval_around_its_value(
    value, low, high, seeds, rule_low, rule_high
):
    """Any numbers: they are refused, or decide nothing, or are an interval of which the rule says the truth."""
    try:
        found = outcome(IntervalWithin("slope", rule_low, rule_high, seeds=1), estimate(value, low, high, seeds=seeds))
    except InputError:
        return
    if found == "inconclusive":
        return
    assert -math.inf < low <= value <= high < math.inf
    assert seeds >= 1
    assert (rule_low <= low and high <= rule_high) if found == "supported" else (high < rule_low or low > rule_high)
