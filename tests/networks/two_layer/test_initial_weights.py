"""Networks drawn a part at a time against those drawn whole."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit import cores, kernels
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Init

from .test_network import unit


@pytest.mark.parametrize("init", ["iid", "paired"])
@pytest.mark.parametrize(("width", "dim"), [(2, 1), (1024, 3), (8190, 7), (9000, 2)])
def test_parts_are_those_of_the_network_drawn_whole(width, dim, init: Init):
    expected = two_layer.init(width, dim, seed=4, init=init)
    drawn = two_layer.DrawnWeights(width, dim, seed=4, init=init)
    np.testing.assert_array_equal(drawn.a, expected.a)
    assert drawn.a.dtype == expected.a.dtype == np.float32
    for ranges in (None, cores.half_blocks(width), cores.half_blocks(width, 1536), [(0, 1)]):
        parts = [(part.w.copy(), part.a) for part in drawn.parts(ranges)]
        w, a = (np.concatenate(each) for each in zip(*parts, strict=True))
        np.testing.assert_array_equal(w, expected.w[: len(w)])
        np.testing.assert_array_equal(a, expected.a[: len(w)])
        assert len(w) == (1 if ranges == [(0, 1)] else width)


def test_kernels_of_drawn_networks():
    drawn, x = two_layer.DrawnWeights(9001, 6, seed=0), unit(20, 6)
    for precision in ("one_bit", "full"):
        for x2 in (None, unit(7, 6, seed=1)):
            expected = kernels.empirical_ntk(x, drawn.weights(), x2, precision=precision)
            np.testing.assert_array_equal(kernels.empirical_ntk(x, drawn, x2, precision=precision), expected)
