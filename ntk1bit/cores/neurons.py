"""From latent weights to packed neurons: mean, scale and signs in one pass over W.

q(w) = sign(w - mu(w)), Sign(0) = +1;   mu(w) = mean_k w_k;
s(w) = sqrt(mean_k (w_k - mu)^2)  ("std": D25, Def. D.3)   or   mean_k |w_k - mu|  ("absmean")
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args, no_type_check

import numpy as np
from jaxtyping import Float32

from ntk1bit.compiling import compiled, inlined
from ntk1bit.cores.backends import settings
from ntk1bit.cores.bits import PackedSigns, pack_signs, packed_shape
from ntk1bit.cores.checks import require_array
from ntk1bit.cores.simd import (
    add,
    broadcast,
    load,
    magnitude,
    multiply_add,
    not_negative,
    subtract,
    total,
    write,
    zeros,
)
from ntk1bit.cores.threads import run_pieces
from ntk1bit.errors import InputError, require_choice

Scale = Literal["std", "absmean"]
SCALES: tuple[str, ...] = get_args(Scale)

_ROWS = 512  # neurons per piece
# Of `ntk1bit.networks.quantizers`: the sizes and means that float32 sums can be relied on for.
FAR_MEAN, LEAST = 16.0, 2.0**-50


class PackedNeurons(NamedTuple):
    """1-bit neurons ready for a forward pass: neuron r has weights `s[r] * signs[r] + mu[r]`.

    Attributes
    ----------
    signs
        q(w), (m, d) packed.
    s, mu
        Scales and means, (m,) float32.
    """

    signs: PackedSigns
    s: Float32[np.ndarray, " m"]
    mu: Float32[np.ndarray, " m"]


def pack_neurons(w: Float32[np.ndarray, "m d"], *, scale: str = "std") -> PackedNeurons:
    """Quantise latent weights neuron by neuron and pack the signs (D25, Def. D.3).

    Parameters
    ----------
    w
        Latent weights (m, d), float32, d >= 1. A row with NaN or infinity gets a non-finite `mu`, so every output of
        that network is non-finite too; it is not refused, because this is how a diverging run shows.
    scale
        ``"std"`` or ``"absmean"``.

    Returns
    -------
    PackedNeurons

    Raises
    ------
    InputError
        If `w` is not a float32 matrix with columns, or `scale` is unknown.
    """
    w = require_array("w", w, np.float32, ("m", "d"))
    neurons = empty_neurons(*w.shape, scale=scale)

    if settings().backend == "blas":
        with np.errstate(all="ignore"):  # what diverged shows in the results
            return pack_neurons_reference(w, scale=scale)
    halves = neurons.signs.words.view(np.uint16)

    def piece(index: int) -> None:
        start = index * _ROWS
        _quantize(w, start, min(start + _ROWS, len(w)), scale == "std", halves, neurons.s, neurons.mu)

    run_pieces(piece, -(-len(w) // _ROWS), threads=settings().threads, work_ns=float(w.size))
    return neurons


def pack_neurons_reference(w: Float32[np.ndarray, "m d"], *, scale: str = "std") -> PackedNeurons:
    """Compute `pack_neurons` plainly, with means taken in float64."""
    mu = w.mean(axis=1, dtype=np.float64).astype(np.float32)
    c = w.astype(np.float64) - mu[:, None].astype(np.float64)
    s = np.sqrt((c * c).mean(axis=1)) if scale == "std" else np.abs(c).mean(axis=1)
    return PackedNeurons(pack_signs(c >= 0), s.astype(np.float32), mu)


def empty_neurons(width: int, dim: int, *, scale: str) -> PackedNeurons:
    """Return memory for the neurons of a (width, dim) weight matrix, after checking that it can be quantised."""
    require_choice("scale", scale, SCALES)
    if dim == 0:
        raise InputError(f"neurons need at least one input dimension, got weights of shape {(width, dim)}")
    words = np.empty(packed_shape(width, dim), dtype=np.uint32)
    words[:, width:] = 0
    return PackedNeurons(
        PackedSigns(words, width, dim), np.empty(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    )


@compiled
@no_type_check
def _quantize(w, start, stop, std, halves, s, mu):
    quantize_rows_vectors(w, start, stop, std, halves, s, mu)


@inlined()
@no_type_check
def quantize_rows_vectors(w, start, stop, std, halves, s, mu):
    """Quantise and pack rows of w in vectors, and those that float32 sums are not enough for once more in float64.

    These are rows whose sums leave the range of float32, or whose weights are so nearly equal that the mean may be
    rounded to beyond all of them.
    """
    for row in range(start, stop):
        _quantize_row_vectors(w, row, std, halves, s, mu)
    for row in range(start, stop):
        size = s[row]
        if not (size >= np.float32(LEAST) and size < np.inf and abs(mu[row]) <= np.float32(FAR_MEAN) * size):
            quantize_row(w, row, std, halves.view(np.uint32), s, mu)


@inlined()
@no_type_check
def _quantize_row_vectors(w, row, std, halves, s, mu):
    """Do as `quantize_row` does, 16 weights at a time and with float32 sums; `halves`: the words as uint16."""
    dim = w.shape[1]
    at, whole = row * dim, dim >> 4 << 4
    sums = zeros(w)
    for k in range(0, whole, 16):
        sums = add(sums, load(w, at + k))
    rest = np.float32(0)
    for k in range(whole, dim):
        rest += w[row, k]
    mean = (total(sums) + rest) / np.float32(dim)
    middle = broadcast(mean)
    sums = zeros(w)
    for k in range(0, whole, 16):
        c = subtract(load(w, at + k), middle)
        sums = multiply_add(c, c, sums) if std else add(magnitude(c), sums)
        write(halves, _half(halves, row, k), not_negative(c))
    rest = np.float32(0)
    last = np.int64(0)
    for k in range(whole, dim):
        c = w[row, k] - mean
        rest += c * c if std else abs(c)
        last |= np.int64(c >= 0) << (k - whole)
    if dim & 31:
        write(halves, _half(halves, row, whole), last)
        if whole & 16 == 0:
            write(halves, _half(halves, row, whole + 16), np.int64(0))
    size = (total(sums) + rest) / np.float32(dim)
    mu[row] = mean
    s[row] = np.sqrt(size) if std else size


@inlined()
@no_type_check
def _half(halves, row, k):
    """Return where the 16 bits from column k of a row lie, in half words (see `bits`)."""
    return (k >> 5) * halves.shape[1] + 2 * row + (k >> 4 & 1)


@inlined()
@no_type_check
def quantize_row(w, row, std, words, s, mu):
    """Quantise and pack row `row` of w: the loop body shared with the descent step."""
    dim = w.shape[1]
    total = 0.0
    for k in range(dim):
        total += w[row, k]
    mean = np.float32(total / dim)
    size = 0.0
    for k in range(dim):
        c = np.float64(w[row, k] - mean)
        size += c * c if std else abs(c)
    if not size < np.inf:  # a difference above the largest float32
        size = 0.0
        for k in range(dim):
            c = np.float64(w[row, k]) - np.float64(mean)
            size += c * c if std else abs(c)
    mu[row] = mean
    s[row] = np.sqrt(size / dim) if std else size / dim
    for index in range(words.shape[0]):
        word = np.uint32(0)
        first = index * 32
        for bit in range(min(32, dim - first)):
            if w[row, first + bit] - mean >= 0:
                word |= np.uint32(1) << np.uint32(bit)
        words[index, row] = word
