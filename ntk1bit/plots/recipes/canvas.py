"""Sizes of figures, their titles, and how they are written."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ntk1bit.plots.looks import drawing, paper

COLUMN, PAGE = 3.25, 6.75  # inches: one column, and the full width
_LETTERS_AN_INCH = 13.6  # of a title in its size, so that it is broken before it is cut off


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure with its message as the title, broken into lines that fit.

    Must be called with `styles.paper()` applied.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    lines = broken(title, round(width * _LETTERS_AN_INCH))
    figure.suptitle(lines, x=0.01, ha="left", fontsize=8.8, fontweight="bold", linespacing=1.15)
    return figure


def panel(ax: Axes, letter: str, title: str) -> None:
    """Title a panel."""
    ax.set_title(f"({letter}) {title}", fontsize=8)


def write(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.pdf and `stem`.png; the same figure gives the same bytes."""
    # DejaVu's maths fonts bear odd dates, about which the one who cuts them for a PDF can do nothing
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, undated in (("pdf", {"CreationDate": None, "Producer": None}), ("png", {"Software": None})):
        path = stem.with_name(f"{stem.name}.{ending}")
        with drawing(paper()):
            figure.savefig(path, metadata=undated)
        written.append(path)
    return written


def broken(text: str, columns: int) -> str:
    """Break a text into lines of at most `columns` letters; formulas stay whole and count as they will be shown."""
    lines: list[str] = []
    for word in re.findall(r"(?:\$[^$]*\$|[^\s$])+", text):
        if lines and _length(f"{lines[-1]} {word}") <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _length(text: str) -> int:
    shown = re.sub(r"\\(mathrm|mathsf|sqrt)|[{}^_$]", "", text)
    return len(re.sub(r"\\[a-zA-Z]+", "x", shown))
