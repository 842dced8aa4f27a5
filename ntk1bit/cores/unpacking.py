"""The way of the ``blas`` backend through a bit product: unpack a block of rows to float32 and let BLAS multiply it.

BLAS rounds the same block in the same way every time, provided it uses one thread a call; blocks depend on shapes
alone. So results are the same bits for any number of threads here too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from ntk1bit.cores.backends import settings
from ntk1bit.cores.bits import PackedBits, unpack_rows
from ntk1bit.cores.ternary import PackedTernary, unpack_ternary_rows
from ntk1bit.cores.threads import run_pieces, single_threaded_blas

ROWS = 512  # rows per block: 512 x 784 float32 is 1.6 MB and stays in the second-level cache
_COLUMNS = 256  # columns BLAS sums in one go: its rounding grows with their square root if it adds them in order


def unpacked_rows(
    packed: PackedBits, start: int, stop: int, *, low: float, high: float
) -> Float32[np.ndarray, "block columns"]:
    """Return rows start..stop as float32, `high` where the bit is 1 and `low` where it is 0."""
    return np.where(unpack_rows(packed, start, stop), np.float32(high), np.float32(low))


def unpacked_ternary_rows(p: PackedTernary, start: int, stop: int) -> Float32[np.ndarray, "block columns"]:
    """Return rows start..stop of a ternary matrix as float32."""
    return unpack_ternary_rows(p, start, stop).astype(np.float32)


def multiply_by_blocks(
    x: Float32[np.ndarray, "n d"],
    rows_of: Callable[[int, int], Float32[np.ndarray, "block d"]],
    out: Float32[np.ndarray, "n m"],
) -> None:
    """Write `x @ W.T` to `out`, `rows_of(start, stop)` being rows of W."""

    def piece(index: int) -> None:
        start = index * ROWS
        stop = min(start + ROWS, out.shape[1])
        weights = rows_of(start, stop)
        with np.errstate(all="ignore"):  # as quiet as the kernels about 0 times infinity
            np.matmul(x[:, :_COLUMNS], weights[:, :_COLUMNS].T, out=out[:, start:stop])
            for first in range(_COLUMNS, x.shape[1], _COLUMNS):
                part = slice(first, first + _COLUMNS)
                out[:, start:stop] += x[:, part] @ weights[:, part].T

    work = out.size * x.shape[1] / 30
    with single_threaded_blas():
        run_pieces(piece, -(-out.shape[1] // ROWS), threads=settings().threads, work_ns=work)
