"""The rule of 4.3 on losses that follow D25's law, and on others of known exponents."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_numeric import prop_4_3
from tests.proofs_numeric.planted import (
    SEEDS,
    context,
    narrow_off,
    networks,
    outcomes,
    settling,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import value

WIDTHS = (64, 128, 256, 512, 1024, 2048)
NOISE, STEPS, POINTS, DIMS, LAW_WIDTH = 0.02, 100, (8, 16, 32, 64), (32, 64, 128, 256), 1024
FOUR = WIDTHS[-4:]
ALONG = {"loss.size": FOUR, "loss.size.half": FOUR, "scaled.n": POINTS, "scaled.d": DIMS}
AVERAGED = {measure: 5 if measure.endswith("half") else 10 for measure in ALONG}  # steps in the last tenth


def lowest(frame):
    """An eigenvalue that changes with n and d, and with training."""
    start = 2.0 * frame["n_train"] ** -0.7 * frame["dim"] ** 0.3
    return start * np.where(frame["step"] == 0, 1.0, 0.5)


def theirs(frame):
    """n^3 d^2.25/(lambda^2 (m d)^0.25), lambda at the start."""
    start = 2.0 * frame["n_train"] ** -0.7 * frame["dim"] ** 0.3
    return 1e-7 * frame["n_train"] ** 3 * frame["dim"] ** 2.25 / start**2 / (frame["width"] * frame["dim"]) ** 0.25


def ours(frame):
    """n^2/(m d)."""
    return frame["n_train"] ** 2 / (frame["width"] * frame["dim"])


def losses(law, half=None):
    """Losses that settle at this law of the settings, within 2 %; full precision is at another one.

    With `half`, up to half of the steps those against width are this many times as large.
    """

    def noisy(more):
        level = where(
            lambda f: 7.0 * f["width"] ** 0.5, lambda f: law(f) * np.exp(NOISE * f["noise"]), precision="full"
        )
        return lambda f: level(f) * more(f)

    def once(frame):
        return 1.0

    base = {"task": "sphere-random", "n_train": 32, "width": WIDTHS}
    only = base | {"precision": "one_bit", "width": LAW_WIDTH}
    frames = {
        name: sweep(networks(**settings), settling(noisy(once), half=noisy(earlier)), steps=STEPS, lambda_min=lowest)
        for name, settings, earlier in (
            ("floor", base, half or once),
            ("floor-points", only | {"n_train": POINTS}, once),
            ("floor-dims", only | {"n_train": 16, "dim": DIMS}, once),
        )
    }
    return prop_4_3.evidence(stored(frames))


def error_of(measure):
    """Three standard errors of an exponent: 2 % of noise over seeds, and 1 % over the steps that are averaged."""
    return 3 * slope_error(ALONG[measure], len(SEEDS), np.hypot(NOISE, 0.01 / AVERAGED[measure] ** 0.5))


def assert_exponents(found, **exponents):
    for measure, exponent in zip(ALONG, exponents.values(), strict=True):
        assert value(found, measure) == pytest.approx(exponent, abs=error_of(measure))


# The standard deviation of log10 L around a law that it follows, which some 80 networks tell within 25 %.
AROUND = np.hypot(NOISE, 0.01 / 10**0.5) / np.log(10)


def test_losses_that_follow_the_printed_law_support_it():
    found = losses(theirs)
    assert_exponents(found, size=-0.25, half=-0.25, n=3.0, d=2.0)
    assert outcomes(prop_4_3.CLAIM, found) == dict.fromkeys(ALONG, "supported")
    assert found.remarks == ()  # no faster than as a bound
    assert value(found, "scatter.d25") == pytest.approx(AROUND, rel=0.25)
    assert value(found, "scatter.floor") > 0.2


def test_losses_that_follow_the_floor_law_refute_it_and_keep_its_bound():
    found = losses(ours)
    # lambda^2 L, with lambda ~ n^-0.7 d^0.3
    assert_exponents(found, size=-1.0, half=-1.0, n=2 - 1.4, d=-1 + 0.6)
    assert outcomes(prop_4_3.CLAIM, found) == dict.fromkeys(ALONG, "refuted")
    assert context(prop_4_3.CLAIM, found) == {"loss.size": "supported", "loss.size.half": "supported"}
    assert "the loss falls 4 times as fast in log N as it says" in found.remarks[0]
    assert value(found, "scatter.floor") == pytest.approx(AROUND, rel=0.25)
    assert value(found, "scatter.d25") > 0.2


@pytest.mark.parametrize(("column", "measure", "more"), [
    ("n_train", "scaled.n", 0.8), ("n_train", "scaled.n", -0.8), ("dim", "scaled.d", 0.8), ("dim", "scaled.d", -0.8),
])  # fmt: skip
def test_one_exponent_in_n_or_d_beyond_its_range_refutes_it_alone(column, measure, more):
    found = losses(lambda f: theirs(f) * (f[column] / 64.0) ** more)
    assert outcomes(prop_4_3.CLAIM, found) == dict.fromkeys(ALONG, "supported") | {measure: "refuted"}


@pytest.mark.parametrize("more", [0.2, -0.2])
@pytest.mark.parametrize("measure", ["loss.size", "loss.size.half"])
def test_an_exponent_in_size_at_one_of_both_times_refutes_it_alone(measure, more):
    def off(frame):
        return (frame["width"] / 64.0) ** more

    if measure == "loss.size":
        found = losses(lambda f: theirs(f) * off(f), lambda f: 1 / off(f))
    else:
        found = losses(theirs, off)
    assert outcomes(prop_4_3.CLAIM, found) == dict.fromkeys(ALONG, "supported") | {measure: "refuted"}
    assert value(found, measure) == pytest.approx(-0.25 + more, abs=error_of(measure))
    # as a bound it holds where the loss falls faster; on its edge nothing is told
    told = context(prop_4_3.CLAIM, found)
    assert told[measure] == ("refuted" if more > 0 else "supported")


@pytest.mark.parametrize(("exponent", "shift", "outcome"), [(-0.25, 0.2, "supported"), (-0.05, -0.2, "refuted")])
def test_it_is_the_four_widest_widths_that_count(exponent, shift, outcome):
    law = narrow_off(exponent + 0.25, shift)
    found = losses(lambda f: theirs(f) * law(f))
    for measure in ("loss.size", "loss.size.half"):
        assert value(found, measure) == pytest.approx(exponent, abs=error_of(measure))
        assert outcomes(prop_4_3.CLAIM, found)[measure] == outcome
    assert found.tables["loss against width"]["width"].tolist() == list(WIDTHS)
