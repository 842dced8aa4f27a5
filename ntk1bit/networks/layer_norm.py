"""LayerNorm in NumPy: the plain form beside `bitlinear.LayerNorm` (JAX) and the compiled one of `packed.rows`."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

EPSILON = 1e-5  # added to the variance: its usual value


def layer_norm(
    x: Float[np.ndarray, "... d"], gain: Float[np.ndarray, " d"] | None = None
) -> Float[np.ndarray, "... d"]:
    """Return (x - mean)/sqrt(var + 1e-5) over the last axis, times a gain where there is one."""
    centred = x - x.mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
    return normal if gain is None else normal * gain
