from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ntk1bit.claims import Count, Evidence, IntervalEstimate, Number
from ntk1bit.claims.measures import (
    against,
    at,
    bound_criteria,
    bound_labels,
    estimated,
    exponent,
    held_out_bound,
    seeds_interval,
    seeds_ratio,
    select,
)
from ntk1bit.errors import InputError
from ntk1bit.statistics import MeanOf, RootMeanSquareOf

from ..statistics.studies import STUDIES, WIDTHS, draws, fewest, most, samples


def made(power, *, noise=0.0, xs=(0.1, 0.3, 1.0), seeds=6, draw=0):
    rng = np.random.default_rng(draw)
    x, seed = (grid.ravel() for grid in np.meshgrid(xs, range(seeds), indexing="ij"))
    return pd.DataFrame({"x": x, "seed": seed, "value": x**power * np.exp(noise * rng.standard_normal(len(x)))})


def test_any_positive_variable_keeps_its_name_and_its_values():
    found = against(made(1.7), "x", "value")
    assert list(found.table.columns) == ["x", "value", "low", "high", "seeds"]
    assert found.table["x"].tolist() == [0.1, 0.3, 1.0]
    one = exponent(found, "p", "made")
    assert one.value == pytest.approx(1.7, abs=1e-12)
    assert (one.seeds, one.span, one.meaning) == (6, "x = 0.1..1, 3 values", "exponent in x of: value")


def test_noise_widens_the_interval_around_the_truth():
    found = [exponent(against(made(-0.5, noise=0.2, draw=k), "x", "value"), "p", "made") for k in range(40)]
    covered = sum(one.low < -0.5 < one.high for one in found)
    # nominal coverage 95 %: fewer than 32 of 40 has probability 2e-4
    assert covered >= 32
    assert all(one.high - one.low > 0.01 for one in found)


def test_several_rows_of_a_seed_count_once():
    twice = pd.concat([made(1.0), made(1.0)])
    assert exponent(against(twice, "x", "value"), "p", "made").seeds == 6


def differences(levels, noise=0.3, seeds=5, draw=0):
    """Return differences around a level at each x, of which networks of one seed share a part."""
    rng = np.random.default_rng(draw)
    shared = rng.standard_normal(seeds)
    parts = [
        pd.DataFrame(
            {"m": 64 * 2**k, "seed": range(seeds), "gap": level + noise * (shared + rng.standard_normal(seeds))}
        )
        for k, level in enumerate(levels)
    ]
    return pd.concat(parts)


def test_a_difference_of_either_sign_has_students_interval_and_no_exponent():
    frame = differences((1.0, 0.0, -1.0))
    found = against(frame, "m", "gap", signed=True)
    for row, (_, part) in zip(found.table.to_dict("records"), frame.groupby("m"), strict=True):
        values = part["gap"].to_numpy()
        expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
        assert (row["low"], row["high"]) == pytest.approx(expected, rel=1e-9)  # scipy inverts to 1e-10
        assert (row["value"], row["seeds"]) == (pytest.approx(values.mean()), 5)
    one = exponent(found, "p", "made")
    assert np.isnan([one.value, one.low, one.high]).all()
    assert one.note == "it is not seen to be above 0 at m 128, 256, so it has no exponent"
    assert np.isfinite(exponent(against(differences((4.0, 3.0, 2.0), 0.1), "m", "gap", signed=True), "p", "").low)


def test_a_difference_of_nothing_is_rarely_seen_to_be_above_it():
    """Of 400 studies at nine widths, intervals wholly above 0 are 2.5 %, however networks of one seed are alike."""
    above = 0
    for rng in draws(60):
        values = rng.standard_normal((9, 5))
        for one in samples(WIDTHS, values, functools.partial(MeanOf, signed=True)):
            above += one.statistic.interval()[1] > 0
    assert fewest(0.025, 9 * STUDIES) <= above <= most(0.025, 9 * STUDIES)


def test_an_exponent_of_networks_on_several_data_sets_says_what_its_interval_is_over():
    frame = pd.concat([made(-0.5, noise=0.1, draw=k).assign(data_seed=k) for k in range(3)])
    crossed = exponent(against(frame, "x", "value"), "p", "made")
    assert crossed.units == "networks crossed with data sets"
    nested = exponent(against(frame.assign(seed=frame["seed"] + 10 * frame["data_seed"]), "x", "value"), "p", "made")
    assert nested.units == "data sets, each with its networks"
    assert exponent(against(made(-0.5), "x", "value"), "p", "made").units == "networks on one data set"


