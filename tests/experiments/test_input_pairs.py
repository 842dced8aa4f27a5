"""Pairs of inputs at an angle: their kernel, the theorem's rate and steps, and descent against the packed cores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntk1bit import kernels
from ntk1bit.errors import InputError
from ntk1bit.experiments.input_pairs import THEOREM, InputPairs, crossing, descend
from ntk1bit.networks import two_layer


def test_the_kernel_of_the_pairs_has_the_eigenvalues_that_the_angle_sets():
    for n, dim, angle in ((2, 5, 0.1), (6, 9, 0.8), (4, 4, math.pi / 2)):
        pairs = InputPairs(n, dim, angle, 8, (3,), kappa=0.5)
        x, y, _, _ = pairs._draw(3)
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)  # float32 rounding
        lowest, largest = pairs.eigenvalues
        kernel = kernels.limit_ntk(x, precision="full", kappa=0.5).value
        # the closed form has a cusp at parallel inputs, where rounding of x counts by its square root
        np.testing.assert_allclose(np.linalg.eigvalsh(kernel), np.sort([lowest, largest] * (n // 2)), atol=1e-4)
        np.testing.assert_allclose(kernel @ y, lowest * y, atol=1e-4)


def test_rate_and_steps_are_the_theorems_by_hand():
    pairs = InputPairs(2, 8, math.pi / 2, 256, (0,), eta_rel=THEOREM, eps=0.01, delta=0.1)
    log_factor = math.sqrt(math.log(256 * 8 / 0.1))
    eta = 0.5 * 0.1 / (4 * 8 * log_factor)
    assert pairs.eta == pytest.approx(eta)
    assert pairs.steps == math.ceil(math.log(2 * 8 * log_factor**2 / 0.01) / (eta * 0.5))
    assert InputPairs(2, 8, math.pi / 2, 256, (0,)).eta == pytest.approx(0.125 / 0.5)


def test_steps_are_those_of_the_packed_cores():
    pairs = InputPairs(6, 16, 0.7, 128, (1, 2), init="paired")
    drawn = [pairs._draw(seed) for seed in pairs.seeds]
    x, y, w, a = (np.stack(parts) for parts in zip(*drawn, strict=True))
    plain = []
    for own_x, own_y, own_w, own_a in drawn:
        weights = two_layer.Weights(own_w.copy(), own_a)
        plain.append(two_layer.train(own_x, own_y, weights, eta_rel=0.1, steps=4, record=2))
    for number in (0, 1):
        mine = w[number : number + 1].copy()
        at = slice(number, number + 1)
        losses = [descend(mine, a[at], x[at], y[at], eta=plain[number].eta, kappa=1.0)[0] for _ in range(5)]
        # a sign that lies within rounding of its threshold may flip in one and not in the other; none does here
        np.testing.assert_allclose(losses, plain[number].loss, rtol=1e-4)
    together = descend(w, a, x, y, eta=plain[0].eta, kappa=1.0)
    np.testing.assert_allclose(together, [3.0, 3.0], rtol=1e-6)  # f = 0, six targets of size 1


def test_a_run_repeats_and_its_loss_falls(tmp_path):
    pairs = InputPairs(4, 16, 0.9, 256, (5, 6, 7))
    frame = pairs.run(tmp_path / "key")
    assert frame.equals(pairs.run(tmp_path / "key"))
    assert list(frame["seed"]) == [5, 6, 7]
    columns = {name: frame[name].to_numpy() for name in frame}
    assert (columns["level"] < 0.1 * columns["loss_start"]).all()
    assert (columns["tenth"] < np.nan_to_num(columns["hundredth"], nan=np.inf)).all()
    assert not columns["diverged"].any()
    apart = InputPairs(4, 16, 0.9, 256, (6,)).run(tmp_path / "key")
    np.testing.assert_allclose(apart["loss_start"], frame["loss_start"].iloc[1:2], rtol=1e-6)


def test_a_rate_too_large_is_told(tmp_path):
    frame = InputPairs(4, 8, 0.05, 16, (0,), eta_rel=1e4).run(tmp_path / "key")
    # a few steps at most are asked for at such a rate; whether the loss grew is what counts
    assert frame["loss_end"].iloc[0] > frame["loss_start"].iloc[0]


def test_crossings_are_interpolated_in_logarithms():
    loss = np.exp(-0.3 * np.arange(20))
    assert crossing(loss, 0.1) == pytest.approx(math.log(10) / 0.3)
    assert math.isnan(crossing(loss[:3], 0.1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_train": 3}, "even n_train"),
        ({"n_train": 10}, "at most dim"),
        ({"angle": 0.0}, "angle"),
        ({"width": 7}, "width"),
        ({"eta_rel": -1.0}, "eta_rel"),
        ({"eps": 1.0}, "eps"),
        ({"init": "zero"}, "init"),
    ],
)
def test_what_cannot_be_drawn_is_refused(settings, message):
    chosen = {"n_train": 2, "dim": 8, "angle": 0.5, "width": 8, "seeds": (0,)} | settings
    with pytest.raises(InputError, match=message):
        InputPairs(**chosen)
