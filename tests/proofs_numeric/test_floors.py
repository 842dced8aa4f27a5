"""Losses at half and at the end of training, their exponents and slope in time, on losses of known laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims import IntervalWithin
from ntk1bit.claims.measures import against, exponent
from ntk1bit.statistics.jackknife import CROSSED, NESTED, NETWORKS
from proofs_numeric import floors
from proofs_numeric.data import over_data_sets
from proofs_numeric.studies import FLOOR_DATA_SETS
from tests.proofs_numeric.planted import (
    SEEDS,
    Law,
    around,
    evaluate,
    falling,
    narrow_off,
    networks,
    on_data_set,
    power,
    settling,
    slope_error,
    stored,
    sweep,
    where,
)

WIDTHS = (64, 128, 256, 512, 1024, 2048)
FOUR, NOISE, STEPS, POINTS = WIDTHS[-4:], 0.02, 100, 64
TENTHS = {"": np.arange(91, 101), ".half": np.arange(46, 51)}  # steps over which the losses are means


def trained(level: Law, half: Law | None = None, *, slope: Law = 0.0, **settings):
    """Losses of 1-bit networks at these levels, within 2 % over seeds, times a power of time; full precision's at 7."""

    def noisy(law):
        return where(lambda f: evaluate(law, f) * np.exp(NOISE * f["noise"]), 7.0, precision="one_bit")

    loss = settling(noisy(level), half=None if half is None else noisy(half))
    return sweep(networks(**({"width": WIDTHS} | settings)), falling(loss, slope), steps=STEPS)


def error_over(along, suffix=""):
    """Three standard errors of an exponent: 2 % of noise over seeds, and 1 % over the steps that are averaged."""
    return 3 * slope_error(along, len(SEEDS), np.hypot(NOISE, 0.01 / len(TENTHS[suffix]) ** 0.5))


def slope_in_time(power):
    """The slope between the means over both tenths of t^power; exact."""
    end, half = (np.mean(steps.astype(float) ** power) for steps in TENTHS.values())
    return np.log2(end / half)


# Of the mean over 24 networks of the slope in time, three standard errors: 1 % over ten steps, and over five.
SLOPE_ERROR = 3 * 0.01 * np.hypot(10**-0.5, 5**-0.5) / np.log(2) / (len(FOUR) * len(SEEDS)) ** 0.5


def test_both_losses_are_means_over_the_last_tenths_of_the_steps():
    frame = sweep(networks(width=64, seed=0), lambda f: 2.0 + f["step"], steps=20)
    found = floors.ends(frame)
    assert found["precision"].tolist() == ["one_bit"]
    # steps 19 and 20 of twenty, step 10 of ten
    assert found[["loss_end", "loss_half", "slope"]].to_numpy()[0] == pytest.approx([21.5, 12.0, np.log2(21.5 / 12)])


@pytest.mark.parametrize(("end", "half"), [(-1.0, -0.6), (-0.6, -1.0)])
def test_exponents_are_those_of_either_time(end, half):
    table = floors.ends(trained(power(end), power(half)))
    found = floors.exponents(table, "width", "loss.m", "a study")
    assert [one.id for one in found] == ["loss.m", "loss.m.half"]
    for one, expected in zip(found, (end, half), strict=True):
        assert one.value == pytest.approx(expected, abs=error_over(WIDTHS, one.id.removeprefix("loss.m")))
        assert (one.seeds, one.units, one.study) == (len(SEEDS), NETWORKS, "a study")


@pytest.mark.parametrize("slope", [-0.2, 0.0, 0.1])
def test_a_loss_that_is_not_level_has_a_slope_in_time_and_the_same_exponents(slope):
    end, half, level = floors.in_width(trained(power(-1.0), slope=slope), "floor.m", "level", "a study")
    for one, suffix in ((end, ""), (half, ".half")):
        assert one.value == pytest.approx(-1.0, abs=error_over(FOUR, suffix))
    assert level.value == pytest.approx(slope_in_time(slope), abs=SLOPE_ERROR)
    assert (level.id, level.seeds) == ("level", len(SEEDS))
    assert level.span == "m = 256..2048, d = 64..64, n = 16..16"


