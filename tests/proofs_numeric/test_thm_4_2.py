"""The rule of 4.2 on losses whose exponents, and paces of descent, are known."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_numeric import thm_4_2
from tests.proofs_numeric.planted import (
    SEEDS,
    Law,
    context,
    evaluate,
    narrow_off,
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

WIDTHS = (64, 128, 256, 512, 1024, 2048)
FOUR, WIDEST = WIDTHS[-4:], WIDTHS[-1]
NOISE, STEPS, POINTS, LAMBDA, ELSEWHERE = 0.01, 120, (8, 16, 32, 64), 0.3, 0.9
AVERAGED = {"loss.m": 12, "loss.m.half": 6}  # steps in the last tenths of all and of half of them
ERROR = np.hypot(NOISE, 0.01 / 12**0.5)  # of a loss: 1 % over seeds, 1 % over the steps that are averaged
PACES = {"sphere": (0.5, 1.0), "digits": (0.5, 0.75)}  # of descent a step, 1-bit and full precision, at the widest
DECISIVE = (*AVERAGED, "width.eps")


def falling(pace, level: Law, half: Law | None = None):
    """Losses that fall at these paces to a level, twice as fast at smaller widths and ten times from an iid start."""
    rate = where(where(pace[0], pace[1], precision="one_bit"), 2.0, width=WIDEST)
    return settling(level, rate=where(lambda f: 10 * rate(f), rate, init="iid"), half=half)


def noisy(law: Law):
    """Levels of 1-bit networks within 1 %; full precision's are far below."""
    return where(1e-9, lambda f: 0.05 * evaluate(law, f) * np.exp(NOISE * f["noise"]), precision="full")


def ended(in_m: float | Law = -1.0, in_n=2.0, paces=None, *, half: Law | None = None, full_eta=0.1, widths=WIDTHS):
    """Sphere and digits, with a power of m or another law; in full precision eta is `full_eta`, and 0.1 in 1-bit."""
    paces = PACES | (paces or {})
    law = in_m if callable(in_m) else power(float(in_m))
    level, earlier = noisy(law), None if half is None else noisy(half)
    points = settling(power(in_n, "n_train", size=0.01, noise=NOISE))
    only = {"width": 1024, "precision": "one_bit", "n_train": POINTS}
    # lambda is that of 1-bit networks at the widest as they start; full precision and others have more
    lowest = where(where(LAMBDA, ELSEWHERE, width=WIDEST, precision="one_bit"), 0.01, step=0)
    frames = {
        study: sweep(
            networks(**settings).assign(eta=where(full_eta, 0.1, precision="full")),
            loss,
            steps=STEPS,
            lambda_min=lambda f: lowest(f) * (1 + 0.1 * (f["seed"] - 2.5)),  # of six seeds, on average 1
        )
        for study, loss, settings in (
            ("floor", falling(paces["sphere"], level, earlier), {"width": widths, "n_train": 32}),
            ("digits", falling(paces["digits"], level), {"width": (64, WIDEST), "init": ("iid", "paired")}),
            ("floor-points", points, only),
        )
    }
    return thm_4_2.evidence(stored(frames))


def error_of(measure):
    """Three standard errors of an exponent in m over the four widest widths."""
    return 3 * slope_error(FOUR, len(SEEDS), np.hypot(NOISE, 0.01 / AVERAGED[measure] ** 0.5))


# The inverse of a slope over all widths has its relative error, which inner levels of eps at most double.
NEEDED_ERROR = 6 * slope_error(WIDTHS, len(SEEDS), ERROR)
LEVEL_ERROR = 4 * 3 * ERROR / len(SEEDS) ** 0.5 / np.log(10)  # of four powers of a mean, three standard errors


def asked(lowest, loss):
    """log10 of lambda^-8 n^12 d^8/(delta eps)^4 at n = 32 and d = 64."""
    return -8 * np.log10(lowest) + 12 * np.log10(32) + 8 * np.log10(64) - 4 * np.log10(0.05 * loss)


def test_losses_that_fall_as_one_over_m_support_the_claim():
    found = ended()
    assert set(outcomes(thm_4_2.CLAIM, found).values()) == {"supported"}
    assert set(context(thm_4_2.CLAIM, found).values()) == {"supported"}
    assert outcomes(thm_4_2.CLAIM, found).keys() == set(DECISIVE)
    for measure in AVERAGED:
        assert value(found, measure) == pytest.approx(-1.0, abs=error_of(measure))
    assert value(found, "width.eps") == pytest.approx(-1.0, abs=NEEDED_ERROR)
    assert value(found, "width.n") == pytest.approx(2.0, abs=0.05)
    smallest = 0.05 / 32
    power_of_10 = asked(LAMBDA, smallest)
    assert value(found, "theorem.log10") == pytest.approx(power_of_10, abs=LEVEL_ERROR)
    assert found.remarks == (
        f"For L = {smallest:.1e} the theorem requires a width of 10^{power_of_10:.0f} (constant 1, delta = 0.05); "
        "a width of 2048 suffices.",
    )


