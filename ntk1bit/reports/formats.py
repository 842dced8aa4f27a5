"""Numbers, intervals and formulas as a page writes them."""

from __future__ import annotations

import math
import re
from urllib.parse import quote

from markupsafe import Markup, escape

NOTHING = "–"  # stands where there is no finite number
LEVEL = "95\N{NO-BREAK SPACE}%"  # of every interval
# m^-1/2 is raised with its fraction; n^2/4 could be meant either way and is left alone.
_POWER = re.compile(r"\^(?:\{([^{}]+)\}|(-\d+(?:\.\d+)?(?:/\d+)?|\d+(?:\.\d+)?(?!\d|\.\d|/\d)|-?[a-zA-Z](?![a-zA-Z])))")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def formula(value: object) -> Markup:
    """Return text with its powers raised: ``m^-1/2``, ``n^2``, ``2^{k+1}``; all else stays as it is."""
    return Markup(
        _POWER.sub(lambda found: f"<sup>{(found[1] or found[2]).replace('-', '−')}</sup>", str(escape(value)))
    )


def sentence(words: str) -> Markup:
    """Return a remark as a sentence: with a capital, unless it begins with a symbol, and a full stop."""
    shown = words[:1].upper() + words[1:] if words[:2].islower() else words
    return formula(shown if not shown or shown.endswith((".", "?", "!")) else f"{shown}.")


def number(value: object, digits: int = 3, *, even: bool = False) -> str:
    """Write a number; `NOTHING` for None, NaN, infinity and what is no number.

    Whole ones are written in full, others with `digits` significant digits, and very large and very small ones as
    ``1.2×10⁻⁵``. Zeros at the end are kept if `even`, as measured values that stand below each other need it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    if isinstance(value, int) and abs(value) < 10**15:
        return f"{value:d}".replace("-", "−")
    try:
        value = float(value)
    except OverflowError:
        return NOTHING
    if not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 10 ** max(digits, 5):
        plain = f"{value:#.{digits}g}" if even else f"{value:.{digits}g}"
        return (f"{value:.0f}" if "e" in plain else plain).rstrip(".").replace("-", "−")
    head, power = f"{value:.{digits - 1}e}".split("e")
    head = head if even else head.rstrip("0").rstrip(".")
    return f"{head}×10{str(int(power)).translate(_SUPERSCRIPTS)}".replace("-", "−")


def interval(low: object, high: object, digits: int = 3) -> str:
    """Write an interval, or nothing where there is none."""
    ends = number(low, digits, even=True), number(high, digits, even=True)
    return "" if ends == (NOTHING, NOTHING) else f"[{ends[0]}, {ends[1]}]"


def estimate(value: object, low: object, high: object, digits: int = 3) -> Markup:
    """Write a value with its interval behind it, fainter."""
    around = interval(low, high, digits)
    shown = escape(number(value, digits, even=True))
    return shown + Markup(' <span class="interval">{}</span>').format(around) if around else shown


def duration(seconds: float | None) -> str:
    """Write a time in seconds, minutes or hours."""
    if seconds is None:
        return "an unknown time"
    if seconds < 60:
        return f"{number(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def anchor(kind: str, name: str) -> str:
    """Return an id for a part of the page, the same for the same name and different for different ones."""
    return f"{kind}-{quote(name.encode('utf-8', 'replace'), safe='').replace('%', '~')}"
