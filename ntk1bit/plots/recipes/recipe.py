"""A recipe, and what it draws from: tables, measures and outcomes of stored verdicts."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims import results as stored
from ntk1bit.claims.results import EstimateEntry, MeasureEntry, MissingError, Results
from ntk1bit.plots.axes import draw_series, with_power
from ntk1bit.plots.layout import Sheet
from ntk1bit.plots.looks import PRECISION_NAME, Formula
from ntk1bit.plots.palettes import Colours, precision_look
from ntk1bit.plots.tables import pick

TEXTS: dict[str, dict[str, Any]] = tomllib.loads(
    resources.files("ntk1bit.plots.recipes").joinpath("texts.toml").read_text(encoding="utf-8")
)
SHORT_PRECISION = PRECISION_NAME | {"full": "full"}  # for a narrow legend
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
        What is drawn and how.
    panels
        Names of its panels, in order.
    draw
        Draws it as a sheet asks, whose `drawing` is applied.
    """

    name: str
    claims: tuple[str, ...]
    caption: str
    panels: tuple[str, ...]
    draw: Callable[[Results, Sheet], Figure]


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
    frame = stored.table(results.claim(claim), name)
    if frame.empty:
        raise MissingError(f"table {name!r} of claim {claim} is empty")
    for column in frame.columns:  # a column of nulls alone has no type of its own
        if frame[column].dtype == object and not any(isinstance(value, str) for value in frame[column]):
            frame[column] = frame[column].astype(float)
    return frame


def stored_measure(results: Results, claim: str, name: str, kind: type[Kind] = EstimateEntry) -> Kind:
    """Return a measure of a claim, an estimate unless another kind is asked for.

    Raises
    ------
    MissingError
        If the results lack it.
    """
    measure = stored.measure(results.claim(claim), name)
    if not isinstance(measure, kind):
        raise MissingError(f"measure {name!r} of claim {claim} is of another kind than the figure needs")
    return measure


def with_exponent(name: str, results: Results, claim: str, measure: str, symbol: str = "m") -> Formula:
    """Return a name with a measured exponent as a power of `symbol`, for a legend."""
    return with_power(name, stored_measure(results, claim, measure), symbol)


def plot_by_precision(
    table: pd.DataFrame,
    column: str,
    variants: Mapping[str, bool],
    *,
    ax: Axes,
    label: Callable[[str, str], str],
    palette: Colours = None,
) -> Axes:
    """Draw a series for each precision and each variant that the table has.

    Parameters
    ----------
    table
        With the columns precision, `column`, and those of `draw_series`.
    column, variants
        The values of a column that are drawn, and whether their markers are hollow.
    label
        From precision and variant to the words of the legend.
    palette
        As `palettes.read_palette`.
    """
    for precision in PRECISION_NAME:
        for variant, hollow in variants.items():
            part = pick(table, precision=precision, **{column: variant})
            if not part.empty:
                look = precision_look(precision, hollow=hollow, palette=palette)
                draw_series(part, ax=ax, look=look, label=label(precision, variant))
    return ax


def figure_title(results: Results, figure: str, **values: object) -> str:
    """Return the title that the outcomes of its claims allow a figure: it must not say more than was found.

    Parameters
    ----------
    results
        Stored verdicts.
    figure
        Its name in texts.toml.
    values
        What stands for each name in angle brackets.

    Raises
    ------
    MissingError
        If the results lack a claim.
    """
    title = "".join(sentences[results.claim(claim).outcome] for claim, sentences in TEXTS[figure]["title"].items())
    for name, value in values.items():
        title = title.replace(f"<{name}>", str(value))
    return title
