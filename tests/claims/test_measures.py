from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims.measures import against, at, estimated, exponent, held_out_bound, seeds_interval, select
from ntk1bit.errors import InputError
from ntk1bit.statistics import root_mean_square_of


def made(power, *, noise=0.0, xs=(0.1, 0.3, 1.0), seeds=6, draw=0):
    rng = np.random.default_rng(draw)
    x, seed = (grid.ravel() for grid in np.meshgrid(xs, range(seeds), indexing="ij"))
    return pd.DataFrame({"x": x, "seed": seed, "value": x**power * np.exp(noise * rng.standard_normal(len(x)))})


def test_any_positive_variable_keeps_its_name_and_its_values():
    found = against(made(1.7), "x", "value", resolution=0.001)
    assert list(found.table.columns) == ["x", "value", "low", "high", "seeds"]
    assert found.table["x"].tolist() == [0.1, 0.3, 1.0]
    one = exponent(found, "p", "made")
    assert one.value == pytest.approx(1.7, abs=1e-12)
    assert (one.seeds, one.span, one.meaning) == (6, "x = 0.1..1, 3 values", "exponent in x of: value")
    other = exponent(against(made(1.7), "x", "value", resolution=0.1), "p", "made")
    assert other.value == pytest.approx(1.7, abs=1e-12)


def test_noise_widens_the_interval_around_the_truth():
    found = [
        exponent(against(made(-0.5, noise=0.2, draw=k), "x", "value", resolution=0.1), "p", "made") for k in range(40)
    ]
    covered = sum(one.low < -0.5 < one.high for one in found)
    # nominal coverage 95 %: fewer than 32 of 40 has probability 2e-4
    assert covered >= 32
    assert all(one.high - one.low > 0.01 for one in found)


def test_several_rows_of_a_seed_count_once():
    twice = pd.concat([made(1.0), made(1.0)])
    assert exponent(against(twice, "x", "value", resolution=0.1), "p", "made").seeds == 6


def test_two_values_of_x_give_no_exponent_but_a_reason():
    found = exponent(against(made(1.0, xs=(0.1, 1.0)), "x", "value", resolution=0.1), "p", "made")
    assert np.isnan(found.value)
    assert "too few widths" in found.note


def test_the_value_at_the_widest_comes_with_its_interval():
    frame = pd.DataFrame({"x": [1, 1, 2, 2], "seed": [0, 1, 0, 1], "value": [3.0, 3.0, 4.0, 6.0]})
    found = at(against(frame, "x", "value", statistic=root_mean_square_of), "v", "made")
    assert found.value == pytest.approx(np.sqrt(26))
    assert found.low < found.value < found.high


def test_intervals_of_signed_values_are_students():
    found = seeds_interval(np.array([-1.0, 0.0, 1.0]), "v", "", "", "")
    assert found.value == 0
    assert found.high == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)  # t_{0.975}(2) times s = 1 over sqrt 3
    assert np.isnan(seeds_interval(np.array([2.0]), "v", "", "", "").low)
    assert np.isnan(seeds_interval(np.array([]), "v", "", "", "").value)


def bounded(growth):
    widths = np.repeat([64, 256, 1024, 4096], 5)
    wobble = np.tile([0.8, 0.9, 1.0, 0.95, 0.7], 4)
    return pd.DataFrame({"width": widths, "q": wobble * (widths / 64.0) ** growth, "bound": 10.0})


@pytest.mark.parametrize(("growth", "failures"), [(-0.5, 0), (0.0, 0), (1.0, 10)])
def test_a_bound_of_the_wrong_shape_fails_where_it_was_not_fitted(growth, failures):
    count, constant, looseness = held_out_bound(
        bounded(growth), measured="q", bound="bound", measure="b", meaning="q", span="", study=""
    )
    assert (count.failures, count.trials) == (failures, 10)
    assert constant.value == pytest.approx(2 * (bounded(growth)["q"] / 10)[:10].max())
    assert (looseness.value < 1) == (growth == 1.0)


def test_a_bound_needs_two_halves():
    with pytest.raises(InputError, match="fit on"):
        held_out_bound(
            bounded(0.0).query("width == 64"), measured="q", bound="bound", measure="b", meaning="q", span="", study=""
        )


def test_selecting_wants_exactly_one_group():
    with pytest.raises(InputError, match="exactly one"):
        select([], init="iid")


def test_a_bound_is_not_held_by_what_was_not_measured():
    """One NaN among the rows fitted on used to make the constant NaN, so that no row could exceed it."""
    frame = bounded(1.0)
    frame.loc[[0, 12], "q"] = np.nan
    count, constant, _ = held_out_bound(frame, measured="q", bound="bound", measure="b", meaning="q", span="", study="")
    assert (count.failures, count.trials) == (9, 9)
    assert "2 of 20 configurations were not measured" in count.note
    assert np.isfinite(constant.value)


def test_an_infinite_quantity_fails_where_it_is_tested_and_is_refused_where_it_is_fitted():
    frame = bounded(-0.5)
    frame.loc[15, "q"] = np.inf
    count, _, _ = held_out_bound(frame, measured="q", bound="bound", measure="b", meaning="q", span="", study="")
    assert count.failures == 1
    for row, column, value in ((0, "q", np.inf), (0, "bound", 0.0), (12, "bound", np.nan), (12, "q", -1.0)):
        broken = bounded(-0.5)
        broken.loc[row, column] = value
        with pytest.raises(InputError, match="bound"):
            held_out_bound(broken, measured="q", bound="bound", measure="b", meaning="q", span="", study="")


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
    assert (
        "1 of 18 values of a seed are not known" in exponent(against(frame, "x", "value", resolution=0.1), "p", "").note
    )


def test_what_a_table_lacks_is_named():
    frame = made(1.0)
    with pytest.raises(InputError, match="'loss', which the frame lacks"):
        against(frame, "x", "loss")
    with pytest.raises(InputError, match="distinguished in units of 1"):
        against(frame, "x", "value")
    frame["seed"] = frame["seed"].astype(float)
    frame.loc[3, "seed"] = np.nan
    with pytest.raises(InputError, match="1 of 18 rows have none"):
        against(frame, "x", "value", resolution=0.1)
    with pytest.raises(InputError, match="place 3 of 3"):
        at(against(made(1.0), "x", "value", resolution=0.1), "v", "", place=3)
