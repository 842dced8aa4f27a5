"""What happens to rows between two packed products, compiled: norm and rounding, attention, activation.

A token's product with 1024 x 1024 packed signs takes 4 us; a NumPy call on its row takes 1 us and a norm with its rounding
some twenty of them. So each of these steps is one compiled loop over rows, with its plain NumPy form beside it.
Rows do not depend on each other but in attention, whose sequences and heads do not: results are the same bits for any
number of threads.

Products come as int32 sums with the gamma of their inputs; `beta gamma/Q_b` times them is the layer's output (W23).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int8, Int32

from ntk1bit.compiling import CONTRACT, REASSOCIATE, compiled, inlined
from ntk1bit.cores import settings
from ntk1bit.cores.threads import run_pieces
from ntk1bit.quantizers import quantize_activations

LEVELS = 128  # Q_b of 8 bits
_EPSILON = 1e-5  # of LayerNorm, as in `ntk1bit.nets.bitlinear`
_ROTARY_BASE = 10_000.0  # as in `ntk1bit.nets.transformer`
_PIECE_NS = 50_000
_LOG2_E = np.float32(1 / np.log(2))
_LN2_HIGH = np.float32(0.693359375)  # 9 bits, so that n LN2_HIGH is exact
_LN2_LOW = np.float32(np.log(2) - 0.693359375)
_GELU = np.float32(2 * (2 / np.pi) ** 0.5)
_CUBIC = np.float32(0.044715)


class Rounded(NamedTuple):
    """Rows as integers: row i stands for `gamma[i] q[i] / 128`."""

    q: Int8[np.ndarray, "n d"]
    gamma: Float[np.ndarray, " n"]


def normalize(h: Float32[np.ndarray, "n d"], gain: Float32[np.ndarray, " d"]) -> Rounded:
    """Apply LayerNorm with a gain, then absmax rounding to 8 bits, to every row.

    `x = (h - mean) / sqrt(var + 1e-5) gain`; `gamma = max_k |x_k|`; `q = clip(round(x (128/gamma)), -127, 127)`, halves
    to even, in float32 and in the order of `ntk1bit.nets.ste.absmax_integers`. A row that is not finite gets gamma = nan.
    """
    q, gamma = np.empty(h.shape, dtype=np.int8), np.empty(len(h), dtype=np.float32)
    _by_rows(lambda first, stop: _normalize(h, gain, q, gamma, first, stop), len(h), 0.5 * h.shape[1])
    return Rounded(q, gamma)


def normalize_reference(h: Float[np.ndarray, "n d"], gain: Float[np.ndarray, " d"]) -> Rounded:
    """Compute `normalize` plainly, in the precision of `h`."""
    return Rounded(*quantize_activations(layer_norm(h, gain)))


def layer_norm(h: Float[np.ndarray, "n d"], gain: Float[np.ndarray, " d"]) -> Float[np.ndarray, "n d"]:
    """Return `(h - mean) / sqrt(var + 1e-5) gain` of every row."""
    centred = h - h.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + _EPSILON) * gain


def activate(
    sums: Int32[np.ndarray, "n m"], gamma: Float32[np.ndarray, " n"], beta: float, *, gelu: bool
) -> Float32[np.ndarray, "n m"]:
    """Return GELU (tanh form) or the squared ReLU of a product, `act(beta gamma/128 sums)`.

    GELU is computed as `x / (1 + exp(-2u))`, u = sqrt(2/pi) (x + 0.044715 x^3), which is x (1 + tanh u)/2.
    """
    out = np.empty(sums.shape, dtype=np.float32)
    scale = np.float32(beta)
    each = (2.0 if gelu else 0.3) * sums.shape[1]
    _by_rows(lambda first, stop: _activate(sums, gamma, scale, gelu, out, first, stop), len(sums), each)
    return out


def activate_reference(x: Float[np.ndarray, "n m"], *, gelu: bool) -> Float[np.ndarray, "n m"]:
    """Compute the activation plainly, in the precision of `x`; a product's is that of `rescale`."""
    if gelu:
        return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
    return np.maximum(x, 0) ** 2


def rescale(sums: Int32[np.ndarray, "n m"], gamma: Float[np.ndarray, " n"], beta: float) -> Float[np.ndarray, "n m"]:
    """Return a product's output, `beta gamma/128 sums`, in the precision of `gamma`."""
    return sums * (gamma * gamma.dtype.type(beta) / LEVELS)[:, None]


def add(
    h: Float32[np.ndarray, "n d"], sums: Int32[np.ndarray, "n d"], gamma: Float32[np.ndarray, " n"], beta: float
) -> None:
    """Add a product's output to the residual stream, in place: `h += beta gamma/128 sums`."""
    scale = np.float32(beta)
    _by_rows(lambda first, stop: _add(h, sums, gamma, scale, first, stop), len(h), 0.1 * h.shape[1])


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


def project(
    h: Float32[np.ndarray, "n d"], gain: Float32[np.ndarray, " d"], head: Float32[np.ndarray, "v d"]
) -> Float32[np.ndarray, "n v"]:
    """Return `LN(h) head^T` (plainly: `layer_norm(h, gain) @ head.T`)."""
    out = np.empty((len(h), len(head)), dtype=np.float32)
    _by_rows(lambda first, stop: _project(h, gain, head, out, first, stop), len(h), 0.06 * head.size)
    return out


