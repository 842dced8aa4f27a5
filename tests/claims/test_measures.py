from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims.measures import against, at, exponent, held_out_bound, seeds_interval, select
from ntk1bit.errors import InputError
from ntk1bit.estimators.against_width import root_mean_square_of


def made(power, *, noise=0.0, xs=(0.1, 0.3, 1.0), seeds=6, draw=0):
    rng = np.random.default_rng(draw)
    x, seed = (grid.ravel() for grid in np.meshgrid(xs, range(seeds), indexing="ij"))
    return pd.DataFrame({"x": x, "seed": seed, "value": x**power * np.exp(noise * rng.standard_normal(len(x)))})


def test_exponents_do_not_depend_on_the_unit_of_x():
    one = exponent(against(made(1.7), "x", "value", unit=0.001), "p", "made", x="kappa")
    other = exponent(against(made(1.7), "x", "value", unit=0.1), "p", "made", x="kappa")
    assert one.value == pytest.approx(1.7, abs=1e-12)
    assert other.value == pytest.approx(1.7, abs=1e-12)
    assert one.seeds == 6


def test_noise_widens_the_interval_around_the_truth():
    found = [exponent(against(made(-0.5, noise=0.2, draw=k), "x", "value", unit=0.1), "p", "made") for k in range(40)]
    covered = sum(one.low < -0.5 < one.high for one in found)
    # nominal coverage 95 %: fewer than 32 of 40 has probability 2e-4
    assert covered >= 32
    assert all(one.high - one.low > 0.01 for one in found)


def test_several_rows_of_a_seed_count_once():
    twice = pd.concat([made(1.0), made(1.0)])
    assert exponent(against(twice, "x", "value", unit=0.1), "p", "made").seeds == 6


def test_two_values_of_x_give_no_exponent_but_a_reason():
    found = exponent(against(made(1.0, xs=(0.1, 1.0)), "x", "value", unit=0.1), "p", "made")
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
        bounded(growth), measured="q", bound="bound", name="b", meaning="q", span="", study=""
    )
    assert (count.failures, count.trials) == (failures, 10)
    assert constant.value == pytest.approx(2 * (bounded(growth)["q"] / 10)[:10].max())
    assert (looseness.value < 1) == (growth == 1.0)


def test_a_bound_needs_two_halves():
    with pytest.raises(InputError, match="fit on"):
        held_out_bound(
            bounded(0.0).query("width == 64"), measured="q", bound="bound", name="b", meaning="q", span="", study=""
        )


def test_selecting_wants_exactly_one_group():
    with pytest.raises(InputError, match="exactly one"):
        select([], init="iid")
