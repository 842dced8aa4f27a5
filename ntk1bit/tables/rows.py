"""The rows of a table that are asked for, and an account of those that are not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from ntk1bit.errors import InputError
from ntk1bit.printing import record
from ntk1bit.tables.columns import one_column, shown
from ntk1bit.tables.reading import NUMBER, WHOLE, read_table

_PAIR = re.compile(r'\s*("(?:[^"]|"")*"|[^",=]*?)\s*=\s*("(?:[^"]|"")*"|[^,]*?)\s*(,|$)')
_HOW_TO_SELECT = (
    "write column=value, by commas, as in kappa=1,init=paired; what holds a comma stands in quotes, as in "
    'opt="adam,0.9"'
)
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of a table.

    Attributes
    ----------
    rows
        Those that were kept.
    left_out
        A sentence for each reason why others were not, with their number and names; empty if none were.
    """

    rows: pd.DataFrame
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


def load_rows(file: Path | str, where: str | None) -> Selection:
    """Read a file of losses and keep the rows asked for; see `read_table` and `select_rows` for what is refused."""
    table = read_table(file)
    rows = select_rows(table, where)
    without = len(table) - len(rows)
    account = f"{without} of {len(table)} rows, which --where {shown(where)} does not ask for"
    return Selection(rows, (account,) if without else ())


def select_rows(frame: pd.DataFrame, where: str | None) -> pd.DataFrame:
    """Keep the rows that have the given values.

    Parameters
    ----------
    frame
        Any table.
    where
        `column=value` pairs, by commas, such as `kappa=1,init=paired`; all rows by default. Numbers are compared as
        numbers, anything else as text. A value or a name that holds a comma, an equals sign or outer spaces stands in
        double quotes (a quote within them is written twice); `""` asks for blank cells.

    Raises
    ------
    InputError
        If a pair cannot be read, a column does not exist, or no row is left.
    """
    for name, value in read_conditions(where):
        column = one_column(frame, name)
        kept = frame.loc[holds(column, value)]
        if kept.empty:
            blanks = column.isna().to_numpy(dtype=bool)
            known = sorted({"a blank" if blank else shown(each) for each, blank in zip(column, blanks, strict=True)})
            listed = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
            raise InputError(f"no row is left with {shown(name)}={shown(value)}; the column holds {listed}")
        frame = kept
    return frame


def read_conditions(where: str | None) -> list[tuple[str, str]]:
    """Read the pairs of column and value in `where`; see `select_rows`."""
    found: list[tuple[str, str]] = []
    place, text = 0, where or ""
    while place < len(text):
        pair = _PAIR.match(text, place)
        if pair is None or not pair[1] or not pair[2]:
            raise InputError(f"cannot read {text[place:].strip()!r} in --where; {_HOW_TO_SELECT}")
        found.append((_unquoted(pair[1]), _unquoted(pair[2])))
        place = pair.end()
    return found


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def holds(column: pd.Series, value: str) -> Bool[np.ndarray, " n"]:
    """Say in which rows a column has a value: as a number in a column of numbers, else as text; "" is a blank."""
    missing = column.isna().to_numpy(dtype=bool)
    if column.dtype.kind in "iuf":
        if not value:
            return missing
        try:
            number = int(value) if column.dtype.kind in "iu" and WHOLE.fullmatch(value) else float(value)
        except ValueError:
            raise InputError(
                f"column {str(column.name)!r} holds numbers, but --where asks for {value!r}; give a number"
            ) from None
        return ~missing & (column == number).to_numpy(dtype=bool, na_value=False)
    texts = ["" if gap else str(each) for each, gap in zip(column, missing, strict=True)]
    matches = np.array([text == value for text in texts], dtype=bool)
    if not matches.any() and NUMBER.fullmatch(value):  # 1 for 1.0, in a column that holds words as well
        matches = np.array([bool(NUMBER.fullmatch(text)) and float(text) == float(value) for text in texts], dtype=bool)
    return matches
