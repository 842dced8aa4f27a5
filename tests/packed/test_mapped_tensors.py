from __future__ import annotations

import numpy as np

from ntk1bit.packed.mapped_tensors import TernaryTensor, count_entries


def test_a_scale_per_block_becomes_one_only_where_blocks_that_are_not_zero_agree():
    codes = np.zeros((2, 8), np.int8)
    codes[:, :4] = [1, -1, 0, 1]
    scale = np.array([[0.5, 0], [0.5, 9]], np.float32)
    one = TernaryTensor(codes, scale).with_one_scale()
    assert one.scale.shape == ()
    assert one.scale == np.float32(0.5)
    np.testing.assert_array_equal(one.dequantised(), TernaryTensor(codes, scale).dequantised())
    codes[1, 5] = 1
    assert TernaryTensor(codes, scale).with_one_scale().scale.shape == (2, 2)
    assert TernaryTensor(codes, scale).dequantised()[1].tolist() == [0.5, -0.5, 0, 0.5, 0, 9, 0, 0]
    assert TernaryTensor(0 * codes, scale).with_one_scale().scale == 0


def test_shapes_that_no_array_has_are_told_before_they_are_multiplied_out():
    assert count_entries(()) == 1
    assert count_entries((2, 3)) == 6
    assert count_entries((0, 5)) == 0
    for shape in ((-1,), (2**63,), (2**32, 2**32), (0, 2**62, 2**62), (1,) * 9):
        assert count_entries(shape) == -1
