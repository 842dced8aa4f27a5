"""Numbers and arrays that a caller gives: taken in any ordinary form, or refused in one line before work begins.

Python and NumPy numbers, arrays without axes, lists, frames and arrays of JAX (bfloat16 too) all count as what they
hold. Truth values do not count as numbers, nor complex numbers as real ones.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from jaxtyping import Int64, Shaped

from ntk1bit.errors import InputError

LARGEST_KAPPA, SMALLEST_KAPPA = 1e30, 1e-30
_LARGEST_INT64 = 2**63 - 1


def number(
    name: str,
    given: object,
    *,
    allowed: str = "a finite number",
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """Return a real number as a float.

    Parameters
    ----------
    name
        What the caller calls it.
    given
        The value.
    allowed
        What is allowed, in words.
    above, least, most
        The same in numbers: greater than `above`, at least `least`, at most `most`, and finite.

    Raises
    ------
    InputError
        If it is anything else.
    """
    value = _plain(given)
    if value is None or not (math.isfinite(value) and value > above and least <= value <= most):
        raise InputError(f"{name} must be {allowed}, got {_shown(given)}")
    return value


def kappa(given: object) -> float:
    """Return an output scale; its square, and outputs of its size in float32, must stay in range.

    Raises
    ------
    InputError
        If it is not a number from 1e-30 to 1e30.
    """
    return number(
        "kappa", given, allowed="a positive number, from 1e-30 to 1e30", least=SMALLEST_KAPPA, most=LARGEST_KAPPA
    )


def whole(name: str, given: object, *, allowed: str, least: int, most: int = _LARGEST_INT64) -> int:
    """Return a whole number (also one written as a float, such as 1e6) as an int.

    Arguments and errors are those of `number`.
    """
    found = None if isinstance(given, str) else _whole(given)
    if found is None or found.ndim or not least <= int(found) <= most:
        raise InputError(f"{name} must be {allowed}, got {_shown(given)}")
    return int(found)


def whole_numbers(name: str, given: object, *, allowed: str) -> Int64[np.ndarray, ...]:
    """Return whole numbers, one (no axes) or a list of them, as int64.

    Raises
    ------
    InputError
        If an entry is NaN, has a fraction or lies beyond +-(2^63 - 1), or this is no list of numbers at all.
    """
    found = _whole(given)
    if found is None or found.ndim > 1:
        raise InputError(f"{name} must be {allowed}, got {_shown(given)}")
    return found


def real_array(name: str, given: object) -> Shaped[np.ndarray, ...]:
    """Return an array of real numbers as it is (its dtype too); entries may be NaN.

    Raises
    ------
    InputError
        If it is complex, holds no numbers, or its rows have different lengths.
    """
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as problem:  # ragged lists; values that exist only while JAX traces
        raise InputError(
            f"{name} cannot be read as an array of numbers ({str(problem).splitlines()[0][:80]}); give a NumPy array"
        ) from None
    if array.dtype.kind == "c":
        raise InputError(f"{name} is complex ({array.dtype}), but must be real; take its .real part if the rest is 0")
    if not np.can_cast(array.dtype, np.float64, "same_kind"):  # true of bfloat16, false of text, dates and objects
        raise InputError(f"{name} holds {array.dtype} entries, not numbers; convert it with np.asarray(..., float)")
    return array


def input_rows(name: str, given: object) -> Shaped[np.ndarray, "n d"]:
    """Return inputs, a row for each, after checking that float32 can hold them; their dtype stays.

    Raises
    ------
    InputError
        If it is not a matrix of real numbers, or a number is not finite or a row vanishes in float32.
    """
    x = real_array(name, given)
    if x.ndim != 2:
        raise InputError(
            f"{name} must be a matrix with a row for each input, got shape {x.shape}; "
            "reshape images to rows, and write x[:, None] for inputs of one feature"
        )
    with np.errstate(over="ignore", under="ignore"):
        narrow = x.astype(np.float32, copy=False)
    if not np.isfinite(narrow).all():
        if np.isfinite(x).all():
            raise InputError(f"{name} holds numbers too large for float32 (beyond 3.4e38); divide them first")
        raise InputError(f"{name}: inputs contain NaN or infinity; remove or repair those rows first")
    if narrow is not x and bool(((x != 0).any(axis=1) & ~narrow.any(axis=1)).any()):
        raise InputError(f"{name} has rows that are too small for float32 (below 1e-45); multiply them first")
    return x


def require_memory(what: str, size: float, *, instead: str) -> None:
    """Raise `InputError` if `size` bytes are more than the machine has (where the system says how much that is)."""
    if not hasattr(os, "sysconf"):
        return
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > machine > 0:
        raise InputError(
            f"{what} would take {size / 2**30:.3g} GiB, and this machine has {machine / 2**30:.3g}; {instead}"
        )


def free_memory() -> float:
    """Return the bytes a new process can use: free memory, or what a Linux container's limit leaves if less."""
    free = float(psutil.virtual_memory().available)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, float(limit - used))


def require_spare(what: str, size: int, *, instead: str) -> None:
    """Raise `InputError` if `size` bytes, which somebody's file asks for, are more than are free."""
    spare = free_memory()
    if size > spare:
        asked = f"{size / 2**30:.3g}" if size < 2**80 else "far more than 10^12"
        raise InputError(f"{what} would take {asked} GiB of memory, and {spare / 2**30:.3g} are free; {instead}")


def _plain(given: object) -> float | None:
    """Return a real number as a float, None if it is none."""
    if isinstance(given, bool | str | bytes):
        return None
    try:
        array: Any = given if isinstance(given, int) else np.asarray(given)
        if not isinstance(array, int) and (array.ndim or array.dtype.kind in "bc"):
            return None
        return float(array)
    except (TypeError, ValueError, OverflowError):
        return None


def _whole(given: object) -> Int64[np.ndarray, ...] | None:
    """Return whole numbers as int64, None if they are none."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):
        return None
    if array.size == 0 and array.dtype == np.float64:  # an empty list
        return array.astype(np.int64)
    if array.dtype.kind == "i":
        return array.astype(np.int64)
    if array.dtype.kind == "u":
        return array.astype(np.int64) if not array.size or int(array.max()) <= _LARGEST_INT64 else None
    if array.dtype.kind != "f":
        return None
    with np.errstate(invalid="ignore"):
        exact = bool((np.isfinite(array) & (array == np.rint(array)) & (np.abs(array) < 2.0**63)).all())
    return array.astype(np.int64) if exact else None


def _shown(given: object) -> str:
    text = " ".join(repr(given).split()) if isinstance(given, str | np.ndarray) else " ".join(str(given).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
