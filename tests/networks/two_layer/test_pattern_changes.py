from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.quantizers import centred_scale, effective_weights
from ntk1bit.networks.two_layer.pattern_changes import pattern_changes
from ntk1bit.networks.two_layer.sign_flips import activations_differ, greedy_move, may_change


def drawn(count, dim, inputs=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((inputs, dim))
    return rng.standard_normal((count, dim)), x / np.linalg.norm(x, axis=1, keepdims=True)


def active(w, x):
    return effective_weights(w) @ x.T >= 0


@pytest.mark.parametrize(("dim", "radius"), [(3, 0.05), (4, 0.5), (8, 0.2), (33, 0.05), (128, 0.01)])
def test_moves_stay_in_the_ball_change_the_activation_and_are_possible(dim, radius):
    w, x = drawn(400, dim)
    found = pattern_changes(w, x, radius)
    row, column = found.pairs.T
    assert len(row) > 20
    assert np.linalg.norm(found.moves, axis=1).max() <= radius
    assert (active(w[row] + found.moves, x) != active(w[row], x))[np.arange(len(row)), column].all()
    assert found.possible[row, column].all()
    # what is possible and not reached lies at the edge of the ball: a share of order R
    assert found.possible.sum() - len(row) <= 0.5 * max(radius, 0.05) * found.possible.sum() + 3
    alone = pattern_changes(w, x, radius, moves=False)
    assert np.array_equal(alone.possible, found.possible)
    assert len(alone.pairs) == len(alone.moves) == 0


@pytest.mark.parametrize(("dim", "radius"), [(2, 0.1), (3, 0.3), (6, 0.3), (16, 0.1)])
def test_no_move_changes_an_activation_that_is_not_possible(dim, radius):
    w, x = drawn(300, dim, seed=1)
    kept = ~pattern_changes(w, x, radius).possible
    rng = np.random.default_rng(2)
    start = active(w, x)
    c = centred_scale(w)[0]
    for trial in range(300):
        move = rng.standard_normal(w.shape) if trial % 2 else -c * (np.abs(c) < radius * rng.random(c.shape) * 2)
        move = move + 1e-9 * rng.standard_normal(w.shape)
        move *= radius * rng.random((len(w), 1)) ** (1 / dim) / np.linalg.norm(move, axis=1, keepdims=True)
        assert not ((active(w + move, x) != start) & kept).any()


def test_it_is_sharper_than_the_plain_condition_and_finds_more_than_the_plain_adversary():
    w, x = drawn(2000, 16, inputs=1)
    every = np.repeat(x, len(w), axis=0)
    found = pattern_changes(w, x, 0.02)
    greedy = activations_differ(w, every, greedy_move(w, every, 0.02))
    possible = found.possible[:, 0]
    assert not (greedy & ~possible).any()
    assert not (possible & ~may_change(w, every, 0.02)).any()
    assert len(found.pairs) > 1.5 * greedy.sum()
    assert possible.sum() < 0.5 * may_change(w, every, 0.02).sum()


def test_nothing_changes_where_both_products_are_zero():
    """With <q, x> = <1, x> = 0 the activation is that of z = 0, whatever s and mu are."""
    w = np.array([[1.0, 1.1, -1.0, -1.1]])
    x = np.array([[1.0, -1.0, 0.0, 0.0]]) / np.sqrt(2)
    assert not pattern_changes(w, x, 0.1).possible.any()


def test_too_many_signs_are_told():
    w, x = drawn(3, 40)
    with pytest.raises(InputError, match="smaller radius"):
        pattern_changes(w, x, 5.0)
