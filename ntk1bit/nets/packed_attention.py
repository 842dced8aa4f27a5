"""Causal attention over a cache of keys and values, compiled, with rotary positions; plain forms beside it.

Keys lie with positions along memory and values with channels, so that both loops run over neighbours. Every query of
a head is computed in the same way whether its sequence is read at once or a position at a time.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int32

from ntk1bit.compiling import CONTRACT, compiled, inlined
from ntk1bit.cores import settings
from ntk1bit.cores.threads import run_pieces
from ntk1bit.nets.packed_rows import LEVELS, exponential, sum_of

_ROTARY_BASE = 10_000.0  # as in `ntk1bit.nets.transformer`


def attend(
    sums: Int32[np.ndarray, "b t three_padded"],
    gamma: Float32[np.ndarray, "b t"],
    scales: Float32[np.ndarray, " 3"],
    turns: Float32[np.ndarray, "2 context half"],
    keys: Float32[np.ndarray, "b heads size capacity"],
    values: Float32[np.ndarray, "b heads capacity size"],
    before: int,
) -> Float32[np.ndarray, "b t d"]:
    """Store keys and values of new positions, and gather for each what causal attention sees.

    Parameters
    ----------
    sums, gamma
        The products for queries, keys and values side by side, each padded to whole panels of 16; gamma of the inputs.
    scales
        beta of the three.
    turns
        Of `rotations`; size = 2 half.
    keys, values
        The cache, written from position `before` on; d = heads size.
    before
        Positions that are in the cache already.
    """
    batch, time, padded = sums.shape
    heads, size = keys.shape[1:3]
    out = np.empty((batch, time, heads * size), dtype=np.float32)

    def piece(index: int) -> None:
        _attend(sums, gamma, scales, turns, keys, values, before, *divmod(index, heads), out)

    seen = before + (time + 1) / 2
    work = 0.12 * batch * time * seen * heads * size + 0.5 * batch * time * padded
    if time == 1:
        _attend_all(sums, gamma, scales, turns, keys, values, before, out)
    else:
        run_pieces(piece, batch * heads, threads=settings().threads, work_ns=work)
    return out


def rotations(context: int, half: int) -> Float32[np.ndarray, "2 context half"]:
    """Return cosines and sines of the angles p 10000^(-i/half) of positions p = 0, 1, ...

    Angles are rounded to float32 as in `ntk1bit.nets.transformer.rotate`: that is what a model was trained with.
    """
    rates = np.float32(_ROTARY_BASE) ** -(np.arange(half, dtype=np.float32) / np.float32(half))
    angles = np.arange(context, dtype=np.float32)[:, None] * rates
    return np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def rotate_reference(
    x: Float[np.ndarray, "b t heads size"], turns: Float32[np.ndarray, "2 context half"]
) -> Float[np.ndarray, "b t heads size"]:
    """Rotate the pairs (x_i, x_{i + size/2}) of whole sequences plainly, in the precision of `x`."""
    cosine, sine = turns[:, : x.shape[1], None]
    left, right = np.split(x, 2, axis=-1)
    return np.concatenate([left * cosine - right * sine, left * sine + right * cosine], axis=-1)


def attend_reference(
    q: Float[np.ndarray, "b t heads size"],
    k: Float[np.ndarray, "b t heads size"],
    v: Float[np.ndarray, "b t heads size"],
) -> Float[np.ndarray, "b t d"]:
    """Compute causal attention over whole sequences plainly, in the precision of its inputs."""
    batch, time, heads, size = q.shape
    scores = np.einsum("bqhc,bkhc->bhqk", q, k) * size**-0.5
    scores[..., ~np.tri(time, dtype=bool)] = -np.inf
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bkhc->bqhc", shares, v).reshape(batch, time, heads * size)


@compiled
@no_type_check
def _attend(sums, gamma, scales, turns, keys, values, before, b, head, out):
    _attend_head(sums, gamma, scales, turns, keys, values, before, b, head, out)


@compiled
@no_type_check
def _attend_all(sums, gamma, scales, turns, keys, values, before, out):
    for b in range(keys.shape[0]):
        for head in range(keys.shape[1]):
            _attend_head(sums, gamma, scales, turns, keys, values, before, b, head, out)


@inlined(fastmath=CONTRACT)
@no_type_check
def _rotate(sums, scale, turns, position, out):
    """Write the scaled and rotated entries of one head to `out`."""
    half = len(out) // 2
    cosine, sine = turns[0, position], turns[1, position]
    for c in range(half):
        left, right = np.float32(sums[c]) * scale, np.float32(sums[half + c]) * scale
        out[c] = left * cosine[c] - right * sine[c]
        out[half + c] = left * sine[c] + right * cosine[c]


@inlined(fastmath=CONTRACT)
@no_type_check
def _attend_head(sums, gamma, scales, turns, keys, values, before, b, head, out):
    size = keys.shape[2]
    time, padded = sums.shape[1], sums.shape[2] // 3
    first = head * size
    k, v = keys[b, head], values[b, head]
    q = np.empty(size, np.float32)
    for i in range(time):
        row, scale = sums[b, i], gamma[b, i] / np.float32(LEVELS)
        _rotate(row[padded + first : padded + first + size], scale * scales[1], turns, before + i, q)
        for c in range(size):
            k[c, before + i] = q[c]
            v[before + i, c] = np.float32(row[2 * padded + first + c]) * (scale * scales[2])
    room = np.empty(before + time, np.float32)
    root = np.float32(1) / np.sqrt(np.float32(size))
    for i in range(time):
        scale = gamma[b, i] / np.float32(LEVELS) * scales[0]
        _rotate(sums[b, i, first : first + size], scale, turns, before + i, q)
        seen = before + i + 1
        shares = room[:seen]
        shares[:] = 0
        for c in range(0, size - 3, 4):  # four at a time: a quarter of the loads and stores of `shares`
            k0, k1, k2, k3 = k[c], k[c + 1], k[c + 2], k[c + 3]
            q0, q1, q2, q3 = q[c], q[c + 1], q[c + 2], q[c + 3]
            for s in range(seen):
                shares[s] += (q0 * k0[s] + q1 * k1[s]) + (q2 * k2[s] + q3 * k3[s])
        for c in range(size // 4 * 4, size):
            q0, k0 = q[c], k[c]
            for s in range(seen):
                shares[s] += q0 * k0[s]
        top = np.float32(-np.inf)
        for s in range(seen):
            shares[s] *= root
            top = max(top, shares[s])
        for s in range(seen):
            shares[s] -= top
        exponential(shares)
        factor = np.float32(1) / sum_of(shares)
        gathered = out[b, i, first : first + size]
        gathered[:] = 0
        for s in range(0, seen - 3, 4):
            v0, v1, v2, v3 = v[s], v[s + 1], v[s + 2], v[s + 3]
            s0, s1 = shares[s] * factor, shares[s + 1] * factor
            s2, s3 = shares[s + 2] * factor, shares[s + 3] * factor
            for c in range(size):
                gathered[c] += (s0 * v0[c] + s1 * v1[c]) + (s2 * v2[c] + s3 * v3[c])
        for s in range(seen // 4 * 4, seen):
            share, value = shares[s] * factor, v[s]
            for c in range(size):
                gathered[c] += share * value[c]
