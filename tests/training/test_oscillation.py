"""The monitor against its reference, which keeps everything, and against numbers worked out by hand."""

from __future__ import annotations

import sys

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.training import Oscillation, oscillation_reference

RNG = np.random.default_rng(0)
LOSSES = ["loss", "averaged", "averaged_last"]
FLIPS = ["flips", "flipped", "returned"]


def fed(outputs, targets, weights=None, **options) -> Oscillation:
    monitor = Oscillation(targets, **options)
    for step, f in enumerate(outputs):
        monitor.update(f, None if weights is None else weights[step])
    return monitor


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 9, 30, 33])
@pytest.mark.parametrize("shape", [(5,), (4, 3)])
@pytest.mark.parametrize("values", [(-1, 1), (-1, 0, 1)])
def test_it_finds_what_whole_histories_give(steps, shape, values):
    outputs = RNG.standard_normal((steps, *shape)) + 3.0
    targets = RNG.standard_normal(shape)
    weights = RNG.choice(
        np.array(values, np.int8), (steps, 50), p=[0.8, *[0.2 / (len(values) - 1)] * (len(values) - 1)]
    )
    found = fed(outputs, targets, weights, window=8, last=5).frame()
    expected = oscillation_reference(outputs, targets, weights, window=8, last=5)
    # sums of up to 33 x 12 products of numbers of size 10 in float64: 1e-12 is a thousand roundings
    pd.testing.assert_frame_equal(found, expected, rtol=1e-12, atol=1e-12, check_dtype=False)


def test_numbers_by_hand():
    """Outputs +1, -1, ... around a target of 0.5; one weight of four flips at every step, one flips once."""
    outputs = np.array([[1.0], [-1.0]] * 4)
    weights = np.ones((8, 4), np.int8)
    weights[1::2, 0] = -1
    weights[5:, 1] = -1
    one, two = fed(outputs, [0.5], weights, window=4, last=2).frame().to_dict("records")
    assert (one["first_step"], one["last_step"], two["first_step"], two["last_step"]) == (0, 3, 4, 7)
    for row in (one, two):
        assert row["loss"] == (0.25 + 2.25) / 2
        assert row["averaged"] == row["averaged_last"] == 0.25
        assert row["autocorrelation"] == -3 / 4  # three products of -1 over four squares
    assert [one[name] for name in FLIPS] == [1 / 4, 1 / 4, 1 / 4]
    # into and within the second window: four flips of the first weight and one of the second in 4 x 4 places
    assert [two[name] for name in FLIPS] == [5 / 16, 2 / 4, 1 / 4]


def test_a_ternary_weight_returns_to_the_value_before_its_last_flip_only():
    weights = np.array([[-1, -1, 0], [0, 0, 0], [1, -1, 0], [0, -1, 0], [0, 0, 1]], np.int8)
    row = fed(np.zeros((5, 1)), [0.0], weights, window=5).frame().iloc[0]
    assert row["flipped"] == 1.0
    # the first goes -1, 0, 1, 0 and so from 0 to 1 and back; the second -1, 0, -1; the third has flipped once
    assert row["returned"] == 2 / 3


def test_outputs_that_do_not_move_have_no_autocorrelation():
    row = fed(np.full((6, 3), 0.1), np.zeros(3), window=6).frame().iloc[0]
    assert np.isnan(row["autocorrelation"])
    assert row["loss"] == pytest.approx(0.01)


def test_a_small_oscillation_on_a_large_output_keeps_its_digits():
    turns = 1e6 + 1e-4 * (-1.0) ** np.arange(40)[:, None]
    row = fed(turns, [0.0], window=40).frame().iloc[0]
    # outputs of 1e6 are spaced by 1.2e-10, a millionth of the oscillation
    assert row["autocorrelation"] == pytest.approx(-39 / 40, abs=1e-5)


