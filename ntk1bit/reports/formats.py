"""Numbers, intervals and formulas as a page writes them."""

from __future__ import annotations

import re
from urllib.parse import quote

from markupsafe import Markup, escape

from ntk1bit import printing

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

    As `printing.number`, with a true minus, counts in full up to 10¹⁵, and very large and very small numbers as
    ``1.2×10⁻⁵``. Zeros at the end are kept if `even`, as measured values that stand below each other need it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    if isinstance(value, int) and abs(value) < 10**15:
        return f"{value:d}".replace("-", "−")
    plain = printing.number(value, digits, even=even)
    if plain == printing.NOTHING or plain.endswith("inf"):
        return NOTHING
    head, power, exponent = plain.partition("e")
    return f"{head}×10{exponent.translate(_SUPERSCRIPTS)}".replace("-", "−") if power else head.replace("-", "−")


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
