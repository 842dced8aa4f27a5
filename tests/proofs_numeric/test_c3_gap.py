"""The rules of C3 and C3-paired on pairs of networks whose gap after training is a known power of m, d and kappa."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import c3_gap
from tests.proofs_numeric.planted import (
    Law,
    apart,
    context,
    narrow_off,
    networks,
    outcomes,
    power,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import value

WIDTHS, DIMS, KAPPAS = (64, 128, 256, 512, 1024, 2048), (8, 32, 128), (0.1, 0.3, 1.0)
FEW, FOUR = (256, 1024, 4096), WIDTHS[-4:]
INITS, SEEDS = ("iid", "paired"), (0, 1, 2, 3, 4)
NOISE = 0.02
CLAIMS = {"iid": c3_gap.CLAIM_IID, "paired": c3_gap.CLAIM_PAIRED}


def study(init, size: Law, other: Law, **settings):
    """Pairs that are apart by the law `size` after their only step, within 2 %, and otherwise before it.

    From the other start there is one pair a setting, apart by `other`.
    """

    def over_time(frame):
        end = where(size, other, init=init)(frame) * np.exp(NOISE * frame["shared"])
        return np.where(frame["step"] == 1, end, 20.0)

    chosen = {"width": FEW, "init": init, "seed": SEEDS} | settings
    alone = {"init": next(one for one in INITS if one != init), "seed": 0}
    of = pd.concat([networks(**chosen), networks(**(chosen | alone))], ignore_index=True)
    return sweep(of, 1.0, steps=1, test_outputs=apart(over_time))


def gaps(init, *, digits: Law = 1.0, sphere: Law = 1.0, kappas: Law = 1.0, functions: Law = 1.0):
    """The evidence on one start; from the other one gaps grow with m, d and kappa."""
    other = power(0.7)
    frames = {
        "digits": study(init, digits, other, width=WIDTHS),
        "gap-dims": study(init, sphere, lambda f: other(f) * f["dim"], dim=DIMS),
        "gap-kappas": study(init, kappas, lambda f: other(f) * f["kappa"] ** 2, kappa=KAPPAS),
        "functions": study(init, functions, other, task=("f1", "f2"), seed=(0, 1)),
    }
    evidence = {"iid": c3_gap.evidence_iid, "paired": c3_gap.evidence_paired}[init]
    return evidence(stored(frames))


def error_over(along):
    """Three standard errors of an exponent over five seeds, with 2 % of noise."""
    return 3 * slope_error(along, len(SEEDS), NOISE)


def at_128(exponent, elsewhere):
    """A power of m at d = 128, and another at smaller d; of one size at the widest, 4096."""
    return lambda f: (f["width"] / 4096) ** np.where(f["dim"] == 128, exponent, elsewhere)


@pytest.mark.parametrize(("init", "in_m"), [("iid", -0.3), ("paired", -0.25)])
def test_gaps_that_close_support_the_claim_on_their_start(init, in_m):
    found = gaps(
        init,
        digits=power(in_m),
        sphere=lambda f: at_128(in_m, -0.6)(f) * (f["dim"] / 8) ** -0.4,
        kappas=power(0.95, "kappa"),
        functions=where(power(-0.1), power(-0.2), task="f1"),
    )
    assert set(outcomes(CLAIMS[init], found).values()) == {"supported"}
    assert set(context(CLAIMS[init], found).values()) == {"supported"}
    for measure, exponent, along in (
        (f"gap.m.digits.{init}", in_m, WIDTHS),
        (f"gap.m.digits.{init}.widest", in_m, FOUR),
        (f"gap.m.sphere.{init}", in_m, FEW),
        (f"gap.d.sphere.{init}", -0.4, DIMS),
        (f"gap.kappa.digits.{init}", 0.95, KAPPAS),
    ):
        assert value(found, measure) == pytest.approx(exponent, abs=error_over(along))
    # outputs differ on one of four inputs
    at_widest = pytest.approx(32**in_m / 2, rel=3 * NOISE / len(SEEDS) ** 0.5)
    assert value(found, f"gap.widest.digits.{init}") == at_widest
    tasks = found.tables["exponents by task"].set_index("task")
    assert tasks["exponent"].to_dict() == pytest.approx({"f1": -0.1, "f2": -0.2}, abs=3 * slope_error(FEW, 2, NOISE))
    dims = found.tables["exponents by dimension"].set_index("dim")
    assert dims["exponent"].to_dict() == pytest.approx({8: -0.6, 32: -0.6, 128: in_m}, abs=error_over(FEW))


def test_gaps_from_an_iid_start_that_stay_at_the_widest_widths_and_the_largest_d_refute_it():
    found = gaps("iid", digits=narrow_off(0.0, -0.4), sphere=at_128(0.0, -0.5))
    assert set(outcomes(c3_gap.CLAIM_IID, found).values()) == {"refuted"}
    assert value(found, "gap.m.digits.iid.widest") == pytest.approx(0.0, abs=error_over(FOUR))
    assert value(found, "gap.m.digits.iid") == pytest.approx(-0.4, abs=error_over(WIDTHS))
    assert value(found, "gap.m.sphere.iid") == pytest.approx(0.0, abs=error_over(FEW))
    assert context(c3_gap.CLAIM_IID, found) == {"gap.kappa.digits.iid": "refuted"}  # kappa does not matter here


@pytest.mark.parametrize(("in_m", "in_d"), [(-0.5, 0.1), (0.0, -0.3)])
def test_gaps_from_a_paired_start_that_fall_otherwise_or_not_with_d_refute_ours(in_m, in_d):
    law = at_128(in_m, -0.25)
    found = gaps("paired", digits=power(in_m), sphere=lambda f: law(f) * (f["dim"] / 8) ** in_d)
    judged = outcomes(c3_gap.CLAIM_PAIRED, found)
    assert judged == {"gap.m.sphere.paired": "refuted", "gap.d.sphere.paired": "refuted" if in_d > 0 else "supported"}
    assert context(c3_gap.CLAIM_PAIRED, found) == {"gap.m.digits.paired": "refuted"}
