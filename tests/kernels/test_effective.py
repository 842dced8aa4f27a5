from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.kernels import (
    SLOWDOWN,
    asymmetry,
    effective_ntk,
    gaussian_effective_ntk,
    kernel_ratio,
    limit_ntk,
    symmetric_part,
)
from ntk1bit.kernels import limits as limits_module
from ntk1bit.networks.quantizers import Scale, effective_weights
from ntk1bit.networks.two_layer import Activity, init, train

CASES: list[tuple[int, Scale]] = [(d, scale) for d in (8, 32, 128, 512) for scale in ("std", "absmean")]


def sphere(n: int, d: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d)) + mean
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def change_of_relu_reference(
    x: np.ndarray, x2: np.ndarray, *, scale: Scale, activity: Activity, epsilon: float, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """K_eff by definition, with no derivation: the central difference of relu(z) when w moves along x2 1[z(x2) >= 0].

    For K_lat it moves along x2 1[<w, x2> >= 0]. Returns its mean and standard error, (n, n2).
    """
    w = np.random.default_rng(seed).standard_normal((samples, x.shape[1]))

    def relu(weights: np.ndarray) -> np.ndarray:
        return np.maximum(effective_weights(weights, scale=scale) @ x.T, 0)

    columns = []
    for direction in x2:
        mover = w if activity == "latent" else effective_weights(w, scale=scale)
        move = epsilon * (mover @ direction >= 0)[:, None] * direction
        columns.append((relu(w + move) - relu(w - move)) / (2 * epsilon))
    change = np.stack(columns, axis=2)
    return change.mean(axis=0), change.std(axis=0) / np.sqrt(samples)


@pytest.mark.parametrize("scale", ["std", "absmean"])
@pytest.mark.parametrize("d", [3, 6])
@pytest.mark.parametrize("activity", ["straight_through", "latent"])
def test_matches_the_definition(d, scale, activity):
    """Entry by entry, inputs not centred, x and x2 different: the terms of mu, of s and of the flips all count."""
    x, x2 = sphere(4, d, mean=0.4).astype(np.float64), sphere(3, d, seed=1, mean=0.4).astype(np.float64)
    options: dict[str, Any] = {"scale": scale, "activity": activity, "samples": 400_000}
    value, error = effective_ntk(x, x2, seed=0, **options)
    expected, noise = change_of_relu_reference(x, x2, epsilon=0.02, seed=7, **options)
    # 4.5 joint standard errors over 12 entries; the central difference is biased by O(epsilon), about 0.4 epsilon here
    assert (np.abs(value - expected) < 4.5 * np.hypot(error, noise) + 0.4 * 0.02).all()


def test_at_dimension_two_it_is_the_full_precision_limit():
    x = sphere(8, 2)
    for scale in ("std", "absmean"):
        for activity in ("straight_through", "latent"):
            value, error = effective_ntk(x, scale=scale, activity=activity, samples=200_000)
            exact = limit_ntk(x, precision="full").value
            assert (np.abs(value - exact) < 5 * error + 1e-6).all()  # 5 sigma over 64 entries; float32 products
        # z is <w, x> there, so every coactivity is that of full precision; an arc cosine near 1 is good to 1e-7
        for coactivity in (limits_module.gaussian_coactivity, limits_module.gaussian_latent_coactivity):
            wide = x.astype(float)
            np.testing.assert_allclose(
                coactivity(wide, wide, scale=scale), limits_module.orthant_probability(wide, wide), atol=1e-6
            )


def step_against_prediction(
    d: int, scale: Scale, *, seeds: int, width: int, samples: int, activity: Activity = "straight_through"
) -> tuple[float, float, float]:
    """Return y^T (change of f)/eta over one small step, measured and predicted, and the joint standard error."""
    x = sphere(16, d, seed=d)
    y = np.where(np.random.default_rng(d + 1).random(16) < 0.5, -1, 1).astype(np.float32)
    changes = []
    for seed in range(seeds):
        start = init(width, d, seed=seed, init="paired")
        run = train(x, y, start, scale=scale, activity=activity, eta_rel=0.25, steps=1)
        changes.append(float(y @ (run.outputs[1] - run.outputs[0])) / run.eta)
    forms = []
    for seed in range(8):
        kernel = effective_ntk(x, scale=scale, activity=activity, samples=samples // 8, seed=seed).value
        forms.append(float(y @ kernel @ y))
    error = np.hypot(np.std(changes, ddof=1) / np.sqrt(seeds), np.std(forms, ddof=1) / np.sqrt(8))
    return float(np.mean(changes)), float(np.mean(forms)), float(error)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "scale"), CASES)
