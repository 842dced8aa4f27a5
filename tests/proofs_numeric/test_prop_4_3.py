"""The rule of 4.3 on losses that follow D25's law, and on others of known exponents."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_numeric import prop_4_3
from tests.proofs_numeric.planted import (
    SEEDS,
    WIDTHS,
    context,
    networks,
    outcomes,
    settling,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import value

NOISE, STEPS, POINTS, DIMS, LAW_WIDTH = 0.02, 50, (8, 16, 32, 64), (32, 64, 128, 256), 1024
ALONG = {"loss.size": WIDTHS, "scaled.n": POINTS, "scaled.d": DIMS}


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


def losses(law):
    """Losses that settle at this law of the settings, within 2 %; full precision is at another one."""
    noisy = where(lambda f: 7.0 * f["width"] ** 0.5, lambda f: law(f) * np.exp(NOISE * f["noise"]), precision="full")
    base = {"task": "sphere-random", "n_train": 32}
    only = base | {"precision": "one_bit", "width": LAW_WIDTH}
    frames = {
        name: sweep(networks(**settings), settling(noisy), steps=STEPS, lambda_min=lowest)
        for name, settings in (
            ("floor", base),
            ("floor-points", only | {"n_train": POINTS}),
            ("floor-dims", only | {"n_train": 16, "dim": DIMS}),
        )
    }
    return prop_4_3.evidence(stored(frames))


def assert_exponents(found, **exponents):
    for measure, exponent in zip(ALONG, exponents.values(), strict=True):
        # 2 % of noise over seeds, and 1 % over the last five steps
        error = 3 * slope_error(ALONG[measure], len(SEEDS), np.hypot(NOISE, 0.01 / 5**0.5))
        assert value(found, measure) == pytest.approx(exponent, abs=error)


def test_losses_that_follow_the_printed_law_support_it():
    found = losses(theirs)
    assert_exponents(found, size=-0.25, n=3.0, d=2.0)
    assert set(outcomes(prop_4_3.CLAIM, found).values()) == {"supported"}
    assert found.remarks == ()  # no faster than as a bound
    # the standard deviation of log10 L around the law is that of the noise
    assert value(found, "scatter.d25") == pytest.approx(np.hypot(NOISE, 0.01 / 5**0.5) / np.log(10), rel=0.25)
    assert value(found, "scatter.floor") > 0.2


def test_losses_that_follow_the_floor_law_refute_it_and_keep_its_bound():
    found = losses(ours)
    # lambda^2 L, with lambda ~ n^-0.7 d^0.3
    assert_exponents(found, size=-1.0, n=2 - 1.4, d=-1 + 0.6)
    assert set(outcomes(prop_4_3.CLAIM, found).values()) == {"refuted"}
    assert context(prop_4_3.CLAIM, found) == {"loss.size": "supported"}
    assert "the loss falls 4 times as fast in log N as it says" in found.remarks[0]
    assert value(found, "scatter.floor") == pytest.approx(np.hypot(NOISE, 0.01 / 5**0.5) / np.log(10), rel=0.25)
    assert value(found, "scatter.d25") > 0.2


@pytest.mark.parametrize(("column", "measure", "more"), [
    ("width", "loss.size", 0.2), ("n_train", "scaled.n", 0.8), ("n_train", "scaled.n", -0.8),
    ("dim", "scaled.d", 0.8), ("dim", "scaled.d", -0.8),
])  # fmt: skip
def test_one_exponent_beyond_its_range_refutes_it_alone(column, measure, more):
    found = losses(lambda f: theirs(f) * (f[column] / 64.0) ** more)
    assert outcomes(prop_4_3.CLAIM, found) == dict.fromkeys(ALONG, "supported") | {measure: "refuted"}
    if column == "width":
        assert context(prop_4_3.CLAIM, found) == {"loss.size": "refuted"}