def test_the_slope_in_time_is_the_mean_over_settings():
    table = floors.ends(trained(1.0, slope=where(-0.4, 0.2, width=64), width=(64, 256, 1024)))
    found = floors.slope_in_time(table, "level", "a study")
    expected = np.mean([slope_in_time(one) for one in (-0.4, 0.2, 0.2)])
    assert found.value == pytest.approx(expected, abs=SLOPE_ERROR * (24 / len(table)) ** 0.5)
    # settings are no units: the interval is over seeds, whose slopes differ by rounding and jumps of 1 % alone
    assert found.high - found.low < 0.05
    assert found.seeds == len(SEEDS)


@pytest.mark.parametrize(("in_m", "shift"), [(-1.0, 0.3), (-0.7, -0.3)])
def test_it_is_the_four_widest_widths_that_count(in_m, shift):
    law, slope = narrow_off(in_m, shift), where(-0.5, 0.0, width=64)
    frame = trained(law, slope=slope)
    end, half, level = floors.in_width(frame, "floor.m", "level", "a study")
    for one, suffix in ((end, ""), (half, ".half")):
        assert one.value == pytest.approx(in_m, abs=error_over(FOUR, suffix))
        assert one.span == "m = 256..2048, 4 values"
    assert level.value == pytest.approx(0.0, abs=SLOPE_ERROR)
    every = floors.against_width(frame)
    assert every.table["width"].tolist() == list(WIDTHS)
    # at the end the loss of the narrowest, which falls in time, is the mean of (t/T)^-0.5 as large
    tail = np.where(np.arange(6) == 0, np.mean((TENTHS[""] / STEPS) ** -0.5), 1.0)
    expected = law(pd.DataFrame({"width": WIDTHS, "noise": 0.0})) * tail
    assert every.table["value"].to_numpy() == pytest.approx(expected, rel=3 * NOISE / len(SEEDS) ** 0.5)


EXPONENTS = -1.0 + 0.04 * np.linspace(-1, 1, 8)  # of eight data sets, -1 on average


def on_data_sets(exponents, slopes):
    """Eight data sets with an exponent and a slope in time each."""
    frames = {}
    for place, (name, in_m, slope) in enumerate(zip(FLOOR_DATA_SETS, exponents, slopes, strict=True)):
        law = around(in_m, FOUR, size=0.02 * 1.1 ** (place % 2))
        frames[name] = on_data_set(trained(law, slope=slope, width=FOUR, precision="one_bit"), place)
    return over_data_sets(stored(frames), FLOOR_DATA_SETS)


def test_on_data_sets_the_interval_is_over_networks_crossed_with_data_sets():
    slopes = 0.1 * np.linspace(-1, 1, 8)
    found = floors.in_width(on_data_sets(EXPONENTS, slopes), "floor.m", "level", "studies")
    one_data_set = floors.in_width(trained(power(-1.0)), "floor.m", "level", "a study")
    # the noise of a network is the same on all data sets; exponents and slopes are symmetric about their means
    for one, alone, expected in zip(found, one_data_set, (-1.0, -1.0, 0.0), strict=True):
        error = 2 * SLOPE_ERROR if one.id == "level" else error_over(FOUR, one.id.removeprefix("floor.m"))
        assert one.value == pytest.approx(expected, abs=error)
        assert (one.units, one.seeds) == (CROSSED, len(SEEDS))
        # data sets that differ widen the interval, by Student's t of the fewer units, the networks
        assert one.high - one.low > 1.5 * (alone.high - alone.low)
    for one, spread in zip(found, (EXPONENTS, EXPONENTS, slopes), strict=True):
        half = 2.571 * np.std(spread, ddof=1) / 8**0.5  # t of 5 degrees of freedom, were networks all alike
        # they are alike within their noise, whose part of the square is at most a third
        assert half <= (one.high - one.low) / 2 * 1.02 <= 1.25 * half


