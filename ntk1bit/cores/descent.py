"""The descent step in one pass over W: gradient, latent update, and for 1-bit networks re-quantisation and packing.

    w_r <- w_r - step a_r sum_i A[r, i] p_i,    p_i = residual_i x_i  (`weighted_inputs`)          (D25, Lemma F.3)

A block of neurons is taken through all of it while its gradient is still in the cache.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings
from ntk1bit.cores.bits import WORD, PackedBits
from ntk1bit.cores.checks import require_array, require_output
from ntk1bit.cores.lookup import ENTRIES, columns_of, sum_rows
from ntk1bit.cores.masked_products import masked_product_reference
from ntk1bit.cores.neurons import (
    PackedNeurons,
    empty_neurons,
    pack_neurons,
    pack_neurons_reference,
    quantize_rows_vectors,
)
from ntk1bit.cores.simd import broadcast, load, multiply_add, read, store
from ntk1bit.cores.threads import aligned_empty, run_pieces, single_threaded_blas
from ntk1bit.cores.unpacking import ROWS, unpacked_rows

_BLOCK = 2048  # neurons per piece: with 64 inputs their weights take 512 KB and stay in the second-level cache
_NO_WORDS = np.empty((0, 0), dtype=np.uint32)


def descend_one_bit(
    w: Float32[np.ndarray, "m d"],
    a: Float32[np.ndarray, " m"],
    active: PackedBits,
    weighted_inputs: Float32[np.ndarray, "n d"],
    *,
    step: float | np.floating,
    scale: str = "std",
) -> PackedNeurons:
    """Take one straight-through step on the latent weights, in place, and return the re-quantised neurons.

    Parameters
    ----------
    w
        Latent weights (m, d), float32, C-contiguous; overwritten.
    a
        Output weights (m,), float32.
    active
        Activation patterns (m neurons, n inputs) of the forward pass.
    weighted_inputs
        residual_i x_i, (n, d) float32.
    step
        eta kappa / sqrt(m).
    scale
        ``"std"`` or ``"absmean"``, as in `pack_neurons`.

    Returns
    -------
    PackedNeurons
        Of the new weights: what `pack_neurons(w, scale=scale)` gives.

    Raises
    ------
    InputError
        If dtypes or shapes do not match, `w` cannot be written, or `scale` is unknown.
    """
    require_output("w", w, np.float32, (active.rows, "d"))
    neurons = empty_neurons(*w.shape, scale=scale)
    _descend(w, a, active, weighted_inputs, step, neurons, scale == "std")
    return pack_neurons(w, scale=scale) if settings().backend == "blas" else neurons


def descend_full(
    w: Float32[np.ndarray, "m d"],
    a: Float32[np.ndarray, " m"],
    active: PackedBits,
    weighted_inputs: Float32[np.ndarray, "n d"],
    *,
    step: float | np.floating,
) -> None:
    """Take one gradient step on full-precision weights, in place.

    Arguments and errors are those of `descend_one_bit`.
    """
    _descend(w, a, active, weighted_inputs, step, None, False)


def descend_one_bit_reference(
    w: Float32[np.ndarray, "m d"],
    a: Float32[np.ndarray, " m"],
    active: PackedBits,
    weighted_inputs: Float32[np.ndarray, "n d"],
    *,
    step: float | np.floating,
    scale: str = "std",
) -> PackedNeurons:
    """Compute `descend_one_bit` plainly."""
    descend_full_reference(w, a, active, weighted_inputs, step=step)
    return pack_neurons_reference(w, scale=scale)


def descend_full_reference(
    w: Float32[np.ndarray, "m d"],
    a: Float32[np.ndarray, " m"],
    active: PackedBits,
    weighted_inputs: Float32[np.ndarray, "n d"],
    *,
    step: float | np.floating,
) -> None:
    """Compute `descend_full` plainly."""
    w -= (np.float32(step) * a)[:, None] * masked_product_reference(active, weighted_inputs)


def _descend(
    w: np.ndarray,
    a: np.ndarray,
    active: PackedBits,
    weighted_inputs: np.ndarray,
    step: float | np.floating,
    neurons: PackedNeurons | None,
    std: bool,
) -> None:
    require_output("w", w, np.float32, (active.rows, "d"))
    width, dim = w.shape
    moves = np.float32(step) * require_array("a", a, np.float32, (width,))
    weighted_inputs = require_array("weighted_inputs", weighted_inputs, np.float32, (active.columns, dim))

    if settings().backend != "blas":
        _in_vectors(w, moves, active, weighted_inputs, neurons, std)
        return

    def piece(index: int) -> None:
        start = index * ROWS
        stop = min(start + ROWS, width)
        gradient = unpacked_rows(active, start, stop, low=0.0, high=1.0) @ weighted_inputs
        with np.errstate(all="ignore"):  # what diverged shows in the results
            w[start:stop] -= moves[start:stop, None] * gradient

    with single_threaded_blas():
        work = width * weighted_inputs.size / 30
        run_pieces(piece, -(-width // ROWS), threads=settings().threads, work_ns=work)


def _in_vectors(
    w: Float32[np.ndarray, "m d"],
    moves: Float32[np.ndarray, " m"],
    active: PackedBits,
    weighted_inputs: Float32[np.ndarray, "n d"],
    neurons: PackedNeurons | None,
    std: bool,
) -> None:
    columns = columns_of(weighted_inputs, np.float32)
    groups, depth, lanes = columns.shape
    row_words = depth // WORD
    quantized = neurons is not None
    words, s, mu = (neurons.signs.words, neurons.s, neurons.mu) if quantized else (_NO_WORDS, moves, moves)
    halves = words.view(np.uint16)

    def piece(index: int) -> None:
        start = index * _BLOCK
        stop = min(start + _BLOCK, len(w))
        tables = aligned_empty(2 * ENTRIES * lanes, np.float32)
        acc = aligned_empty(2 * (stop - start) * lanes, np.float32)
        _descend_rows(columns, active.words, start, stop, tables, acc, w, moves, quantized, std, halves, s, mu)

    work = len(w) * groups * row_words * 1.3
    run_pieces(piece, -(-len(w) // _BLOCK), threads=settings().threads, work_ns=work)


@compiled
@no_type_check
def _descend_rows(columns, active, start, stop, tables, acc, w, moves, quantized, std, halves, s, mu):
    dim = w.shape[1]
    for group in range(len(columns)):
        sum_rows(columns, group, active, start, stop, tables, acc, False)
        first = group * 16
        if first + 16 <= dim:
            for row in range(start, stop):
                at = row * dim + first
                gradient = load(acc, (row - start) * 16)
                store(w, at, multiply_add(broadcast(-read(moves, row)), gradient, load(w, at)))
        else:
            for row in range(start, stop):
                for k in range(first, dim):
                    w[row, k] -= moves[row] * acc[(row - start) * 16 + k - first]
    if quantized:
        quantize_rows_vectors(w, start, stop, std, halves, s, mu)
