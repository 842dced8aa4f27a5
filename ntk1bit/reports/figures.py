"""Pictures inside a page: figures as data URIs, and the figures of claims where they are installed."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from ntk1bit.errors import InputError
from ntk1bit.plots.looks import drawing, paper
from ntk1bit.reports.page import Html, element

LARGEST_SVG = 300_000  # bytes; a figure with more in it is smaller, and faster to show, as pixels
DPI = 150
FIGURES = "ntk1bit.plots.recipes"  # the package that draws the claims' figures, part of the source tree


@dataclass(frozen=True)
class Picture:
    """A figure of claims.

    Attributes
    ----------
    name
        Its short name.
    figure
        The figure.
    caption
        What it shows.
    claims
        Ids of the claims it speaks about, the main one first.
    """

    name: str
    figure: Figure
    caption: str
    claims: tuple[str, ...]


def draw_claims(results: Mapping[str, Any]) -> tuple[list[Picture], str]:
    """Draw the figures of a verification with the package `figures`, if there is one.

    Parameters
    ----------
    results
        What verdicts.json holds.

    Returns
    -------
    pictures, remark
        The pictures, and why there are none; empty if there are.
    """
    if importlib.util.find_spec(FIGURES) is None:
        return [], "Figures are left out: they are drawn from the source tree, by a checkout installed with pip -e."
    draw = getattr(importlib.import_module(FIGURES), "draw", None)
    if draw is None:
        return [], "Figures are left out: the installed package 'figures' is not the one of ntk1bit's source tree."
    try:
        drawn = draw(results)
    except InputError as problem:  # a study a figure needs may not have been run; the page is still worth having
        return [], f"Figures are left out: {problem}."
    pictures = [Picture(name, figure, caption, tuple(claims)) for name, (figure, caption, claims) in drawn.items()]
    return pictures, "" if pictures else "There are no figures for these claims."


def embedded(figure: Figure, caption: object, *, says: str, anchor: str | None = None) -> Html:
    """Return a figure that is part of the page.

    Parameters
    ----------
    figure
        What to show.
    caption
        Below it.
    says
        What it shows, for those who cannot see it.
    anchor
        Id of the element.
    """
    picture = element("img", src=data_uri(figure), alt=says)
    return element("figure", picture, element("figcaption", caption), id=anchor)


def data_uri(figure: Figure) -> str:
    """Return a figure as a data URI: SVG with its letters as shapes, or PNG if that would be large.

    The same figure gives the same bytes: no date is stored, and ids inside an SVG do not change from run to run.
    """
    with drawing(paper() | {"svg.fonttype": "path", "svg.hashsalt": "ntk1bit"}):
        vector = io.BytesIO()
        figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})
        if vector.tell() <= LARGEST_SVG:
            return _uri("image/svg+xml", vector.getvalue())
        pixels = io.BytesIO()
        figure.savefig(pixels, format="png", dpi=DPI, metadata={"Software": None})
        return _uri("image/png", pixels.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
