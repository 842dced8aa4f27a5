from __future__ import annotations

import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import stats

from ntk1bit.claims import (
    Claim,
    Count,
    Estimate,
    Evidence,
    Exact,
    Finding,
    Inside,
    Never,
    Number,
    Rarely,
    Verdict,
    combine,
)
from ntk1bit.claims.criteria import binomial_interval
from ntk1bit.errors import InputError


def estimate(value, low, high, *, seeds=8, name="slope", note=""):
    return Estimate(name, "made", float(value), float(low), float(high), seeds, "m = 1..2", "made", note)


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
    assert outcome(Inside("slope", -0.55, -0.45), estimate(*interval)) == expected


def test_a_bound_has_one_side():
    assert outcome(Inside("slope", high=-0.5), estimate(-0.7, -0.8, -0.6)) == "supported"
    assert outcome(Inside("slope", high=-0.5), estimate(-0.3, -0.4, -0.2)) == "refuted"
    assert outcome(Inside("slope", low=0.5), estimate(0.5, 0.4, 0.6)) == "inconclusive"


def test_too_few_seeds_no_interval_or_no_measure_decide_nothing():
    rule = Inside("slope", high=0.0)
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

    assert outcome(Exact("error", 1e-10), error(3e-15)) == "supported"
    assert outcome(Exact("error", 1e-10), error(1e-9)) == "refuted"
    assert outcome(Exact("error", 1e-10), error(math.nan)) == "inconclusive"


def test_a_single_failure_refutes_what_allows_none():
    def counted(failures, trials):
        return Count("beyond", "made", failures, trials, "", "made")

    assert outcome(Never("beyond", 100), counted(0, 100)) == "supported"
    assert outcome(Never("beyond", 100), counted(0, 99)) == "inconclusive"
    assert outcome(Never("beyond", 100), counted(1, 10**6)) == "refuted"
    assert outcome(Never("beyond", 100), counted(1, 1)) == "refuted"


def test_failure_rates_go_through_an_exact_binomial_interval():
    def counted(failures, trials):
        return Count("fails", "made", failures, trials, "", "made")

    assert outcome(Rarely("fails", 0.05), counted(0, 100)) == "supported"  # upper end 0.036
    assert outcome(Rarely("fails", 0.05), counted(0, 20)) == "inconclusive"
    assert outcome(Rarely("fails", 0.05), counted(20, 100)) == "refuted"
    assert outcome(Rarely("fails", 0.05), counted(6, 100)) == "inconclusive"
    assert binomial_interval(0, 0) == (0.0, 1.0)
    low, high = binomial_interval(7, 50)
    # the defining equations of Clopper and Pearson's interval
    assert stats.binom.sf(6, 50, low) == pytest.approx(0.025)
    assert stats.binom.cdf(7, 50, high) == pytest.approx(0.025)


def test_rules_err_no_more_often_than_their_level():
    """A slope of exactly -1/2 is refuted by `slope <= -0.5` in at most 2.5 % of noisy experiments."""
    rng = np.random.default_rng(0)
    refuted = supported = 0
    trials = 2000
    for _ in range(trials):
        values = -0.5 + 0.1 * rng.standard_normal(8)
        half = stats.t.ppf(0.975, 7) * values.std(ddof=1) / np.sqrt(8)
        found = outcome(Inside("slope", high=-0.5), estimate(values.mean(), values.mean() - half, values.mean() + half))
        refuted += found == "refuted"
        supported += found == "supported"
    for wrong in (refuted, supported):  # each is one tail of 2.5 %: 1e-6 by the binomial distribution
        assert stats.binom.sf(wrong - 1, trials, 0.025) > 1e-6
        assert stats.binom.cdf(wrong, trials, 0.025) > 1e-6


def claim(*criteria, **more):
    about = {"id": "X", "title": "x", "statement": "x", "source": "made", "assumptions": "", "refuted_by": "x"}
    return Claim(**about, criteria=criteria, **more)


def test_a_claim_needs_all_its_criteria_and_falls_with_one():
    rules = (Inside("slope", high=-0.5), Never("beyond", 10))
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
    verdict = claim(Never("beyond", 1), context=(Inside("slope", high=-0.5),)).judge(
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
    "a range without an end": lambda: Inside("slope"),
    "a range the wrong way round": lambda: Inside("slope", 1.0, 0.0),
    "a range of one value": lambda: Inside("slope", 1.0, 1.0),
    "a range from infinity": lambda: Inside("slope", low=math.inf),
    "a range that ends at -infinity": lambda: Inside("slope", high=-math.inf),
    "a range with an unknown end": lambda: Inside("slope", math.nan, 1.0),
    "a range for no seeds": lambda: Inside("slope", high=0.0, seeds=0),
    "a bound that all meet": lambda: Exact("error", math.inf),
    "a bound that none meets": lambda: Exact("error", -math.inf),
    "an unknown bound": lambda: Exact("error", math.nan),
    "a rule for no trials": lambda: Never("beyond", 0),
    "a rule for fewer": lambda: Never("beyond", -1),
    "a rule for an unknown number": lambda: Never("beyond", UNKNOWN),
    "a rule for half a trial": lambda: Never("beyond", HALF),
    "a rate that none has": lambda: Rarely("fails", 0.0),
    "an unknown rate": lambda: Rarely("fails", math.nan),
    "more failures than trials": lambda: Count("x", "", 2, 1, "", ""),
    "fewer failures than none": lambda: Count("x", "", -1, 1, "", ""),
    "no trial": lambda: Count("x", "", 0, 0, "", ""),
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
    "two measures of one name": lambda: Evidence((estimate(0, 0, 0), estimate(1, 1, 1))),
    "an outcome that is none": lambda: Finding(WORD, "x", "", ""),
    "a verdict from nothing": lambda: Verdict(claim(Never("x", 1)), "supported", ()),
    "a verdict against its findings": lambda: Verdict(
        claim(Never("x", 1)), "supported", (Finding("refuted", "x", "", ""),)
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_claims_rules_and_evidence_that_mean_nothing_are_refused(what, untyped):
    with pytest.raises(InputError) as told:
        REFUSED[what]()
    assert "\n" not in str(told.value)


ends = st.floats(allow_nan=True, allow_infinity=True)


@hypothesis.given(value=ends, low=ends, high=ends, seeds=st.integers(-1, 3), rule_low=ends, rule_high=ends)
def test_whatever_is_supported_or_refuted_has_an_interval_around_its_value(
    value, low, high, seeds, rule_low, rule_high
):
    """Any numbers: they are refused, or decide nothing, or are an interval of which the rule says the truth."""
    try:
        found = outcome(Inside("slope", rule_low, rule_high, seeds=1), estimate(value, low, high, seeds=seeds))
    except InputError:
        return
    if found == "inconclusive":
        return
    assert -math.inf < low <= value <= high < math.inf
    assert seeds >= 1
    assert (rule_low <= low and high <= rule_high) if found == "supported" else (high < rule_low or low > rule_high)
