"""The rules of C3 and C3-paired on pairs of networks whose gap after training is a known power of m, d and kappa."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.statistics.jackknife import CROSSED
from proofs_numeric import c3_gap
from proofs_numeric.studies import DATA_SETS
from tests.proofs_numeric.planted import (
    Law,
    apart,
    context,
    evaluate,
    networks,
    on_data_set,
    outcomes,
    power,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import units, value

WIDTHS, DIMS, KAPPAS = (64, 128, 256, 512, 1024, 2048), (8, 32, 128), (0.1, 0.3, 1.0)
FEW, FOUR = (256, 1024, 4096), WIDTHS[-4:]
INITS, SEEDS = ("iid", "paired"), (0, 1, 2, 3, 4)
NOISE = 0.02
CLAIMS = {"iid": c3_gap.CLAIM_IID, "paired": c3_gap.CLAIM_PAIRED}


def study(size: Law, outputs: Law = 1.0, **settings):
    """Networks of both starts and precisions that are apart by this law after training, within 2 %, and less before.

    Outputs have the size `outputs`, by which what they are apart is divided.
    """

    def over_time(frame):
        end = evaluate(size, frame) * evaluate(outputs, frame) * np.exp(NOISE * frame["shared"])
        return np.where(frame["step"] == 2, end, 0.01 * frame["step"])

    return sweep(
        networks(**({"width": FEW, "init": INITS, "seed": SEEDS} | settings)),
        1.0,
        test_outputs=apart(over_time, outputs),
    )


def gaps(init, *, digits: Law = 1.0, sphere: Law = 1.0, draws: Law = 1.0, kappas: Law = 1.0, functions: Law = 1.0):
    """The evidence on one start; from the other one gaps grow with m, d and kappa. On the sphere f' falls with m, d."""
    other = power(0.7)
    frames = {
        "digits": study(where(digits, other, init=init), width=WIDTHS),
        "gap-dims": study(
            where(sphere, lambda f: other(f) * f["dim"], init=init),
            lambda f: (f["dim"] / 8) ** -0.5 * (f["width"] / 256) ** -0.05,
            dim=DIMS,
        ),
        "gap-kappas": study(where(kappas, lambda f: other(f) * f["kappa"] ** 2, init=init), kappa=KAPPAS),
        "functions": study(where(functions, other, init=init), task=("f1", "f2"), seed=(0, 1)),
    }
    for place, name in enumerate(DATA_SETS):  # data sets differ by a factor that has nothing to do with m
        law = where(draws, other, init=init)
        of_one = study(lambda f, law=law, place=place: law(f) * 1.1**place, width=WIDTHS)
        frames[name] = on_data_set(of_one, place)
    evidence = {"iid": c3_gap.evidence_iid, "paired": c3_gap.evidence_paired}[init]
    return evidence(stored(frames))


def error_over(along):
    """Three standard errors of an exponent over five seeds, with 2 % of noise."""
    return 3 * slope_error(along, len(SEEDS), NOISE)


def at_128(exponent, elsewhere):
    """A power of m at d = 128, and another at smaller d; of one size at the widest, 4096."""
    return lambda f: (f["width"] / 4096) ** np.where(f["dim"] == 128, exponent, elsewhere)


def early(before, after):
    """A power of m up to 256, and another over the four widest widths; of size 1 at 256."""
    return lambda f: (f["width"] / 256) ** np.where(f["width"] < 256, before, after)


