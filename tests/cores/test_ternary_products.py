"""Ternary products of float32 inputs against the plain reference, on shapes around every block's edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk1bit import cores
from ntk1bit.errors import InputError

# Edges: 16 and 32 lanes, 32 bits a word, 512 and 4096 rows a block, 128 words a chunk, 4 and 8 inputs one at a time.
SHAPES = [
    *[(n, d, 7) for n in (0, 1, 16, 33) for d in (0, 1, 65)],
    *[(7, d, 63) for d in (7, 31, 32, 33, 63, 64, 65, 96, 97, 128, 129)],
    *[(n, 33, 65) for n in (4, 5, 7, 8, 9, 15, 17, 31, 32, 63, 64, 65)],
    *[(17, 40, m) for m in (0, 1, 7, 15, 16, 17, 64, 511, 513, 1030, 2047, 2049, 4100)],
    (3, 4097, 20),
    (5, 8300, 17),
    (17, 8300, 17),
]
FLOAT32 = np.finfo(np.float32).eps


def entries(rng, m, d, zeros=1 / 3):
    return np.where(rng.random((m, d)) < zeros, 0, np.where(rng.random((m, d)) < 0.5, 1, -1)).astype(np.int8)


def rms(values):
    return np.sqrt(np.mean(np.square(values, dtype=np.float64))) if values.size else 0.0


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
def test_products_are_as_accurate_as_promised(n, d, m, rng):
    x = rng.standard_normal((n, d)).astype(np.float32)
    t = entries(rng, m, d)
    p = cores.pack_ternary(t)
    y = cores.ternary_matmul(x, p)
    exact = x.astype(np.float64) @ t.T.astype(np.float64)
    assert y.shape == (n, m)
    assert y.dtype == np.float32
    # The contract, with the rounding of sqrt(d) additions a sum as its reason.
    assert rms(y - exact) <= 5e-7 * rms(exact)
    # Each entry: d additions, each rounding at most eps/2 of a partial sum that is at most sum |x|.
    bound = d * FLOAT32 * np.abs(x).sum(axis=1, keepdims=True) + 1e-30
    assert np.all(np.abs(cores.ternary_matmul_reference(x, p) - y) <= bound)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("n", [2, 16])
@pytest.mark.parametrize(("d", "outlier", "zeros"), [(20000, 1, 1 / 3), (512, 1e4, 1 / 3), (4096, 1, 0.99)])
def test_accuracy_on_long_rows_with_outliers_and_of_few_entries(n, d, outlier, zeros, rng):
    x = rng.standard_normal((n, d)).astype(np.float32)
    x[:, 7] *= outlier
    t = entries(rng, 40, d, zeros)
    exact = x.astype(np.float64) @ t.T.astype(np.float64)
    assert rms(cores.ternary_matmul(x, cores.pack_ternary(t)) - exact) <= 5e-7 * rms(exact)  # the contract


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("n", [1, 20])
def test_weights_of_one_value(n, rng):
    x = rng.standard_normal((n, 70)).astype(np.float32)
    zero, one = (cores.pack_ternary(np.full((33, 70), value)) for value in (0, 1))
    np.testing.assert_array_equal(cores.ternary_matmul(x, zero).view(np.uint32), np.zeros((n, 33), np.uint32))  # +0
    minus = cores.ternary_matmul(x, cores.pack_ternary(np.full((33, 70), -1)))
    np.testing.assert_array_equal(cores.ternary_matmul(x, one), -minus)  # rounding knows no sign


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("n", [1, 20])
def test_large_inputs_do_not_overflow_on_the_way(n):
    x = np.full((n, 64), 3e38, dtype=np.float32)
    t = np.zeros((20, 64), dtype=np.int8)
    t[:, 40] = 1
    np.testing.assert_array_equal(cores.ternary_matmul(x, cores.pack_ternary(t)), x[:, :20])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("n", [3, 20])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_input_spoils_its_own_row_only(n, bad, rng):
    x = rng.standard_normal((n, 70)).astype(np.float32)
    p = cores.pack_ternary(entries(rng, 40, 70))
    clean = cores.ternary_matmul(x, p)
    x[2, 5] = bad
    spoilt = cores.ternary_matmul(x, p)
    assert not np.isfinite(spoilt[2]).any()  # also where the weight is 0, as in the plain product
    others = np.arange(n) != 2
    np.testing.assert_array_equal(spoilt[others], clean[others])


@pytest.mark.usefixtures("backend")
def test_strided_read_only_inputs_and_given_outputs(rng):
    x = rng.standard_normal((80, 60)).astype(np.float32).T[::2, 1::2]
    x.flags.writeable = False
    p = cores.pack_ternary(entries(rng, 50, x.shape[1]))
    expected = cores.ternary_matmul(np.ascontiguousarray(x), p)
    np.testing.assert_array_equal(cores.ternary_matmul(x, p), expected)
    out = np.full((x.shape[0], 50), np.nan, dtype=np.float32)
    assert cores.ternary_matmul(x, p, out=out) is out
    np.testing.assert_array_equal(out, expected)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_both_products_equal_the_product_of_integers(data):
    n, d, m = (data.draw(st.integers(0, 150)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    q = rng.integers(-128, 128, (n, d)).astype(np.int8)
    t = entries(rng, m, d, data.draw(st.sampled_from([0, 1 / 3, 0.9, 1])))
    p, exact = cores.pack_ternary(t), q.astype(np.int64) @ t.T.astype(np.int64)
    threads = data.draw(st.sampled_from([1, 3]))
    with cores.using(backend=data.draw(st.sampled_from(cores.available_backends())), threads=threads):
        np.testing.assert_array_equal(cores.ternary_matmul_int8(q, p), exact)
        # Sums of integers this small are exact in float32.
        np.testing.assert_array_equal(cores.ternary_matmul(q.astype(np.float32), p), exact)


def test_wrong_arguments_are_refused_in_one_line(as_installed, rng):
    x = rng.standard_normal((4, 6)).astype(np.float32)
    p = cores.pack_ternary(entries(rng, 5, 6))
    multiply, multiply_int8 = as_installed(cores.ternary_matmul), as_installed(cores.ternary_matmul_int8)
    cases = [
        (lambda: multiply(x.astype(np.float64), p), "float64; convert it with .astype"),
        (lambda: multiply(x[:, :5], p), "shape \\(n, 6\\), got shape \\(4, 5\\)"),
        (lambda: multiply(x[0], p), "got shape \\(6,\\)"),
        (lambda: multiply([[1.0]], p), "got list"),
        (lambda: multiply(x, p, out=np.empty((4, 4), np.float32)), "out must be"),
        (lambda: multiply(x, p, out=np.empty((5, 4), np.float32).T), "C-contiguous and writeable"),
        (lambda: multiply_int8(x, p), "int8 array"),
        (lambda: multiply_int8(x.astype(np.int8), p, out=np.empty((4, 5), np.int64)), "out must be"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
