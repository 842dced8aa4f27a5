"""Numbers as people read them in plain text: 1024 rather than 1.02e+03.

Every table on the terminal and every `repr` writes its numbers here; pages in HTML write the same digits with a true
minus and powers of ten (`reports.formats`).
"""

from __future__ import annotations

import math

import numpy as np

NOTHING = "-"  # stands where there is no number
NO_INTERVAL = "[?]"  # stands where a value has no interval
WRITTEN_WHOLE = 10**6  # whole numbers below it are never rounded
_SMALLEST = 1e-4  # smaller ones have a power of ten


def number(value: float | np.number | None, digits: int = 3, *, even: bool = False) -> str:
    """Write a number.

    Parameters
    ----------
    value
        A whole number below 10^6 is written in full, any other with `digits` significant digits, and from 10^6 on or
        below 10^-4 with a power of ten: ``1024``, ``0.0321``, ``1.25e8``. None and NaN become `NOTHING`.
    digits
        Significant digits of what is not whole. Before the point, all are shown.
    even
        Keep zeros at the end of floats, as measured values that stand below each other need it: ``2.00``.
    """
    if value is None:
        return NOTHING
    counted = isinstance(value, int | np.integer)
    try:
        real = float(value)
    except OverflowError:  # a whole number beyond 1.8e308
        return NOTHING
    if not math.isfinite(real):
        return NOTHING if math.isnan(real) else "inf" if real > 0 else "-inf"
    if real == 0:
        return "0"
    if abs(real) < WRITTEN_WHOLE and (counted or (real.is_integer() and not even)):
        return f"{real:.0f}"
    if _SMALLEST <= abs(real) < WRITTEN_WHOLE:
        plain = f"{real:#.{digits}g}" if even else f"{real:.{digits}g}"
        return (f"{real:.0f}" if "e" in plain else plain).rstrip(".")
    head, power = f"{real:.{digits - 1}e}".split("e")
    if not even and "." in head:
        head = head.rstrip("0").rstrip(".")
    return f"{head}e{int(power)}"


def interval(low: float, high: float, digits: int = 3, *, even: bool = False) -> str:
    """Write an interval, or `NO_INTERVAL` where there is none."""
    if math.isnan(low) and math.isnan(high):
        return NO_INTERVAL
    return f"[{number(low, digits, even=even)}, {number(high, digits, even=even)}]"