def test_the_exponent_of_a_curved_law_is_of_the_widths_that_it_names():
    xs = tuple(float(x) for x in 2.0 ** np.arange(6))
    frame = made(-0.5, noise=0.01, xs=xs)
    frame["value"] += 0.2
    one = exponent(against(frame, "x", "value"), "p", "made")
    assert one.span == "x = 8..32, 3 values"
    assert "curvature: not a single power law" in one.note
    assert "on average -0.3" in one.note  # the slope over all widths


def test_two_values_of_x_give_no_exponent_but_a_reason():
    found = exponent(against(made(1.0, xs=(0.1, 1.0)), "x", "value"), "p", "made")
    assert np.isnan(found.value)
    assert "too few widths" in found.note


def test_the_value_at_the_widest_comes_with_its_interval():
    frame = pd.DataFrame({"x": [1, 1, 2, 2], "seed": [0, 1, 0, 1], "value": [3.0, 3.0, 4.0, 6.0]})
    found = at(against(frame, "x", "value", statistic=RootMeanSquareOf), "v", "made")
    assert found.value == pytest.approx(np.sqrt(26))
    assert found.low < found.value < found.high


def test_intervals_of_signed_values_are_students():
    found = seeds_interval(np.array([-1.0, 0.0, 1.0]), "v", "", "", "")
    assert found.value == 0
    assert found.high == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)  # t_{0.975}(2) times s = 1 over sqrt 3
    assert np.isnan(seeds_interval(np.array([2.0]), "v", "", "", "").low)
    assert np.isnan(seeds_interval(np.array([]), "v", "", "", "").value)


def test_ratios_have_a_geometric_mean_and_what_is_left_out_is_counted():
    found = seeds_ratio(np.array([0.5, 2.0, 1.0]), "v", "", "", "")
    assert (found.value, found.seeds, found.note) == (pytest.approx(1.0), 3, "")
    # t_{0.975}(2) times s = log 2 over sqrt 3, in logarithms
    assert found.high == pytest.approx(np.exp(4.303 * np.log(2) / np.sqrt(3)), rel=1e-3)
    found = seeds_ratio(np.array([0.5, np.nan, 2.0, np.inf, -0.1]), "v", "", "", "")
    assert (found.value, found.seeds) == (pytest.approx(1.0), 2)
    assert found.note.startswith("2 of 5 networks diverged; 1 of 5 ratios below 0 are left out")


def bounded(growth):
    widths = np.repeat([64, 256, 1024, 4096], 5)
    wobble = np.tile([0.8, 0.9, 1.0, 0.95, 0.7], 4)
    seeds = np.tile(np.arange(5), 4)
    return pd.DataFrame({"width": widths, "seed": seeds, "q": wobble * (widths / 64.0) ** growth, "bound": 10.0})


def held(frame, settings=()):
    return held_out_bound(
        frame, measured="q", bound="bound", measure="b", meaning="q", span="", study="", settings=settings
    )


@pytest.mark.parametrize(("growth", "failures"), [(-0.5, 0), (0.0, 0), (1.0, 10)])
def test_a_bound_of_the_wrong_shape_fails_where_it_was_not_fitted(growth, failures):
    count, constant, looseness, shape = held(bounded(growth))
    assert isinstance(count, Count)
    assert isinstance(constant, Number)
    assert isinstance(looseness, Number)
    assert isinstance(shape, IntervalEstimate)
    assert [one.id for one in (count, constant, looseness, shape)] == list(bound_labels("b", "q against its bound"))
    assert (count.failures, count.trials) == (failures, 10)
    assert constant.value == pytest.approx(2 * (bounded(growth)["q"] / 10)[:10].max())
    assert (looseness.value < 1) == (growth == 1.0)
    assert (shape.value, shape.seeds) == (pytest.approx(growth, abs=1e-12), 5)


def test_a_shape_that_is_wrong_by_less_than_the_slack_is_found_out():
    """m^0.15 over a factor 64 is 1.87, within the slack of 2; settings of their own level do not hide it."""
    frame = pd.concat([bounded(0.15).assign(dim=8), bounded(0.15).assign(dim=32, q=lambda f: 0.1 * f["q"])])
    count, _, _, shape = held(frame, ("dim",))
    assert isinstance(count, Count)
    assert isinstance(shape, IntervalEstimate)
    assert count.failures == 0
    assert shape.value == pytest.approx(0.15, abs=1e-12)
    evidence = Evidence((count, shape))
    assert [one.judge(evidence).outcome for one in bound_criteria("b", 20)] == ["supported", "refuted"]
    flat = Evidence(held(bounded(0.0)))
    assert [one.judge(flat).outcome for one in bound_criteria("b", 10)] == ["supported", "supported"]


