"""The portable way through a bit product: unpack a block of rows to float32 and let BLAS multiply it.

BLAS rounds the same block in the same way every time, provided it uses one thread a call; blocks depend on shapes
alone. So results are the same bits for any number of threads here too.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from ntk1bit.compiling import compiled
from ntk1bit.cores.bits import PackedBits

ROWS = 512  # rows per block: 512 x 784 float32 is 1.6 MB and stays in the second-level cache


def unpacked_rows(
    packed: PackedBits, start: int, stop: int, *, low: float, high: float
) -> Float32[np.ndarray, "block columns"]:
    """Return rows start..stop as float32, `high` where the bit is 1 and `low` where it is 0."""
    rows = np.empty((stop - start, packed.columns), dtype=np.float32)
    _unpack(packed.words, start, np.float32(low), np.float32(high), rows)
    return rows


@compiled
@no_type_check
def _unpack(words, start, low, high, rows):
    for row in range(rows.shape[0]):
        for index in range(words.shape[0]):
            word = words[index, start + row]
            first = index * 32
            for bit in range(min(32, rows.shape[1] - first)):
                rows[row, first + bit] = high if (word >> np.uint32(bit)) & np.uint32(1) else low
