"""What every core asks of its arguments before anything is computed: one line of refusal instead of wrong numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

from ntk1bit.cores.threads import aligned_empty
from ntk1bit.errors import InputError


def require_array(
    name: str, array: object, dtype: type[np.generic], shape: Sequence[int | str]
) -> Shaped[np.ndarray, ...]:
    """Return `array` as C-contiguous memory after checking its dtype and shape; values are never converted.

    Parameters
    ----------
    name
        What the caller calls it.
    array
        The argument; any strides, may be read-only.
    dtype
        The only dtype accepted.
    shape
        One entry an axis: the length needed, or the name of a free length.

    Raises
    ------
    InputError
        If it is not an array of that dtype and shape.
    """
    if isinstance(array, np.ndarray) and array.dtype == dtype and _fits(array.shape, shape):
        return np.ascontiguousarray(array)  # returned early: small products are called hundreds of times per token
    wanted = f"a {np.dtype(dtype).name} array of shape ({', '.join(map(str, shape))})"
    if not isinstance(array, np.ndarray):
        raise InputError(f"{name} must be {wanted}, got {type(array).__name__}; convert it with np.asarray")
    if not _fits(array.shape, shape):
        raise InputError(f"{name} must be {wanted}, got shape {array.shape}")
    raise InputError(f"{name} must be {wanted}, got {array.dtype}; convert it with .astype(np.{np.dtype(dtype).name})")


def _fits(have: tuple[int, ...], want: Sequence[int | str]) -> bool:
    if len(have) != len(want):
        return False
    for size, wanted in zip(have, want, strict=True):  # noqa: SIM110 (`all` takes three times as long)
        if size != wanted and not isinstance(wanted, str):
            return False
    return True


def require_output(name: str, array: np.ndarray, dtype: type[np.generic], shape: tuple[int | str, ...]) -> None:
    """Check an array that is written in place: dtype, shape, C-contiguous, writeable.

    Raises
    ------
    InputError
        If it is anything else.
    """
    require_array(name, array, dtype, shape)
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise InputError(f"{name} is written in place, so it must be C-contiguous and writeable; pass a copy")


def result_array(out: np.ndarray | None, dtype: type[np.generic], shape: tuple[int, int]) -> np.ndarray:
    """Return where a product is written: what was given for it, checked, or a new array that starts on a cache line.

    Raises
    ------
    InputError
        As `require_output`.
    """
    if out is None:
        return aligned_empty(shape[0] * shape[1], dtype).reshape(shape)
    require_output("out", out, dtype, shape)
    return out
