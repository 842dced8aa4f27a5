"""The rule of C1b on steps whose terms are known shares of eta r^T H r."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_numeric import c1b_terms
from proofs_numeric.studies import TERM_RATES
from tests.proofs_numeric.planted import (
    BOTH,
    SEEDS,
    combinations,
    context,
    networks,
    outcomes,
    slope_error,
    stored,
    sweep,
)
from tests.proofs_numeric.values import value

DECISIVE = ("c2.widest", "c3.widest", "c4.slowest")
SMALL = {"c1": -1.0, "c2": 0.01, "c3": 0.02, "c4": 0.03}
ELSEWHERE = 0.5  # share of every term where no measure looks: narrower, in the other studies, and late
NOISE = 0.01
LEVELS, UNITS = np.array([1.0, 0.5, 0.2, 0.09, 0.05]), np.array([8.0, 4.0, 1.0, 2.0, 2.0])
WIDTHS, NOISE_WIDTHS, DIMS = (256, 1024), (256, 1024, 4096, 16384), (8, 32, 128)


def steps(shares, *, of_full=0.0, settings=None):
    """A study whose terms have these shares at the widest while L > L(0)/10, summed over steps."""

    def term(name):
        def law(frame):
            full = frame["precision"] == "full"
            share = np.where(full, of_full, shares[name])
            share = share + np.array([-0.001, 0.001, 0.004, 0, 0])[frame["step"]]  # nothing in a ratio of sums
            known = (frame["width"] == 1024) & (LEVELS[frame["step"]] > 0.1)
            noise = NOISE * np.where(full, 0.2, 1.0) * frame["noise"]
            return np.where(known, share + noise, ELSEWHERE) * frame["unit"]

        return law

    of = networks(**({"width": WIDTHS} | (settings or {})))
    laws = {"unit": lambda f: UNITS[f["step"]]} | {name: term(name) for name in SMALL}
    return sweep(of, lambda f: 3.0 * LEVELS[f["step"]], steps=4, every=1, **laws)


def drawn(c3, predicted):
    """The study of first steps: C3 by law within 1 %, and its prediction; in full precision none."""
    frame = combinations(precision=BOTH, dim=DIMS, width=NOISE_WIDTHS, seed=tuple(range(5)))
    full = frame["precision"] == "full"
    return frame.assign(
        speed=np.where(full, 1.0, 1 - c3(frame) * np.exp(0.01 * frame["noise"])),
        predicted_speed=np.where(full, 1.0, 1 - predicted(frame)),
        networks=48,
    )


def fifth(frame):
    return 0.2 + 0 * frame["dim"]


def measured(shares=None, *, slowest=0.02, others=ELSEWHERE, of_full=0.0, c3=fifth, predicted=fifth):
    """All studies: digits with these shares, and C4 of the sphere at the smallest and at the other rates."""
    digits = SMALL | (shares or {})
    sphere = {"task": "sphere-linear", "precision": "one_bit", "dim": 32}
    frames = {"terms": steps(digits, of_full=of_full)}
    frames["terms-dims"] = steps(SMALL, settings=sphere | {"dim": (8, 32)})
    for rate in TERM_RATES:
        c4 = slowest if rate == min(TERM_RATES) else others
        frames[f"terms-rate-{rate:g}"] = steps(SMALL | {"c4": c4}, settings=sphere | {"width": 1024})
    return c1b_terms.evidence(stored(frames | {"noise": drawn(c3, predicted)}))


def three_errors(noise, seeds):
    """Three standard errors of a mean over seeds."""
    return 3 * noise / seeds**0.5


def test_small_terms_support_the_claim():
    found = measured()
    assert outcomes(c1b_terms.CLAIM, found) == dict.fromkeys(DECISIVE, "supported")
    for term, share in SMALL.items():
        assert value(found, f"{term}.widest") == pytest.approx(share, abs=three_errors(NOISE, len(SEEDS)))
    assert value(found, "c4.slowest") == pytest.approx(0.02, abs=three_errors(NOISE, len(SEEDS)))
    assert value(found, "c3.widest.full") == pytest.approx(0.0, abs=three_errors(NOISE / 5, len(SEEDS)))
    sphere = found.tables["C3 against dimension and width"].set_index(["dim", "width"])["value"]
    assert sphere.to_dict() == pytest.approx(
        {(d, m): ELSEWHERE if m == 256 else 0.02 for d in (8, 32) for m in WIDTHS}, abs=three_errors(NOISE, len(SEEDS))
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("term", ["c2", "c3"])
def test_a_term_that_is_a_fifth_refutes_it(term, sign):
    found = measured({term: 0.2 * sign})
    assert outcomes(c1b_terms.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | {f"{term}.widest": "refuted"}
    assert value(found, f"{term}.widest") == pytest.approx(0.2 * sign, abs=three_errors(NOISE, len(SEEDS)))


def test_c4_is_judged_at_the_smallest_rate_alone():
    found = measured({"c4": 0.9}, slowest=0.3, others=0.01)
    assert outcomes(c1b_terms.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | {"c4.slowest": "refuted"}
    assert value(found, "c4.slowest") == pytest.approx(0.3, abs=three_errors(NOISE, len(SEEDS)))
    table = found.tables["C4 against rate"].set_index("eta_rel")["value"]
    assert list(table.index) == sorted(TERM_RATES)
    assert table.to_numpy() == pytest.approx([0.3, 0.01, 0.01, 0.01], abs=three_errors(NOISE, len(SEEDS)))


def test_terms_are_ratios_of_sums_while_the_loss_is_high():
    frame = steps(SMALL, settings={"precision": "one_bit", "seed": 0})
    found = c1b_terms.ratios(frame).set_index("width").loc[1024]
    rows = frame.loc[(frame["width"] == 1024) & (frame["step"] < 3)]
    for term in SMALL:
        assert found[term] == pytest.approx(rows[term].sum() / rows["unit"].sum())
        assert found[term] != pytest.approx((rows[term] / rows["unit"]).mean(), abs=1e-4)


def test_c3_in_full_precision_is_told():
    assert context(c1b_terms.CLAIM, measured()) == {"c3.widest.full": "supported"}
    assert context(c1b_terms.CLAIM, measured(of_full=0.05)) == {"c3.widest.full": "refuted"}


def test_the_first_step_is_tabled_at_every_d_and_m():
    predicted = measured(c3=lambda f: 0.4, predicted=lambda f: np.where(f["width"] == 16384, 0.16, 0.9))
    table = predicted.tables["C3 at the first step"].set_index(["dim", "width"])
    assert table.loc[(8, 256), "value"] == pytest.approx(0.4, abs=three_errors(0.004, 5))
    # the prediction is the mean over widths, at one of which it is 0.16
    assert table.loc[(128, 256), "predicted"] == pytest.approx((3 * 0.9 + 0.16) / 4)


MANY = (1024, 4096, 16384)


def of_many(c3, predicted=fifth):
    """The evidence of many networks: C3 by law within 1 % at three widths, ten seeds, and its prediction."""
    frame = combinations(precision=BOTH, dim=32, width=MANY, seed=tuple(range(10)))
    full = frame["precision"] == "full"
    speed = np.where(full, 1.0, 1 - c3(frame) * np.exp(0.01 * frame["noise"]))
    predicted_speed = np.where(full, 1.0, 1 - predicted(frame))
    frame = frame.assign(speed=speed, predicted_speed=predicted_speed, networks=500)
    return c1b_terms.evidence_k(stored({"noise-many": frame}))


ERRORS = [f"c3.error.{place}" for place in ("narrowest", "middle", "widest")]


def test_c3_as_predicted_at_every_width_supports_the_claim_on_k_eff():
    found = of_many(lambda f: 0.2 * (f["width"] / 4096) ** 0.01)
    assert outcomes(c1b_terms.CLAIM_K, found) == dict.fromkeys(("c3.m", *ERRORS), "supported")
    assert value(found, "c3.m") == pytest.approx(0.01, abs=3 * slope_error(MANY, 10, 0.01))
    errors = [0.2 * ((m / 4096) ** 0.01 - 1) for m in MANY]
    assert [value(found, name) for name in ERRORS] == pytest.approx(errors, abs=three_errors(0.002, 10))
    table = found.tables["C3 of the first step"].set_index("width")
    assert table["predicted"].to_list() == pytest.approx([0.2] * 3)


@pytest.mark.parametrize("power", [0.1, -0.1, -0.5])
def test_c3_that_changes_with_width_refutes_it(power):
    judged = outcomes(c1b_terms.CLAIM_K, of_many(lambda f: 0.2 * (f["width"] / 1024) ** power))
    assert judged["c3.m"] == "refuted"
    assert judged["c3.error.narrowest"] == "supported"
    assert judged["c3.error.widest"] == "refuted"


@pytest.mark.parametrize("off", [0.05, -0.05])
def test_a_miss_of_the_prediction_refutes_it(off):
    judged = outcomes(c1b_terms.CLAIM_K, of_many(fifth, lambda f: fifth(f) + off))
    assert judged == {"c3.m": "supported"} | dict.fromkeys(ERRORS, "refuted")


def test_c3_that_is_not_seen_to_be_above_0_at_some_width_has_no_exponent():
    around_0 = np.array([-0.1, 0.3, -0.05, 0.25, 0.1, -0.2, 0.2, 0.1, -0.1, 0.0])
    found = of_many(lambda f: np.where(f["width"] == 16384, around_0[f["seed"]], 0.2))
    assert np.isnan(value(found, "c3.m"))
    assert outcomes(c1b_terms.CLAIM_K, found)["c3.m"] == "inconclusive"


def test_the_remark_says_from_which_step_c3_stays_below_0():
    assert measured().remarks == ()
    frame = steps(SMALL)
    # at the widest: below 0 at step 1, above at 2, below from 3 on, where L is 0.09 of its start
    shares = {0: 0.2, 1: -0.1, 2: 0.1, 3: -0.2, 4: -0.3}
    frame.loc[frame["precision"] == "full", "c3"] = 100.0
    at = (frame["width"] == 1024) & (frame["precision"] == "one_bit")
    frame.loc[at, "c3"] = frame.loc[at, "step"].map(shares) * frame.loc[at, "unit"]
    (remark,) = c1b_terms._late(c1b_terms.by_step(frame))
    assert remark.startswith("At m = 1024 C3 is negative on average from step 3 on, while the loss is still 0.09 of")
    assert "by step 4 C4 is 0.5 eta r'Hr" in remark
