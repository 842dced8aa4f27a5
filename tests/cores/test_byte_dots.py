"""Byte products against the plain reference, and the ways taken where a processor lacks them or they do not suit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.cores import byte_dots, sign_products_int8
from ntk1bit.cores.backends import ways

needs_bytes = pytest.mark.skipif(
    not any(ways(each).byte_dots for each in cores.available_backends()), reason="this processor has no VNNI"
)
# Edges: tiles of 1, 4 and 8 inputs, 16 rows a panel, 2, 4 and 8 panels a tile, 32 columns a word, 256 rows a piece.
SHAPES = [
    *[(n, 33, 65) for n in (1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 31, 32, 33)],
    *[(5, d, 40) for d in (1, 7, 31, 32, 63, 64, 65, 97, 129)],
    *[(9, 40, m) for m in (1, 15, 16, 17, 31, 33, 47, 48, 49, 64, 65, 127, 128, 129, 255, 257, 1030)],
    (1, 2100, 9000),
    (300, 700, 300),
]


def inputs(n, d, m):
    rng = np.random.default_rng([n, d, m])
    return rng.integers(-128, 128, (n, d)).astype(np.int8), cores.pack_signs(rng.random((m, d)) < 0.5)


def ternary(m, d):
    return cores.pack_ternary(np.random.default_rng([m, d]).integers(-1, 2, (m, d)))


@needs_bytes
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
def test_byte_products_are_exact_and_write_nothing_else(n, d, m):
    q, p = inputs(n, d, m)
    for weights, expected in (
        (p, cores.sign_matmul_int8_reference(q, p)),
        (t := ternary(m, d), cores.ternary_matmul_int8_reference(q, t)),
    ):
        around = np.full(n * m + 32, 12345, dtype=np.int32)
        byte_dots.multiply_bytes(q, weights, around[16:-16].reshape(n, m))
        np.testing.assert_array_equal(around[16:-16].reshape(n, m), expected)
        assert (around[:16] == 12345).all()
        assert (around[-16:] == 12345).all()


@needs_bytes
@pytest.mark.parametrize("value", [-128, 127])
@pytest.mark.parametrize("d", [40_000, (1 << 18) - 1, (1 << 18) + 33])  # 2^18 columns at a time
def test_the_ends_of_int8_on_long_rows(value, d):
    q = np.full((3, d), value, dtype=np.int8)
    signs = np.ones((2, d), dtype=bool)
    signs[1] = False
    out = np.empty((3, 2), dtype=np.int32)
    byte_dots.multiply_bytes(q, cores.pack_signs(signs), out)
    np.testing.assert_array_equal(out, [[d * value, -d * value]] * 3)
    byte_dots.multiply_bytes(q, cores.pack_ternary(np.where(signs, np.int8(1), np.int8(-1))), out)
    np.testing.assert_array_equal(out, [[d * value, -d * value]] * 3)


@pytest.mark.parametrize(("n", "d", "m"), [(1, 65, 70), (8, 65, 70), (9, 65, 70), (40, 33, 4100)])
def test_a_processor_without_byte_products_gives_the_same(n, d, m, monkeypatch):
    q, p = inputs(n, d, m)
    monkeypatch.setattr(sign_products_int8, "ways", lambda backend: replace(ways(backend), byte_dots=False))
    np.testing.assert_array_equal(cores.sign_matmul_int8(q, p), cores.sign_matmul_int8_reference(q, p))


def test_tables_are_kept_for_many_inputs_of_many_neurons():
    assert byte_dots.suits_byte_dots(1, 16384)
    assert byte_dots.suits_byte_dots(32, 1024)
    assert not byte_dots.suits_byte_dots(512, 16384)


@needs_bytes
def test_threads_do_not_change_the_result():
    q, p = inputs(40, 1000, 5000)
    expected = cores.sign_matmul_int8_reference(q, p)
    for _ in range(5):
        with cores.using(threads=4):
            out = np.zeros((40, 5000), dtype=np.int32)
            byte_dots.multiply_bytes(q, p, out)
        np.testing.assert_array_equal(out, expected)
