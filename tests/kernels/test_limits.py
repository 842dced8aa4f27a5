from __future__ import annotations

import inspect

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.kernels import effective_ntk, empirical_ntk, gaussian_effective_ntk, gaussian_limit_ntk, limit_ntk
from ntk1bit.kernels import limits as limits_module
from ntk1bit.networks.quantizers import effective_weights
from ntk1bit.networks.two_layer import Weights, init


def sphere(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_full_precision_known_angles():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [np.sqrt(0.5), np.sqrt(0.5)]])
    value, error = limit_ntk(x, precision="full", kappa=2.0)
    # kappa^2 <x,x'> (pi - theta)/(2 pi) by hand: theta = 0, pi/2, pi, pi/4
    expected = 4 * np.array(
        [
            [1 / 2, 0, 0, np.sqrt(0.5) * 3 / 8],
            [0, 1 / 2, 0, np.sqrt(0.5) * 3 / 8],
            [0, 0, 1 / 2, -np.sqrt(0.5) / 8],
            [np.sqrt(0.5) * 3 / 8, np.sqrt(0.5) * 3 / 8, -np.sqrt(0.5) / 8, 1 / 2],
        ]
    )
    # an arc cosine near +-1 turns one rounding (2e-16) into an angle of 2e-8
    np.testing.assert_allclose(value, expected, atol=5e-8)
    assert not error.any()


def test_full_precision_matches_a_wide_network():
    x = sphere(12, 7)
    width = 200_000
    h = empirical_ntk(x, init(width, 7, seed=3), precision="full")
    value = limit_ntk(x, precision="full").value
    # an entry is a mean of `width` indicators times |<x,x'>| <= 1: standard deviation <= 0.5/sqrt(width); 5 of them
    assert np.abs(h - value).max() < 5 * 0.5 / np.sqrt(width)


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_one_bit_matches_a_wide_network(scale):
    x = sphere(12, 7)
    width = 200_000
    h = empirical_ntk(x, init(width, 7, seed=3), scale=scale)
    estimate = limit_ntk(x, scale=scale, samples=200_000, seed=1)
    # both sides are means of 200,000 indicators: their difference has sqrt(2) standard errors; 5 sigma over 144 entries
    assert (np.abs(h - estimate.value) < 5 * np.sqrt(2) * estimate.standard_error + 1e-12).all()


def test_at_dimension_two_the_quantiser_is_the_identity():
    x = sphere(10, 2)
    estimate = limit_ntk(x, samples=300_000, seed=2)
    exact = limit_ntk(x, precision="full").value
    assert (np.abs(estimate.value - exact) < 5 * estimate.standard_error + 1e-12).all()


def test_two_sets_of_inputs_are_a_block_of_one():
    x, x2 = sphere(5, 9), sphere(4, 9, seed=1)
    whole = limit_ntk(np.concatenate([x, x2]), samples=5_000, seed=4)
    part = limit_ntk(x, x2, samples=5_000, seed=4)
    # the same neurons in float32 and the same counts; inner products differ by the order of summation
    np.testing.assert_allclose(part.value, whole.value[:5, 5:], atol=1e-14)
    np.testing.assert_allclose(part.standard_error, whole.standard_error[:5, 5:], atol=1e-14)


@pytest.mark.parametrize("samples", [1, 7, 63, 64, 65, 1000])
def test_chunks_do_not_change_the_result(samples, monkeypatch):
    x = sphere(3, 6)
    whole = limit_ntk(x, samples=samples, seed=5)
    monkeypatch.setattr(limits_module, "_CHUNK_BYTES", 2000)  # about 20 neurons a chunk
    pieces = limit_ntk(x, samples=samples, seed=5)
    np.testing.assert_array_equal(pieces.value, whole.value)


def test_memory_does_not_grow_with_samples():
    sizes = limits_module.chunks(10_000_000, bytes_each=1536)
    assert sum(sizes) == 10_000_000
    assert max(sizes) * 1536 <= 1 << 26


@pytest.mark.slow
def test_standard_error_covers():
    """In 200 repetitions, the truth lies within 1.96 standard errors about 95 % of the time."""
    x = sphere(6, 5)
    truth = limit_ntk(x, samples=4_000_000, seed=10**6).value
    hits = []
    for seed in range(200):
        value, error = limit_ntk(x, samples=4_000, seed=seed)
        upper = np.triu_indices(6)
        hits.append((np.abs(value - truth) <= 1.96 * error)[upper])
    rate = np.mean(hits, axis=0)
    # binomial(200, 0.95): standard deviation 0.0154; 4 of them over 21 entries, and 0.005 for rounding of counts and
    # for the error of the truth, 1/sqrt(1000) of what is tested
    assert (rate > 0.95 - 4 * 0.0154 - 0.005).all()
    assert abs(rate.mean() - 0.95) < 0.02


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_gaussian_approximation_error_falls_with_dimension(scale):
    errors = []
    for d in (8, 128):
        x = sphere(24, d)
        value, error = limit_ntk(x, scale=scale, samples=400_000, seed=0)
        gap = np.linalg.norm(gaussian_limit_ntk(x, scale=scale) - value) / np.linalg.norm(value)
        errors.append((gap, np.linalg.norm(error) / np.linalg.norm(value)))
    (small_d, noise), (large_d, noise_large) = errors
    assert small_d > 5 * noise  # at d = 8 the approximation is visibly off ...
    assert large_d < 2 * noise_large  # ... at d = 128 (16 times smaller, if O(1/d)) it hides in the noise


