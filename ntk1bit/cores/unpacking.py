"""The way of the ``blas`` backend through a bit product: unpack a block of rows to float32 and let BLAS multiply it.

BLAS rounds the same block in the same way every time, provided it uses one thread a call; blocks depend on shapes
alone. So results are the same bits for any number of threads here too.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from ntk1bit.cores.bits import PackedBits, unpack_rows

ROWS = 512  # rows per block: 512 x 784 float32 is 1.6 MB and stays in the second-level cache


def unpacked_rows(
    packed: PackedBits, start: int, stop: int, *, low: float, high: float
) -> Float32[np.ndarray, "block columns"]:
    """Return rows start..stop as float32, `high` where the bit is 1 and `low` where it is 0."""
    return np.where(unpack_rows(packed, start, stop), np.float32(high), np.float32(low))