def test_a_gap_begins_a_new_window():
    monitor = Oscillation([0.0], window=4, last=2)
    for step in (0, 1, 2, 10, 11):
        monitor.update([(-1.0) ** step], [1 if step < 10 else -1], step=step)
    frame = monitor.frame()
    assert frame[["first_step", "last_step"]].to_numpy().tolist() == [[0, 2], [10, 11]]
    assert frame["averaged_last"].tolist() == [0.0, 0.0]  # not (f_2 + f_10)/2, which is 1
    assert frame["flips"].tolist() == [0.0, 0.0]


def test_the_latest_windows_are_kept_and_memory_does_not_grow():
    def size(monitor: Oscillation) -> int:
        held = [*vars(monitor).values(), *vars(monitor._now).values()]
        arrays = [one for one in held if isinstance(one, np.ndarray)]
        listed = [one for one in held if hasattr(one, "maxlen")]
        return sum(one.nbytes for one in (*arrays, *monitor._ring)) + sum(map(sys.getsizeof, listed))

    sizes, monitor = [], Oscillation(np.zeros(3), window=5, windows=4, last=6)
    for step in range(203):
        monitor.update(RNG.standard_normal(3), RNG.choice([-1, 1], 20))
        if step in (52, 102, 202):
            sizes.append(size(monitor))
    assert len(set(sizes)) == 1
    assert monitor.frame()["first_step"].tolist() == [180, 185, 190, 195, 200]  # four full windows and the latest


def test_arrays_of_a_caller_may_be_used_again():
    f, q = np.array([1.0]), np.array([1], np.int8)
    monitor = Oscillation([0.0], window=4, last=2)
    for turn in (1, -1, 1, -1):
        f[0], q[0] = turn, turn
        monitor.update(f, q)
    row = monitor.frame().iloc[0]
    assert (row["averaged"], row["flips"]) == (0.0, 1.0)


def test_arrays_of_jax_booleans_and_lists_of_layers_are_read():
    monitor = Oscillation(jnp.zeros(2))
    monitor.update(jnp.ones(2, jnp.bfloat16), [jnp.ones((2, 2), bool), jnp.zeros(3, bool)])
    monitor.update(jnp.ones(2), [np.zeros((2, 2)), np.zeros(3)])
    assert monitor.frame()["flips"].iloc[0] == 4 / 7


def test_another_loss_is_that_of_averaged_outputs_too():
    monitor = Oscillation("cats", loss=lambda f, name: len(name) * np.abs(f).sum(), last=2)
    for f in ([3.0, 0.0], [-1.0, 2.0]):
        monitor.update(f)
    row = monitor.frame().iloc[0]
    assert [row[name] for name in LOSSES] == [12.0, 8.0, 8.0]
    assert np.isnan(row["flips"])


def test_its_repr_says_where_it_is():
    monitor = Oscillation([0.0], window=3)
    assert "no steps yet" in repr(monitor)
    for turn in range(5):
        monitor.update([(-1.0) ** turn])
    assert "2 windows of 3 steps; of steps 3 to 4" in repr(monitor)
    assert len(repr(monitor).splitlines()) <= 10


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("options", "message"), [
    ({"window": 1}, "window must be a whole number, 2 or more"),
    ({"windows": 0}, "windows must be"),
    ({"last": 1.5}, "last must be"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Oscillation([0.0], **options)


class _Graph:
    """Refuses to become an array as a tensor of torch does that needs a gradient."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("outputs", "weights", "message"), [
    ([0.0], None, r"shape \(2,\) at every step"),
    ([0.0, 1.0], [0.3, 1.0, 1.0], "not latent weights"),
    ([0.0, 1.0], [300, 1, 1], "not latent weights"),
    ([0.0, 1.0], [np.nan, 1, 1], "not latent weights"),
    ([0.0, 1.0], [1, -1], "there were 3 quantised weights"),
    (_Graph(), None, "give it detached"),
    (["a", "b"], None, "outputs holds"),
])  # fmt: skip
def test_what_cannot_be_followed_is_refused(outputs, weights, message):
    monitor = Oscillation([0.0, 0.0])
    monitor.update([1.0, 2.0], [1, 1, -1])
    with pytest.raises(InputError, match=message) as raised:
        monitor.update(outputs, weights)
    assert "\n" not in str(raised.value)
    assert monitor.frame()["last_step"].tolist() == [0]
