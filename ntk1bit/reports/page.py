"""An HTML page that needs nothing but itself: its templates, and tables of values.

The templates of this package escape everything they are given but `Markup`; so whatever a specification, a file name or
a verdict contains is shown as it is and never read as markup.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import jinja2
from markupsafe import Markup

from ntk1bit import __version__
from ntk1bit.reports import formats

MOST_ROWS = 1000  # of a table on a page; what is left out is said
SHORT_TABLE = 12  # rows; a longer one is folded
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")  # no HTML text may hold these


def render(template: str, **content: object) -> str:
    """Return a whole page from one of the templates.

    Characters that no page may hold become U+FFFD (controls) or a question mark (lone surrogates).
    """
    page = _ENVIRONMENT.get_template(template).render(content)
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", page.encode("utf-8", "replace").decode("utf-8"))


def table(
    head: Sequence[object],
    rows: Sequence[Sequence[object]],
    *,
    caption: object = "",
    right: Collection[int] = (),
    whole: Collection[int] = (),
    digits: int = 3,
) -> Markup:
    """Return a table that scrolls sideways within itself where the page is too narrow for it.

    Parameters
    ----------
    head
        Names of the columns.
    rows
        Cells: text, `Markup`, or numbers, which `formats.number` writes. The first is the head of its row.
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
    kinds = ["number" if one else "whole" if i in whole else None for i, one in enumerate(to_right)]
    cells = [[_cell(value, digits) for value in row] for row in shown]
    made = _ENVIRONMENT.get_template("table.html").render(
        head=head, rows=cells, kinds=kinds, caption=caption, more=len(rows) - len(shown)
    )
    return Markup(made)


def records_table(records: Sequence[Mapping[str, object]]) -> Markup:
    """Return a table of records, with every column that any of them has, in the order they first come."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    if not columns:
        return Markup('<p class="aside">This table is empty.</p>')
    rows = [[record.get(name) for name in columns] for record in records]
    return table(columns, rows, digits=4)  # one digit more than an estimate has: these are the data behind it


def _numeric(values: Iterable[object]) -> bool:
    """Say whether a column holds numbers only; one of nothing but gaps does not."""
    seen = list(values)
    kinds = [isinstance(value, int | float) and not isinstance(value, bool) for value in seen]
    return any(kinds) and all(kind or value is None for kind, value in zip(kinds, seen, strict=True))


def _cell(value: object, digits: int) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, int | float):
        shown = formats.number(value, digits)
        gap = Markup('<span class="none" title="no finite number">{}</span>')
        return gap.format(shown) if shown == formats.NOTHING else shown
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("ntk1bit.reports"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {one.__name__: one for one in (formats.formula, formats.sentence, formats.number)}
_ENVIRONMENT.filters |= {"duration": formats.duration}
_ENVIRONMENT.globals |= {
    "anchor": formats.anchor,
    "estimate": formats.estimate,
    "table": table,
    "records_table": records_table,
    "version": __version__,
    "LEVEL": formats.LEVEL,
    "SHORT_TABLE": SHORT_TABLE,
}
