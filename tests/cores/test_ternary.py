"""Packing of -1, 0 and +1."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.cores import ternary
from ntk1bit.errors import InputError

SIZES = [0, 1, 7, 15, 16, 31, 32, 33, 63, 64, 65]


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("columns", SIZES)
def test_entries_come_back(rows, columns, rng):
    t = rng.integers(-1, 2, (rows, columns)).astype(np.int8)
    packed = cores.pack_ternary(t)
    np.testing.assert_array_equal(cores.unpack_ternary(packed), t)
    assert cores.unpack_ternary(packed).dtype == np.int8
    assert packed.shape == t.shape
    assert packed.sparsity == pytest.approx(np.mean(t == 0) if t.size else 0)


def test_layout_is_the_documented_one(rng):
    t = rng.integers(-1, 2, (37, 70))
    planes = cores.pack_ternary(t).planes
    assert planes.shape == (3, 3, 2, 16)
    for row, column in [(0, 0), (5, 31), (16, 32), (36, 69), (20, 64)]:
        words = planes[column // 32, row // 16, :, row % 16] >> np.uint32(column % 32) & np.uint32(1)
        assert list(words) == [t[row, column] == 1, t[row, column] == -1]
    assert np.bitwise_count(planes).sum() == np.count_nonzero(t)  # padding is 0


@pytest.mark.parametrize(("start", "stop"), [(0, 50), (0, 0), (3, 5), (16, 32), (15, 33), (47, 50)])
def test_rows_are_unpacked_alone(start, stop, rng):
    t = rng.integers(-1, 2, (50, 40))
    found = ternary.unpack_ternary_rows(cores.pack_ternary(t), start, stop)
    np.testing.assert_array_equal(found, t[start:stop])


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.float64, np.uint8])
def test_any_real_dtype_holds_entries(dtype):
    t = np.array([[0, 1], [1, 0]] if dtype == np.uint8 else [[0, -1], [-1, 1]], dtype=dtype)
    np.testing.assert_array_equal(cores.unpack_ternary(cores.pack_ternary(t)), t.astype(np.int8))


def test_strided_and_read_only_input(rng):
    t = rng.integers(-1, 2, (64, 200))[::2, 3::3].T
    t.flags.writeable = False
    np.testing.assert_array_equal(cores.unpack_ternary(cores.pack_ternary(t)), t)


@pytest.mark.parametrize(("m", "d"), [(16384, 64), (4096, 4096), (64, 768)])
def test_memory_is_a_sixteenth_of_float32(m, d):
    packed = cores.pack_ternary(np.zeros((m, d), dtype=np.int8))
    assert packed.nbytes * 16 == 4 * m * d
    assert vars(packed).keys() == {"planes", "rows", "columns"}


@pytest.mark.parametrize(
    "entries",
    [[[0.0, 2.0]], [[np.nan, 1.0]], [[1.0 + 1e-7, 1.0]], [[np.inf, -1.0]], [[1j, 1]], [["+", "-"]], [[True, False]]],
)
def test_what_is_not_ternary_is_refused_in_one_line(entries):
    with pytest.raises(InputError, match="ternary entries must") as refusal:
        cores.pack_ternary(np.array(entries))
    assert "\n" not in str(refusal.value)


def test_shapes_and_planes_are_checked(as_installed):
    packed = as_installed(cores.PackedTernary)
    with pytest.raises(InputError, match="matrix \\(m, d\\), got shape \\(3,\\)"):
        as_installed(cores.pack_ternary)(np.ones(3))
    with pytest.raises(
        InputError, match="uint32 planes of shape \\(1, 2, 2, 16\\), got uint32 of shape \\(1, 1, 2, 16\\)"
    ):
        packed(np.zeros((1, 1, 2, 16), dtype=np.uint32), 17, 3)
    with pytest.raises(InputError, match="both be 1"):
        packed(np.ones((1, 1, 2, 16), dtype=np.uint32), 16, 1)


def test_packed_matrices_are_frozen_values():
    packed = cores.pack_ternary(np.array([[0, 1, -1]]))
    with pytest.raises(AttributeError):
        packed.rows = 3  # pyright: ignore[reportAttributeAccessIssue] (that is the point)
    with pytest.raises(TypeError):
        hash(packed)
    assert packed == cores.pack_ternary(np.array([[0, 1, -1]]))
    assert packed != cores.pack_ternary(np.array([[0, 1, 1]]))
    assert packed != cores.pack_signs(np.array([[1, 1, -1]]))
    assert len(repr(packed).splitlines()) <= 10
