"""The rule of C3b on networks whose outputs scatter, and whose signs flip, by known powers of m."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from proofs_numeric import c3b_spread
from tests.proofs_numeric.planted import (
    BOTH,
    SEEDS,
    Law,
    combinations,
    context,
    networks,
    outcomes,
    power,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import value

WIDTHS = (64, 256, 1024, 4096, 16384)
POINTS, NOISE = 64, 0.02  # test inputs; noise of what is no spread
LEVELS = np.array([1.0, 0.5, 0.09, 0.02, 0.001])  # first at most a tenth at step 2
DECISIVE = (
    "spread.m.sphere.one_bit", "spread.m.digits.one_bit", "flips.m.down", "scatter.m.one_bit", "scatter.over_law",
)  # fmt: skip


def outputs(spread):
    """A law of outputs on test inputs: common ones, and at the last step what differs from seed to seed by `spread`."""

    def law(frame):
        rng = np.random.default_rng(3)
        common = 5.0 * rng.standard_normal(POINTS)
        sizes = np.where(frame["step"] == 4, spread(frame), 10.0 * frame["seed"])
        return [common + size * rng.standard_normal(POINTS) for size in sizes]

    return law


ROOT, QUARTER, MORE = power(-0.5), power(-0.25), power(-0.5, size=2.0)


def scattered(*, spreads=None, full: Law = ROOT, down: Law = ROOT, end: Law = MORE):
    """Both sweeps: signs flipped when L first reaches L(0)/10, and most of them at the end, by laws."""
    laws = {"sphere": QUARTER, "digits": QUARTER} | (spreads or {})
    frames = {}
    for study, task in (("floor", "sphere"), ("floor-digits", "digits")):
        flipped = {2: down, 4: end} if task == "sphere" else {}
        frames[study] = sweep(
            networks(task=task, width=WIDTHS),
            lambda f: 4.0 * LEVELS[f["step"]],
            steps=4,
            test_outputs=outputs(where(full, laws[task], precision="full")),
            flipped=lambda f, flipped=flipped: signs(f, flipped) * np.exp(NOISE * f["noise"]),
        )
    return frames


def signs(frame, flipped):
    """The share of flipped signs: in 1-bit networks by laws at some steps, elsewhere ones that are smaller or flat."""
    shares = 1e-3 * frame["step"].to_numpy(dtype=float)
    for step, law in flipped.items():
        shares = np.where(frame["step"] == step, law(frame), shares)
    return np.where(frame["precision"] == "one_bit", shares, 0.9)


def stepped(exponents=(-0.25, -0.5), over_law=1.0):
    """The study of single steps: at the largest d these exponents, at others 0; the law is met at one setting alone."""
    frame = combinations(precision=BOTH, dim=(8, 128), width=WIDTHS, seed=tuple(range(5)))
    at_largest = where(power(exponents[0], noise=NOISE), power(exponents[1], noise=NOISE), precision="one_bit")
    frame = frame.assign(scatter=where(at_largest, 0.3, dim=128))
    met = (frame["dim"] == 128) & (frame["width"] == 16384)
    ratio = np.where(met, over_law * np.exp(NOISE * frame["noise"]), 3.0)
    return {
        "noise": frame.assign(predicted=np.where(frame["precision"] == "one_bit", frame["scatter"] / ratio, np.nan))
    }


@functools.cache
def usual():
    return c3b_spread.evidence(stored(scattered() | stepped()))


def spread_error():
    """A standard deviation over k seeds and p inputs has a standard error of 1/sqrt(2 (k - 1) p) in logarithms."""
    return slope_error(WIDTHS, 1, (2 * (len(SEEDS) - 1) * POINTS) ** -0.5)


def test_the_laws_of_flip_noise_support_the_claim():
    found = usual()
    assert outcomes(c3b_spread.CLAIM, found) == dict.fromkeys(DECISIVE, "supported")
    assert set(context(c3b_spread.CLAIM, found).values()) == {"supported"}
    for task in ("sphere", "digits"):
        for precision, exponent in (("one_bit", -0.25), ("full", -0.5)):
            assert value(found, f"spread.m.{task}.{precision}") == pytest.approx(exponent, abs=3 * spread_error())
            table = found.tables["spread"].query(f"task == '{task}' and precision == '{precision}'")
            # three standard errors at one width
            expected = (np.array(WIDTHS) / 64.0) ** exponent
            assert table["value"].to_numpy() == pytest.approx(expected, rel=3 / (2 * (len(SEEDS) - 1) * POINTS) ** 0.5)
    error = 3 * slope_error(WIDTHS, len(SEEDS), NOISE)
    assert value(found, "flips.m.down") == pytest.approx(-0.5, abs=error)
    assert value(found, "flips.m.end") == pytest.approx(-0.5, abs=error)
    error = 3 * slope_error(WIDTHS, 5, NOISE)
    assert value(found, "scatter.m.one_bit") == pytest.approx(-0.25, abs=error)
    assert value(found, "scatter.m.full") == pytest.approx(-0.5, abs=error)
    assert value(found, "scatter.over_law") == pytest.approx(1.0, rel=3 * NOISE / 5**0.5)


@pytest.mark.parametrize("task", ["sphere", "digits"])
def test_a_spread_that_falls_as_in_full_precision_refutes_it(task):
    found = c3b_spread.evidence(stored(scattered(spreads={task: power(-0.5)}, full=power(-0.25)) | stepped()))
    refuted = {f"spread.m.{task}.one_bit": "refuted"}
    assert outcomes(c3b_spread.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | refuted
    assert context(c3b_spread.CLAIM, found)["spread.m.sphere.full"] == "refuted"


def test_signs_are_counted_when_the_loss_first_reaches_a_tenth():
    found = c3b_spread.evidence(stored(scattered(down=power(-0.7), end=power(-0.3, size=2.0)) | stepped()))
    assert outcomes(c3b_spread.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | {"flips.m.down": "refuted"}
    error = 3 * slope_error(WIDTHS, len(SEEDS), NOISE)
    assert value(found, "flips.m.down") == pytest.approx(-0.7, abs=error)
    assert value(found, "flips.m.end") == pytest.approx(-0.3, abs=error)
    assert context(c3b_spread.CLAIM, found)["flips.m.end"] == "refuted"
    late = c3b_spread.evidence(stored(scattered(end=power(-0.3, size=2.0)) | stepped()))
    assert outcomes(c3b_spread.CLAIM, late) == dict.fromkeys(DECISIVE, "supported")


def test_a_single_step_that_scatters_otherwise_refutes_it():
    sweeps = scattered()
    found = c3b_spread.evidence(stored(sweeps | stepped((-0.35, -0.25))))
    assert outcomes(c3b_spread.CLAIM, found)["scatter.m.one_bit"] == "refuted"
    assert context(c3b_spread.CLAIM, found)["scatter.m.full"] == "refuted"
    for ratio in (0.8, 1.2):
        found = c3b_spread.evidence(stored(sweeps | stepped(over_law=ratio)))
        assert outcomes(c3b_spread.CLAIM, found)["scatter.over_law"] == "refuted"
        assert value(found, "scatter.over_law") == pytest.approx(ratio, rel=3 * NOISE / 5**0.5)