def _by_rows(kernel: Callable[[int, int], None], count: int, row_ns: float) -> None:
    """Call a kernel on blocks of rows, on as many threads as are worth it."""
    rows = int(max(1, min(count, _PIECE_NS / row_ns)))
    if rows == count:
        kernel(0, count)
        return

    def piece(index: int) -> None:
        kernel(index * rows, min((index + 1) * rows, count))

    run_pieces(piece, -(-count // rows), threads=settings().threads, work_ns=count * row_ns)


@inlined(fastmath=REASSOCIATE)
@no_type_check
def _sum(row):
    total = np.float32(0)
    for k in range(len(row)):
        total += row[k]
    return total


@inlined(fastmath=REASSOCIATE)
@no_type_check
def _dot(left, right):
    total = np.float32(0)
    for k in range(len(left)):
        total += left[k] * right[k]
    return total


@inlined()
@no_type_check
def _largest_bits(row):
    """Return the largest magnitude: the bits of positive floats are ordered as integers, which vectors can compare."""
    bits = row.view(np.int32)
    largest = np.int32(0)
    for k in range(len(bits)):
        largest = max(largest, bits[k] & np.int32(0x7FFFFFFF))
    return largest


@inlined()
@no_type_check
def _norm_row(row, gain, x):
    """Write LN(row) gain to `x` and tell whether it is finite."""
    d = np.float32(len(row))
    mean = _sum(row) / d
    for k in range(len(row)):
        x[k] = row[k] - mean
    variance = _dot(x, x) / d
    if not variance < np.float32(np.inf):
        x[:] = np.nan
        return False
    factor = np.float32(1) / np.sqrt(variance + np.float32(_EPSILON))
    for k in range(len(row)):
        x[k] = x[k] * factor * gain[k]
    return True


@compiled
@no_type_check
def _normalize(h, gain, q, gamma, first, stop):
    x = np.empty(h.shape[1], np.float32)
    largest = np.empty(1, np.int32)
    for i in range(first, stop):
        if not _norm_row(h[i], gain, x):
            q[i] = 0
            gamma[i] = np.nan
            continue
        largest[0] = _largest_bits(x)
        top = largest.view(np.float32)[0]
        gamma[i] = top
        factor = np.float32(LEVELS) / (top if top > 0 else np.float32(1))
        row = q[i]
        for k in range(len(row)):
            level = np.rint(x[k] * factor)
            level = min(max(level, np.float32(1 - LEVELS)), np.float32(LEVELS - 1))
            row[k] = np.int8(np.int32(level))


@inlined(fastmath=CONTRACT)
@no_type_check
def _exponential(row):
    """Replace float32 numbers up to 88 by their exponentials, to 2 ulp; below -87 they become 1e-38 or less."""
    powers = row.view(np.int32)
    for k in range(len(row)):
        x = min(max(row[k], np.float32(-87.0)), np.float32(88.0))
        n = np.rint(x * _LOG2_E)
        r = (x - n * _LN2_HIGH) - n * _LN2_LOW
        tail = np.float32(1 / 120) + r * (np.float32(1 / 720) + r * np.float32(1 / 5040))
        tail = np.float32(1 / 6) + r * (np.float32(1 / 24) + r * tail)
        value = np.float32(1) + r * (np.float32(1) + r * (np.float32(0.5) + r * tail))
        row[k] = value
        powers[k] += np.int32(n) << np.int32(23)  # times 2^n


@compiled
@no_type_check
def _activate(sums, gamma, beta, gelu, out, first, stop):
    for i in range(first, stop):
        scale = gamma[i] * beta / np.float32(LEVELS)
        row, given = out[i], sums[i]
        if gelu:
            for at in range(0, len(row), 512):  # a block stays in the first-level cache between the loops
                _gelu(given[at : at + 512], scale, row[at : at + 512])
        else:
            for k in range(len(row)):
                x = max(np.float32(given[k]) * scale, np.float32(0))
                row[k] = x * x


@inlined(fastmath=CONTRACT)
@no_type_check
def _gelu(sums, scale, out):
    for k in range(len(out)):
        x = np.float32(sums[k]) * scale
        out[k] = -_GELU * (x + _CUBIC * x * x * x)
    _exponential(out)
    for k in range(len(out)):
        out[k] = np.float32(sums[k]) * scale / (np.float32(1) + out[k])


@compiled
@no_type_check
def _add(h, sums, gamma, beta, first, stop):
    for i in range(first, stop):
        scale = gamma[i] * beta / np.float32(LEVELS)
        row, given = h[i], sums[i]
        for k in range(len(row)):
            row[k] += np.float32(given[k]) * scale


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
        _exponential(shares)
        factor = np.float32(1) / _sum(shares)
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


@compiled
@no_type_check
def _project(h, gain, head, out, first, stop):
    x = np.empty(h.shape[1], np.float32)
    for i in range(first, stop):
        _norm_row(h[i], gain, x)
        for v in range(len(head)):
            out[i, v] = _dot(x, head[v])
