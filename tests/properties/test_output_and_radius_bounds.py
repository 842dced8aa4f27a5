"""How large outputs are, how far 1-bit and full-precision ones are apart, and how far neurons move in training."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import effective_weights

from .data import (
    EPS32,
    EPS64,
    counts,
    dims,
    kinds,
    latent_weights,
    precisions,
    scales,
    seeds,
    targets,
    unit_inputs,
    weight_kinds,
    widths,
)

kappas = st.floats(0.01, 1)


@given(m=widths, d=dims, n=counts, seed=seeds, kind=kinds, scale=scales, kappa=kappas)
def test_the_gap_at_the_start_is_proportional_to_kappa(m, d, n, seed, kind, scale, kappa):
    """f - f' is homogeneous of degree 1 in kappa: same W(0) and a (D25, Lemma 5.1 asks for a small kappa)."""
    x, start = unit_inputs(n, d, seed, kind), two_layer.init(m, d, seed=seed)

    def both(factor):
        return [
            two_layer.outputs(x, start, precision=precision, scale=scale, kappa=factor).astype(np.float64)
            for precision in ("one_bit", "full")
        ]

    one_bit, full = both(1.0)
    scaled, scaled_full = both(kappa)
    # sum_r a_r relu(z_r) is the same number; kappa/sqrt(m) and the product each round once in float32, on both sides
    tolerance = 2 * EPS32 * kappa * (np.abs(one_bit) + np.abs(full)) + 1e-37
    assert (np.abs((scaled - scaled_full) - kappa * (one_bit - full)) <= tolerance).all()
    for power in (0.5, 0.125):  # a power of two changes exponents only
        halved, halved_full = both(power)
        np.testing.assert_array_equal(halved - halved_full, power * (one_bit - full))


@given(half=st.integers(1, 300), d=dims, n=counts, seed=seeds, kind=kinds, scale=scales, kappa=kappas)
def test_a_paired_start_has_no_gap_at_all(half, d, n, seed, kind, scale, kappa):
    x, start = unit_inputs(n, d, seed, kind), two_layer.init(2 * half, d, seed=seed, init="paired")
    for precision in ("one_bit", "full"):
        assert not two_layer.outputs(x, start, precision=precision, scale=scale, kappa=kappa).any()
    wide = two_layer.Weights(start.w.astype(np.float64), start.a.astype(np.float64))
    assert not two_layer.outputs(x, wide, scale=scale, kappa=kappa).any()


def preactivations(w, x, precision, scale):
    return (effective_weights(w, scale=scale) if precision == "one_bit" else w) @ x.T


def check_outputs(x, weights, scale, kappa, eps):
    """Check the bounds on |f|, |f'| and |f - f'| at these weights.

    `eps` is that of the arithmetic `outputs` works in: z is a sum of d products, and its error is relative to
    sum_k |v_k| |x_k| <= norm(v), v being the neuron or what it is quantised to; then come sum and factor.
    """
    wide, m = weights.w.astype(np.float64), weights.width
    factor = kappa / np.sqrt(m)
    f, z, rounding = {}, {}, 0.0
    for precision in ("one_bit", "full"):
        options = {"precision": precision, "scale": scale}
        f[precision] = two_layer.outputs(x, weights, kappa=kappa, **options).astype(np.float64)
        z[precision] = preactivations(wide, x, **options)
        neurons = effective_weights(wide, scale=scale) if precision == "one_bit" else wide
        # 2 d eps: the inputs' and the means' own rounding, and a sum of d terms; far means make s and mu cancel
        lengths = np.linalg.norm(neurons, axis=1) + np.linalg.norm(wide, axis=1)
        rounding += factor * (2 * x.shape[1] + 8) * eps * lengths.sum()
    for precision in ("one_bit", "full"):
        positive = factor * np.maximum(z[precision], 0).sum(axis=0)
        assert (np.abs(f[precision]) <= positive + rounding).all()
        assert (positive <= factor * np.abs(z[precision]).sum(axis=0) + rounding).all()
        assert (np.abs(f[precision]) <= factor * np.linalg.norm(z[precision], axis=0) * np.sqrt(m) + rounding).all()
    u = effective_weights(wide, scale=scale) - wide
    assert (np.abs(f["one_bit"] - f["full"]) <= factor * np.abs(u @ x.T).sum(axis=0) + rounding).all()
    return f, z, u, rounding


@given(m=widths, d=dims, n=counts, seed=seeds, kind=kinds, weights=weight_kinds, scale=scales, kappa=kappas)
def test_outputs_are_bounded_by_preactivations_and_their_gap_by_the_quantisation_difference(
    m, d, n, seed, kind, weights, scale, kappa
):
    """|f(x)| <= kappa/sqrt(m) sum_r |z_r(x)|; |f - f'| <= kappa/sqrt(m) sum_r |<u(w_r), x>|: relu is 1-Lipschitz.

    In float64. With equal output signs and all z_r >= 0 the first is an equality.
    """
    x = unit_inputs(n, d, seed, kind)
    a = np.random.default_rng(seed).choice([-1.0, 1.0], m)
    network = two_layer.Weights(latent_weights(m, d, seed, weights), a)
    check_outputs(x, network, scale, kappa, EPS64)
    # a neuron with a negative output turned round, and its input: one input at a time makes all of them active
    z = preactivations(network.w, x[:1], "full", scale)[:, 0]
    turned = two_layer.Weights(network.w * np.where(z >= 0, 1, -1)[:, None], np.ones(m))
    f, z, _, rounding = check_outputs(x[:1], turned, scale, kappa, EPS64)
    assert (np.abs(f["full"] - kappa / np.sqrt(m) * np.abs(z["full"]).sum(axis=0)) <= rounding).all()


