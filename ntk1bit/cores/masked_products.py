"""A^T P for activation bits and float32 rows: the gradient of the hidden weights, all of it but the output signs.

    G[r, k] = sum_i A[r, i] P[i, k],    A in {0, 1},  P = r o X  (residual times input, row by row)

(D25, Lemma F.3). Both precisions share it.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from ntk1bit.compiling import compiled
from ntk1bit.cores.backends import settings
from ntk1bit.cores.bits import WORD, PackedBits, unpack_bits
from ntk1bit.cores.checks import require_array, result_array
from ntk1bit.cores.lookup import ENTRIES, columns_of, streams, sum_rows
from ntk1bit.cores.lookup import ROWS as LOOKUP_ROWS
from ntk1bit.cores.simd import load, store, stream
from ntk1bit.cores.threads import aligned_empty, run_pieces, single_threaded_blas
from ntk1bit.cores.unpacking import ROWS, unpacked_rows


def masked_product(
    bits: PackedBits, weighted_inputs: Float32[np.ndarray, "n d"], *, out: Float32[np.ndarray, "m d"] | None = None
) -> Float32[np.ndarray, "m d"]:
    """Sum, for each row of bits, the rows of `weighted_inputs` whose bit is 1: `A @ weighted_inputs`.

    Parameters
    ----------
    bits
        Activation patterns A, (m neurons, n inputs).
    weighted_inputs
        (n, d) float32, any strides. A non-finite entry makes its column of the result non-finite or NaN.
    out
        Where to write, (m, d) float32, C-contiguous; a new array by default.

    Returns
    -------
    (m, d) float32, up to float32 rounding of the additions; the same bits for any number of threads.

    Raises
    ------
    InputError
        If dtypes or shapes do not match.
    """
    weighted_inputs = require_array("weighted_inputs", weighted_inputs, np.float32, (bits.columns, "d"))
    shape = (bits.rows, weighted_inputs.shape[1])
    out = result_array(out, np.float32, shape)
    if 0 in shape or bits.columns == 0:
        out[...] = 0
        return out
    (_by_blas if settings().backend == "blas" else _by_lookup)(bits, weighted_inputs, out)
    return out


def masked_product_reference(
    bits: PackedBits, weighted_inputs: Float32[np.ndarray, "n d"]
) -> Float32[np.ndarray, "m d"]:
    """Compute `masked_product` plainly: unpack everything and multiply in float32."""
    return unpack_bits(bits).astype(np.float32) @ weighted_inputs


def _by_lookup(bits: PackedBits, weighted_inputs: Float32[np.ndarray, "n d"], out: Float32[np.ndarray, "m d"]) -> None:
    columns = columns_of(weighted_inputs, np.float32)
    groups, depth, lanes = columns.shape
    rows = min(LOOKUP_ROWS, bits.rows)
    streaming = streams(out)

    def piece(index: int) -> None:
        start = index * LOOKUP_ROWS
        stop = min(start + LOOKUP_ROWS, bits.rows)
        tables = aligned_empty(2 * ENTRIES * lanes, np.float32)
        acc = aligned_empty(2 * rows * lanes, np.float32)
        _gather(columns, bits.words, start, stop, tables, acc, out, streaming)

    work = groups * bits.rows * depth // WORD * 1.3
    run_pieces(piece, -(-bits.rows // LOOKUP_ROWS), threads=settings().threads, work_ns=work)


@compiled
@no_type_check
def _gather(columns, words, start, stop, tables, acc, out, streaming):
    dim = out.shape[1]
    for group in range(len(columns)):
        sum_rows(columns, group, words, start, stop, tables, acc, False)
        first = group * 16
        if streaming and first + 16 <= dim:
            for row in range(stop - start):
                stream(out, (start + row) * dim + first, load(acc, row * 16))
        elif first + 16 <= dim:
            for row in range(stop - start):
                store(out, (start + row) * dim + first, load(acc, row * 16))
        else:
            for row in range(stop - start):
                for k in range(first, dim):
                    out[start + row, k] = acc[row * 16 + k - first]


def _by_blas(bits: PackedBits, weighted_inputs: Float32[np.ndarray, "n d"], out: Float32[np.ndarray, "m d"]) -> None:
    def piece(index: int) -> None:
        start = index * ROWS
        stop = min(start + ROWS, bits.rows)
        np.matmul(unpacked_rows(bits, start, stop, low=0.0, high=1.0), weighted_inputs, out=out[start:stop])

    work = bits.rows * weighted_inputs.size / 30
    with single_threaded_blas():
        run_pieces(piece, -(-bits.rows // ROWS), threads=settings().threads, work_ns=work)
