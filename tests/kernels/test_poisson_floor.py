"""The floor at scale 1/m: the compiled process against a plain one, networks, kappa, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.cores import backends
from ntk1bit.data import tasks
from ntk1bit.errors import InputError
from ntk1bit.kernels.poisson_floor import floor_process, settle, settle_reference
from ntk1bit.networks import two_layer


@pytest.mark.parametrize(("types", "n"), [(1, 1), (7, 3), (40, 5), (0, 2)])
def test_the_compiled_process_is_the_plain_one(types, n):
    """Twenty steps, before rounding of sums in another order can move a threshold; repeated."""
    rng = np.random.default_rng(types)
    above, below, jump = (0.3 * rng.standard_normal((types, n)) for _ in range(3))
    sigma, smooth, rho = rng.uniform(-2, 2, types), 0.3 * np.eye(n), rng.standard_normal(n)
    for _ in range(3):
        losses = np.empty(21)
        reached = settle(sigma.copy(), above, below, jump, smooth, rho.copy(), 0.5, losses)
        assert losses == pytest.approx(settle_reference(sigma, above, below, jump, smooth, rho, 0.5, 20), rel=1e-9)
        assert 0 <= reached <= 2


def test_what_it_reached_is_the_farthest_threshold_that_was_crossed():
    """One weight at 0.5 pushed down by 0.2 a step: it crosses at the third; the other stays."""
    sigma = np.array([0.5, 1.5])
    force = np.array([[-0.2], [0.0]])
    losses = np.empty(6)
    assert settle(sigma, force, force, np.zeros((2, 1)), np.zeros((1, 1)), np.ones(1), 1.0, losses) == 0.5
    assert losses == pytest.approx(0.5)


def test_networks_with_frozen_patterns_end_at_it():
    """m L of ten networks of 2,048 neurons, within three standard errors of both and 10 % for the finite width.

    Late in training, and over a tenth of the steps: L is then known to its scatter over networks.
    """
    task = tasks.load("sphere-random", n_train=8, n_test=1, seed=1, dim=16)
    found = floor_process(task.x, task.y, eta_rel=0.5, activity="frozen", replicates=40, steps=1200)
    levels = [
        2048
        * two_layer.train(
            task.x, task.y, two_layer.init(2048, 16, seed=seed, init="paired"), eta_rel=0.5, steps=1500,
            activity="frozen", record=[1500],
        ).loss[-150:].mean()
        for seed in range(10)
    ]  # fmt: skip
    error = np.hypot(found.error, np.std(levels, ddof=1) / 10**0.5)
    assert abs(np.mean(levels) - found.level) < 3 * error + 0.1 * found.level
    assert error < 0.25 * found.level  # so that a factor of two would be seen
    assert abs(found.slope) < 0.2


@pytest.mark.parametrize("activity", ["frozen", "latent", "straight_through"])
def test_it_goes_as_kappa_squared_and_is_the_same_for_any_number_of_threads(activity):
    x = tasks.load("sphere-random", n_train=4, n_test=1, seed=0, dim=8).x
    settings = {"eta_rel": 0.5, "activity": activity, "replicates": 4, "steps": 100}
    with backends.using(threads=1):
        one = floor_process(x, **settings)
    for threads in (2, 3):
        with backends.using(threads=threads):
            assert np.array_equal(floor_process(x, **settings).levels, one.levels)
    # all of it is scaled, by a power of two exactly: no threshold is decided otherwise
    assert floor_process(x, kappa=2.0, **settings).level == pytest.approx(4 * one.level, rel=1e-6)


def test_more_weights_at_thresholds_raise_the_floor():
    x = tasks.load("sphere-random", n_train=8, n_test=1, seed=0, dim=16).x
    one, many = (
        floor_process(x, eta_rel=0.25, intensity=intensity, replicates=16, steps=800) for intensity in (1.0, 16.0)
    )
    assert many.level > one.level + 3 * np.hypot(one.error, many.error)


@pytest.mark.parametrize(("wrong", "words"), [
    ({"x": np.ones((2, 1))}, "at least 2 features"),
    ({"y": [0.0, 0.0, 0.0]}, "y is 0"),
    ({"y": [1.0]}, "y"),
    ({"intensity": 0.0}, "intensity"),
    ({"replicates": 1}, "replicates"),
    ({"steps": 3}, "steps"),
    ({"activity": "none"}, "activity"),
])  # fmt: skip
def test_bad_input_is_named(wrong, words):
    given = {"x": np.eye(3), "y": np.ones(3)} | wrong
    with pytest.raises(InputError, match=words):
        floor_process(given.pop("x"), given.pop("y"), **given)
