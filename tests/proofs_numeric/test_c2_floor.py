"""The rules of C2 and C2-law on losses that settle at levels of known exponents."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_numeric import c2_floor
from proofs_numeric.studies import RATES
from tests.proofs_numeric.planted import (
    BOTH,
    SEEDS,
    WIDTHS,
    Law,
    context,
    evaluate,
    networks,
    outcomes,
    power,
    settling,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import value

NOISE, STEPS, FULL = 0.02, 100, 1e-11
KAPPAS, POINTS, DIMS, LAW_WIDTH = (0.25, 0.5, 1.0), (8, 16, 32, 64), (32, 64, 128, 256), 1024
POWERS = {"n": 2.0, "d": -1.0, "kappa": 2.0, "eta": 0.0}


def settled(level: Law, full: Law = FULL, **settings):
    """Losses that settle at these levels, within 2 % over seeds."""
    end = where(full, lambda f: evaluate(level, f) * np.exp(NOISE * f["noise"]), precision="full")
    return sweep(networks(**settings), settling(end), steps=STEPS)


ABOVE = power(-1.0, size=1.5 * 32**2 / (2 * np.pi * 64 * 64))  # the law of n = 32, d = 64, and half of it more
DIGITS = power(-1.0, size=0.08)


def against_m(*, sphere: Law = ABOVE, digits: Law = DIGITS, full: Law = FULL):
    """Both data sets; the sphere's is half as high again as the law."""
    return {
        "floor": settled(sphere, full, task="sphere-random", n_train=32),
        "floor-digits": settled(digits, task="digits", n_train=32),
    }


def against_the_rest(**powers):
    """One study for each of n, d, kappa, and one for each eta_rel, with levels of these powers."""
    of = POWERS | powers
    base = {"task": "sphere-random", "precision": "one_bit", "width": LAW_WIDTH}
    return {
        "floor-points": settled(power(of["n"], "n_train", size=0.01), n_train=POINTS, **base),
        "floor-dims": settled(power(of["d"], "dim", size=0.01), dim=DIMS, **base),
        "floor-kappas": settled(power(of["kappa"], "kappa", size=40.0), kappa=KAPPAS, **base),
        **{f"floor-rate-{rate:g}": settled(0.02 * (rate / 0.5) ** of["eta"], eta_rel=rate, **base) for rate in RATES},
    }


def error_over(along):
    """Three standard errors of an exponent: 2 % of noise over seeds, and 1 % over steps, of which ten are averaged."""
    return 3 * slope_error(along, len(SEEDS), np.hypot(NOISE, 0.01 / 10**0.5))


@pytest.mark.parametrize("exponents", [{"sphere": -1.0, "digits": -1.3}, {"sphere": -0.6, "digits": -1.0}])
def test_the_exponent_in_m_decides_on_either_data_set(exponents):
    levels = {task: power(exponent, size=0.05) for task, exponent in exponents.items()}
    found = c2_floor.evidence(stored(against_m(**levels)))
    for task, exponent in exponents.items():
        assert value(found, f"floor.m.{task}") == pytest.approx(exponent, abs=error_over(WIDTHS))
        outcome = "supported" if exponent == -1.0 else "refuted"
        assert outcomes(c2_floor.CLAIM, found)[f"floor.m.{task}"] == outcome


def test_full_precision_must_not_stop_at_any_width_or_seed():
    found = c2_floor.evidence(stored(against_m()))
    assert set(outcomes(c2_floor.CLAIM, found).values()) == {"supported"}
    assert value(found, "end.full") == pytest.approx(FULL / 4, rel=0.03)  # of the start, 4
    stopped = where(4e-7, FULL, width=256, seed=2)
    found = c2_floor.evidence(stored(against_m(full=stopped)))
    assert value(found, "end.full") == pytest.approx(1e-7, rel=0.03)
    assert outcomes(c2_floor.CLAIM, found)["end.full"] == "refuted"
    table = dict(found.tables["full precision"][["width", "value"]].to_numpy().tolist())
    assert table[256] == pytest.approx(4e-7 / len(SEEDS), rel=0.03)


def test_widths_that_still_fall_are_left_out():
    frames = against_m()
    floor = frames["floor"]
    falling = (floor["width"] == 64) & (floor["precision"] == "one_bit")
    floor.loc[falling, "loss"] = 10.0 / (1 + floor.loc[falling, "step"])
    found = c2_floor.evidence(stored(frames))
    assert set(found.tables["floor against width"].query("task == 'sphere'")["width"]) == set(WIDTHS[1:])
    assert value(found, "floor.m.sphere") == pytest.approx(-1.0, abs=error_over(WIDTHS[1:]))


@pytest.mark.parametrize("powers", [
    {}, {"n": 1.4, "d": -1.5, "kappa": 1.5, "eta": -0.3}, {"n": 2.6, "d": -0.5, "kappa": 2.5, "eta": 0.3},
])  # fmt: skip
def test_the_law_has_an_exponent_in_each_variable(powers):
    found = c2_floor.evidence_law(stored(against_m() | against_the_rest(**powers)))
    expected = {f"floor.{x}": "refuted" if x in powers else "supported" for x in POWERS}
    assert outcomes(c2_floor.CLAIM_LAW, found) == expected
    assert context(c2_floor.CLAIM_LAW, found) == {"floor.over_law": "supported"}
    for x, along in (("n", POINTS), ("d", DIMS), ("kappa", KAPPAS), ("eta", RATES)):
        assert value(found, f"floor.{x}") == pytest.approx((POWERS | powers)[x], abs=error_over(along))


@pytest.mark.parametrize(("factor", "outcome"), [(3.0, "refuted"), (0.3, "refuted")])
def test_the_constant_is_that_of_the_law_at_the_widest(factor, outcome):
    def level(frame):
        law = frame["n_train"] ** 2 * frame["kappa"] ** 2 / (2 * np.pi * frame["width"] * frame["dim"])
        return where(factor, 7.0, width=WIDTHS[-1])(frame) * law

    frames = against_m(sphere=level) | {"floor": settled(level, n_train=32, kappa=0.5, dim=32, precision=BOTH)}
    found = c2_floor.evidence_law(stored(frames | against_the_rest()))
    assert value(found, "floor.over_law") == pytest.approx(factor, rel=3 * NOISE / len(SEEDS) ** 0.5)
    assert context(c2_floor.CLAIM_LAW, found) == {"floor.over_law": outcome}
