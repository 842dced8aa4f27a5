"""Numbers as people read them in plain text, 1024 rather than 1.02e+03, and results in at most ten lines.

Every table on the terminal and every `repr` writes its numbers here; pages in HTML write the same digits with a true
minus and powers of ten (`reports.formats`).
"""

from __future__ import annotations

import inspect
import math
import textwrap
import unicodedata
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

NOTHING = "-"  # stands where there is no number
NO_INTERVAL = "[?]"  # stands where a value has no interval
WRITTEN_WHOLE = 10**6  # whole numbers below it are never rounded
MOST_LINES, MOST_COLUMNS = 10, 100  # of a repr
_WORDS = 60  # columns for one field of several
_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, marks of direction and the like, half characters, line ends
_JOINERS = "\u200c\u200d"  # which some scripts and emoji are written with
_SMALLEST = 1e-4  # smaller ones have a power of ten


def number(value: int | float | np.number | None, digits: int = 3, *, even: bool = False) -> str:
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


def interval(
    low: int | float | np.number, high: int | float | np.number, digits: int = 3, *, even: bool = False
) -> str:
    """Write an interval, or `NO_INTERVAL` where there is none."""
    if math.isnan(low) and math.isnan(high):
        return NO_INTERVAL
    return f"[{number(low, digits, even=even)}, {number(high, digits, even=even)}]"


def plain(text: str, *, keep: str = "") -> str:
    r"""Return a text as a terminal may show it: what would steer the terminal or turn the line around is escaped.

    Titles, colours, sounds and replies are asked for by control characters (C0 and C1); marks of direction make a line
    read otherwise than it is. Each is written as in Python, ``\x1b`` or ``\u202e``, and so are ends of lines, invisible
    marks and half characters; all other letters of all scripts stay.

    Parameters
    ----------
    text
        Anything that was read from a file or a command line.
    keep
        Characters that stay as well, such as line ends.
    """
    if text.isprintable():
        return text
    stay = {*keep, *_JOINERS}
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _STEERING and letter not in stay
        else letter
        for letter in text
    )


def short_lines(lines: Iterable[str]) -> str:
    """Join the lines of a `repr`: `MOST_LINES` at most, each cut to `MOST_COLUMNS`, with dots where more was said."""
    every = [line for entry in lines for line in entry.splitlines()]
    shown = [line if len(line) <= MOST_COLUMNS else f"{line[: MOST_COLUMNS - 3]}..." for line in every]
    if len(shown) > MOST_LINES:
        shown = [*shown[: MOST_LINES - 1], f"... and {len(shown) - MOST_LINES + 1} lines more"]
    return "\n".join(shown)


def side_by_side(entries: Iterable[str], most: int = 5) -> list[str]:
    """Put short entries beside each other, so that they take at most `most` lines."""
    held = list(entries)
    several = max(-(-len(held) // most), 1)
    return ["   ".join(held[i : i + several]) for i in range(0, len(held), several)]


def record(item: Any) -> str:
    """Return a `repr` of a dataclass or named tuple whose fields may be long: arrays by shape and range.

    Tables are named by their rows and columns, and functions are left out.
    """
    names = [field.name for field in fields(item)] if is_dataclass(item) else list(item._fields)
    shown = [f"{name}={words}" for name in names if (words := _words(getattr(item, name))) is not None]
    text = f"{type(item).__name__}({', '.join(shown)})"
    return short_lines(textwrap.wrap(text, MOST_COLUMNS, subsequent_indent="    ", break_on_hyphens=False))


def unheard(_what: str, _share: float) -> None:
    """Take the place of `progress` where nobody watches."""


def _words(value: Any) -> str | None:
    """Describe one field on part of a line; None for what says nothing to a reader."""
    if inspect.isroutine(value):
        return None
    if value is None or isinstance(value, bool | str | Path):
        return _cut(repr(value) if not isinstance(value, Path) else str(value))
    if isinstance(value, int | float | np.number):
        return number(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return array_words(value)
    if hasattr(value, "columns") and hasattr(value, "index"):
        return _cut(f"<{len(value)} rows of {', '.join(map(str, value.columns))}>")
    plain = repr(value)
    if len(plain) <= _WORDS and "\n" not in plain:
        return plain
    return f"<{len(value)} entries>" if hasattr(value, "__len__") else f"<{type(value).__name__}>"


def array_words(values: Any) -> str:
    """Describe an array by its type, shape and range: ``<float32 (64, 10), -3.1 to 2.9>``."""
    array = np.asarray(values)
    finite = array[np.isfinite(array)] if array.dtype.kind in "fiu" else array[:0].ravel()
    span = f", {number(finite.min())} to {number(finite.max())}" if finite.size else ""
    return f"<{array.dtype} {array.shape}{span}>"


def _cut(text: str) -> str:
    return text if len(text) <= _WORDS else f"{text[: _WORDS - 3]}..."
