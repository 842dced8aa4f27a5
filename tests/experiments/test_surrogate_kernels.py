from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.data import tasks
from ntk1bit.errors import InputError
from ntk1bit.experiments.surrogate_kernels import PAIRS, SurrogateKernels, limit_squares
from ntk1bit.kernels import empirical_ntk
from ntk1bit.kernels.surrogates import distance, shape, surrogate_ntk_reference
from ntk1bit.networks import two_layer

SCRATCH = Path("not used")


def by_pair(found, column, seed):
    part = found.loc[found["seed"] == seed].set_index("pair")
    return part[column].to_dict()


def test_what_is_measured_is_what_the_plain_kernels_give():
    found = SurrogateKernels("sphere-linear", 6, 9, 33, (3, 4)).run(SCRATCH)
    assert len(found) == 2 * len(PAIRS)
    assert found["data_seed"].tolist() == found["seed"].tolist()
    x = tasks.load("sphere-linear", n_train=9, n_test=0, seed=4, dim=6).x
    expected = []
    for index in range(2):
        weights = two_layer.init(33, 6, seed=4000 + index)
        tanh, clipped = (surrogate_ntk_reference(x, weights, surrogate=one) for one in ("tanh", "clipped"))
        one_bit, full = (empirical_ntk(x, weights, precision=one) for one in ("one_bit", "full"))
        expected.append((distance(clipped, tanh), distance(one_bit, full), shape(clipped, tanh)))
    clipped_tanh, quantising, turned = np.mean(expected, axis=0)
    assert by_pair(found, "distance", 4)["clipped-tanh"] == pytest.approx(clipped_tanh, rel=1e-12)
    assert by_pair(found, "shape", 4)["clipped-tanh"] == pytest.approx(turned, rel=1e-9)
    assert by_pair(found, "distance", 4)["identity-full"] == pytest.approx(quantising, rel=1e-12)
    assert by_pair(found, "distance", 3) != by_pair(found, "distance", 4)


def test_limits_are_those_of_the_means_and_not_of_the_noise():
    rng = np.random.default_rng(1)
    a, b = np.eye(40), np.eye(40) + 0.02 * rng.standard_normal((40, 40))
    exact = limit_squares((a, b), (a, b))
    assert exact == pytest.approx((distance(a, b) ** 2, shape(a, b) ** 2), rel=1e-9)

    def drawn():
        noise = rng.standard_normal((2, 40, 40)) * 0.05
        return a + noise[0], b + noise[1]

    found = np.array([limit_squares(drawn(), drawn()) for _ in range(400)])
    noisy = np.mean([distance(*drawn()) ** 2 for _ in range(50)])
    assert noisy > 5 * exact[0]
    error = found.std(axis=0) / np.sqrt(len(found))
    # five standard errors: once in a million; and these tell the truth from a quarter of the noise
    assert np.all(np.abs(found.mean(axis=0) - exact) < 5 * error)
    assert np.all(5 * error < 0.25 * noisy)


def test_digits_have_a_dimension_of_their_own_and_runs_repeat():
    one, two = (SurrogateKernels("digits", 0, 8, 16, (20,)).run(SCRATCH) for _ in range(2))
    assert one.equals(two)
    assert by_pair(one, "distance", 20)["identity-clipped"] > 0


def test_noise_falls_as_the_root_of_width():
    seeds = tuple(range(20, 30))
    narrow, wide = (SurrogateKernels("sphere-linear", 32, 16, m, seeds, networks=8).run(SCRATCH) for m in (64, 4096))
    for pair in ("identity-tanh", "identity-full"):
        means = [np.mean([by_pair(found, "shape", seed)[pair] for seed in seeds]) for found in (narrow, wide)]
        # 8 where there is noise alone; a distance varies by a fifth between networks, a mean of 80 by 2 %
        assert means[0] / means[1] == pytest.approx(8, rel=0.15)


def test_mistakes_are_told():
    with pytest.raises(InputError, match=r"networks must be 2 or more, .* got 1"):
        SurrogateKernels("digits", 0, 8, 16, (0,), networks=1)
