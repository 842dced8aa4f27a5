"""Which activations can change within a ball around the weights, pair by pair of neuron and input (D25, Def. E.1).

Within norm(w' - w) <= R the signs that flip form a set F, and for each F the preactivation is z' = s' A + mu' B with
A = <q, x> for the signs after the flips and B = <1, x>. Only coordinates with |c_k| <= R sqrt(1 - 1/d) can flip, few of
them where R is small, so all sets F are gone through:

- *possible*: sum_F c_k^2 <= R^2, and z' can have the other sign, |z' - (s A + mu B)| <= (R/sqrt d) hypot(A, B) being
  what s and mu add, since d (s' - s)^2 + d (mu' - mu)^2 <= R^2. Necessary for a change: where this fails for every F
  the pair is in D25's S_i (Def. E.2), without exception.
- *reached*: a move is made. The nearest point at which F has flipped is c with c_F = 0, the others shifted so that the
  sum stays 0: cost sum_F c_k^2 + (sum_F c_k)^2/(d - f). What is left of R^2 is spent on norm(c) and mu, at a right
  angle to that, where it changes z' most.

The two differ by pairs at the edge, a share of order R^2. `sign_flips.greedy_move` is the plain form: it finds about
half of these moves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ntk1bit.errors import InputError
from ntk1bit.networks.quantizers import centred_scale
from ntk1bit.networks.two_layer.sign_flips import activations_differ

MOST_FLIPS = 16  # coordinates of one neuron that may flip: 2^16 sets
_INSIDE = 0.999  # of R: moves stop short of it, so that flipped coordinates can go past 0
_PAST = 1e-4  # of R: how far past 0
_AT_ONCE = 4_000_000  # numbers in one array of (neurons, sets, inputs)


class PatternChanges(NamedTuple):
    """The pairs (neuron r, input i) whose activation can change within the ball.

    Attributes
    ----------
    possible
        (m, n): false where no weights in the ball change the activation.
    pairs
        (k, 2): neuron and input of the pairs for which a move was made, and the network evaluated there has the other
        activation.
    moves
        (k, d): these moves, each of norm at most R.
    """

    possible: Bool[np.ndarray, "m n"]
    pairs: Int[np.ndarray, "k 2"]
    moves: Float[np.ndarray, "k d"]


def pattern_changes(
    w: Float[np.ndarray, "m d"], x: Float[np.ndarray, "n d"], radius: float, *, moves: bool = True
) -> PatternChanges:
    """Go through the sets of signs that can flip within `radius` of each neuron's weights.

    Parameters
    ----------
    w, x
        Weights and inputs, float64.
    radius
        R > 0, so small that at most 16 coordinates of a neuron can flip.
    moves
        Whether to make moves; without them `pairs` and `moves` are empty.

    Raises
    ------
    InputError
        If more coordinates of a neuron can flip: the sets would be too many.
    """
    dim, n = w.shape[1], len(x)
    c = centred_scale(w)[0]
    near = np.abs(c) <= radius * np.sqrt(1 - 1 / dim)
    count = near.sum(axis=1)
    if count.max() > MOST_FLIPS:
        raise InputError(
            f"within radius {radius:g} up to {count.max()} signs of a neuron can flip; at most {MOST_FLIPS} can be "
            "gone through: take a smaller radius"
        )
    possible = np.zeros((len(w), n), dtype=bool)
    pairs, found = [np.zeros((0, 2), dtype=np.int64)], [np.zeros((0, dim))]
    for flips in np.unique(count):
        sharing = np.flatnonzero(count == flips)
        chunk = max(1, _AT_ONCE // (2 ** int(flips) * n))
        for low in range(0, len(sharing), chunk):
            rows = sharing[low : low + chunk]
            at = np.argsort(~near[rows], axis=1, kind="stable")[:, :flips]
            possible[rows], reached = _of_sets(w[rows], x, at, radius, moves=moves)
            pairs.append(np.stack([rows[reached[0]], reached[1]], axis=1))
            found.append(reached[2])
    made, by = np.concatenate(pairs), np.concatenate(found)
    done = activations_differ(w[made[:, 0]], x[made[:, 1]], by) & (np.linalg.norm(by, axis=1) <= radius)
    return PatternChanges(possible, made[done], by[done])


def _of_sets(
    w: Float[np.ndarray, "g d"], x: Float[np.ndarray, "n d"], at: Int[np.ndarray, "g f"], radius: float, *, moves: bool
) -> tuple[Bool[np.ndarray, "g n"], tuple[np.ndarray, np.ndarray, Float[np.ndarray, "k d"]]]:
    """Do so for neurons of which the coordinates `at` can flip: what is possible, and (neuron, input, move)."""
    dim, flips = w.shape[1], at.shape[1]
    c, s, mu = centred_scale(w)
    q = np.where(c >= 0, 1.0, -1.0)
    sets = ((np.arange(2**flips)[:, None] >> np.arange(flips)) & 1).astype(np.float64)
    own = np.arange(len(w))[:, None]
    squares, sums = c[own, at] ** 2 @ sets.T, c[own, at] @ sets.T
    along = q @ x.T
    jumps = 2 * q[own, at][:, :, None] * x.T[at]
    after = along[:, None, :] - np.einsum("pf,gfn->gpn", sets, jumps)  # A
    total = x.sum(axis=1)  # B
    lift = mu[:, None] * total
    on = s[:, None] * along + lift >= 0
    z = s[:, None, None] * after + lift[:, None, :]
    reach = np.hypot(after, total) / np.sqrt(dim)
    band = radius * reach
    can = ((z >= 0) != on[:, None, :]) | ((np.abs(z) <= band) & (band > 0))
    possible = (can & (squares <= radius**2)[:, :, None]).any(axis=1)
    nothing = np.zeros(0, dtype=np.int64)
    if not moves:
        return possible, (nothing, nothing, np.zeros((0, dim)))

    rest = dim - sets.sum(axis=1)
    shift = np.divide(sums, rest, out=np.full_like(sums, np.inf), where=rest > 1)  # with one other, c would be 0
    cost = squares + shift**2 * np.maximum(rest, 1)
    left = np.sqrt(np.maximum((_INSIDE * radius) ** 2 - cost, 0.0))
    size = np.sqrt(np.maximum(dim * s[:, None] ** 2 - cost, 0.0))  # of c with F at 0
    best = size[:, :, None] / np.sqrt(dim) * after + lift[:, None, :]
    margin = np.where(on[:, None, :], -1.0, 1.0) * best + left[:, :, None] * reach
    margin[(cost >= (_INSIDE * radius) ** 2) | (size == 0)] = -np.inf
    chosen = margin.argmax(axis=1)
    row, column = np.nonzero(np.take_along_axis(margin, chosen[:, None, :], axis=1)[:, 0] > 0)
    which = chosen[row, column]
    flipped = np.zeros((len(row), dim))
    np.put_along_axis(flipped, at[row], sets[which], axis=1)
    moved = np.where(flipped > 0, -_PAST * radius * q[row], c[row] + shift[row, which][:, None])
    towards = np.where(on[row, column], -1.0, 1.0) * left[row, which]
    length = np.sqrt(dim) * reach[row, which, column]
    towards = np.divide(towards, length, out=np.zeros_like(length), where=length > 0)
    grown = 1 + towards * after[row, which, column] / size[row, which]
    mean = mu[row] + towards * total[column] / np.sqrt(dim)
    return possible, (row, column, moved * grown[:, None] + mean[:, None] - w[row])
