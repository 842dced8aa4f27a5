"""Constants of theorem 3 by other ways, and their limits."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ntk1bit.errors import InputError
from proofs_numeric.frozen_bounds import FrozenBounds, largest_change, second_order, window_probability

BASE = FrozenBounds(n=4, dim=16, width=1024, kappa=1.0, spectral=1.2, radius=1.0, inputs=4, delta=0.05)


def test_lemma_b_is_a_mean_over_neurons():
    """E[s^2 (sum over |c_k| <= rho of |x_k|)^2] by drawing neurons, within what the formula bounds it by."""
    rng, dim, rho = np.random.default_rng(0), 8, 0.1
    x = rng.standard_normal(dim)
    x /= np.linalg.norm(x)
    w = rng.standard_normal((200_000, dim))
    c = w - w.mean(axis=1, keepdims=True)
    each = (c**2).mean(axis=1) * ((np.abs(c) <= rho) @ np.abs(x)) ** 2
    bound = ((largest_change(dim, rho) - 2 * math.sqrt(2) * rho) / 2) ** 2
    assert each.mean() - 5 * each.std() / math.sqrt(len(w)) < bound
    assert bound < 3 * each.mean()  # the first term alone is sharp but for s^2, and rho d is not small


def test_small_moves_scatter_by_their_square_root():
    small, smaller = (largest_change(16, rho) for rho in (1e-8, 1e-10))
    assert small / smaller == pytest.approx(10, rel=1e-3)  # terms of order sqrt(rho) below the first
    assert window_probability(16, 4, 1e-9, 0.0) == pytest.approx(4e-9 / math.sqrt(2 * math.pi * 15 / 16))
    assert second_order(4, 5) == pytest.approx(7 + 29.2 + 12 + 18.4)


def test_the_leading_term_takes_over():
    wide = replace(BASE, width=2**80)
    assert wide.deviation == pytest.approx(wide.leading, rel=0.01)
    constant = math.sqrt(8 / math.sqrt(2 * math.pi * 15 / 16) * 1.2 * 4)  # sqrt(8 p_0 kappa^3 Lambda B n)
    wider = replace(BASE, width=2**1000)
    # log(1 + 2 Z sqrt m) is half of log m but for log(2 Z), and log(8 M/delta)/n: 2 % of 693
    assert wider.leading == pytest.approx(constant * wider.width**-0.25 * math.sqrt(math.log(wider.width)), rel=0.02)


def test_bounds_fall_with_width_and_grow_with_the_ball():
    bounds = [replace(BASE, width=width) for width in (256, 1024, 4096)]
    assert all(one.deviation > other.deviation for one, other in pairwise(bounds))
    assert replace(BASE, radius=2.0).deviation > bounds[1].deviation
    assert replace(BASE, delta=0.01).deviation > bounds[1].deviation


def test_the_modulus_falls_with_distance_to_order_log_m_over_root_m():
    bounds = replace(BASE, width=2**90)
    assert bounds.modulus(1.0) > bounds.modulus(0.01) > bounds.modulus(0.0)
    ratio = bounds.modulus(1e-2) / bounds.modulus(1e-4)
    assert ratio == pytest.approx(10, rel=0.2)  # the root of the distance, until the rest counts
    wider = replace(BASE, width=2**92)
    assert bounds.modulus(0.0) / wider.modulus(0.0) == pytest.approx(2, rel=0.1)  # logarithms move it by 92/90


@pytest.mark.parametrize(("changes", "message"), [({"dim": 2}, "d >= 3"), ({"radius": 20.0}, "larger width")])
def test_what_nothing_is_proved_of_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        replace(BASE, **changes)
