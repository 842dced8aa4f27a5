"""Every product against its plain reference, on shapes around every block's edges, in every backend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk1bit import cores
from ntk1bit.errors import InputError

# Edges: 16 and 32 lanes, 32 bits a word, tables of two words, 512 and 2048 rows a block, 128 words a chunk.
SHAPES = [
    *[(n, d, 7) for n in (0, 1, 16, 33) for d in (0, 1, 65)],
    *[(7, d, 63) for d in (7, 31, 32, 33, 63, 64, 65, 96, 97, 128, 129)],
    *[(n, 33, 65) for n in (7, 15, 17, 31, 32, 63, 64, 65)],
    *[(17, 40, m) for m in (0, 1, 7, 15, 16, 17, 64, 511, 513, 1030, 2047, 2049, 4100)],
    (3, 4097, 20),
    (5, 8300, 17),
]

# Tiles are 4 x 4 pairs, strips 16 inputs, mirrored in blocks of 64. From 192 inputs on tables: 64 lanes, 1024 inputs a
# piece, sums of bytes widened after 6 words of neurons.
GRAMS = [*((n, m) for n, _, m in SHAPES[10:36]), (100, 33), (127, 600), (128, 64), (129, 1030), (200, 65)]
GRAMS += [(191, 70), (192, 1), (193, 33), (255, 192), (256, 193), (257, 400), (1025, 40)]

FLOAT32 = np.finfo(np.float32).eps


def signs_of(rng, m, d):
    return cores.pack_signs(rng.random((m, d)) < 0.5)


def rms(values):
    return np.sqrt(np.mean(np.square(values, dtype=np.float64))) if values.size else 0.0


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
def test_sign_matmul(n, d, m, rng):
    x = rng.standard_normal((n, d)).astype(np.float32)
    p = signs_of(rng, m, d)
    y = cores.sign_matmul(x, p)
    exact = x.astype(np.float64) @ cores.unpack_signs(p).T.astype(np.float64)
    assert y.shape == (n, m)
    assert y.dtype == np.float32
    # The contract, with the rounding of sqrt(d) additions a sum as its reason.
    assert rms(y - exact) <= 5e-7 * rms(exact)
    # Each entry: d additions, each rounding at most eps/2 of a partial sum that is at most sum |x|.
    bound = d * FLOAT32 * np.abs(x).sum(axis=1, keepdims=True) + 1e-30
    assert np.all(np.abs(cores.sign_matmul_reference(x, p) - y) <= bound)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("d", "outlier"), [(20000, 1), (512, 1e4)])
def test_sign_matmul_keeps_its_accuracy_on_long_rows_and_with_outliers(d, outlier, rng):
    x = rng.standard_normal((16, d)).astype(np.float32)
    x[:, 7] *= outlier
    p = signs_of(rng, 40, d)
    exact = x.astype(np.float64) @ cores.unpack_signs(p).T.astype(np.float64)
    assert rms(cores.sign_matmul(x, p) - exact) <= 5e-7 * rms(exact)  # the contract


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
def test_sign_matmul_int8_is_exact(n, d, m, rng):
    q = rng.integers(-128, 128, (n, d)).astype(np.int8)
    p = signs_of(rng, m, d)
    y = cores.sign_matmul_int8(q, p)
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, cores.sign_matmul_int8_reference(q, p))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("value", [-128, 127])
def test_sign_matmul_int8_at_the_ends_of_int8(value):
    q = np.full((3, 1000), value, dtype=np.int8)
    signs = np.ones((2, 1000), dtype=bool)
    signs[1] = False
    expected = np.array([[1000 * value, -1000 * value]] * 3, dtype=np.int32)
    np.testing.assert_array_equal(cores.sign_matmul_int8(q, cores.pack_signs(signs)), expected)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
def test_masked_product(n, d, m, rng):
    bits = cores.pack_bits(rng.random((m, d)) < 0.5)
    pulled = rng.standard_normal((d, n)).astype(np.float32)
    got = cores.masked_product(bits, pulled)
    assert got.shape == (m, n)
    exact = cores.unpack_bits(bits).astype(np.float64) @ pulled.astype(np.float64)
    assert rms(got - exact) <= 5e-7 * rms(exact)
    # As above: d additions of entries of `pulled`.
    bound = d * FLOAT32 * np.abs(pulled).sum(axis=0) + 1e-30
    assert np.all(np.abs(cores.masked_product_reference(bits, pulled) - got) <= bound)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "n2", "m"), [(n, n2, m) for n, m in GRAMS for n2 in (n, 9)])
def test_bit_gram_is_exact(n, n2, m, rng):
    bits = cores.pack_bits(rng.random((m, n)) < 0.7)
    other = cores.pack_bits(rng.random((m, n2)) < 0.3)
    np.testing.assert_array_equal(cores.bit_gram(bits), cores.bit_gram_reference(bits))
    np.testing.assert_array_equal(cores.bit_gram(bits, other), cores.bit_gram_reference(bits, other))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("active", [0.5, 1.0])
def test_bit_gram_of_more_neurons_than_short_sums_hold(active, rng):
    """Sums of bytes are kept in 16 bits for 32,640 neurons, and in 32 bits from there on."""
    left, right = rng.random((66_000, 193)) < active, rng.random((66_000, 3)) < active
    bits, other = cores.pack_bits(left), cores.pack_bits(right)
    left, right = left.astype(np.float64), right.astype(np.float64)  # sums are exact, and BLAS is quick
    np.testing.assert_array_equal(cores.bit_gram(bits), left.T @ left)
    np.testing.assert_array_equal(cores.bit_gram(bits, other), left.T @ right)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_products_on_shapes_nobody_thought_of(data):
    n, d, m = (data.draw(st.integers(0, 150)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    q = rng.integers(-128, 128, (n, d)).astype(np.int8)
    p, bits = signs_of(rng, m, d), cores.pack_bits(rng.random((m, n)) < 0.5)
    whole = q.astype(np.float32)  # sums of integers this small are exact in float32
    with cores.using(backend=data.draw(st.sampled_from(cores.available_backends()))):
        np.testing.assert_array_equal(cores.sign_matmul_int8(q, p), cores.sign_matmul_int8_reference(q, p))
        np.testing.assert_array_equal(cores.sign_matmul(whole, p), cores.sign_matmul_reference(whole, p))
        np.testing.assert_array_equal(cores.masked_product(bits, whole), cores.masked_product_reference(bits, whole))
        np.testing.assert_array_equal(cores.bit_gram(bits), cores.bit_gram_reference(bits))


@pytest.mark.usefixtures("backend")
def test_strided_read_only_inputs_and_given_outputs(rng):
    x = rng.standard_normal((80, 60)).astype(np.float32).T[::2, 1::2]
    x.flags.writeable = False
    p = signs_of(rng, 50, x.shape[1])
    expected = cores.sign_matmul(np.ascontiguousarray(x), p)
    np.testing.assert_array_equal(cores.sign_matmul(x, p), expected)
    out = np.full((x.shape[0], 50), np.nan, dtype=np.float32)
    assert cores.sign_matmul(x, p, out=out) is out
    np.testing.assert_array_equal(out, expected)
    q = (x * 20).astype(np.int8)[:, ::-1]
    np.testing.assert_array_equal(cores.sign_matmul_int8(q, p), cores.sign_matmul_int8_reference(q, p))
    bits = cores.pack_bits(rng.random((70, x.shape[0])) < 0.5)
    np.testing.assert_array_equal(cores.masked_product(bits, x), cores.masked_product(bits, np.ascontiguousarray(x)))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_input_spoils_its_own_row_only(bad, rng):
    x = rng.standard_normal((20, 70)).astype(np.float32)
    p = signs_of(rng, 40, 70)
    clean = cores.sign_matmul(x, p)
    x[3, 5] = bad
    spoilt = cores.sign_matmul(x, p)
    assert not np.isfinite(spoilt[3]).any()
    if np.isinf(bad):
        np.testing.assert_array_equal(spoilt[3], bad * cores.unpack_signs(p)[:, 5])
    others = np.arange(20) != 3
    np.testing.assert_array_equal(spoilt[others], clean[others])


def test_wrong_arguments_are_refused_in_one_line(as_installed, rng):
    x = rng.standard_normal((4, 6)).astype(np.float32)
    p, bits = signs_of(rng, 5, 6), cores.pack_bits(np.ones((5, 4), dtype=bool))
    sign_matmul = as_installed(cores.sign_matmul)
    masked_product = as_installed(cores.masked_product)
    cases = [
        (lambda: sign_matmul(x.astype(np.float64), p), "float64; convert it with .astype"),
        (lambda: sign_matmul(x[:, :5], p), "shape \\(n, 6\\), got shape \\(4, 5\\)"),
        (lambda: sign_matmul(x[0], p), "got shape \\(6,\\)"),
        (lambda: sign_matmul([[1.0]], p), "got list"),
        (lambda: sign_matmul(x, p, out=np.empty((4, 4), np.float32)), "out must be"),
        (lambda: sign_matmul(x, p, out=np.empty((5, 4), np.float32).T), "C-contiguous and writeable"),
        (lambda: as_installed(cores.sign_matmul_int8)(x, p), "int8 array"),
        (lambda: masked_product(bits, x[:3]), "shape \\(4, d\\)"),
        (lambda: masked_product(bits, x.astype(np.int32)), "int32"),
        (lambda: cores.bit_gram(bits, cores.pack_bits(np.ones((6, 4), dtype=bool))), "same neurons"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
