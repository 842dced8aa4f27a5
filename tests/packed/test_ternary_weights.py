from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.packed.ternary_weights import (
    TernaryTensor,
    as_ternary,
    quantise_masters,
    unpack_rows,
    unpack_rows_reference,
)

from .foreign_files import packed_rows


@pytest.mark.parametrize("shape", [(4, 1), (8, 3), (12, 7), (64, 32)])
def test_packed_rows_come_back_as_they_were(shape):
    codes = np.random.default_rng(0).integers(-1, 2, shape)
    unpacked = unpack_rows(packed_rows(codes))
    assert unpacked.dtype == np.int8
    np.testing.assert_array_equal(unpacked, codes)
    np.testing.assert_array_equal(unpacked, unpack_rows_reference(packed_rows(codes)))


def test_the_example_of_the_published_function():
    packed = np.array([[0b10100001, 0b00011000], [0b10010000, 0b00001010]], np.uint8)
    expected = [[0, -1], [-1, 1], [-1, 1], [-1, 1], [1, 0], [0, -1], [1, -1], [1, -1]]
    assert unpack_rows(packed).tolist() == expected


def test_every_byte_is_unpacked_as_transformers_does_or_refused():
    torch = pytest.importorskip("torch")
    bitnet = pytest.importorskip("transformers.integrations.bitnet")
    pytest.importorskip("torch._dynamo").config.disable = True  # a few operations are not worth compiling
    packed = np.array([byte for byte in range(256) if all(byte >> 2 * i & 3 < 3 for i in range(4))], np.uint8)
    for shape in ((81, 1), (27, 3), (3, 27)):
        theirs = bitnet.unpack_weights(torch.tensor(packed.reshape(shape)), torch.float32).numpy()
        np.testing.assert_array_equal(unpack_rows(packed.reshape(shape)), theirs)
        again = bitnet.pack_weights(torch.tensor(theirs)).numpy()
        np.testing.assert_array_equal(again, packed.reshape(shape))


def test_masters_are_quantised_as_transformers_does():
    torch = pytest.importorskip("torch")
    bitnet = pytest.importorskip("transformers.integrations.bitnet")
    pytest.importorskip("torch._dynamo").config.disable = True  # a few operations are not worth compiling
    rng = np.random.default_rng(1)
    for shape in ((16, 24), (64, 64), (3, 300)):
        weights = rng.normal(size=shape).astype(np.float32)
        theirs = bitnet.WeightQuant.apply(torch.tensor(weights)).numpy()
        ours = quantise_masters(weights)
        np.testing.assert_array_equal(ours.codes, np.sign(theirs))
        # the mean is summed in another order, and divided by twice: a few of float32's last bits
        np.testing.assert_allclose(ours.dequantised(), theirs, rtol=1e-6, atol=0)


def test_the_code_that_means_no_weight_is_refused():
    with pytest.raises(InputError, match="the code 3"):
        unpack_rows(np.array([[0b00001100]], np.uint8))


def test_masters_of_zero_are_zero():
    ternary = quantise_masters(np.zeros((2, 3), np.float32))
    assert not ternary.codes.any()
    assert ternary.scale == np.float32(1e-5)
    assert ternary.zeros == 1


def test_numbers_are_ternary_if_all_but_zeros_have_one_size():
    codes = np.random.default_rng(2).integers(-1, 2, (5, 6))
    found = as_ternary((0.37 * codes).astype(np.float32))
    assert found is not None
    np.testing.assert_array_equal(found.codes, codes)
    assert found.scale == np.float32(0.37)
    assert as_ternary(np.array([[0.5, 0.25]], np.float32)) is None
    assert as_ternary(np.array([[np.nan, 1]], np.float32)) is None


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
