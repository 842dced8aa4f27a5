"""What H(0) and H(t) can be: their range, how far they move, and how far H(0) is from its limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk1bit import kernels
from ntk1bit.networks import two_layer

from .data import EPS64, counts, dims, kinds, precisions, scales, seeds, targets, unit_inputs, widths
from .failures import fails_too_often

TRIALS = 40
ANGLE = 1e-7  # float32 inputs and an arc cosine near 1 each put an error of about 1e-7 into an angle of the closed form


@given(m=widths, d=dims, n=counts, seed=seeds, kind=kinds, precision=precisions, scale=scales, kappa=st.floats(0.1, 1))
def test_an_entry_of_the_kernel_lies_between_zero_and_kappa_squared_times_the_inner_product(
    m, d, n, seed, kind, precision, scale, kappa
):
    """0 <= H_ij / (kappa^2 <x_i, x_j>) <= 1, so |H_ij| <= kappa^2; the ratio is a multiple of 1/m."""
    x = unit_inputs(n, d, seed, kind)
    h = kernels.empirical_ntk(x, two_layer.init(m, d, seed=seed), precision=precision, scale=scale, kappa=kappa)
    inner = x @ x.T
    # the counts are exact and the inner products are the same product: three roundings are left, of each entry
    allowance = 3 * EPS64 * np.abs(inner)
    assert (np.abs(h) <= kappa**2 * np.abs(inner) + allowance).all()
    assert (np.abs(h) <= kappa**2 * (1 + 2 * d * EPS64)).all()  # and unit inputs round by d eps
    assert (h * inner >= 0).all()
    assert (np.diag(h) >= h.max(axis=1) - kappa**2 * 1e-15 * d).all()  # co-activity and <x_i, x_j> peak at i = j
    assert (np.abs(h - h.T) <= allowance).all()


@given(m=widths, d=dims, n=counts, seed=seeds, kind=kinds, precision=precisions, scale=scales, kappa=st.floats(0.1, 1))
def test_the_kernel_is_positive_semidefinite(m, d, n, seed, kind, precision, scale, kappa):
    """H is the entrywise product of two Gram matrices, X X^T and A^T A (Schur)."""
    x = unit_inputs(n, d, seed, kind)
    h = kernels.empirical_ntk(x, two_layer.init(m, d, seed=seed), precision=precision, scale=scale, kappa=kappa)
    # entries are off by at most (d + 3) eps kappa^2, so the matrix by n times that (its row sum);
    # eigvalsh is backward stable: n eps norm_2(H), and norm_2(H) <= n kappa^2
    tolerance = n * (d + 3 + n) * EPS64 * kappa**2
    assert np.linalg.eigvalsh(h)[0] >= -tolerance


@settings(max_examples=40)
@given(m=widths, d=dims, n=counts, seed=seeds, kind=kinds, precision=precisions, scale=scales, kappa=st.floats(0.1, 1))
def test_the_kernel_moves_no_further_than_activities_change(m, d, n, seed, kind, precision, scale, kappa):
    """norm_F(H(t) - H(0)) <= 2 kappa^2 n max_i changed_i / m.

    Neuron r adds 1[i active] 1[j active] to the count of (i, j), which differs only if its activity on i or on j does:
    |H_ij(t) - H_ij(0)| <= kappa^2 |<x_i, x_j>| (changed_i + changed_j)/m <= 2 kappa^2 max_i changed_i / m, because
    |<x_i, x_j>| <= 1; and there are n^2 entries. One input is where the last step is an equality up to the factor 2.
    """
    x, y = unit_inputs(n, d, seed, kind), targets(n, seed)
    start = two_layer.init(m, d, seed=seed)
    active = two_layer.activation_patterns(x, start, precision=precision, scale=scale)
    if not active.any():
        return
    run = two_layer.train(
        x, y, start, precision=precision, scale=scale, kappa=kappa, steps=8, eta_rel=1.5, record=[0, 8]
    )
    before, after = (
        kernels.empirical_ntk(x, weights, precision=precision, scale=scale, kappa=kappa)
        for weights in (start, run.final)
    )
    changed = (two_layer.activation_patterns(x, run.final, precision=precision, scale=scale) != active).sum(axis=0)
    # both kernels are exact counts times the same inner products, up to three roundings of entries of size kappa^2
    rounding = 6 * EPS64 * kappa**2
    bound = kappa**2 * np.abs(x @ x.T) * (changed[:, None] + changed[None]) / m
    assert (np.abs(after - before) <= bound + rounding).all()
    moved = np.linalg.norm(after - before)
    assert moved <= 2 * kappa**2 * n * changed.max(initial=0) / m + n * rounding + 2 * n * d * EPS64
    if not run.diverged:  # the trajectory's own count
        assert abs(run.max_activation_change[-1] - changed.max(initial=0) / m) <= EPS64


def hoeffding(inner, m, delta, kappa=1.0):
    """kappa^2 |<x_i, x_j>| sqrt(log(2 n^2/delta)/(2m)): m independent indicators in each of n^2 entries."""
    return kappa**2 * np.abs(inner) * np.sqrt(np.log(2 * inner.size / delta) / (2 * m))


def failures(x, limit, bound, m, seed, trials=TRIALS, **options):
    """Count the starts at which an entry of H(0) is further from the limit than the bound."""
    start = options.pop("init", "iid")
    return sum(
        bool((np.abs(kernels.empirical_ntk(x, w, **options) - limit) > bound).any())
        for w in (two_layer.init(m, x.shape[1], seed=seed + trial, init=start) for trial in range(trials))
    )


starts = st.sampled_from(["iid", "paired"])
deltas = st.sampled_from([0.02, 0.1, 0.5])


@settings(max_examples=25)
@given(half=st.integers(1, 300), odd=st.booleans(), d=dims, n=counts, seed=seeds, kind=kinds, delta=deltas, init=starts)
def test_at_the_start_the_full_precision_kernel_is_as_close_to_its_limit_as_hoeffding_says(
    half, odd, d, n, seed, kind, delta, init
):
    """|H_ij(0) - limit_ij| <= kappa^2 |<x_i, x_j>| sqrt(log(2 n^2/delta)/(2m)) for all i, j, with chance >= 1 - delta.

    In a `paired` network every neuron comes twice, so m/2 independent ones are averaged and the bound has m/2 for m.
    """
    m = 2 * half + (odd and init == "iid")
    x, kappa = unit_inputs(n, d, seed, kind), 0.5
    bound = hoeffding(x @ x.T, m if init == "iid" else half, delta, kappa)
    limit = kernels.limit_ntk(x, precision="full", kappa=kappa).value
    failed = failures(x, limit, bound + kappa**2 * ANGLE, m, seed, precision="full", kappa=kappa, init=init)
    assert not fails_too_often(failed, TRIALS, delta)


@settings(max_examples=20)
@given(
    half=st.integers(1, 300), odd=st.booleans(), d=dims, n=counts, seed=seeds, kind=kinds, delta=deltas, init=starts,
    scale=scales,
)  # fmt: skip
def test_at_the_start_the_one_bit_kernel_is_as_close_to_its_limit_as_hoeffding_says(
    half, odd, d, n, seed, kind, delta, init, scale
):
    """The same bound; its limit is a Monte Carlo estimate, which adds six of its standard errors.

    Six leave it 2e-9 an entry to be further off than that. Estimate and network decide on activities with the very
    same float32 operations, so an exact z = 0, which sign vectors give, falls to the same side in both.
    """
    m = 2 * half + (odd and init == "iid")
    x = unit_inputs(n, d, seed, kind)
    limit = kernels.limit_ntk(x, scale=scale, samples=60_000, seed=seed)
    bound = hoeffding(x @ x.T, m if init == "iid" else half, delta) + 6 * limit.standard_error
    assert not fails_too_often(failures(x, limit.value, bound, m, seed, scale=scale, init=init), TRIALS, delta)


@pytest.mark.parametrize("precision", ["full", "one_bit"])
@pytest.mark.parametrize("init", ["iid", "paired"])
@pytest.mark.parametrize("kind", ["sphere", "heavy"])
def test_a_quarter_of_hoeffdings_bound_is_refuted(precision, init, kind):
    """So the tests above can fail: at n = 8 the bound is 4 standard deviations of an entry or more; a quarter, 1."""
    m, d, delta = 256, 20, 0.1
    x = unit_inputs(8, d, 3, kind)
    limit = kernels.limit_ntk(x, precision=precision, samples=400_000)
    bound = hoeffding(x @ x.T, m if init == "iid" else m // 2, delta) / 4 + 6 * limit.standard_error
    failed = failures(x, limit.value, bound, m, 0, precision=precision, init=init)
    assert fails_too_often(failed, TRIALS, delta)


def test_a_paired_network_needs_half_the_width_in_hoeffdings_bound():
    """The bound for m independent neurons is refuted by m/2 of them twice, and the one for m/2 is not.

    One input, one neuron and its copy: the limit is exactly 1/2, in both precisions, and H(0) is 0 or 1. The bound for
    two neurons is 0.495 at delta = 0.75, so every start fails; the one for a single neuron is 0.70. Two neurons of
    their own agree half of the time.
    """
    delta, trials = 0.75, 60
    x = unit_inputs(1, 3, 0, "sphere")
    for_two, for_one = (hoeffding(x @ x.T, m, delta) for m in (2, 1))
    for precision in ("full", "one_bit"):
        paired = {"precision": precision, "init": "paired"}
        assert fails_too_often(failures(x, 0.5, for_two, 2, 0, trials=trials, **paired), trials, delta)
        assert not fails_too_often(failures(x, 0.5, for_one, 2, 0, trials=trials, **paired), trials, delta)
        assert not fails_too_often(failures(x, 0.5, for_two, 2, 0, trials=trials, precision=precision), trials, delta)
