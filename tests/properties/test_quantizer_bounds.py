"""How large weights, means and scales are, and how far a quantised neuron is from its latent weights.

c = w - mu, u = s q + mu - w = s q - c (D25, Def. D.3 and the quantisation difference of Lemma D.7).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import dequantize_neurons, quantize_neurons

from .data import EPS64, dims, kinds, latent_weights, seeds, unit_inputs, weight_kinds, widths
from .failures import fails_too_often

dtypes = st.sampled_from([np.float32, np.float64])


def rounding(w):
    """Return, a row each, what sums of d terms of size max|w| round by; the factor is for the few operations around."""
    return 4 * w.shape[1] * np.finfo(w.dtype).eps * np.abs(w).max(axis=1)


@given(m=widths, d=dims, seed=seeds, kind=weight_kinds, dtype=dtypes)
def test_mean_and_scales_are_bounded_by_the_largest_weight(m, d, seed, kind, dtype):
    """|mu| <= max|w|, s_absmean <= s_std, s_std^2 <= mean w^2 <= max w^2, norm(w) <= sqrt(d) max|w|."""
    w = latent_weights(m, d, seed, kind).astype(dtype)
    std, absmean = (quantize_neurons(w, scale=scale) for scale in ("std", "absmean"))
    most, slack = np.abs(w).max(axis=1), rounding(w)
    exact = w.astype(np.float64)
    mean_square = (exact**2).mean(axis=1)
    assert (np.abs(std.mu) <= most + slack).all()
    assert (absmean.s <= std.s + slack).all()
    # the mean is taken off: s^2 = mean w^2 - mu^2; the difference of squares rounds by eps times the largest square
    assert (std.s.astype(np.float64) ** 2 <= mean_square - std.mu.astype(np.float64) ** 2 + 4 * slack * most).all()
    assert (mean_square <= most.astype(np.float64) ** 2 * (1 + d * EPS64)).all()
    assert (np.linalg.norm(exact, axis=1) <= np.sqrt(d) * most * (1 + d * EPS64)).all()


def largest_weight_bound(m, d, delta):
    """sqrt(2 log(2 m d/delta)): P|N(0,1)| > t is at most exp(-t^2/2), over m d weights (D25, Lemma I.6)."""
    return np.sqrt(2 * np.log(2 * m * d / delta))


@settings(max_examples=40)
@given(
    m=widths, d=dims, seed=seeds, delta=st.sampled_from([0.01, 0.1, 0.5, 0.9]), init=st.sampled_from(["iid", "paired"])
)
def test_the_largest_starting_weight_exceeds_its_logarithmic_bound_no_more_often_than_delta(m, d, seed, delta, init):
    """With probability >= 1 - delta, max |w_rk(0)| <= sqrt(2 log(2 m d/delta)); and so are all |mu_r| and s_r."""
    trials, bound = 40, largest_weight_bound(m, d, delta)
    failures = 0
    for trial in range(trials):
        w = two_layer.init(m if init == "iid" else 2 * m, d, seed=seed + trial, init=init).w
        failures += bool(np.abs(w).max() > (bound if init == "iid" else largest_weight_bound(2 * m, d, delta)))
    assert not fails_too_often(failures, trials, delta)


def test_the_bound_on_the_largest_weight_has_little_room():
    """0.7 of it is refuted: the test above could fail."""
    m, d, delta, trials = 300, 40, 0.1, 40
    bound = 0.7 * largest_weight_bound(m, d, delta)
    failures = sum(bool(np.abs(two_layer.init(m, d, seed=seed).w).max() > bound) for seed in range(trials))
    assert fails_too_often(failures, trials, delta)


def difference(w, scale):
    """Return u = s q + mu - w, with s, q, mu and c."""
    quantized = quantize_neurons(w, scale=scale)
    return dequantize_neurons(quantized) - w, quantized, w - quantized.mu[:, None]


@given(m=st.integers(1, 100), d=dims, n=st.integers(1, 6), seed=seeds, kind=weight_kinds, data=kinds)
def test_the_absmean_quantisation_difference_is_no_longer_than_the_centred_weights(m, d, n, seed, kind, data):
    """|<u, x>| <= norm(u) <= norm(c): s q is the orthogonal projection of c on q, so u = -(c - projection).

    Hence norm(u)^2 = norm(c)^2 - d s^2, and u is orthogonal to q. x = u/norm(u) makes the first step an equality.
    """
    w = latent_weights(m, d, seed, kind)
    u, (q, s, _), c = difference(w, "absmean")
    size, slack = np.linalg.norm(u, axis=1), np.sqrt(d) * rounding(w)
    assert (size <= np.linalg.norm(c, axis=1) + slack).all()
    # squares of vectors of length <= 2 sqrt(d) max|w|, each off by `slack`
    squares = 8 * slack * np.sqrt(d) * np.abs(w).max(axis=1)
    assert (np.abs(size**2 - ((c**2).sum(axis=1) - d * s**2)) <= squares).all()
    assert (np.abs((u * q).sum(axis=1)) <= np.sqrt(d) * slack).all()
    assert (np.abs(u @ unit_inputs(n, d, seed, data).T) <= size[:, None] + slack[:, None]).all()
    worst = np.divide(u, size[:, None], out=np.zeros_like(u), where=size[:, None] > 0)
    np.testing.assert_allclose(np.abs((u * worst).sum(axis=1)), size, rtol=2 * d * EPS64)


@given(m=st.integers(1, 100), d=dims, n=st.integers(1, 6), seed=seeds, kind=weight_kinds, data=kinds)
def test_the_std_quantisation_difference_is_at_most_sqrt_2d_scales(m, d, n, seed, kind, data):
    """|<u, x>| <= norm(u) <= sqrt(2 d (1 - sqrt(2/d))) s <= sqrt(2 d) s <= sqrt(2 d) max|c|.

    norm(u)^2 = d s^2 - 2 s sum|c_k| + norm(c)^2 = 2 d s (s - mean|c|), since norm(c)^2 = d s^2. Now sum c_k = 0, so the
    positive and the negative part of c both sum to P = sum|c_k|/2, and norm(c)^2 <= 2 P^2: mean|c| >= sqrt(2/d) s.
    At d = 2 nothing is left (the quantiser is lossless), and weights with two spikes attain the bound at every d.
    """
    w = latent_weights(m, d, seed, kind)
    u, (_, s, _), c = difference(w, "std")
    size, slack = np.linalg.norm(u, axis=1), np.sqrt(d) * rounding(w)
    squares = 8 * slack * np.sqrt(d) * np.abs(w).max(axis=1)  # of vectors of length <= 3 sqrt(d) max|w|, off by `slack`
    assert (np.abs(size**2 - 2 * d * s * (s - np.abs(c).mean(axis=1))) <= squares).all()
    sharp = 2 * d * s**2 * (1 - np.sqrt(2 / d))
    assert (size**2 <= sharp + squares).all()
    if kind == "two_spikes":
        assert (size**2 >= sharp - squares).all()
    assert (size <= np.sqrt(2 * d) * s + slack).all()
    assert (s <= np.abs(c).max(axis=1) + slack).all()
    reach = np.abs(u @ unit_inputs(n, d, seed, data).T)
    assert (reach <= np.sqrt(2 * d) * s[:, None] + slack[:, None]).all()
    worst = np.divide(u, size[:, None], out=np.zeros_like(u), where=size[:, None] > 0)
    np.testing.assert_allclose(np.abs((u * worst).sum(axis=1)), size, rtol=2 * d * EPS64)


@given(
    m=st.integers(1, 100), d=dims, seed=seeds, kind=weight_kinds,
    factor=st.floats(-2, 3).filter(lambda factor: abs(factor - 1) > 1e-3),
)  # fmt: skip
def test_absmean_is_the_least_squares_scale_and_every_other_one_is_worse_by_its_distance_squared(
    m, d, seed, kind, factor
):
    """norm(w - mu - s q)^2 = (its minimum, at s = absmean) + d (s - absmean)^2."""
    w = latent_weights(m, d, seed, kind)
    q, best, mu = quantize_neurons(w, scale="absmean")
    c = w - mu[:, None]

    def error(s):
        return ((c - s[:, None] * q) ** 2).sum(axis=1)

    # squares of vectors of length <= 8 sqrt(d) max|w| (a scale of 3 absmean at most), each off by sqrt(d) rounding
    squares = 64 * d * rounding(w) * np.abs(w).max(axis=1)
    for s in (factor * best, quantize_neurons(w, scale="std").s):
        assert (np.abs(error(s) - error(best) - d * (s - best) ** 2) <= squares).all()
    if kind != "far_mean":  # there c is a thousandth of w, and so close to its own rounding
        clear = d * ((factor - 1) * best) ** 2 > squares
        assert (error(factor * best) > error(best))[clear].all()
        assert clear.mean() > 0.9 or kind == "heavy"


@given(m=st.integers(1, 100), d=dims, seed=seeds, kind=weight_kinds)
def test_std_is_the_least_squares_scale_only_if_all_deviations_are_equally_large(m, d, seed, kind):
    w = latent_weights(m, d, seed, kind)
    std, best = (quantize_neurons(w, scale=scale).s for scale in ("std", "absmean"))
    size = np.abs(w - w.mean(axis=1, keepdims=True))
    spread = size.max(axis=1) - size.min(axis=1)
    # s_std^2 - s_absmean^2 is the variance of |c|, which lies between spread^2/(2 d) and spread^2
    slack = 4 * rounding(w) * np.abs(w).max(axis=1)
    assert (std**2 - best**2 >= spread**2 / (2 * d) - slack).all()
    assert (std**2 - best**2 <= spread**2 + slack).all()
    if kind == "equal_sizes" and d % 2 == 0:
        np.testing.assert_array_equal(std, best)  # multiples of 1/8: every sum is exact


@pytest.mark.parametrize("d", [3, 4, 64])
@pytest.mark.parametrize("seed", range(3))
def test_gaussian_neurons_are_never_quantised_best_by_std(d, seed):
    w = two_layer.init(200, d, seed=seed).w.astype(np.float64)
    std, best = (quantize_neurons(w, scale=scale).s for scale in ("std", "absmean"))
    assert (std > best * (1 + 1e-9)).all()
