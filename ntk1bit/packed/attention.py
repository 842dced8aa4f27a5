"""Causal attention over a cache of keys and values, compiled, with rotary positions; plain forms beside it.

Keys lie with positions along memory, 64 of them to a chunk, and values with channels: both loops run over neighbours,
and a head's cache is read in order. Every query of a head is computed in the same way, whether its sequence is read at
once or a position at a time.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int32

from ntk1bit.compiling import CONTRACT, compiled, inlined
from ntk1bit.packed.rows import LEVELS, by_rows, exponential, sum_of

CHUNK = 64  # positions
_ROTARY_BASE = 10_000.0  # as in `ntk1bit.networks.transformer`


def caches(
    *outer: int, heads: int, size: int, capacity: int
) -> tuple[Float32[np.ndarray, "*outer heads chunks size chunk"], Float32[np.ndarray, "*outer heads capacity size"]]:
    """Allocate keys and values of `capacity` positions; `outer` are leading axes, such as layers and batch."""
    keys = np.zeros((*outer, heads, -(-capacity // CHUNK), size, CHUNK), dtype=np.float32)
    return keys, np.zeros((*outer, heads, capacity, size), dtype=np.float32)


def attend(
    sums: Int32[np.ndarray, "b t three_padded"],
    gamma: Float32[np.ndarray, "b t"],
    scales: Float32[np.ndarray, " 3"],
    rotary: Float32[np.ndarray, "2 context half"],
    keys: Float32[np.ndarray, "b heads chunks size chunk"],
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
    rotary
        Of `rotary_table`; size = 2 half.
    keys, values
        Of `caches`; written from position `before` on; d = heads size.
    before
        Positions that are in the cache already.
    """
    batch, time, _ = sums.shape
    heads, size = values.shape[1], values.shape[3]
    out = np.empty((batch, time, heads * size), dtype=np.float32)

    seen = before + (time + 1) / 2
    each = 0.1 * time * seen * size + 5 * time * size  # the second: positions are written and rotated one by one
    by_rows(
        lambda first, stop: _attend(sums, gamma, scales, rotary, keys, values, before, first, stop, out),
        batch * heads,
        each,
    )
    return out


def rotary_table(context: int, half: int) -> Float32[np.ndarray, "2 context half"]:
    """Return cosines and sines of the angles p 10000^(-i/half) of positions p = 0, 1, ...

    Angles are rounded to float32 as in `ntk1bit.networks.transformer.rotate`: that is what a model was trained with.
    """
    rates = np.float32(_ROTARY_BASE) ** -(np.arange(half, dtype=np.float32) / np.float32(half))
    angles = np.arange(context, dtype=np.float32)[:, None] * rates
    return np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def rotate_reference(
    x: Float[np.ndarray, "b t heads size"], rotary: Float32[np.ndarray, "2 context half"]
) -> Float[np.ndarray, "b t heads size"]:
    """Rotate the pairs (x_i, x_{i + size/2}) of whole sequences plainly, in the precision of `x`."""
    cosine, sine = rotary[:, : x.shape[1], None]
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
def _attend(sums, gamma, scales, rotary, keys, values, before, first, stop, out):
    """Attend in heads first..stop of all sequences, counted through."""
    heads = keys.shape[1]
    for index in range(first, stop):
        _attend_head(sums, gamma, scales, rotary, keys, values, before, index // heads, index % heads, out)


@inlined(fastmath=CONTRACT)
@no_type_check
def _rotate(sums, scale, rotary, position, out):
    """Write the scaled and rotated entries of one head to `out`."""
    half = len(out) // 2
    cosine, sine = rotary[0, position], rotary[1, position]
    for c in range(half):
        left, right = np.float32(sums[c]) * scale, np.float32(sums[half + c]) * scale
        out[c] = left * cosine[c] - right * sine[c]
        out[half + c] = left * sine[c] + right * cosine[c]


@inlined(fastmath=CONTRACT)
@no_type_check
def _score(q, k, scores):
    """Write the products of one query with the keys of a chunk to `scores`."""
    scores[:] = 0
    size = len(q)
    for c in range(0, size - 3, 4):  # four at a time: a quarter of the loads and stores of the scores
        k0, k1, k2, k3 = k[c], k[c + 1], k[c + 2], k[c + 3]
        q0, q1, q2, q3 = q[c], q[c + 1], q[c + 2], q[c + 3]
        for s in range(len(scores)):
            scores[s] += (q0 * k0[s] + q1 * k1[s]) + (q2 * k2[s] + q3 * k3[s])
    for c in range(size // 4 * 4, size):
        q0, k0 = q[c], k[c]
        for s in range(len(scores)):
            scores[s] += q0 * k0[s]


@inlined(fastmath=CONTRACT)
@no_type_check
def _attend_head(sums, gamma, scales, rotary, keys, values, before, b, head, out):
    size = values.shape[3]
    time, padded = sums.shape[1], sums.shape[2] // 3
    first = head * size
    k, v = keys[b, head], values[b, head]
    q = np.empty(size, np.float32)
    for i in range(time):
        row, scale = sums[b, i], gamma[b, i] / np.float32(LEVELS)
        _rotate(row[padded + first : padded + first + size], scale * scales[1], rotary, before + i, q)
        for c in range(size):
            k[(before + i) // CHUNK, c, (before + i) % CHUNK] = q[c]
            v[before + i, c] = np.float32(row[2 * padded + first + c]) * (scale * scales[2])
    every_share = np.empty(before + time, np.float32)
    root = np.float32(1) / np.sqrt(np.float32(size))
    for i in range(time):
        scale = gamma[b, i] / np.float32(LEVELS) * scales[0]
        _rotate(sums[b, i, first : first + size], scale, rotary, before + i, q)
        seen = before + i + 1
        shares = every_share[:seen]
        for chunk in range((seen + CHUNK - 1) // CHUNK):
            _score(q, k[chunk], shares[chunk * CHUNK : min((chunk + 1) * CHUNK, seen)])
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
