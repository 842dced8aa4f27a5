"""A recipe, and what it draws from: tables, measures and outcomes of stored verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from matplotlib.figure import Figure

from ntk1bit.claims.results import EstimateEntry, MeasureEntry, MissingError, Results, measure, table

Kind = TypeVar("Kind", bound=MeasureEntry)


@dataclass(frozen=True)
class Recipe:
    """How one figure is made.

    Attributes
    ----------
    name
        Name of the figure and of its files.
    claims
        Ids of the claims it draws from, the main one first; empty for a figure of all claims.
    caption
        What is drawn and how, without results: those are in the figure.
    draw
        Draws it with `looks.paper` applied.
    """

    name: str
    claims: tuple[str, ...]
    caption: str
    draw: Callable[[Results], Figure]


@dataclass(frozen=True)
class Drawn:
    """A figure that a recipe made, with the recipe's name, caption and claims."""

    name: str
    claims: tuple[str, ...]
    caption: str
    figure: Figure


def stored_table(results: Results, claim: str, name: str) -> pd.DataFrame:
    """Return a table of a claim; nulls are NaN.

    Raises
    ------
    MissingError
        If the results lack it, or it is empty.
    """
    found = table(results.claim(claim), name)
    if found.empty:
        raise MissingError(f"table {name!r} of claim {claim} is empty")
    for column in found.columns:  # a column of nulls alone has no type of its own
        if found[column].dtype == object and not any(isinstance(value, str) for value in found[column]):
            found[column] = found[column].astype(float)
    return found


def stored_measure(results: Results, claim: str, name: str, kind: type[Kind] = EstimateEntry) -> Kind:
    """Return a measure of a claim, an estimate unless another kind is asked for.

    Raises
    ------
    MissingError
        If the results lack it.
    """
    found = measure(results.claim(claim), name)
    if not isinstance(found, kind):
        raise MissingError(f"measure {name!r} of claim {claim} is of another kind than the figure needs")
    return found


def sentence(results: Results, claim: str, *, supported: str, refuted: str, otherwise: str) -> str:
    """Choose the sentence that the outcome of a claim allows: a title must not say more than was found."""
    return {"supported": supported, "refuted": refuted}.get(results.claim(claim).outcome, otherwise)
