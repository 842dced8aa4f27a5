"""Which activations a small move of the weights can change, through the signs that it flips (D25, Eq. 5)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from ntk1bit.networks.quantizers import centred_scale, effective_weights


def may_change(w: Float[np.ndarray, "b d"], x: Float[np.ndarray, "b d"], radius: float) -> Bool[np.ndarray, " b"]:
    """Say for which pairs (w_r, x_r) the necessary condition for a change of activation within `radius` holds.

    Either some sign can flip, min_k |c_k| <= R sqrt(1 - 1/d); or z = s A + mu B, A = <q,x>, B = <1,x>, can change its
    sign with fixed q: |z| <= (R/sqrt d)(|A| + |B|) and (A, B) != 0.
    """
    dim = w.shape[1]
    c, s, mu = centred_scale(w)
    along, total = np.einsum("rk,rk->r", np.where(c >= 0, 1.0, -1.0), x), x.sum(axis=1)
    can_flip = np.abs(c).min(axis=1) <= radius * np.sqrt(1 - 1 / dim)
    reach = radius / np.sqrt(dim) * (np.abs(along) + np.abs(total))
    return can_flip | ((np.abs(s * along + mu * total) <= reach) & (reach > 0))


def greedy_move(w: Float[np.ndarray, "b d"], x: Float[np.ndarray, "b d"], radius: float) -> Float[np.ndarray, "b d"]:
    """Return moves of norm at most `radius` that push z(x) towards the other sign, by flipping the cheapest signs.

    Flipping sign k costs about |c_k| of the move and changes z by 2 s |x_k|; signs whose flip helps are taken in the
    order of change for squared cost until the move is spent. What is left goes along the gradient of z.
    """
    rows, dim = np.arange(len(w))[:, None], w.shape[1]
    c, s, mu = centred_scale(w)
    q = np.where(c >= 0, 1.0, -1.0)
    z = s * np.einsum("rk,rk->r", q, x) + mu * x.sum(axis=1)
    towards = np.where(z >= 0, -1.0, 1.0)
    gain = -2 * s[:, None] * q * x * towards[:, None]
    worth = np.where(gain > 0, gain / np.maximum(c**2, 1e-300), -1.0)
    order = np.argsort(-worth, axis=1)
    cost = np.where(gain > 0, c**2, np.inf)[rows, order]
    affordable = np.cumsum(cost, axis=1) <= (0.97 * radius) ** 2  # the rest pays for the shift of the mean
    flip = np.zeros_like(affordable)
    np.put_along_axis(flip, order, affordable, axis=1)
    move = np.where(flip, -c, 0.0)
    shift = np.abs(move.mean(axis=1, keepdims=True))  # moving some coordinates moves the mean of all
    move -= np.where(flip, q * (1.05 * shift + 1e-9), 0.0)
    gradient = (q * x).sum(axis=1, keepdims=True) * c / (dim * s[:, None]) + x.sum(axis=1, keepdims=True) / dim
    gradient *= towards[:, None] / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-300)
    left = np.sqrt(np.maximum((0.999 * radius) ** 2 - (move**2).sum(axis=1), 0.0))
    smooth = np.where(flip, 0.0, gradient)
    move = move + np.minimum(left, radius)[:, None] * smooth
    norms = np.linalg.norm(move, axis=1, keepdims=True)
    return move * np.minimum(1.0, radius / np.maximum(norms, 1e-300))


def activations_differ(
    w: Float[np.ndarray, "b d"], x: Float[np.ndarray, "b d"], move: Float[np.ndarray, "b d"]
) -> Bool[np.ndarray, " b"]:
    """Evaluate the network at both places and say where the activations differ."""
    before, after = (np.einsum("rk,rk->r", effective_weights(v), x) >= 0 for v in (w, w + move))
    return before != after
