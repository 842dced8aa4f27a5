"""Pieces of an HTML page that needs nothing but itself: escaped text, numbers, tables, folds, and the whole page.

Markup is made by `element` only. It escapes every child that is not `Html` already, and every attribute; so whatever
a specification, a file name or a verdict contains is shown as it is and never read as markup.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from urllib.parse import quote

from ntk1bit import __version__

NOTHING = "–"  # stands where there is no finite number
LEVEL = "95\N{NO-BREAK SPACE}%"  # of every interval
MOST_ROWS = 1000  # of a table on a page; what is left out is said
SHORT_TABLE = 12  # rows; a longer one is folded
_VOID = ("meta", "img", "input", "link", "br")
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")  # no HTML text may hold these
# m^-1/2 is raised with its fraction; n^2/4 could be meant either way and is left alone.
_POWER = re.compile(r"\^(?:\{([^{}]+)\}|(-\d+(?:\.\d+)?(?:/\d+)?|\d+(?:\.\d+)?(?!\d|\.\d|/\d)|-?[a-zA-Z](?![a-zA-Z])))")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# The page may load nothing, run nothing and send nothing; a browser that reads it enforces this.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Html(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value as text on a page: escaped, unless it is `Html`; None is nothing.

    Characters that no page may hold (controls, lone surrogates) become U+FFFD.
    """
    if isinstance(value, Html):
        return value
    plain = "" if value is None else str(value)
    plain = _NOT_TEXT.sub("�", plain.encode("utf-8", "replace").decode("utf-8"))
    return Html(html.escape(plain, quote=True))


def join(pieces: Iterable[object], between: str = "") -> Html:
    """Return pieces one after the other, each escaped unless it is `Html`."""
    return Html(text(between).join(text(piece) for piece in pieces))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Return an element.

    Parameters
    ----------
    tag
        Its name.
    children
        Escaped unless they are `Html`.
    attributes
        ``class_`` is class and ``aria_label`` aria-label; None or False leaves one out, True gives it no value.
    """
    written = ""
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            written += f" {key}"
        elif value is not None and value is not False:
            written += f' {key}="{text(value)}"'
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def formula(value: str) -> Html:
    """Return text with its powers raised: ``m^-1/2``, ``n^2``, ``2^{k+1}``; all else stays as it is."""
    return Html(_POWER.sub(lambda found: f"<sup>{(found[1] or found[2]).replace('-', '−')}</sup>", text(value)))


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


def estimate(value: object, low: object, high: object, digits: int = 3) -> Html:
    """Write a value with its interval behind it, fainter."""
    around = interval(low, high, digits)
    shown = text(number(value, digits, even=True))
    return join([shown, " ", element("span", around, class_="interval")]) if around else shown


def table(
    head: Sequence[object],
    rows: Sequence[Sequence[object]],
    *,
    caption: object = "",
    right: Collection[int] = (),
    whole: Collection[int] = (),
    digits: int = 3,
) -> Html:
    """Return a table that scrolls sideways within itself where the page is too narrow for it.

    Parameters
    ----------
    head
        Names of the columns.
    rows
        Cells: text, `Html`, or numbers, which `number` writes. The first is the head of its row.
    caption
        What the table is, above it.
    right
        Columns to set to the right besides those that hold numbers only.
    whole
        Columns whose cells are not broken into lines.
    digits
        Significant digits of numbers that are not whole.
    """
    shown = rows[:MOST_ROWS]
    to_right = [i in right or _numeric(row[i] for row in shown) for i in range(len(head))]
    classes = ["number" if one else "whole" if i in whole else None for i, one in enumerate(to_right)]
    top = [element("th", name, scope="col", class_=name_class) for name, name_class in zip(head, classes, strict=True)]
    body = []
    for row in shown:
        cells = [_cell(value, digits) for value in row]
        first = element("th", cells[0], scope="row", class_=classes[0])
        rest = [element("td", one, class_=kind) for one, kind in zip(cells[1:], classes[1:], strict=True)]
        body.append(element("tr", first, *rest))
    parts = [element("caption", caption)] if caption else []
    parts += [element("thead", element("tr", *top)), element("tbody", *body)]
    made = element("div", element("table", *parts), class_="scroll", tabindex="0", role="group")
    if len(rows) > MOST_ROWS:
        left = len(rows) - MOST_ROWS
        made = join([made, element("p", f"{left} more rows are in the data, not on this page.", class_="aside")])
    return made


def records_table(records: Sequence[Mapping[str, object]], *, caption: object = "") -> Html:
    """Return a table of records, with every column that any of them has, in the order they first come."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    rows = [[record.get(name) for name in columns] for record in records]
    # one digit more than an estimate has: these are the data behind it
    return (
        table(columns, rows, caption=caption, digits=4)
        if columns
        else element("p", "This table is empty.", class_="aside")
    )


def pairs(entries: Iterable[tuple[object, object]]) -> Html:
    """Return a list of terms and what is said of each."""
    return element("dl", *(element("div", element("dt", name), element("dd", what)) for name, what in entries))


def fold(summary: object, *content: object, opened: bool = False, data: bool = False) -> Html:
    """Return content that is folded away behind its summary until asked for; printing unfolds it unless it is data."""
    return element("details", element("summary", summary), *content, open=opened, class_="data" if data else None)


def bullets(sentences: Iterable[object], **attributes: object) -> Html:
    """Return sentences as a list, or nothing if there are none."""
    items = [element("li", sentence) for sentence in sentences]
    return element("ul", *items, **attributes) if items else Html("")


def section(title: object, *content: object, anchor: str | None = None, level: int = 2) -> Html:
    """Return a section under a heading."""
    return element("section", element(f"h{level}", title), *content, id=anchor)


def anchor(kind: str, name: str) -> str:
    """Return an id for a part of the page, the same for the same name and different for different ones."""
    return f"{kind}-{quote(name.encode('utf-8', 'replace'), safe='').replace('%', '~')}"


def link(target: str, *content: object) -> Html:
    """Return a link to a part of the same page."""
    return element("a", *content, href=f"#{target}")


def page(title: str, *content: object) -> str:
    """Return a whole page with its style sheet inside it, and leave to load nothing."""
    style = resources.files("ntk1bit.reports").joinpath("page.css").read_text(encoding="utf-8")
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=f"ntk1bit {__version__}"),
        element("title", title),
        element("style", Html(style)),
    ]
    foot = element("footer", element("p", f"Written by ntk1bit {__version__}. This file is complete in itself."))
    body = element("body", element("main", *content), foot)
    return f"<!doctype html>\n{element('html', element('head', *head), body, lang='en')}\n"


def _numeric(values: Iterable[object]) -> bool:
    """Say whether a column holds numbers only; one of nothing but gaps does not."""
    seen = list(values)
    kinds = [isinstance(value, int | float) and not isinstance(value, bool) for value in seen]
    return any(kinds) and all(kind or value is None for kind, value in zip(kinds, seen, strict=True))


def _cell(value: object, digits: int) -> Html:
    if isinstance(value, bool):
        return text("yes" if value else "no")
    if value is None or isinstance(value, int | float):
        shown = number(value, digits)
        return element("span", shown, title="no finite number", class_="none") if shown == NOTHING else text(shown)
    return text(", ".join(map(str, value)) if isinstance(value, list | tuple) else value)