@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_gaussian_covariance_is_that_of_the_quantised_neuron(scale):
    """The approximation uses Cov z = along <x,x'> + mean <1,x><1,x'>; recover it from quantised neurons."""
    d, samples = 6, 400_000
    w = np.random.default_rng(0).standard_normal((samples, d))
    quantised = effective_weights(w, scale=scale)
    covariance = quantised.T @ quantised / samples
    rho = -(2 / np.pi) * np.arcsin(1 / (d - 1))
    size = limits_module._mean_squared_scale(d, scale)
    expected = size * ((1 - rho) * np.eye(d) + rho) + 1 / d
    # products of two unit-variance entries have variance <= 3; 5 sigma over 36 entries. absmean drops Cov(s^2, q q),
    # which is O(1/d^2) = 0.03 at most here
    slack = 5 * np.sqrt(3 / samples) + (0.03 if scale == "absmean" else 0.0)
    assert np.abs(covariance - expected).max() < slack


def test_gaussian_approximation_at_one_dimension_is_exact():
    x = np.array([[1.0], [-1.0], [0.5]])
    np.testing.assert_allclose(gaussian_limit_ntk(x), limit_ntk(x, precision="full").value, atol=1e-15)


def test_paired_networks_have_the_same_limit():
    x = sphere(8, 5)
    width = 100_000
    h = empirical_ntk(x, init(width, 5, seed=0, init="paired"))
    value = limit_ntk(x, samples=1_000_000).value
    # half the neurons are copies, so the error is that of width/2 indicators; 5 sigma, and 20 % for the limit's own
    assert np.abs(h - value).max() < 1.2 * 5 * 0.5 / np.sqrt(width / 2)


def test_rows_of_zeros_and_read_only_or_strided_inputs():
    x = np.zeros((3, 4), dtype=np.float32)
    x[0, 0] = 1
    x.flags.writeable = False
    value, error = limit_ntk(x, samples=100)
    assert value[0, 0] > 0
    assert not value[1:].any()
    assert not error[1:].any()
    wide = sphere(4, 10)
    strided = limit_ntk(wide[:, ::2], samples=50).value
    np.testing.assert_array_equal(strided, limit_ntk(wide[:, ::2].copy(), samples=50).value)


def test_no_inputs_give_an_empty_kernel():
    assert limit_ntk(np.empty((0, 3)), samples=10).value.shape == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.array([[np.nan, 1.0]])}, "NaN or infinity"),
        ({"x": np.ones((2, 0))}, "at least one feature"),
        ({"x": np.ones((2, 3)), "x2": np.ones((2, 4))}, "3 features but x2 has 4"),
        ({"x": np.ones((2, 3)), "samples": 0}, "samples must be at least"),
        ({"x": np.ones((2, 3)), "seed": -1}, "seed must be"),
        *(({"samples": value}, "samples must be at least") for value in (0.5, np.nan, None, "9", True)),
        *(({"seed": value}, "seed must be a non-negative integer") for value in (0.5, np.nan, None, "9", True)),
        *(({"kappa": value}, "kappa must be") for value in (np.nan, np.inf, 0.0, -1.0, 1e200, None, "1")),
        ({"x": np.ones(3)}, "a matrix with a row for each input"),
        ({"x": np.ones((2, 3, 3, 1))}, "reshape images"),
        ({"x": np.ones((2, 3)) * 1j}, "complex"),
        ({"x": [[1.0], [1.0, 2.0]]}, "cannot be read"),
        ({"x": np.full((2, 3), 1e200)}, "too large for float32"),
        ({"x": np.full((2, 3), 1e-200)}, "too small for float32"),
        ({"x2": np.full((2, 3), np.nan)}, "x2: inputs contain NaN"),
        ({"scale": "no"}, "unknown scale"),
    ],
)
@pytest.mark.parametrize("function", [limit_ntk, effective_ntk, gaussian_limit_ntk, gaussian_effective_ntk])
@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named(function, arguments, message):
    known = {name: arguments[name] for name in arguments if name in inspect.signature(function).parameters}
    if known == arguments:
        with pytest.raises(InputError, match=message):
            function(**{"x": np.ones((2, 3)), **known})


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("function", [limit_ntk, effective_ntk, gaussian_limit_ntk, gaussian_effective_ntk])
def test_ordinary_python_values(function):
    x = np.array([[1, 0, 2], [0, -1, 1]])
    drawn = "samples" in inspect.signature(function).parameters
    expected = function(x.astype(np.float64), kappa=0.5, **({"samples": 100, "seed": 3} if drawn else {}))
    more = {"samples": np.int64(100), "seed": np.uint8(3)} if drawn else {}
    for given in (x, x.tolist(), x.astype(np.float32)):
        np.testing.assert_array_equal(function(given, kappa=np.float32(0.5), **more), expected)


def test_the_standard_error_of_counted_neurons():
    """One neuron, by hand: counts are 0 or 1 and the shrunk frequency is 1/3 or 2/3."""
    x = np.array([[1.0, 0.0, 0.0]])
    value, error = limit_ntk(x, samples=1, seed=0)
    assert value[0, 0] in (0.0, 1.0)
    np.testing.assert_allclose(error[0, 0], np.sqrt(2 / 9), rtol=1e-15)


def test_draws_are_not_those_of_a_network_with_the_same_seed():
    x = sphere(20, 4)
    weights = init(64, 4, seed=0)
    own = empirical_ntk(x, Weights(weights.w, np.ones_like(weights.a)))
    assert not np.array_equal(limit_ntk(x, samples=64, seed=0).value, own)
