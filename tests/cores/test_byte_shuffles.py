"""Sums looked up by byte shuffles against the plain reference."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.cores import byte_shuffles

pytestmark = pytest.mark.skipif(
    not {"avx2", "neon"} & set(cores.available_backends()), reason="this processor has no shuffles of bytes"
)
# Edges: 64 neurons together, 4096 a piece, 32 columns a word, upper parts joined after 2 words, sums widened after 4.
SHAPES = [
    *[(1, d, 70) for d in (1, 3, 4, 5, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 129, 255, 257)],
    *[(2, 40, m) for m in (1, 15, 16, 17, 47, 48, 49, 63, 64, 65, 79, 80, 127, 128, 129, 4095, 4096, 4097, 8200)],
    (8, 300, 300),
]


@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
def test_sums_are_exact_and_nothing_else_is_written(n, d, m):
    rng = np.random.default_rng([n, d, m])
    q = rng.integers(-128, 128, (n, d)).astype(np.int8)
    p, t = cores.pack_signs(rng.random((m, d)) < 0.5), cores.pack_ternary(rng.integers(-1, 2, (m, d)))
    for multiply, expected in (
        (lambda out: byte_shuffles.multiply_by_shuffles(q, p, out), cores.sign_matmul_int8_reference(q, p)),
        (lambda out: byte_shuffles.multiply_ternary_by_shuffles(q, t, out), cores.ternary_matmul_int8_reference(q, t)),
    ):
        around = np.full(n * m + 32, 12345, dtype=np.int32)
        multiply(around[16:-16].reshape(n, m))
        np.testing.assert_array_equal(around[16:-16].reshape(n, m), expected)
        assert (around[:16] == 12345).all()
        assert (around[-16:] == 12345).all()


@pytest.mark.parametrize("value", [-128, 127])
def test_the_ends_of_int8_on_long_rows(value):
    d = 40_000
    signs = np.stack([np.ones(d, dtype=bool), np.zeros(d, dtype=bool)])
    out = np.empty((3, 2), dtype=np.int32)
    byte_shuffles.multiply_by_shuffles(np.full((3, d), value, dtype=np.int8), cores.pack_signs(signs), out)
    np.testing.assert_array_equal(out, [[d * value, -d * value]] * 3)
    t = cores.pack_ternary(np.where(signs, np.int8(1), np.int8(-1)))
    byte_shuffles.multiply_ternary_by_shuffles(np.full((3, d), value, dtype=np.int8), t, out)
    np.testing.assert_array_equal(out, [[d * value, -d * value]] * 3)


def test_threads_do_not_change_the_result():
    rng = np.random.default_rng(3)
    q = rng.integers(-128, 128, (6, 1000)).astype(np.int8)
    p = cores.pack_signs(rng.random((9000, 1000)) < 0.5)
    expected = cores.sign_matmul_int8_reference(q, p)
    for _ in range(5):
        with cores.using(threads=4):
            out = np.zeros((6, 9000), dtype=np.int32)
            byte_shuffles.multiply_by_shuffles(q, p, out)
        np.testing.assert_array_equal(out, expected)
