from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.networks.quantizers import centred_scale, effective_weights
from ntk1bit.networks.two_layer.sign_flips import greedy_move, may_change


def neurons(count, dim, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, dim))
    return rng.standard_normal((count, dim)), x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [2, 3, 7, 64, 65])
@pytest.mark.parametrize("radius", [1e-3, 0.1, 3.0])
def test_the_adversary_stays_in_the_ball_and_reaches_only_what_the_condition_allows(dim, radius):
    w, x = neurons(500, dim)
    move = greedy_move(w, x, radius)
    assert np.linalg.norm(move, axis=1).max() <= radius * (1 + 1e-12)
    before, after = (np.einsum("rk,rk->r", effective_weights(v), x) >= 0 for v in (w, w + move))
    assert not ((before != after) & ~may_change(w, x, radius)).any()


def test_the_adversary_beats_random_moves():
    w, x = neurons(4000, 16)
    radius = 0.3
    rng = np.random.default_rng(1)
    random = rng.standard_normal(w.shape)
    random *= radius / np.linalg.norm(random, axis=1, keepdims=True)

    def changed(move):
        before, after = (np.einsum("rk,rk->r", effective_weights(v), x) >= 0 for v in (w, w + move))
        return (before != after).mean()

    assert changed(greedy_move(w, x, radius)) > 2 * changed(random)


def test_a_flip_of_the_nearest_sign_is_found_where_it_decides():
    """One coordinate near its flip, and an output that hangs on it: the adversary must find the flip."""
    w = np.array([[1.0, -1.0, 1e-4, -1e-4]])
    x = np.array([[0.1, 0.1, 0.7, -0.7]])
    x /= np.linalg.norm(x)
    move = greedy_move(w, x, 1e-3)
    assert (centred_scale(w)[0] >= 0).tolist() != (centred_scale(w + move)[0] >= 0).tolist()
