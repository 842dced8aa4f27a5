"""What happens to rows between two packed products, compiled: norm and rounding, activation, head.

A token's product with 1024 x 1024 packed signs takes 4 us; a NumPy call on its row takes 1 us, and a norm with its
rounding some twenty of them. So each of these steps is one compiled loop over rows, with its plain NumPy form beside.
Rows do not depend on each other, so results are the same bits for any number of threads.

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
from ntk1bit.networks.bitlinear_form import SHIFTS, Shift
from ntk1bit.networks.layer_norm import EPSILON, layer_norm
from ntk1bit.networks.quantizers import LIFT, SMALL, levels, quantize_activations

LEVELS = 128  # Q_b of 8 bits
_UNSHIFTED, _FULL_RANGE = SHIFTS.index("nowhere"), SHIFTS.index("full-range")
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


def normalize(h: Float32[np.ndarray, "n d"], gain: Float32[np.ndarray, " d"], *, shift: Shift = "nowhere") -> Rounded:
    """Apply LayerNorm with a gain, then absmax rounding to 8 bits, to every row.

    `x = (h - mean) / sqrt(var + 1e-5) gain`; `gamma = max_k |x_k|`; `q = clip(round(x (128/gamma)), -127, 127)`, halves
    to even, in float32 and in the order of `straight_through.absmax_integers`. A row that is not finite gets gamma nan.

    With a shift (W23, Eq. 6) `q = clip(round((x - eta) (128/gamma)), 0, 127)`, eta = min_k x_k; for ``"full-range"``
    gamma is max_k (x_k - eta).
    """
    q, gamma = np.empty(h.shape, dtype=np.int8), np.empty(len(h), dtype=np.float32)
    how = SHIFTS.index(shift)
    by_rows(lambda first, stop: _normalize(h, gain, how, q, gamma, first, stop), len(h), 0.5 * h.shape[1])
    return Rounded(q, gamma)


def normalize_reference(
    h: Float[np.ndarray, "n d"], gain: Float[np.ndarray, " d"], *, shift: Shift = "nowhere"
) -> Rounded:
    """Compute `normalize` plainly, in the precision of `h`."""
    x = layer_norm(h, gain)
    if shift == "nowhere":
        return Rounded(*quantize_activations(x))
    gamma = np.abs(x).max(axis=1, keepdims=True)
    x = x - x.min(axis=1, keepdims=True)
    if shift == "full-range":
        gamma = x.max(axis=1, keepdims=True)
    return Rounded((LEVELS * levels(x, gamma, LEVELS, from_zero=True)).astype(np.int8), gamma[:, 0])


def activate(
    sums: Int32[np.ndarray, "n m"], gamma: Float32[np.ndarray, " n"], beta: float, *, gelu: bool
) -> Float32[np.ndarray, "n m"]:
    """Return GELU (tanh form) or the squared ReLU of a product, `act(beta gamma/128 sums)`.

    GELU is computed as `x / (1 + exp(-2u))`, u = sqrt(2/pi) (x + 0.044715 x^3), which is x (1 + tanh u)/2.
    """
    out = np.empty(sums.shape, dtype=np.float32)
    scale = np.float32(beta)
    each = (2.0 if gelu else 0.3) * sums.shape[1]
    by_rows(lambda first, stop: _activate(sums, gamma, scale, gelu, out, first, stop), len(sums), each)
    return out


def activate_reference(x: Float[np.ndarray, "n m"], *, gelu: bool) -> Float[np.ndarray, "n m"]:
    """Compute the activation plainly, in the precision of `x`."""
    if gelu:
        return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
    return np.maximum(x, 0) ** 2


def add(
    h: Float32[np.ndarray, "n d"], sums: Int32[np.ndarray, "n d"], gamma: Float32[np.ndarray, " n"], beta: float
) -> None:
    """Add a product's output to the residual stream, in place: `h += beta gamma/128 sums`."""
    scale = np.float32(beta)
    by_rows(lambda first, stop: _add(h, sums, gamma, scale, first, stop), len(h), 0.1 * h.shape[1])


def project(
    h: Float32[np.ndarray, "n d"], gain: Float32[np.ndarray, " d"], head: Float32[np.ndarray, "v d"]
) -> Float32[np.ndarray, "n v"]:
    """Return `LN(h) head^T` (plainly: `layer_norm(h, gain) @ head.T`)."""
    out = np.empty((len(h), len(head)), dtype=np.float32)
    by_rows(lambda first, stop: _project(h, gain, head, out, first, stop), len(h), 0.06 * head.size)
    return out


def by_rows(kernel: Callable[[int, int], None], count: int, row_ns: float) -> None:
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
def sum_of(row):
    """Add the entries of a row up, in any order."""
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
    mean = sum_of(row) / d
    for k in range(len(row)):
        x[k] = row[k] - mean
    variance = _dot(x, x) / d
    if not variance < np.float32(np.inf):
        x[:] = np.nan
        return False
    factor = np.float32(1) / np.sqrt(variance + np.float32(EPSILON))
    for k in range(len(row)):
        x[k] = x[k] * factor * gain[k]
    return True


@compiled
@no_type_check
def _normalize(h, gain, shift, q, gamma, first, stop):
    x = np.empty(h.shape[1], np.float32)
    lowest = np.float32(1 - LEVELS if shift == _UNSHIFTED else 0)
    largest = np.empty(1, np.int32)
    for i in range(first, stop):
        if not _norm_row(h[i], gain, x):
            q[i] = 0
            gamma[i] = np.nan
            continue
        largest[0] = _largest_bits(x)
        top = largest.view(np.float32)[0]
        if shift != _UNSHIFTED:
            low, high = x.min(), x.max()
            for k in range(len(x)):
                x[k] -= low
            if shift == _FULL_RANGE:
                top = high - low
        gamma[i] = top
        lift = np.float32(LIFT) if top < np.float32(SMALL) else np.float32(1)  # as `quantizers.levels` has it
        factor = np.float32(LEVELS) / ((top if top > 0 else np.float32(1)) * lift)
        row = q[i]
        for k in range(len(row)):
            level = np.rint(x[k] * lift * factor)
            level = min(max(level, lowest), np.float32(LEVELS - 1))
            row[k] = np.int8(np.int32(level))


@inlined(fastmath=CONTRACT)
@no_type_check
def exponential(row):
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
    exponential(out)
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
def _project(h, gain, head, out, first, stop):
    x = np.empty(h.shape[1], np.float32)
    for i in range(first, stop):
        _norm_row(h[i], gain, x)
        for v in range(len(head)):
            out[i, v] = _dot(x, head[v])