def test_the_shape_is_over_seeds_and_not_over_rows():
    """Each seed has an exponent of its own: 200 rows of five seeds know it as well as five exponents."""
    rng = np.random.default_rng(0)
    parts = []
    for setting in range(10):
        made = bounded(0.0).assign(setting=setting)
        made["q"] *= (made["width"] / 64.0) ** np.array([-0.1, 0.0, 0.1, 0.2, -0.2])[made["seed"]] * rng.uniform(1, 2)
        parts.append(made)
    shape = held(pd.concat(parts), ("setting",))[-1]
    assert isinstance(shape, IntervalEstimate)
    half = 2.7764 * np.std([-0.1, 0.0, 0.1, 0.2, -0.2], ddof=1) / np.sqrt(5)  # t_{0.975}(4)
    assert (shape.low, shape.value, shape.high) == (
        pytest.approx(-half, rel=1e-4),
        pytest.approx(0.0, abs=1e-12),
        pytest.approx(half, rel=1e-4),
    )


def test_a_bound_needs_two_halves():
    with pytest.raises(InputError, match="fit on"):
        held(bounded(0.0).query("width == 64"))


def test_selecting_wants_exactly_one_group():
    with pytest.raises(InputError, match="exactly one"):
        select([], init="iid")


def test_a_bound_is_not_held_by_what_was_not_measured():
    """One NaN among the rows fitted on used to make the constant NaN, so that no row could exceed it."""
    frame = bounded(1.0)
    frame.loc[[0, 12], "q"] = np.nan
    count, constant, *_ = held(frame)
    assert isinstance(count, Count)
    assert isinstance(constant, Number)
    assert (count.failures, count.trials) == (9, 9)
    assert "2 of 20 configurations were not measured" in count.note
    assert np.isfinite(constant.value)


def test_an_infinite_quantity_fails_where_it_is_tested_and_is_refused_where_it_is_fitted():
    frame = bounded(-0.5)
    frame.loc[15, "q"] = np.inf
    count, *_, shape = held(frame)
    assert isinstance(count, Count)
    assert count.failures == 1
    assert isinstance(shape, IntervalEstimate)
    assert shape.note == "1 of 20 ratios are 0 or infinite and left out"
    for row, column, value in ((0, "q", np.inf), (0, "bound", 0.0), (12, "bound", np.nan), (12, "q", -1.0)):
        broken = bounded(-0.5)
        broken.loc[row, column] = value
        with pytest.raises(InputError, match="bound"):
            held(broken)


def test_an_interval_that_is_none_leaves_an_estimate_without_one():
    for low, high in ((0.5, 1.0), (2.0, 3.0), (np.nan, 2.0), (0.0, np.inf)):
        found = estimated("p", "", (0.0 if low == 0.5 else 1.5, low, high), 5, "", "", "a caution")
        assert np.isnan([found.low, found.high]).all()
        assert "a caution" in found.note
    assert "[0.5, 1] is not around its value" in estimated("p", "", (0.0, 0.5, 1.0), 5, "", "").note
    assert np.isnan(estimated("p", "", (np.inf, 0.0, 1.0), 5, "", "").value)
    whole = estimated("p", "", (1.0, 0.5, 1.5), 5, "", "")
    assert (whole.low, whole.value, whole.high, whole.note) == (0.5, 1.0, 1.5, "")


def test_seeds_without_a_value_are_counted():
    found = seeds_interval(np.array([1.0, np.nan, 2.0, np.inf]), "v", "", "", "")
    assert (found.seeds, "2 of 4 seeds" in found.note) == (2, True)
    frame = made(1.0)
    frame.loc[0, "value"] = np.nan
    assert "1 of 18 values of a seed are not known" in exponent(against(frame, "x", "value"), "p", "").note


def test_what_a_table_lacks_is_named():
    frame = made(1.0)
    with pytest.raises(InputError, match="'loss', which the frame lacks"):
        against(frame, "x", "loss")
    frame["seed"] = frame["seed"].astype(float)
    frame.loc[3, "seed"] = np.nan
    with pytest.raises(InputError, match="1 of 18 rows have none"):
        against(frame, "x", "value")
    with pytest.raises(InputError, match="place 3 of 3"):
        at(against(made(1.0), "x", "value"), "v", "", place=3)
