"""The limit of training at infinite width: against plain sums over draws, fixed kernels, quadrature, and networks."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit import kernels
from ntk1bit.cores import backends
from ntk1bit.data import tasks
from ntk1bit.errors import InputError
from ntk1bit.kernels.mean_fields import both_sides, draw_types, mean_field, mean_field_reference
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import quantize_neurons

PARTICLES = 100_000


def points(n, dim, seed=0, n_test=0):
    """Random labels on the sphere."""
    task = tasks.load("sphere-random", n_train=n, n_test=max(n_test, 1), seed=seed, dim=dim)
    return task.x, task.y.astype(np.float64), task.x_test[:n_test]


@pytest.mark.parametrize(("n", "dim", "scale"), [(4, 5, "std"), (7, 3, "std"), (5, 6, "absmean")])
def test_the_recursion_is_that_of_plain_sums_over_draws(n, dim, scale):
    """Six runs of the reference against four replicates: differences over their error, of five degrees of freedom.

    The largest of n outputs at three steps is at most 6 standard errors (Student's t of 5 degrees of freedom: one in
    540 is beyond 6 for a single one), and their root mean square at most 2.5.
    """
    x, y, _ = points(n, dim)
    found = mean_field(x, y, eta_rel=0.7, steps=8, particles=PARTICLES, scale=scale)
    plain = np.stack(
        [
            mean_field_reference(
                x.astype(np.float64), y, eta=found.eta, steps=8, window=8.0, scale=scale, types=30_000, seed=seed
            )
            for seed in range(6)
        ]
    )
    error = np.hypot(plain.std(axis=0, ddof=1) / 6**0.5, found.error)
    apart = ((plain.mean(axis=0) - found.outputs)[1:] / error[1:])[[0, 3, 7]]
    assert np.abs(apart).max() < 6
    assert np.sqrt((apart**2).mean()) < 2.5


def test_the_window_of_the_reference_is_wide_enough():
    """Twice the window gives the same within its error: no weight moves farther."""
    x, y, _ = points(4, 5)
    one, two = (
        np.stack(
            [
                mean_field_reference(x.astype(np.float64), y, eta=0.5, steps=6, window=window, types=20_000, seed=seed)
                for seed in range(5)
            ]
        )
        for window in (6.0, 12.0)
    )
    error = np.hypot(one.std(axis=0, ddof=1), two.std(axis=0, ddof=1))[1:] / 5**0.5
    assert np.abs((one.mean(axis=0) - two.mean(axis=0))[1:] / error).max() < 6  # Student's t of four degrees of freedom


@pytest.mark.parametrize("activity", ["frozen", "latent"])
def test_patterns_that_no_flip_changes_give_descent_with_a_kernel(activity):
    """K_eff, or K_lat; by plain sums too, in which neither occurs."""
    x, y, _ = points(5, 4)
    found = mean_field(x, y, eta_rel=0.5, steps=6, particles=PARTICLES, activity=activity)
    kernel = kernels.effective_ntk(x, samples=400_000, seed=9, activity=activity).value
    assert found.outputs == pytest.approx(kernels.predict(kernel, y, eta=found.eta, steps=6).train, abs=0.01)
    plain = np.stack(
        [
            mean_field_reference(
                x.astype(np.float64), y, eta=found.eta, steps=6, window=8.0, activity=activity, types=30_000, seed=one
            )
            for one in range(6)
        ]
    )
    error = np.hypot(plain.std(axis=0, ddof=1) / 6**0.5, found.error)[1:]
    assert np.abs((plain.mean(axis=0) - found.outputs)[1:] / error).max() < 7  # of 30 numbers, as above
    assert found.near_threshold == 1
    assert not found.sticking.any()


def test_full_precision_is_descent_with_h():
    x, y, x_test = points(6, 5, n_test=3)
    start, start_test = np.linspace(-1, 1, 6), np.array([0.5, 0.0, -0.5])
    found = mean_field(
        x, y, eta_rel=0.9, steps=7, precision="full", x_test=x_test, start=start, start_test=start_test, kappa=0.5
    )
    kernel = kernels.limit_ntk(x, precision="full", kappa=0.5).value
    across = kernels.limit_ntk(x_test, x, precision="full", kappa=0.5).value
    expected = kernels.predict(kernel, y, eta=found.eta, steps=7, kernel_test=across, f0=start, f0_test=start_test)
    assert found.eta == pytest.approx(0.9 / np.linalg.eigvalsh(kernel)[-1])
    assert found.outputs == pytest.approx(expected.train)
    assert found.test_outputs == pytest.approx(expected.test)
    assert not found.error.any()


def test_the_first_step_is_that_of_k_eff():
    """Every weight still has the force of its first side; on test inputs as well, from any start."""
    x, y, x_test = points(8, 6, n_test=4)
    start = 0.3 * np.cos(np.arange(8.0))
    found = mean_field(x, y, eta_rel=0.5, steps=1, particles=PARTICLES, x_test=x_test, start=start)
    kernel = kernels.effective_ntk(np.concatenate([x, x_test]), x, samples=1_000_000, seed=5)
    move = found.eta * (start - y)
    expected = np.concatenate([start, np.zeros(4)]) - kernel.value @ move
    got = np.concatenate([found.outputs[1], found.test_outputs[1]])
    error = np.hypot(
        np.concatenate([found.error[1], found.test_error[1]]), np.sqrt((kernel.standard_error**2) @ move**2)
    )
    # each of twelve within what Student's t of three degrees of freedom leaves one in two thousand
    assert np.abs((got - expected) / error).max() < 13
    assert got == pytest.approx(expected, abs=0.01)


def test_one_input_follows_k_eff_whatever_the_dimension():
    """The residual keeps its sign, and one input cannot push from both sides."""
    x, _, _ = points(1, 3)
    found = mean_field(x, np.ones(1), eta_rel=0.5, steps=12, particles=PARTICLES)
    assert not found.sticking.any()
    kernel = quadrature_k_eff(x[0].astype(np.float64))
    residual = (1 - found.eta * kernel) ** np.arange(13)
    assert 1 - found.outputs[:, 0] == pytest.approx(residual, abs=0.01)  # 1 % of the target, ten times its error


def quadrature_k_eff(x):
    """K_eff(x, x) at d = 3: c lies in the plane with sum 0, so s and q depend on an angle, and mu is independent.

    The mean change of relu(z) along x, averaged over both signs a, by a difference quotient of the exact integral.
    """
    angles = (np.arange(20_000) + 0.5) * 2 * np.pi / 20_000
    basis = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2.0], [6.0]])
    radii, weights = np.polynomial.laguerre.laggauss(24)  # r^2/2 of two normals is exponential
    means, mean_weights = np.polynomial.hermite_e.hermegauss(24)
    total = 0.0
    step = 1e-2
    for radius, weight in zip(np.sqrt(2 * radii), weights, strict=True):
        c = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1) @ basis
        for mean, mean_weight in zip(means / np.sqrt(3), mean_weights / np.sqrt(2 * np.pi), strict=True):
            w = c + mean
            z = quantized(w) @ x
            active = (z >= 0)[:, None] * x
            change = np.maximum(quantized(w + step * active) @ x, 0) - np.maximum(quantized(w - step * active) @ x, 0)
            total += weight * mean_weight * change.mean() / (2 * step)
    return total


def quantized(w):
    found = quantize_neurons(w)
    return found.s[:, None] * found.q + found.mu[:, None]


def test_both_sides_of_a_threshold_are_those_of_the_quantised_neuron():
    """z at weights just above and just below c_k = 0, to the size of what they are moved by."""
    rng = np.random.default_rng(0)
    w, k = rng.standard_normal((40, 6)), np.arange(40) % 6
    x = rng.standard_normal((5, 6))
    plus, minus = both_sides(w, k, x, scale="std")
    rows = np.arange(40)
    mean = w.mean(axis=1)
    others = (6 * mean - w[rows, k]) / 5
    c = w - others[:, None]
    for sign, expected in ((1e-9, plus), (-1e-9, minus)):
        c[rows, k] = sign
        assert quantized(c + mean[:, None]) @ x.T == pytest.approx(expected, abs=1e-7)


def test_types_that_no_input_switches_are_counted_and_not_followed():
    x, _, _ = points(3, 64)
    types = draw_types(x.astype(np.float64), np.empty((0, 64)), 4000, kappa=1.0, scale="std", seed=3)
    assert types.drawn == 4000
    assert 0 < len(types.jump) < 4000
    assert ((types.above != 0) != (types.below != 0)).any(axis=1).all()


def test_networks_come_closer_to_it_as_they_widen():
    """Outputs after 5 steps: the distance falls as m^-1/4, over a factor of 64 in width to 0.35 of what it was.

    A root mean square over 8 inputs, which move together, of 12 networks is known to about 1/sqrt(2 x 12) = 0.2, so
    that the ratio of two is below 0.35 (1 + 3 x 0.2 sqrt 2) = 0.65.
    """
    x, y, _ = points(8, 8)
    limit = mean_field(x, y, eta_rel=0.5, steps=5, particles=PARTICLES)
    away = {}
    for width in (256, 16384):
        outputs = [
            two_layer.train(x, y, two_layer.init(width, 8, seed=one, init="paired"), steps=5, eta_rel=0.5).outputs[-1]
            for one in range(12)
        ]
        away[width] = np.sqrt(np.mean((np.stack(outputs) - limit.outputs[5]) ** 2))
    assert away[16384] < 0.65 * away[256]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_bits_for_any_number_of_threads(threads):
    x, y, x_test = points(6, 5, n_test=2)
    with backends.using(threads=1):
        expected = mean_field(x, y, steps=20, particles=20_000, x_test=x_test, seed=4)
    for _ in range(3):
        with backends.using(threads=threads):
            found = mean_field(x, y, steps=20, particles=20_000, x_test=x_test, seed=4)
        for name in ("outputs", "test_outputs", "error", "sticking", "near_threshold"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_the_loss_of_averaged_outputs():
    x, y, _ = points(6, 4)
    found = mean_field(x, y, steps=9, particles=20_000)
    assert found.loss() == pytest.approx(0.5 * ((found.replicates - y) ** 2).sum(axis=2))
    mean = (found.replicates[:, :-2] + found.replicates[:, 1:-1] + found.replicates[:, 2:]) / 3
    assert found.loss(3) == pytest.approx(0.5 * ((mean - y) ** 2).sum(axis=2))
    assert found.loss(3).shape == (4, 8)


def test_weights_gather_at_their_thresholds_where_they_stick():
    """Density there, over that at the start: above 1 with sticking; a share of all weights sticks, never more."""
    x, y, _ = points(16, 8)
    found = mean_field(x, y, eta_rel=0.5, steps=60, particles=PARTICLES)
    assert found.near_threshold > 1.5
    assert ((found.sticking > 0) & (found.sticking < 0.5)).all()


@pytest.mark.parametrize(("wrong", "words"), [
    ({"x": np.ones((2, 1))}, "at least 2 features"),
    ({"x": np.ones(3)}, "x"),
    ({"y": [1.0]}, "y must be 3 finite numbers"),
    ({"y": [1.0, np.nan, 0.0]}, "y must be 3 finite numbers"),
    ({"x_test": np.ones((2, 5))}, "must match"),
    ({"start": [0.0]}, "start must be"),
    ({"activity": "latents"}, "activity"),
    ({"steps": 0}, "steps"),
    ({"eta_rel": -1.0}, "eta_rel"),
    ({"replicates": 1}, "replicates"),
    ({"particles": 3}, "particles"),
    ({"seed": -1}, "seed"),
    ({"scale": "mean"}, "scale"),
    ({"precision": "half"}, "precision"),
])  # fmt: skip
def test_bad_input_is_named(wrong, words):
    given = {"x": np.eye(3), "y": np.ones(3), "steps": 2, "particles": 1000} | wrong
    with pytest.raises(InputError, match=words):
        mean_field(given.pop("x"), given.pop("y"), **given)
