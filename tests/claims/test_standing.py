"""What a verdict is worth: identities, loose bounds, premises out of reach, and verdicts among many."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.claims import STANDINGS, AtMost, Claim, Evidence, IntervalEstimate, IntervalWithin, Number, Reach, Verdict
from ntk1bit.claims.results import claim_entry, judge_together
from ntk1bit.claims.standing import SHARP, Standing, in_words
from ntk1bit.errors import InputError
from ntk1bit.statistics import student_interval


def claim(reach: Reach) -> Claim:
    return Claim("X", "a title", "a statement", "ours", "", "", (AtMost("error", 1.0),), reach=reach)


def measured(error: float = 0.0, **others: float) -> Evidence:
    values = {"error": error, **others}
    return Evidence(tuple(Number(name, "", value, "", "") for name, value in values.items()))


@pytest.mark.parametrize(
    ("reach", "others", "standing"),
    [
        (Reach(), {}, "supported"),
        (Reach(identity=True), {}, "identity"),
        (Reach(looseness="loose"), {"loose": SHARP}, "holds, not sharp"),
        (Reach(looseness="loose"), {"loose": 0.99 * SHARP}, "supported"),
        (Reach(looseness="loose"), {}, "supported"),  # not measured: nothing is known of it
        (Reach(width="asked"), {"asked": 0.1}, "vacuous here"),
        (Reach(width="asked"), {"asked": 0.0}, "supported"),  # the widest that was run is what is asked for
        (Reach(unmet="a rate"), {}, "assumptions unmet"),
        (Reach(sizes="small"), {}, "supported"),
        (Reach(looseness="loose", width="asked"), {"loose": 9.0, "asked": 2.0}, "vacuous here"),
    ],
)
def test_what_a_claim_says_of_itself_decides_the_standing_of_what_holds(
    reach: Reach, others: dict[str, float], standing: str
) -> None:
    assert claim(reach).judge(measured(**others)).standing == standing


@pytest.mark.parametrize("reach", [Reach(identity=True), Reach(unmet="a rate"), Reach(width="asked")])
def test_a_refuted_claim_is_refuted_whatever_it_says_of_itself(reach: Reach) -> None:
    found = claim(reach).judge(measured(error=2.0, asked=3.0))
    assert (found.outcome, found.standing) == ("refuted", "refuted")
    nothing = claim(reach).judge(Evidence(()))
    assert (nothing.outcome, nothing.standing) == ("inconclusive", "inconclusive")


def test_limits_say_by_how_much() -> None:
    growth = {"m": "grows.m", "d": "grows.d", "n": "unmeasured"}
    reach = Reach(looseness="loose", growth=growth, width="asked", sizes="a tenth of theirs", unmet="the rate")
    grows = [
        IntervalEstimate(f"grows.{x}", "", value, value - 0.1, value + 0.1, 8, "", "")
        for x, value in (("m", -0.2), ("d", -1.0))
    ]
    evidence = Evidence((*measured(loose=19.2, asked=51.91).measures, *grows))
    found = claim(reach).judge(evidence)
    assert found.limits == (
        "at these sizes: a tenth of theirs",
        "unmet: the rate",
        "asks for 10^51.9 times the widest network here, with constants of 1",
        "loose by a factor of 19.2; measured over bound goes as m^-0.2 [-0.3, -0.1], d^-1 [-1.1, -0.9]",
    )
    assert found.words == "assumptions unmet at these sizes"
    assert all(limit in str(found) for limit in found.limits[:1])
    assert in_words("refuted", ()) == "refuted"


def test_a_standing_fits_its_outcome() -> None:
    holds, fails = claim(Reach()).judge(measured()), claim(Reach()).judge(measured(error=2.0))
    assert Verdict(holds.claim, "supported", holds.findings).standing == "supported"
    others: list[tuple[Verdict, Standing]] = [(holds, "refuted"), (fails, "identity"), (fails, "supported")]
    for verdict, standing in others:
        with pytest.raises(InputError, match="its standing cannot be"):
            Verdict(verdict.claim, verdict.outcome, verdict.findings, standing=standing)
    with pytest.raises(InputError, match="its standing cannot be"):
        Verdict(holds.claim, "supported", holds.findings, standing="proved")  # pyright: ignore[reportArgumentType]


def estimate(values: np.ndarray, name: str = "x") -> IntervalEstimate:
    return IntervalEstimate(name, "", *student_interval(values), len(values), "", "")


@pytest.mark.parametrize(("low", "high"), [(-np.inf, 0.0), (0.0, np.inf)])
def test_p_values_are_those_of_students_t(low: float, high: float) -> None:
    """At a bound each decision is taken in 2.5 % of samples: of 4,000, within three standard errors of 100 (9.9)."""
    rng = np.random.default_rng(5)
    criterion = IntervalWithin("x", low, high)
    decided = {"supported": 0, "refuted": 0, "inconclusive": 0}
    for _ in range(4000):
        found = estimate(rng.standard_normal(8))
        outcome, _ = criterion.compare(found)
        p = criterion.p_value(found)
        assert p is not None
        assert (p <= 0.025) == (outcome != "inconclusive")
        decided[outcome] += 1
    assert all(abs(decided[outcome] - 100) <= 30 for outcome in ("supported", "refuted"))


def test_p_values_of_a_range_look_at_its_nearer_end() -> None:
    values = np.random.default_rng(6).standard_normal(9) / 10
    found = estimate(values)
    narrow, wide = (IntervalWithin("x", found.value - 1, found.value + half) for half in (0.2, 1.0))
    assert narrow.p_value(found) == IntervalWithin("x", high=found.value + 0.2).p_value(found)
    assert (wide.p_value(found) or 0) < (narrow.p_value(found) or 0)
    exact = IntervalEstimate("x", "", 0.0, 0.0, 0.0, 5, "", "")
    assert IntervalWithin("x", -1, 1).p_value(exact) == 0.0
    assert IntervalWithin("x", 1, 2).p_value(exact) == 0.0
    assert IntervalWithin("x", -1, 1, seeds=6).p_value(exact) is None
    unknown = IntervalEstimate("x", "", 0.0, np.nan, np.nan, 5, "", "")
    assert IntervalWithin("x", -1, 1).p_value(unknown) is None


def entries(values: list[np.ndarray], shift: float) -> list:
    found = []
    for place, one in enumerate(values):
        criterion = IntervalWithin("x", low=0.0)
        made = Claim(f"C{place}", "", "", "ours", "", "", (criterion,))
        evidence = Evidence((estimate(one + shift),))
        found.append(claim_entry(made, made.judge(evidence), evidence))
    return found


def test_a_family_makes_few_false_findings() -> None:
    """Of families of 20 criteria whose value is at the bound at most 5 % make any finding, by steps of Holm's.

    300 families; three standard errors of a share of 0.05 are 0.038.
    """
    rng = np.random.default_rng(7)
    alone = together = 0
    for _ in range(300):
        family = judge_together(entries([rng.standard_normal(8) for _ in range(20)], 0.0))
        alone += any(one.outcome != "inconclusive" for one in family)
        together += any(one.family_wise != "inconclusive" for one in family)
    assert together / 300 <= 0.05 + 0.038
    assert alone / 300 > 0.4  # one criterion at a time: 1 - 0.95^20 is 0.64


def test_what_is_clear_stays_clear_among_others() -> None:
    rng = np.random.default_rng(8)
    clear = judge_together(entries([rng.standard_normal(8) for _ in range(20)], 30.0))
    assert {one.family_wise for one in clear} == {"supported"}
    assert all((one.findings[0].adjusted or 0) >= (one.findings[0].p or 0) for one in clear)


def test_claims_are_sorted_by_standing() -> None:
    made = [
        claim_entry(one, one.judge(evidence), evidence)
        for one, evidence in (
            (claim(Reach()), measured()),
            (claim(Reach(identity=True)), measured()),
            (claim(Reach()), measured(error=2.0)),
            (claim(Reach(unmet="a rate")), measured()),
        )
    ]
    order = [one.standing for one in judge_together(made)]
    assert order == ["refuted", "assumptions unmet", "identity", "supported"]
    assert order == [one for one in STANDINGS if one in order]
