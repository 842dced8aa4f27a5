from __future__ import annotations

import numpy as np
import pytest

from ntk1bit import estimators
from ntk1bit.estimators.convergence import end_slope
from ntk1bit.estimators.outputs import When, spread_of
from ntk1bit.statistics import Samples, bootstrap, mean_of

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
        return {"loss": (1 / t if width < 2048 else t) * noisy(rng)}

    found = estimators.floor(run_frame(cell, precisions=("one_bit",)))[0]
    assert found.table["width"].tolist() == [64, 128]
    assert not found.power.warranted
    assert "too few widths" in found.power.note
    assert "still decreasing at widths 256, 512, 1024" in found.notes
    assert "still increasing at widths 2048" in found.notes


@pytest.mark.parametrize("slope", [-2.0, -0.5, 0.0, 0.3])
def test_end_slope_of_a_power_of_time(slope):
    t = np.maximum(np.arange(1001.0), 1.0)
    # bins average a curve over a factor 10^(1/20) of time, which shifts a pure power by far less than 0.01
    assert end_slope(t**slope) == pytest.approx(slope, abs=0.01)


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
    assert spread_of(outputs)(np.ones((1, 6)))[0] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(spread_of(outputs)(np.array([[6.0, 0, 0, 0, 0, 0]]))[0])
    twice = spread_of(outputs[[0, 0, 1]])(np.array([[1.0, 1.0, 1.0]]))[0]
    assert spread_of(outputs[:2])(np.array([[2.0, 1.0]]))[0] > twice  # a seed drawn twice is not agreement


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


def test_bootstrap_of_a_mean_has_its_standard_error():
    rng = np.random.default_rng(0)
    values = 10 + rng.standard_normal(8)
    estimate, around = bootstrap(Samples(64, 8, mean_of(values)), resamples=20_000)
    assert estimate == pytest.approx(values.mean())
    # log-widening by sqrt(k/(k-1)) makes the spread that of ddof = 1; a standard deviation of 20,000 draws is
    # known to 0.5 %, and the logarithm of values near 10 with spread 0.3 is linear to 1 %
    assert around.std() == pytest.approx(values.std(ddof=1) / np.sqrt(8), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_of_an_exponent_cover_the_truth(seeds):
    """Nominal 95 %: over 400 data sets of 9 widths the truth is inside 93 % to 97 % of the time.

    Two standard errors of a proportion of 0.95 over 400 sets are 2.2 %; lognormal noise of 20 % a seed.
    """
    widths = 64 * 2 ** np.arange(9)
    inside = 0
    for trial in range(400):
        rng = np.random.default_rng([seeds, trial])
        samples = [
            Samples(int(m), seeds, mean_of(3.0 * m**-0.5 * np.exp(0.2 * rng.standard_normal(seeds)))) for m in widths
        ]
        fit = estimators.estimate_against("q", "q", {}, samples, resamples=500, seed=trial).power
        inside += fit.exponent_low <= -0.5 <= fit.exponent_high
    assert 0.928 <= inside / 400 <= 0.975
