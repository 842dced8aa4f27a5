from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk1bit.errors import InputError
from ntk1bit.networks import two_layer

PRECISIONS = ["one_bit", "full"]
ODD_SHAPES = [(1, 1, 1), (7, 3, 5), (63, 65, 7), (64, 64, 64), (65, 63, 1), (1025, 10, 3), (1, 1, 0), (513, 2, 9)]


def unit(n, d, seed=0, dtype: type[np.floating] = np.float32):
    x = np.random.default_rng(seed).standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(dtype)


def slow_preactivation(w, x, precision, scale):
    """z_r(x) for one neuron and one input, from the definitions, in Python floats."""
    w, x = [float(v) for v in w], [float(v) for v in x]
    d = len(w)
    if precision == "full":
        return sum(a * b for a, b in zip(w, x, strict=True))
    mu = sum(w) / d
    deviations = [v - mu for v in w]
    rms, mean_size = (sum(c * c for c in deviations) / d) ** 0.5, sum(abs(c) for c in deviations) / d
    s = rms if scale == "std" else mean_size
    return s * sum((1 if c >= 0 else -1) * b for c, b in zip(deviations, x, strict=True)) + mu * sum(x)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scale", ["std", "absmean"])
@pytest.mark.parametrize(("width", "dim", "n"), ODD_SHAPES)
def test_outputs_and_activities_against_the_definition(width, dim, n, precision, scale):
    weights = two_layer.init(width, dim, seed=5)
    wide = two_layer.Weights(weights.w.astype(np.float64), weights.a.astype(np.float64))
    x = unit(n, dim, dtype=np.float64)
    z = np.array([[slow_preactivation(w, one, precision, scale) for one in x] for w in wide.w]).reshape(width, n)
    expected = 0.7 / np.sqrt(width) * (wide.a @ np.maximum(z, 0))
    options = {"precision": precision, "scale": scale}
    # float64 sums of `dim` and then `width` terms
    np.testing.assert_allclose(two_layer.outputs(x, wide, kappa=0.7, **options), expected, rtol=1e-11, atol=1e-11)
    clear = np.abs(z) > 1e-12
    active = two_layer.activation_patterns(x, wide, **options)
    assert active.shape == (width, n)
    assert (active == (z >= 0))[clear].all()
    # float32: z is a sum of dim products of size 1, outputs a sum of width of them over sqrt(width)
    single = two_layer.outputs(x.astype(np.float32), weights, kappa=0.7, **options)
    np.testing.assert_allclose(single, expected, atol=1e-6 * np.sqrt(width) * dim**0.5 + 1e-6)


@given(
    half=st.integers(1, 700),
    dim=st.integers(1, 70),
    n=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    precision=st.sampled_from(PRECISIONS),
    scale=st.sampled_from(["std", "absmean"]),
)
def test_a_paired_network_starts_at_exactly_zero(half, dim, n, seed, precision, scale):
    weights = two_layer.init(2 * half, dim, seed=seed, init="paired")
    assert (two_layer.outputs(unit(n, dim, seed), weights, precision=precision, scale=scale) == 0).all()


def test_coactive_counts_against_loops():
    rng = np.random.default_rng(0)
    for m, n, n2 in [(0, 2, 3), (1, 1, 1), (70, 5, 7), (2049, 3, 0)]:
        a, b = rng.random((m, n)) < 0.5, rng.random((m, n2)) < 0.5
        slow = [[sum(a[r, i] and b[r, j] for r in range(m)) for j in range(n2)] for i in range(n)]
        np.testing.assert_array_equal(two_layer.coactive_counts(a, b), np.array(slow).reshape(n, n2))
        np.testing.assert_array_equal(two_layer.coactive_counts(a), two_layer.coactive_counts(a, a))


def test_init_is_reproducible_and_independent_across_widths():
    one, same, wider = (two_layer.init(m, 8, seed=1) for m in (64, 64, 128))
    np.testing.assert_array_equal(one.w, same.w)
    np.testing.assert_array_equal(one.a, same.a)
    assert not np.array_equal(one.w, wider.w[:64])
    big = two_layer.init(4096, 64, seed=2)
    count = big.w.size
    assert abs(float(big.w.mean())) < 5 / np.sqrt(count)  # 5 standard errors
    assert abs(float(big.w.var()) - 1) < 5 * np.sqrt(2 / count)
    assert abs(float(big.a.mean())) < 5 / np.sqrt(4096)
    assert set(big.a.tolist()) == {-1.0, 1.0}


def test_non_contiguous_and_read_only_inputs_and_other_dtypes_work():
    weights = two_layer.init(65, 6, seed=0)
    x = unit(20, 12)
    view = x[::2, ::2] / np.linalg.norm(x[::2, ::2], axis=1, keepdims=True)
    spread = np.empty((20, 12), np.float32)
    spread[::2, ::2] = view
    spread.flags.writeable = False
    expected = two_layer.outputs(view, weights)
    np.testing.assert_array_equal(two_layer.outputs(spread[::2, ::2], weights), expected)
    np.testing.assert_array_equal(two_layer.outputs(view.astype(np.float64), weights), expected)


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_told():
    weights = two_layer.init(8, 3, seed=0)
    for call, message in [
        (lambda: two_layer.init(7, 3, seed=0, init="paired"), "even width, got 7; use 8"),
        (lambda: two_layer.init(0, 3, seed=0), "at least 1"),
        (lambda: two_layer.init(8, 3, seed=-1), "non-negative"),
        (lambda: two_layer.init(8, 3, seed=0, init="pair"), "did you mean 'paired'"),  # pyright: ignore[reportArgumentType]
        (lambda: two_layer.outputs(unit(2, 4), weights), "4 features, but the network takes 3"),
        (lambda: two_layer.outputs(np.full((2, 3), np.nan), weights), "NaN"),
        (lambda: two_layer.outputs(unit(2, 3), weights, precision="1bit"), "unknown precision"),  # pyright: ignore[reportArgumentType]
    ]:
        with pytest.raises(InputError, match=message):
            call()
