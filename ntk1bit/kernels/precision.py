"""In which precision a kernel was made, and what follows: when it counts as symmetric, and which eigenvalues as 0.

An entry K_ij = <J_i, J_j> computed in a dtype with spacing eps is off by a few eps sqrt(K_ii K_jj) (Higham 2002,
section 3.1, and Cauchy-Schwarz). The matrix of sqrt(K_ii K_jj) has Frobenius norm trace(K), so eigenvalues are off by
a few eps trace(K), whatever dtype the kernel is *held* in later: `astype(float64)` brings nothing back. In that range
an eigenvalue says nothing, not even its sign, and neither does what a test kernel makes of its eigenvector. Directions
with such eigenvalues count as what they are in a kernel of low rank: outside its range.

`unresolved` takes 2 eps trace, and adds 2 sqrt(n) eps lambda_max for the decomposition itself, done in float64.
tests/kernels/test_precision.py measures what rounding makes of 0, in low-rank kernels of 2 to 300 points with means far
from 0 or not: less than an eighth of that in float32, less than half in float64. Where noise is larger than that
(products in reduced precision on accelerators), the most negative eigenvalue of a kernel that has none in truth shows
how large, and twice that is taken.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from ntk1bit.arguments import real_array
from ntk1bit.errors import InputError

Dtype = Any  # np.float32, "float32", jnp.bfloat16: whatever np.dtype takes
_EPS64 = float(np.finfo(np.float64).eps)
_COARSE = 2.0**20


def spacing(kernel: Shaped[np.ndarray, ...], computed_in: Dtype | None = None) -> float:
    """Return the relative spacing eps of the dtype in which a kernel was made; at least that of float64.

    Parameters
    ----------
    kernel
        Real entries, any dtype.
    computed_in
        That dtype, if it is not the one the kernel is held in. By default the kernel's own; but a float64 (or longer)
        array all of whose entries are float32 numbers was made in float32 and converted. An array computed in float64
        passes for that by chance with a probability of 2^-29 for each entry; matrices written by hand do not, as one
        whose entries are whole multiples of about 2^-20 of the largest counts as exact. Lower precisions held in a
        longer dtype cannot be told from such matrices: name them.

    Raises
    ------
    InputError
        If `computed_in` is not a floating-point dtype.
    """
    held = _eps(kernel.dtype) if _is_float(kernel.dtype) else 0.0  # whole numbers and truth values are exact
    if computed_in is not None:
        try:
            dtype = np.dtype(computed_in)
        except TypeError:
            dtype = None
        if dtype is None or not _is_float(dtype):
            raise InputError(f"computed_in must be a floating-point dtype such as np.float32, got {computed_in!r}")
        return max(_eps(dtype), held, _EPS64)
    if 0.0 < held <= _EPS64 and _came_from_float32(kernel):
        return _eps(np.dtype(np.float32))
    return max(held, _EPS64)


def symmetric_within(eps: float) -> float:
    """Return by how much of the largest entry K_ij and K_ji may differ: 64 eps, at most a twentieth."""
    return min(64 * eps, 0.05)


def negative_within(values: Float[np.ndarray, " n"], eps: float) -> float:
    """Return how far below 0 rounding may take an eigenvalue of a PSD kernel: 8 n eps lambda_max, at most a tenth."""
    return min(8 * len(values) * eps, 0.1) * float(values.max(initial=0.0))


def unresolved(values: Float[np.ndarray, " n"], eps: float) -> float:
    """Return the size up to which an eigenvalue (or singular value) cannot be told from 0; this module's text.

    Parameters
    ----------
    values
        All of them, in any order.
    eps
        From `spacing`.
    """
    size = np.abs(values)
    bound = 2 * eps * float(size.sum()) + 2 * math.sqrt(len(values)) * _EPS64 * float(size.max(initial=0.0))
    lowest = float(values.min(initial=0.0))
    return max(bound, -2 * lowest) if lowest >= -negative_within(values, eps) else bound


def kernel_entries(name: str, kernel: object, computed_in: Dtype | None) -> tuple[Float[np.ndarray, "n n2"], float]:
    """Return a kernel in float64, and the spacing of the dtype in which it was made.

    Raises
    ------
    InputError
        If it is not a matrix of finite real numbers, or `computed_in` is no floating-point dtype.
    """
    given = real_array(name, kernel)
    if given.ndim != 2:
        raise InputError(f"{name} must be a matrix, got shape {given.shape}; trace or choose outputs of a larger one")
    return finite(name, given), spacing(given, computed_in)


def finite(name: str, given: object) -> Float[np.ndarray, ...]:
    """Return an array of real numbers in float64.

    Raises
    ------
    InputError
        If an entry is no number, or not finite in float64.
    """
    with np.errstate(over="ignore"):
        values = real_array(name, given).astype(np.float64, copy=False)
    if not np.isfinite(values).all():
        raise InputError(f"{name} contains NaN or infinity; a diverged network gives such numbers: remove them first")
    return values


def power_of_four(size: float) -> float:
    """Return the largest power of 4 up to `size` (1 for 0): dividing by it is exact, under square roots too."""
    return float(np.exp2(2 * np.floor(np.log2(size) / 2))) if size > 0 else 1.0


def _came_from_float32(kernel: Shaped[np.ndarray, ...]) -> bool:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if not bool((kernel == kernel.astype(np.float32)).all()):
            return False
        steps = kernel * (_COARSE / power_of_four(float(np.abs(kernel).max(initial=0.0))))
        return not bool((steps == np.rint(steps)).all())


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or (dtype.kind == "V" and np.can_cast(dtype, np.float64, "same_kind"))


def _eps(dtype: np.dtype[Any]) -> float:
    return float(np.spacing(dtype.type(1)))  # np.finfo does not know bfloat16
