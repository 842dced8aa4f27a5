"""Exact statements about the network and its kernel, over random widths, dimensions, data and seeds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ntk1bit import kernels
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import quantize_neurons

widths = st.integers(1, 300)
dims = st.integers(2, 40)
counts = st.integers(2, 20)
seeds = st.integers(0, 2**31)
precisions = st.sampled_from(["one_bit", "full"])
scales = st.sampled_from(["std", "absmean"])
EPS32 = float(np.finfo(np.float32).eps)


def data(n, d, seed, kind="sphere"):
    """Unit inputs: spread out, clustered, or heavy-tailed; and targets in [-1, 1]."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    if kind == "clustered":
        x = x[rng.integers(0, 2, n)] + 1e-2 * x
    if kind == "heavy":
        x = rng.standard_cauchy((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True), rng.uniform(-1, 1, n)


kinds = st.sampled_from(["sphere", "clustered", "heavy"])


@given(m=widths, d=dims, n=counts, seed=seeds, precision=precisions, scale=scales, kind=kinds)
def test_deterministic_drift_bound_and_weyl_hold_along_training(m, d, n, seed, precision, scale, kind):
    """|H_ij(t) - H_ij(0)| <= kappa^2 |<x_i, x_j>| (changed_i + changed_j)/m, and Weyl's inequality."""
    x, y = data(n, d, seed, kind)
    start = two_layer.init(m, d, seed=seed)
    options = {"precision": precision, "scale": scale, "kappa": 0.5}
    before = kernels.empirical_ntk(x, start, **options)
    if not before.any():
        return
    run = two_layer.train(x, y, start, steps=15, eta_rel=1.5, record=2, **options)
    after = kernels.empirical_ntk(x, run.final, **options)
    active = [
        two_layer.activation_patterns(x, weights, **{k: v for k, v in options.items() if k != "kappa"})
        for weights in (start, run.final)
    ]
    changed = (active[0] != active[1]).sum(axis=0)
    # inner products of float64 inputs round by d eps; the network itself decides on activities in float32
    bound = 0.25 * np.abs(x @ x.T) * (changed[:, None] + changed[None]) / m
    assert (np.abs(after - before) <= bound + 1e-14).all()
    lowest, highest = (np.linalg.eigvalsh(kernel)[[0, -1]] for kernel in (before, after))
    moved = np.linalg.norm(after - before, 2)
    assert highest[0] >= lowest[0] - moved - 1e-13
    assert abs(highest[1] - lowest[1]) <= moved + 1e-13
    if not run.diverged:
        assert abs(run.drift[-1] - np.linalg.norm(after - before) / np.linalg.norm(before)) <= 1e-5  # x in float32


@given(m=widths, d=dims, n=counts, seed=seeds, scale=scales)
def test_outputs_depend_on_the_weights_only_through_sign_scale_and_mean(m, d, n, seed, scale):
    """Any w' with the same (q, s, mu) gives the same 1-bit outputs."""
    x, _ = data(n, d, seed)
    weights = two_layer.init(m, d, seed=seed)
    wide = two_layer.Weights(weights.w.astype(np.float64), weights.a.astype(np.float64))
    q = quantize_neurons(wide.w, scale=scale).q
    # permuting the magnitudes |w - mu| among coordinates of one sign keeps q, s and mu
    rng = np.random.default_rng(seed)
    other = wide.w.copy()
    for r in range(m):
        for sign in (1, -1):
            where = np.flatnonzero(q[r] == sign)
            other[r, where] = wide.w[r, rng.permutation(where)]
    same = quantize_neurons(other, scale=scale)
    np.testing.assert_array_equal(same.q, q)
    moved = two_layer.Weights(other, wide.a)
    # the two differ by the rounding of sums of d terms in another order, times m terms of size 1 over sqrt(m)
    tolerance = 1e-14 * d * np.sqrt(m)
    difference = two_layer.outputs(x, wide, scale=scale) - two_layer.outputs(x, moved, scale=scale)
    assert np.abs(difference).max() <= tolerance


@given(m=widths, d=dims, seed=seeds, scale=scales, alpha=st.floats(0.1, 10), beta=st.floats(-3, 3))
def test_signs_are_invariant_and_scale_and_mean_equivariant(m, d, seed, scale, alpha, beta):
    """q(alpha w + beta) = q(w), s(alpha w + beta) = alpha s(w), mu(alpha w + beta) = alpha mu(w) + beta."""
    w = two_layer.init(m, d, seed=seed).w.astype(np.float64)
    before, after = (quantize_neurons(v, scale=scale) for v in (w, alpha * w + beta))
    np.testing.assert_allclose(after.s, alpha * before.s, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(after.mu, alpha * before.mu + beta, rtol=1e-9, atol=1e-12)
    clear = np.abs(w - before.mu[:, None]) > 1e-12 * (1 + abs(beta) / alpha)  # beyond the rounding of the sum
    assert (after.q == before.q)[clear].all()


@given(m=st.integers(1, 60), d=dims, seed=seeds, push=st.floats(0, 1, exclude_max=True))
def test_no_sign_flips_while_no_weight_moves_half_its_distance_to_the_mean(m, d, seed, push):
    """No flip in neuron r while max_k |w_k(t) - w_k(0)| < min_k |w_k(0) - mu(0)| / 2; and the bound is not idle."""
    w = two_layer.init(m, d, seed=seed).w.astype(np.float64)
    mu = w.mean(axis=1, keepdims=True)
    room = np.abs(w - mu).min(axis=1, keepdims=True) / 2
    rng = np.random.default_rng(seed)
    for direction in (rng.uniform(-1, 1, w.shape), -np.sign(w - mu), np.sign(rng.standard_normal(w.shape))):
        moved = quantize_neurons(w + push * room * direction)
        still = room[:, 0] * (1 - push) > 1e-14  # beyond the rounding of the mean
        assert (moved.q == quantize_neurons(w).q).all(axis=1)[still].all()


@given(half=st.integers(1, 150), d=dims, n=counts, seed=seeds, precision=precisions, scale=scales)
def test_a_paired_network_starts_at_zero_with_the_kernel_of_its_half(half, d, n, seed, precision, scale):
    x, y = data(n, d, seed)
    paired = two_layer.init(2 * half, d, seed=seed, init="paired")
    single = two_layer.Weights(paired.w[:half], paired.a[:half])
    kernel = kernels.empirical_ntk(x, paired, precision=precision, scale=scale)
    np.testing.assert_allclose(kernel, kernels.empirical_ntk(x, single, precision=precision, scale=scale), rtol=1e-15)
    if kernel.any():
        run = two_layer.train(x, y, paired, precision=precision, scale=scale, steps=1)
        # the residual starts at -y in float32, so the starting loss is known
        assert abs(run.loss[0] - 0.5 * (y.astype(np.float32).astype(float) ** 2).sum()) <= 1e-12
        assert not run.outputs[0].any()