@pytest.mark.parametrize(("init", "in_m"), [("iid", -0.3), ("paired", -0.25)])
def test_gaps_that_close_support_the_claim_on_their_start(init, in_m):
    found = gaps(
        init,
        digits=power(in_m),
        sphere=lambda f: at_128(in_m, -0.6)(f) * (f["dim"] / 8) ** -0.4,
        draws=early(0.3, in_m),
        kappas=power(0.95, "kappa"),
        functions=where(power(-0.1), power(-0.2), task="f1"),
    )
    assert set(outcomes(CLAIMS[init], found).values()) == {"supported"}
    assert set(context(CLAIMS[init], found).values()) == {"supported"}
    for measure, exponent, along in (
        (f"gap.m.digits.{init}.widest", in_m, FOUR),
        (f"gap.m.sphere.{init}.widest", in_m, FEW),
        (f"gap.d.sphere.{init}", -0.4, DIMS),
        (f"gap.kappa.digits.{init}", 0.95, KAPPAS),
        (f"apart.m.digits.{init}", in_m, FOUR),
        (f"apart.m.sphere.{init}", in_m - 0.05, FEW),
        (f"apart.d.sphere.{init}", -0.9, DIMS),
    ):
        assert value(found, measure) == pytest.approx(exponent, abs=error_over(along))
    # outputs differ on one of four inputs
    at_widest = pytest.approx(32**in_m / 2, rel=3 * NOISE / len(SEEDS) ** 0.5)
    assert value(found, f"gap.widest.digits.{init}") == at_widest
    assert units(found, f"gap.m.draws.{init}.widest") == CROSSED
    tasks = found.tables["exponents by task"].set_index("task")
    assert tasks["exponent"].to_dict() == pytest.approx({"f1": -0.1, "f2": -0.2}, abs=3 * slope_error(FEW, 2, NOISE))
    dims = found.tables["exponents by dimension"].set_index("dim")
    assert dims["exponent"].to_dict() == pytest.approx({8: -0.6, 32: -0.6, 128: in_m}, abs=error_over(FEW))


def test_gaps_from_an_iid_start_that_stay_at_the_widest_widths_and_the_largest_d_refute_it():
    found = gaps("iid", digits=early(-0.5, 0.0), sphere=at_128(0.0, -0.5), draws=early(-0.5, 0.0))
    assert set(outcomes(c3_gap.CLAIM_IID, found).values()) == {"refuted"}
    assert value(found, "gap.m.digits.iid.widest") == pytest.approx(0.0, abs=error_over(FOUR))
    assert value(found, "gap.m.sphere.iid.widest") == pytest.approx(0.0, abs=error_over(FEW))
    told = context(c3_gap.CLAIM_IID, found)  # kappa does not matter here, and f' falls by m^-0.05 on the sphere
    assert told == dict.fromkeys(("gap.kappa.digits.iid", "apart.m.digits.iid", "apart.m.sphere.iid"), "refuted")


def test_one_data_set_of_three_that_does_not_close_refutes_the_claim():
    found = gaps("iid", digits=power(-0.3), sphere=power(-0.3), draws=1.0)
    assert outcomes(c3_gap.CLAIM_IID, found) == {
        "gap.m.digits.iid.widest": "supported",
        "gap.m.sphere.iid.widest": "supported",
        "gap.m.draws.iid.widest": "refuted",
    }


@pytest.mark.parametrize(("in_m", "in_d"), [(-0.5, 0.1), (0.0, -0.3)])
def test_gaps_from_a_paired_start_that_fall_otherwise_or_not_with_d_refute_ours(in_m, in_d):
    law = at_128(in_m, -0.25)
    found = gaps("paired", digits=power(in_m), sphere=lambda f: law(f) * (f["dim"] / 8) ** in_d, draws=power(-0.25))
    assert outcomes(c3_gap.CLAIM_PAIRED, found) == {
        "gap.m.digits.paired.widest": "refuted",
        "gap.m.sphere.paired.widest": "refuted",
        "gap.m.draws.paired.widest": "supported",
        "gap.d.sphere.paired": "refuted" if in_d > 0 else "supported",
    }


def test_a_difference_that_falls_with_d_only_as_the_outputs_do_does_not_fall():
    """Seen: f - f' falls with d on the sphere because linear targets do, as d^-1/2."""
    found = gaps("paired", digits=power(-0.25), sphere=power(-0.25), draws=power(-0.25))
    assert outcomes(c3_gap.CLAIM_PAIRED, found)["gap.d.sphere.paired"] == "refuted"
    assert context(c3_gap.CLAIM_PAIRED, found)["apart.d.sphere.paired"] == "supported"