@settings(max_examples=30)
@given(m=widths, d=dims, n=counts, seed=seeds, kind=kinds, scale=scales, precision=precisions)
def test_the_bounds_on_outputs_and_their_gap_hold_for_trained_weights(m, d, n, seed, kind, scale, precision):
    """For the core of D25's Thm 5.2 it does not matter where weights come from, if both networks share them."""
    x, y = unit_inputs(n, d, seed, kind), targets(n, seed)
    start = two_layer.init(m, d, seed=seed)
    if not two_layer.activation_patterns(x, start, precision=precision, scale=scale).any():
        return
    options = {"precision": precision, "scale": scale, "eta_rel": 1.5, "record": range(7)}
    seen = []
    two_layer.train(x, y, start, steps=6, observe=lambda now, eta: seen.append(now.w.copy()), **options)
    assert len(seen) > 1
    for w in seen[1:]:
        check_outputs(x, two_layer.Weights(w, start.a), scale, 1.0, EPS32)


@settings(max_examples=50)
@given(
    m=widths, d=dims, n=counts, seed=seeds, kind=kinds, scale=scales, precision=precisions, kappa=st.floats(0.1, 1),
    dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_a_neuron_moves_no_further_in_a_step_than_the_residual_allows(
    m, d, n, seed, kind, scale, precision, kappa, dtype
):
    """norm(w_r(t+1) - w_r(t)) <= eta kappa/sqrt(m) sqrt(n) norm(residual), and R(T) <= the sum of that over steps.

    The update is eta kappa/sqrt(m) a_r sum_i residual_i 1[active] x_i, of unit x_i, and the sum is no longer than
    sum_i |residual_i| <= sqrt(n) norm(residual); norm(residual) = sqrt(2 L). This is the step on which D25's Claim I.5
    rests. With one input an active neuron moves by exactly that.
    """
    x, y = unit_inputs(n, d, seed, kind), targets(n, seed)
    start = two_layer.init(m, d, seed=seed)
    start = two_layer.Weights(start.w.astype(dtype), start.a.astype(dtype))
    if not two_layer.activation_patterns(x, start, precision=precision, scale=scale).any():
        return
    steps, seen = 6, []
    run = two_layer.train(
        x, y, start, precision=precision, scale=scale, kappa=kappa, eta_rel=1.5, steps=steps, record=range(steps + 1),
        observe=lambda now, eta: seen.append(now.w.astype(np.float64)),
    )  # fmt: skip
    eps = float(np.finfo(dtype).eps)
    allowed = run.eta * kappa / np.sqrt(m) * np.sqrt(n) * np.sqrt(2 * run.loss)
    moved = [np.linalg.norm(after - before, axis=1) for before, after in pairwise(seen)]
    assert len(moved) >= 1
    total = 0.0
    for t, step in enumerate(moved):
        # a weight is stored once a step, off by eps |w_k|/2 at most; the gradient is a sum of n rounded products
        longest = max(np.linalg.norm(w, axis=1).max() for w in seen[t : t + 2])
        rounding = eps * longest + (n + 8) * eps * allowed[t]
        assert step.max() <= allowed[t] + rounding
        if n == 1:
            active = two_layer.activation_patterns(
                x, two_layer.Weights(seen[t].astype(dtype), start.a), precision=precision, scale=scale
            )
            assert np.abs(step[active[:, 0]] - allowed[t]).max(initial=0) <= rounding
            assert not step[~active[:, 0]].any()
        total += allowed[t] + rounding
        assert run.radius[t + 1] <= total
        # the radius is that of the neuron that is furthest away
        furthest = np.linalg.norm(seen[t + 1] - seen[0], axis=1).max()
        assert abs(run.radius[t + 1] - furthest) <= 4 * d * EPS64 * furthest


@settings(max_examples=25)
@given(m=widths, d=dims, seed=seeds, precision=precisions, scale=scales)
def test_repeated_inputs_with_equal_targets_attain_the_bound_of_a_step(m, d, seed, precision, scale):
    """n copies of one input and target, paired start: every active neuron moves by eta kappa sqrt(n/m) norm(y)."""
    n = 5
    x, y = np.repeat(unit_inputs(1, d, seed, "sphere"), n, axis=0), np.full(n, 0.7)
    start = two_layer.init(2 * m, d, seed=seed, init="paired")
    active = two_layer.activation_patterns(x, start, precision=precision, scale=scale)[:, 0]
    if not active.any():
        return
    run = two_layer.train(x, y, start, precision=precision, scale=scale, steps=1)
    moved = np.linalg.norm(run.final.w.astype(np.float64) - start.w, axis=1)
    bound = run.eta * np.sqrt(n / (2 * m)) * 0.7 * np.sqrt(n)
    rounding = EPS32 * np.linalg.norm(start.w, axis=1).max() + (n + 8) * EPS32 * bound
    assert np.abs(moved[active] - bound).max() <= rounding
    assert not moved[~active].any()
    assert abs(run.radius[-1] - bound) <= rounding
