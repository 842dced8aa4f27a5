"""Picking rows and values out of tables of evidence, with plain types."""

from __future__ import annotations

import numpy as np
import pandas as pd


def pick(table: pd.DataFrame, **equal: object) -> pd.DataFrame:
    """Return the rows in which every column named has the value given."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in equal.items():
        keep &= np.asarray(table[column] == value)
    return pd.DataFrame(table.loc[keep])


def values(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column as float64."""
    return np.asarray(table[column], dtype=np.float64)


def ends(table: pd.DataFrame, column: str) -> tuple[float, float]:
    """Return the least and the largest value of a column."""
    every = values(table, column)
    return float(every.min()), float(every.max())


def value_at(table: pd.DataFrame, x: str, place: int, y: str = "value") -> float:
    """Return y at the first (0) or the last (-1) x."""
    return float(values(table.sort_values(x), y)[place])
