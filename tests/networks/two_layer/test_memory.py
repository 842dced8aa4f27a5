"""The predicted memory of training against the peak that NumPy reports."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import TrainingMemory

from .test_network import unit


@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize(
    ("width", "dim", "n", "activity"),
    [
        (100_000, 64, 64, "straight_through"), (200_001, 16, 256, "straight_through"),
        (60_000, 200, 7, "straight_through"), (100_000, 64, 64, "latent"),
        (200_001, 16, 256, "latent"), (200_001, 16, 256, "frozen"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_arrays_stay_within_the_limit(width, dim, n, activity, precision, share):
    """The peak that NumPy reports, at the smallest limit and at one between it and all that there could be."""
    x, y = unit(n, dim), np.ones(n)
    options: dict[str, Any] = {"precision": precision, "activity": activity, "steps": 2, "x_test": x}
    sizes = TrainingMemory(width, dim, n, n, 2, 3, activity)
    limit = int(sizes.least + share * (sizes.whole - sizes.least))
    start = two_layer.DrawnWeights(width, dim, seed=0)
    with cores.using(threads=1):
        two_layer.train(x, y, two_layer.DrawnWeights(600, dim, seed=0), **options)
        tracemalloc.start()
        two_layer.train(x, y, start, memory=limit, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    rows = sizes.rows_within(limit)
    assert rows is not None
    assert peak <= sizes.in_parts(rows) + 1e6  # Python's own objects, tables and scratch of the kernels: below 1 MB
    assert sizes.in_parts(rows) <= limit


def test_patterns_of_the_latent_weights_are_m_n_bits_more():
    plain, latent = (TrainingMemory(2**20, 64, 256, 64, 50, 40, one) for one in ("straight_through", "latent"))
    for rows in (512, 2**14):
        assert latent.in_parts(rows) - plain.in_parts(rows) == 2**20 * 256 // 8
    assert latent.whole - plain.whole == 2**20 * 256 // 8
    assert TrainingMemory(2**20, 64, 256, 64, 50, 40, "frozen").whole == plain.whole


def test_predicted_memory_grows_with_the_neurons_at_a_time():
    sizes = TrainingMemory(2**20, 64, 256, 64, 50, 40)
    assert sizes.rows_within(None) is sizes.rows_within(sizes.whole) is None
    found = [sizes.rows_within(limit) for limit in range(sizes.least, sizes.whole, (sizes.whole - sizes.least) // 100)]
    assert found[0] == 512
    assert all(rows is not None and rows % 512 == 0 for rows in found)
    assert sizes.least < 120e6 < 500e6 < sizes.whole  # W alone is 268 MB