def test_the_first_half_of_every_run_has_the_steps_up_to_half_of_its_own():
    short, long = (sweep(networks(width=64, seed=0, kappa=kappa), 1.0, steps=n) for kappa, n in ((0.5, 4), (1.0, 9)))
    found = floors.first_half(pd.concat([short, long]))
    steps = found.groupby(["kappa", "precision"])["step"].agg(list).to_dict()
    expected = {0.5: [0, 1, 2], 1.0: [0, 1, 2, 3, 4]}
    assert steps == {(kappa, one): expected[kappa] for kappa in expected for one in ("full", "one_bit")}


def scattered(place, end, half):
    """Outputs that differ from seed to seed by these laws, at the last step and at half, and otherwise in between."""

    def law(frame):
        rng = np.random.default_rng(place)
        sizes = np.select([frame["step"] == 8, frame["step"] == 4], [end(frame), half(frame)], 3.0)
        return [size * rng.standard_normal(POINTS) for size in sizes]

    of = networks(width=FOUR, precision="one_bit")
    return on_data_set(sweep(of, 1.0, steps=8, every=2, test_outputs=law), place)


def test_spreads_are_of_each_data_set_at_either_time():
    ends, halves = power(-0.25), power(-0.5, size=2.0)
    data = stored({name: scattered(place, ends, halves) for place, name in enumerate(FLOOR_DATA_SETS)})
    # a standard deviation over k seeds and p inputs has a relative standard error of 1/sqrt(2 (k - 1) p)
    error = (2 * (len(SEEDS) - 1) * POINTS) ** -0.5
    for half, law in ((False, ends), (True, halves)):
        found = floors.spreads(data, half=half)
        assert len(found) == len(FLOOR_DATA_SETS) * len(FOUR)
        expected = law(found.assign(noise=0.0))
        assert found["value"].to_numpy() == pytest.approx(expected, rel=3.5 * error)  # the largest of 32 errors
        one = exponent(against(found, "width", "value"), "spread.m", "studies")
        assert (one.units, one.seeds) == (NESTED, len(FLOOR_DATA_SETS))
        close = 3 * slope_error(FOUR, len(FLOOR_DATA_SETS), error)
        assert one.value == pytest.approx(-0.5 if half else -0.25, abs=close)


@pytest.mark.parametrize("last", [np.inf, np.nan, 1e7])
def test_a_network_that_diverged_leaves_no_number_at_its_widths_and_is_not_passed_over(last):
    frame = trained(power(-1.0), precision="one_bit")
    beyond = (frame["width"] == 1024) & (frame["seed"] == 3)
    frame = frame.loc[~beyond | (frame["step"] <= 30)].assign(diverged=beyond)
    frame.loc[beyond & (frame["step"] == 30), "loss"] = last
    for one in floors.in_width(frame, "floor.m", "level", "a study"):
        assert np.isnan([one.value, one.low, one.high]).all()
        assert one.note == "1 of 24 networks diverged, so they have no loss at the end"
    every = floors.against_width(frame)
    assert every.table["width"].tolist() == [64, 128, 256, 512, 2048]
    assert "1 cells diverged at widths 1024" in every.notes[0]


def test_rules_and_labels_speak_of_both_times():
    assert floors.ranges("a", -1.0, 0.5) == (IntervalWithin("a", -1.0, 0.5), IntervalWithin("a.half", -1.0, 0.5))
    assert floors.labels({"a": "exponent"}) == {"a": "exponent", "a.half": "exponent at T/2"}
    assert floors.level("b") == IntervalWithin("b", -0.05, 0.05)
    assert f"{100 * (10**floors.LEVEL - 1):.0f} % in a tenfold training" in floors.ABOUT_LEVEL
