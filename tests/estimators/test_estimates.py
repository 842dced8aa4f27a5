from __future__ import annotations

import numpy as np
import pytest

from ntk1bit import estimators
from ntk1bit.estimators.outputs import SpreadOf, When

from .frames import run_frame

STEPS = 100


def noisy(rng, size=0.02):
    return float(np.exp(size * rng.standard_normal()))


def test_drift_takes_the_largest_over_steps_and_finds_the_exponent():
    def cell(width, seed, precision, rng):
        top = 2.0 * width**-0.6 * noisy(rng)
        return {"drift": np.concatenate([[0.0], np.full(STEPS - 1, top), [top / 2]])}

    found = estimators.drift(run_frame(cell, precisions=("one_bit",)))
    assert len(found) == 1
    assert found[0].power.exponent_low < -0.6 < found[0].power.exponent_high
    assert found[0].power.exponent_high - found[0].power.exponent_low < 0.05
    assert found[0].table["value"].iloc[0] == pytest.approx(2.0 * 64**-0.6, rel=0.05)
    assert (found[0].table["low"] < found[0].table["value"]).to_numpy().all()


def test_a_width_with_a_diverged_cell_is_left_out_and_that_is_said():
    def cell(width, seed, precision, rng):
        count = 3 if (width, seed) == (64, 1) else STEPS + 1
        return {"drift": np.full(count, width**-0.5)}

    found = estimators.drift(run_frame(cell, precisions=("full",)))[0]
    assert found.table["width"].tolist() == [128, 256, 512, 1024, 2048]
    assert "1 cells diverged at widths 64" in found.notes[0]


def test_loss_at_end_averages_the_last_tenth():
    def cell(width, seed, precision, rng):
        loss = np.ones(STEPS + 1)
        loss[-10:] = np.resize([2.0, 4.0], 10) / width
        return {"loss": loss}

    found = estimators.loss_at_end(run_frame(cell, precisions=("one_bit",)))[0]
    np.testing.assert_allclose(found.table["value"], 3.0 / found.table["width"], rtol=1e-12)
    assert found.power.exponent == pytest.approx(-1, abs=1e-9)


def test_floor_is_given_only_where_the_loss_is_level():
    t = np.arange(STEPS + 1) + 1.0

    def cell(width, seed, precision, rng):
        if width <= 128:
            return {"loss": np.full(STEPS + 1, 8.0 / width) * noisy(rng)}
        if width == 1024:
            return {"loss": np.exp(0.5 * rng.standard_normal() * np.log(t))}  # slopes that differ by 0.5 between seeds
        return {"loss": (1 / t if width < 2048 else t) * noisy(rng)}

    found = estimators.floor(run_frame(cell, precisions=("one_bit",)))[0]
    assert found.table["width"].tolist() == [64, 128]
    assert not found.power.warranted
    assert "too few widths" in found.power.note
    assert found.notes == (
        "still falling at widths 256, 512: left out",
        "still rising at widths 2048: left out",
        "not shown to be within +-0.2 of level at widths 1024: left out",
    )


def test_decay_rate_of_an_exponential_is_its_rate():
    rate = 0.05

    def cell(width, seed, precision, rng):
        return {"loss": np.exp(-rate * np.arange(STEPS + 1)), "lambda_min": np.full(STEPS + 1, 0.02)}

    found = estimators.decay_rate(run_frame(cell, precisions=("full",)))[0]
    np.testing.assert_allclose(found.table["value"], rate / (0.5 * 0.02), rtol=1e-9)


def test_steps_needed_and_never_reached():
    def cell(width, seed, precision, rng):
        per_step = 0.1 if width > 64 else 0.001
        return {"loss": np.exp(-per_step * np.arange(STEPS + 1)), "lambda_max": np.full(STEPS + 1, 2.0)}

    found = estimators.steps_needed(run_frame(cell, precisions=("full",)), 0.1)[0]
    assert np.isnan(found.table["value"].iloc[0])
    assert (found.table["value"].iloc[1:] == 24).all()  # exp(-2.4) < 0.1 < exp(-2.3), eta lambda_max = 1


def test_width_needed_inverts_the_loss():
    def cell(width, seed, precision, rng):
        return {"loss": np.full(STEPS + 1, 100.0 * width**-0.5) * noisy(rng, 0.01)}

    found = estimators.width_needed(run_frame(cell, precisions=("one_bit",)))[0]
    np.testing.assert_allclose(found.table["width"], (100 / found.table["loss"]) ** 2, rtol=0.1)
    assert found.power.exponent_low < -2 < found.power.exponent_high
    rising = run_frame(lambda width, *_: {"loss": np.full(STEPS + 1, float(width))}, precisions=("one_bit",))
    assert "does not fall" in estimators.width_needed(rising)[0].power.note


def outputs_of(rng, shift, size=8):
    return [None] * STEPS + [shift + rng.standard_normal(size)]


def test_gap_pairs_seeds_and_takes_the_root_mean_square():
    def cell(width, seed, precision, rng):
        common = np.random.default_rng([width, seed]).standard_normal(8)
        apart = width**-0.25 * np.resize([1.0, -1.0], 8) if precision == "one_bit" else 0.0
        entries = [common + 3 * apart, *[None] * (STEPS - 1), common + apart]
        drift = np.full(STEPS + 1, np.nan)
        drift[[0, -1]] = 0.0
        return {"test_outputs": np.array([*entries, None], dtype=object)[:-1], "drift": drift}

    frame = run_frame(cell)
    factors: dict[When, float] = {"end": 1.0, "start": 3.0, "largest": 3.0}
    for when, factor in factors.items():
        found = estimators.gap(frame, when=when)
        assert len(found) == 1
        np.testing.assert_allclose(found[0].table["value"], factor * found[0].table["width"] ** -0.25, rtol=1e-9)
        assert found[0].power.exponent == pytest.approx(-0.25, abs=1e-9)
        assert found[0].settings["scale"] == "std"
    assert estimators.gap(frame.loc[frame["precision"] == "full"]) == []


def test_spread_is_the_unbiased_standard_deviation():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((6, 50))
    expected = np.sqrt(outputs.var(axis=0, ddof=1).mean())
    assert SpreadOf(outputs)(np.ones((1, 6)))[0] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(SpreadOf(outputs)(np.array([[6.0, 0, 0, 0, 0, 0]]))[0])
    without = SpreadOf(outputs)(1.0 - np.eye(6))
    np.testing.assert_allclose(without, [SpreadOf(np.delete(outputs, k, 0))(np.ones((1, 5)))[0] for k in range(6)])


def test_spread_against_width():
    def cell(width, seed, precision, rng):
        return {
            "test_outputs": np.array([None] * STEPS + [width**-0.5 * rng.standard_normal(400), None], object)[:-1],
            "drift": np.r_[np.full(STEPS, np.nan), 0.0],
        }

    found = estimators.spread(run_frame(cell, precisions=("one_bit",), seeds=6))[0]
    assert found.power.exponent_low < -0.5 < found.power.exponent_high
    assert estimators.spread(run_frame(cell, precisions=("one_bit",), seeds=1)) == []


def test_one_seed_gives_no_interval():
    found = estimators.drift(
        run_frame(lambda width, *_: {"drift": np.full(STEPS + 1, 1 / width)}, precisions=("full",), seeds=1)
    )[0]
    assert np.isnan(found.table["low"]).all()
    assert np.isnan(found.power.exponent_low)
    assert "one seed only" in found.notes[0]