def test_one_step_of_real_networks(d, scale):
    """The mean change of f in one small straight-through step is -eta K_eff r, within 3 standard errors."""
    measured, predicted, error = step_against_prediction(d, scale, seeds=3200 // (d + 8), width=2048, samples=200_000)
    # the more coordinates, the less one network's noise: fewer are needed. The test sees a term of 10 %; K_eff and H
    # differ by 20 to 40 %
    assert error < 0.03 * predicted
    # one step of finite size adds a bias of order epsilon, about 0.1 % here and a tenth of the standard error
    assert abs(measured - predicted) < 3 * error
    x = sphere(16, d, seed=d)
    y = np.where(np.random.default_rng(d + 1).random(16) < 0.5, -1, 1)
    by_h = float(y @ limit_ntk(x, scale=scale, samples=100_000).value @ y)
    assert abs(measured - by_h) > 6 * error  # H does not explain the step


def test_one_step_of_real_networks_quick():
    measured, predicted, error = step_against_prediction(16, "std", seeds=60, width=1024, samples=100_000)
    assert error < 0.1 * predicted
    assert abs(measured - predicted) < 3 * error  # 3 standard errors, one case


@pytest.mark.parametrize("activity", ["latent", "frozen"])
def test_one_step_by_other_activities(activity):
    """At d = 64 inputs are nearly orthogonal, and the diagonal, where K_lat is 0.8 of K_eff, has most of y^T K y."""
    measured, predicted, error = step_against_prediction(
        64, "std", seeds=40, width=1024, samples=40_000, activity=activity
    )
    assert error < 0.05 * predicted
    assert abs(measured - predicted) < 3 * error  # 3 standard errors
    x, y = sphere(16, 64, seed=64), np.where(np.random.default_rng(65).random(16) < 0.5, -1, 1)
    of_another: Activity = "straight_through" if activity == "latent" else "latent"
    refuted = float(y @ effective_ntk(x, activity=of_another, samples=40_000).value @ y)
    assert abs(measured - refuted) > 3 * error


@pytest.mark.parametrize("scale", ["std", "absmean"])
@pytest.mark.parametrize("mean", [0.0, 0.05])
def test_large_dimension_value_for_latent_activities(scale, mean):
    """At d = 512 the closed form agrees with the Monte Carlo estimate to its noise and corrections of O(1/d)."""
    x, x2 = sphere(8, 512, mean=mean).astype(float), sphere(6, 512, seed=1, mean=mean).astype(float)
    x2[:3] = x[:3]  # a diagonal, on which K_lat is 0.80 of K_eff
    value, error = effective_ntk(x, x2, scale=scale, activity="latent", samples=64_000)
    closed = gaussian_effective_ntk(x, x2, scale=scale, activity="latent")
    # 48 entries: 4.5 standard errors, and 4/512 of the largest entry for what is not Gaussian
    assert (np.abs(value - closed) < 4.5 * error + 4 / 512 * closed.max()).all()
    assert np.abs(value - gaussian_effective_ntk(x, x2, scale=scale)).max() > 0.1 * closed.max()  # of K_eff


def test_large_dimension_value_by_hand():
    """For inputs without component along 1: c kappa^2 <x,x'> (pi - arccos(sqrt(2/pi) rho))/(2 pi), within 1/d."""
    x = np.zeros((2, 10_000))
    x[0, :2], x[1, 1:3] = (1, -1), (1, -1)
    x /= np.sqrt(2)
    rho = x @ x.T
    for scale, c in SLOWDOWN.items():
        expected = c * 0.09 * rho * (np.pi - np.arccos(np.sqrt(2 / np.pi) * rho)) / (2 * np.pi)
        closed = gaussian_effective_ntk(x, kappa=0.3, scale=scale, activity="latent")  # pyright: ignore[reportArgumentType] (a key of SLOWDOWN)
        np.testing.assert_allclose(closed, expected, rtol=1e-3)


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_ratio_for_centred_inputs_tends_to_the_constant(scale):
    """With <1,x> = 0 every direction is slowed by c as d grows; off the diagonal corrections are O(1/d)."""
    x = np.random.default_rng(0).standard_normal((24, 512))
    x -= x.mean(axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    # neighbours on the sphere, so that off-diagonal entries are large
    x = x[:1] + 0.7 * x
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    off = ~np.eye(24, dtype=bool)
    kernel = effective_ntk(x, scale=scale, samples=24_000).value
    ratio = kernel_ratio(kernel[off][None], limit_ntk(x, precision="full").value[off][None])
    # activity on x and on a neighbour share the kink partly: within 4 % of the limit at d = 512
    assert abs(ratio / SLOWDOWN[scale] - 1) < 0.04


def test_the_mean_direction_is_not_slowed():
    """Inputs near the direction 1 are passed on by mu, whose gradient is exact: K_eff -> H there, not c H."""
    x = np.abs(sphere(6, 256)) * 0.02 + 1
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    kernel = effective_ntk(x, samples=64_000)
    exact = limit_ntk(x, samples=64_000).value
    # each is good to its standard error, 0.5/sqrt(64000) = 0.2 % of the value 0.5
    assert abs(kernel_ratio(kernel.value, exact) - 1) < 0.02
    np.testing.assert_allclose(gaussian_effective_ntk(x), limit_ntk(x, precision="full").value, rtol=0.02)


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_large_dimension_value_is_approached(scale):
    """The approach is O(d^-1/2) (the diagonal's kink): 16 times d must bring the gap down to about a quarter."""
    gaps = []
    for d in (16, 256):
        x = sphere(16, d, seed=2)
        value = effective_ntk(x, scale=scale, samples=64_000).value
        gaps.append(np.linalg.norm(value - gaussian_effective_ntk(x, scale=scale)) / np.linalg.norm(value))
    assert gaps[1] < 0.5 * gaps[0]  # a quarter, plus Monte Carlo noise of about 1 % of the kernel


@pytest.mark.slow
def test_standard_error_covers():
    """In 200 repetitions the truth lies within 1.96 standard errors about 95 % of the time."""
    x = sphere(4, 5, mean=0.3)
    truth = effective_ntk(x, samples=4_000_000, seed=10**6).value
    hits = []
    for seed in range(200):
        value, error = effective_ntk(x, samples=6_400, seed=seed)
        hits.append(np.abs(value - truth) <= 1.96 * error)
    rate = np.mean(hits, axis=0)
    # Student's t with 63 degrees of freedom: 94.6 %. Standard deviation of a rate 0.016; 4 of them over 16 entries.
    # The truth's own error, 1/25 of what is tested, costs less than 0.2 %.
    assert (rate > 0.946 - 4 * 0.016 - 0.002).all()
    assert abs(rate.mean() - 0.946) < 0.02


@pytest.mark.parametrize("samples", [64, 65, 1000, 1027])
def test_chunks_of_neurons_estimate_the_same(samples, monkeypatch):
    x = sphere(3, 6)
    # each chunk draws its own starting coordinate, so other chunks mean another estimate of the same number
    whole = effective_ntk(x, samples=samples, seed=5)
    assert np.isfinite(whole.value).all()
    assert (whole.standard_error > 0).all()
    monkeypatch.setattr(limits_module, "_CHUNK_BYTES", 4000)
    pieces = effective_ntk(x, samples=samples, seed=5)
    # two estimates of one number: 6 joint standard errors over 9 entries of a t distribution
    assert (np.abs(pieces.value - whole.value) < 6 * np.hypot(pieces.standard_error, whole.standard_error)).all()


def test_kappa_scales_value_and_error():
    x = sphere(3, 6)
    one, two = effective_ntk(x, samples=640, seed=1), effective_ntk(x, samples=640, seed=1, kappa=2.0)
    np.testing.assert_allclose(two.value, 4 * one.value, rtol=1e-14)
    np.testing.assert_allclose(two.standard_error, 4 * one.standard_error, rtol=1e-14)


def test_two_sets_of_inputs_are_a_block_of_one():
    x, x2 = sphere(5, 9), sphere(4, 9, seed=1)
    whole = effective_ntk(np.concatenate([x, x2]), samples=640, seed=4).value
    np.testing.assert_allclose(effective_ntk(x, x2, samples=640, seed=4).value, whole[:5, 5:], atol=1e-5)  # float32


def test_symmetric_part_and_asymmetry_by_hand():
    kernel = np.array([[1.0, 3.0], [1.0, 1.0]])
    np.testing.assert_array_equal(symmetric_part(kernel), [[1.0, 2.0], [2.0, 1.0]])
    # antisymmetric part [[0, 1], [-1, 0]]: norm sqrt(2); the kernel's norm sqrt(12)
    np.testing.assert_allclose(asymmetry(kernel), np.sqrt(2 / 12))
    assert asymmetry(np.eye(3)) == 0
    assert asymmetry(np.zeros((2, 2))) == 0


def test_ratio_by_hand():
    assert kernel_ratio(np.array([[2.0, 0.0]]), np.array([[1.0, 1.0]])) == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((2, 1))}, "at least 2 features"),
        ({"x": np.array([[np.inf, 1.0]])}, "NaN or infinity"),
        ({"x": np.ones((2, 3)), "x2": np.ones((2, 4))}, "they must match"),
        ({"x": np.ones((2, 3)), "samples": 63}, "samples must be at least 64"),
        ({"x": np.ones((2, 3)), "seed": -1}, "seed must be"),
        ({"x": np.ones((2, 3)), "activity": "all"}, "unknown activity"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        effective_ntk(**arguments)


@pytest.mark.usefixtures("untyped")
def test_mistakes_with_kernels_are_named():
    with pytest.raises(InputError, match="square"):
        symmetric_part(np.ones((2, 3)))
    with pytest.raises(InputError, match="must match"):
        kernel_ratio(np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(InputError, match="zero"):
        kernel_ratio(np.ones((2, 2)), np.zeros((2, 2)))
