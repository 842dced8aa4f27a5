"""Ternary products of int8 inputs: exact in every backend, and on every way that a lesser processor would take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.cores import ternary_products_int8
from ntk1bit.cores.backends import ways
from tests.cores.test_ternary_products import SHAPES, entries


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
def test_products_are_exact(n, d, m, rng):
    q = rng.integers(-128, 128, (n, d)).astype(np.int8)
    p = cores.pack_ternary(entries(rng, m, d))
    y = cores.ternary_matmul_int8(q, p)
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, cores.ternary_matmul_int8_reference(q, p))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("value", [-128, 127])
def test_the_ends_of_int8(n, value):
    q = np.full((n, 1000), value, dtype=np.int8)
    t = np.repeat([[1], [-1], [0]], 1000, axis=1)
    expected = np.array([[1000 * value, -1000 * value, 0]] * n, dtype=np.int32)
    np.testing.assert_array_equal(cores.ternary_matmul_int8(q, cores.pack_ternary(t)), expected)


@pytest.mark.parametrize(("n", "d", "m"), [(1, 65, 70), (8, 65, 70), (9, 65, 70), (40, 33, 4100), (40, 700, 20)])
def test_a_processor_without_byte_products_gives_the_same(n, d, m, rng, monkeypatch):
    q = rng.integers(-128, 128, (n, d)).astype(np.int8)
    p = cores.pack_ternary(entries(rng, m, d))
    expected = cores.ternary_matmul_int8_reference(q, p)
    for few_bytes in (0, 8) if {"avx2", "neon"} & set(cores.available_backends()) else (0,):
        way = {"byte_dots": False, "few_bytes": few_bytes}
        monkeypatch.setattr(ternary_products_int8, "ways", lambda backend, way=way: replace(ways(backend), **way))
        np.testing.assert_array_equal(cores.ternary_matmul_int8(q, p), expected)


@pytest.mark.usefixtures("backend")
def test_strided_inputs_and_given_outputs(rng):
    q = rng.integers(-128, 128, (60, 80)).astype(np.int8).T[::2, ::-2]
    p = cores.pack_ternary(entries(rng, 50, q.shape[1]))
    out = np.full((len(q), 50), 7, dtype=np.int32)
    assert cores.ternary_matmul_int8(q, p, out=out) is out
    np.testing.assert_array_equal(out, cores.ternary_matmul_int8_reference(q, p))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("n", [1, 40])
def test_threads_and_repeats_do_not_change_a_bit(n, rng):
    q = rng.integers(-128, 128, (n, 1000)).astype(np.int8)
    x = q.astype(np.float32) / 3
    p = cores.pack_ternary(entries(rng, 9000, 1000))
    with cores.using(threads=1):
        whole, real = cores.ternary_matmul_int8(q, p), cores.ternary_matmul(x, p)
    np.testing.assert_array_equal(whole, cores.ternary_matmul_int8_reference(q, p))
    for threads in (2, 3, 8) * 3:
        with cores.using(threads=threads):
            np.testing.assert_array_equal(cores.ternary_matmul_int8(q, p), whole)
            np.testing.assert_array_equal(cores.ternary_matmul(x, p), real)
