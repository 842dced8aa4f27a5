"""Columns of a table by name: as numbers, and as labels that tell rows apart (groups, runs, clusters).

A label is any text or number. What has none is refused, since a row without a label would otherwise vanish from every
grouping; and so are labels that read alike but are not the same, such as the number 1 and the text "1".
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from ntk1bit.errors import InputError
from ntk1bit.printing import record


@dataclass(frozen=True, eq=False)
class Labels:
    """Which label each row has.

    Attributes
    ----------
    names
        The column(s) they stand in.
    keys
        The labels, sorted; tuples if they stand in several columns.
    codes
        (n,) the place of each row's label in `keys`.
    """

    names: tuple[str, ...]
    keys: tuple[Hashable, ...]
    codes: Int64[np.ndarray, " n"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def rows(self) -> Iterator[tuple[Hashable, Int64[np.ndarray, " rows"]]]:
        """Yield each label with the positions of its rows, in the order of the table."""
        order = np.argsort(self.codes, kind="stable")
        ends = np.searchsorted(self.codes[order], np.arange(len(self.keys) + 1))
        for key, start, stop in zip(self.keys, ends[:-1], ends[1:], strict=True):
            yield key, order[start:stop]

    def describe(self, key: Hashable) -> str:
        """Name a label for people: `arm = a, run = 3`."""
        values = key if isinstance(key, tuple) and len(self.names) > 1 else (key,)
        return ", ".join(f"{shown(name)} = {shown(value)}" for name, value in zip(self.names, values, strict=True))

    @contextmanager
    def naming(self, key: Hashable) -> Iterator[None]:
        """Put the label before what is said of its rows."""
        try:
            yield
        except InputError as problem:
            raise type(problem)(f"{self.describe(key)}: {problem}") from None


def read_labels(frame: pd.DataFrame, names: str | Sequence[str], use: str = "group") -> Labels:
    """Read the labels of every row: one column, or several whose combinations are the labels.

    `use` is what they name, for messages: "group", "run", "cluster".

    Raises
    ------
    InputError
        If a column is absent or repeated, lacks a label in some row, or holds labels that only look alike.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    keys: list[list[Hashable]] = []
    codes = np.zeros(len(frame), dtype=np.int64)
    for name in names:
        own, uniques = _factorize(one_column(frame, name), use)
        codes = codes * max(len(uniques), 1) + own
        keys.append(uniques)
    present, codes = np.unique(codes, return_inverse=True)
    places = np.unravel_index(present, [max(len(each), 1) for each in keys])
    labels = tuple(zip(*([each[i] for i in place] for each, place in zip(keys, places, strict=True)), strict=True))
    return Labels(names, labels if len(names) > 1 else tuple(label for (label,) in labels), codes.astype(np.int64))


def parts(frame: pd.DataFrame, names: str | Sequence[str], use: str = "group") -> dict[Hashable, pd.DataFrame]:
    """Return the rows of each label; see `read_labels` for what is refused."""
    return {key: frame.iloc[rows] for key, rows in read_labels(frame, names, use).rows()}


def shown(label: Hashable) -> str:
    """Return a label as it stands, or with escapes if it holds line ends or other signs that do not print."""
    text = str(label)
    return text if text.isprintable() else repr(text)


def require_column(name: str, columns: Sequence[Hashable]) -> None:
    """Refuse a name that no column has."""
    if name not in columns:
        close = difflib.get_close_matches(name, list(map(str, columns)), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(f"there is no column {name!r}{hint}; the table has {', '.join(map(shown, columns))}")


def one_column(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return the one column of this name, or refuse the name if there is none, or several."""
    require_column(name, list(frame.columns))
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        raise InputError(f"the table has {column.shape[1]} columns named {name!r}; rename or drop all but one")
    return column


def positive_column(frame: pd.DataFrame, name: str) -> Float[np.ndarray, " n"]:
    """Return one column as float64, or refuse it if it is absent, repeated, or not positive and finite."""
    values = number_column(frame, name)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            f"column {name!r} must be positive and finite (it is fitted in logarithms), but {int(bad.sum())} of "
            f"{len(values)} values are not, first {values[first]:g} in row {frame.index[first]}; remove those rows"
        )
    return values


def number_column(frame: pd.DataFrame, name: str) -> Float[np.ndarray, " n"]:
    """Return one column as float64, NaN where nothing stands; numbers written as text are read.

    Raises
    ------
    InputError
        If the column is absent, repeated, or holds anything that is no number.
    """
    values, wrong = read_numbers(frame, name)
    if wrong:
        raise InputError(
            f"column {name!r} is not numeric: {wrong}; write plain numbers, as in 1000, 0.032 or 1.25e8, or name "
            "another column"
        )
    return values


def read_numbers(frame: pd.DataFrame, name: str) -> tuple[Float[np.ndarray, " n"], str]:
    """Return one column as `number_column` does, NaN too where no number stands, and words about those rows.

    The words are empty where there are none of them.

    Raises
    ------
    InputError
        If the column is absent or repeated.
    """
    column = one_column(frame, name)
    if column.dtype.kind in "iufb":
        return column.to_numpy(dtype=np.float64, na_value=np.nan), ""
    values, wrong = np.full(len(column), np.nan), []
    for i, (each, missing) in enumerate(zip(column, column.isna(), strict=True)):
        try:
            values[i] = np.nan if missing else float(each)
        except (TypeError, ValueError, OverflowError):  # words, dates, complex numbers, whole numbers beyond 1e308
            wrong.append(i)
    if not wrong:
        return values, ""
    first = f"first {str(column.iloc[wrong[0]])!r} in row {frame.index[wrong[0]]}"
    return values, f"{len(wrong)} of {len(column)} values are no numbers, {first}"


def move_together(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"], threshold: float = 0.99) -> bool:
    """Say whether the logarithms of two columns are so correlated that they share their effects."""
    usable = np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)
    first, second = np.log(a[usable]), np.log(b[usable])
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return False
    return abs(float(np.corrcoef(first, second)[0, 1])) > threshold


def _factorize(column: pd.Series, use: str) -> tuple[Int64[np.ndarray, " n"], list[Hashable]]:
    missing = column.isna().to_numpy(dtype=bool)
    if missing.any():
        raise InputError(
            f"column {column.name!r} has missing values in {int(missing.sum())} of {len(column)} rows, first in row "
            f"{column.index[int(np.argmax(missing))]}; name every {use}, or drop these rows"
        )
    try:
        codes, uniques = pd.factorize(column, sort=True)
    except TypeError:
        kind = next((f"a {type(each).__name__}" for each in column if not isinstance(each, Hashable)), "mixed values")
        raise InputError(f"column {column.name!r} holds {kind}; a {use} is named by text or a number") from None
    if column.dtype == object:
        pairs = set(zip(codes.tolist(), map(str, column), strict=True))
        spelled, meant = Counter(text for _, text in pairs), Counter(code for code, _ in pairs)
        if clash := [text for code, text in pairs if spelled[text] > 1 or meant[code] > 1]:
            raise InputError(
                f"column {column.name!r} writes the same {use} in several ways, as number and as text "
                f"({', '.join(map(shown, sorted(set(clash))[:4]))}); write it in one"
            )
    return codes.astype(np.int64), list(uniques)