@pytest.mark.parametrize(("in_m", "expected"), [
    (-0.5, ("supported", "supported")),
    (-0.2, ("refuted", "refuted")),  # a width of eps^-5
    (-0.05, ("refuted", "refuted")),
    (0.3, ("refuted", "inconclusive")),  # no width is enough
])  # fmt: skip
def test_the_exponents_of_the_loss_and_of_the_width_needed_decide(in_m, expected):
    found = ended(in_m)
    judged = outcomes(thm_4_2.CLAIM, found)
    for measure in AVERAGED:
        assert value(found, measure) == pytest.approx(in_m, abs=error_of(measure))
        assert judged[measure] == expected[0]
    assert judged["width.eps"] == expected[1]
    at_widest = in_m < 0  # the least loss, which the theorem is asked about
    assert f"; a width of {WIDEST if at_widest else 64} suffices." in found.remarks[0]
    by_hand = asked(LAMBDA, 0.05 * 32**in_m) if at_widest else asked(ELSEWHERE, 0.05)
    assert value(found, "theorem.log10") == pytest.approx(by_hand, abs=LEVEL_ERROR)
    if in_m == -0.5:
        assert value(found, "width.eps") == pytest.approx(-2.0, abs=4 * NEEDED_ERROR)
        assert context(thm_4_2.CLAIM, found)["width.eps"] == "refuted"


def bending(narrow, wide):
    """A power of m up to the first of the four widest widths, and another from there on; of size 1 there."""
    return lambda f: (f["width"] / FOUR[0]) ** np.where(f["width"] < FOUR[0], narrow, wide)


@pytest.mark.parametrize(("end", "half", "refuted"), [
    (bending(-1.0, -0.15), -1.0, "loss.m"),  # most of the fall, and so of the widths needed, is at the narrow
    (power(-1.0), -0.1, "loss.m.half"),
    (power(-1.0), 0.2, "loss.m.half"),
    (bending(-0.1, -0.3), -1.0, "width.eps"),  # the narrow need six octaves for a small gain, the widest do not
])  # fmt: skip
def test_either_exponent_and_the_width_needed_each_refute_it_alone(end, half, refuted):
    found = ended(end, half=power(half), widths=(4, 8, 16, 32, *WIDTHS))
    assert outcomes(thm_4_2.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | {refuted: "refuted"}
    assert value(found, "loss.m.half") == pytest.approx(half, abs=error_of("loss.m.half"))
    if refuted == "width.eps":
        assert value(found, "loss.m") == pytest.approx(-0.3, abs=error_of("loss.m"))
        assert value(found, "width.eps") < -1 / 0.3  # what the widest alone would need


@pytest.mark.parametrize(("exponent", "shift", "outcome"), [(-0.4, 0.3, "supported"), (-0.1, -0.3, "refuted")])
def test_exponents_are_those_of_the_four_widest_widths(exponent, shift, outcome):
    found = ended(narrow_off(exponent, shift))
    for measure in AVERAGED:
        assert value(found, measure) == pytest.approx(exponent, abs=error_of(measure))
        assert outcomes(thm_4_2.CLAIM, found)[measure] == outcome


def test_the_width_needed_grows_with_n_as_the_ratio_of_both_exponents():
    found = ended(-0.5, 1.5)
    error = 3 * (slope_error(POINTS, 6, ERROR) / 0.5 + 3.0 / 0.5 * slope_error(WIDTHS, 6, ERROR))
    assert value(found, "width.n") == pytest.approx(3.0, abs=error)
    assert context(thm_4_2.CLAIM, found)["width.n"] == "supported"
    assert context(thm_4_2.CLAIM, ended(-0.1, 1.5))["width.n"] == "refuted"


def test_steps_to_a_tenth_are_compared_in_time_eta_at_the_widest_from_a_paired_start():
    found = ended(paces={"sphere": (0.25, 0.75), "digits": (0.5, 0.75)}, full_eta=0.2)
    steps = {pace: np.ceil(np.log(10) / pace) for pace in (0.25, 0.5, 0.75)}
    # jumps of 1 % decide nothing: losses cross a tenth far from whole steps
    assert value(found, "slower.sphere") == pytest.approx(steps[0.25] / steps[0.75] / 2, rel=0.03)
    assert value(found, "slower.digits") == pytest.approx(steps[0.5] / steps[0.75] / 2, rel=0.03)
    told = context(thm_4_2.CLAIM, found)
    assert (told["slower.sphere"], told["slower.digits"]) == ("supported", "refuted")
