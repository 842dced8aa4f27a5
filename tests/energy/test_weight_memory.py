from __future__ import annotations

import jax
import numpy as np
import pytest

from ntk1bit.cores import pack_signs
from ntk1bit.energy.counting import ARMS, Shape
from ntk1bit.energy.weight_memory import packed_bytes, weight_bytes
from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import Projection
from ntk1bit.networks.transformer import transformer
from ntk1bit.networks.transformer_shape import Shape as Built


@pytest.mark.parametrize("shape", [(1, 1), (16, 32), (17, 33), (1000, 37), (4096, 1024)])
def test_packed_bytes_are_those_of_packed_matrices(shape):
    assert packed_bytes(*shape) == pack_signs(np.ones(shape, dtype=bool)).nbytes


def test_bytes_by_hand():
    shape = Shape(2, 64, tokens=10, vocabulary=100, heads=2)
    weights = 2 * 12 * 64 * 64
    made = {arm: weight_bytes(shape, arm) for arm in ARMS}
    assert [made[arm].linear for arm in ("full32", "full16", "int8-absmax")] == [4 * weights, 2 * weights, weights]
    assert made["bitnet"].linear * 8 == made["sign-ptq"].linear * 8 == made["b158"].linear * 4 == weights
    assert made["bitnet"].scales == made["b158"].scales == 4 * 6 * 2
    assert made["sign-ptq"].scales == made["int8-absmax"].scales == 4 * 2 * 9 * 64
    rest = 2 * (3 + 4) * 64 + 64 + 100 * 64
    assert made["bitnet"].rest * 2 == made["full32"].rest == 4 * rest
    untied = weight_bytes(Shape(2, 64, tokens=10, vocabulary=100, heads=2, tied=False), "full32")
    assert untied.rest - made["full32"].rest == 4 * 64 * 100
    assert weight_bytes(Shape(2, 64), "full32").rest == 4 * (2 * 7 * 64 + 64)
    assert made["bitnet"].total == made["bitnet"].linear + made["bitnet"].scales + made["bitnet"].rest


@pytest.mark.parametrize("tied", [True, False])
def test_bytes_are_those_of_the_network_that_is_trained(tied):
    shape = Shape(3, 64, tokens=64, vocabulary=88, heads=4, tied=tied)
    arrays = jax.eval_shape(lambda: transformer(Built(3, 64, 4, 88, 64, tied=tied), arm="full"))
    told = weight_bytes(shape, "full32")
    assert told.total == sum(one.size * one.dtype.itemsize for one in jax.tree.leaves(arrays))
    linear = sum(one.weight.size * 4 for one in jax.tree.leaves(arrays, is_leaf=is_projection) if is_projection(one))
    assert told.linear == linear
    if tied:
        assert told.rest == 28_160


def is_projection(one):
    return isinstance(one, Projection)


@pytest.mark.usefixtures("untyped")
def test_unknown_arms_are_refused():
    with pytest.raises(InputError, match="arm"):
        weight_bytes(Shape(1, 8), "int4")  # pyright: ignore[reportArgumentType]
