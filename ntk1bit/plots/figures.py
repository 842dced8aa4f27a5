"""Whole figures: their sizes, their titles, and how they are written."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ntk1bit.errors import InputError
from ntk1bit.files import write_whole
from ntk1bit.plots.looks import drawing, paper

COLUMN, PAGE = 3.25, 6.75  # inches: one column, and the full width
_LETTERS_AN_INCH = 13.6  # of a title in its size
_UNDATED = {"pdf": {"CreationDate": None, "Producer": None}, "png": {"Software": None}}


def empty_figure(width: float, height: float, **options: Any) -> Figure:
    """Return an empty figure of this size in inches, which belongs to no window."""
    figure = Figure(figsize=(width, height), **options)
    FigureCanvasAgg(figure)
    return figure


def titled_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure with its message as the title, in lines that fit; `looks.paper()` must be applied."""
    figure = empty_figure(width, height)
    lines = wrap_title(title, round(width * _LETTERS_AN_INCH))
    figure.suptitle(lines, x=0.01, ha="left", fontsize=8.8, fontweight="bold", linespacing=1.15)
    return figure


def panel(ax: Axes, letter: str, title: str) -> None:
    """Title a panel."""
    ax.set_title(f"({letter}) {title}", fontsize=8)


def wrap_title(text: str, columns: int) -> str:
    """Break a text into lines of at most `columns` letters; formulas stay whole and count as they will be shown."""
    lines: list[str] = []
    for word in re.findall(r"(?:\$[^$]*\$|[^\s$])+", text):
        if lines and _length(f"{lines[-1]} {word}") <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def write_figure(figure: Figure, path: Path | str, look: Mapping[str, Any] | None = None) -> Path:
    """Write a figure, all of it or nothing, and return where; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        What to write.
    path
        Its ending decides the format; without one, that of the user's style is added.
    look
        The look it was drawn with, `looks.paper` by default: ticks are only made now.

    Raises
    ------
    InputError
        If the ending is no format that can be drawn.
    """
    path = Path(path)
    require_drawable(path)
    # fontTools warns that DejaVu's fonts for formulas were made on an impossible date, which no reader can change.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    with drawing(paper() if look is None else look):
        if not path.suffix:
            path = path.with_name(f"{path.name}.{mpl.rcParams['savefig.format']}")
        kind = path.suffix[1:].lower()
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, metadata=_UNDATED.get(kind))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, drawn.getbuffer())
    return path


def require_drawable(path: Path | str) -> None:
    """Raise `InputError` unless a path ends as a format that can be drawn, or has no ending."""
    path, kinds = Path(path), FigureCanvasAgg.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in kinds:
        allowed = ", ".join(f".{kind}" for kind in sorted(kinds))
        raise InputError(f"cannot draw {str(path)!r}: a figure must end in one of {allowed}")


def write_pdf_and_png(figure: Figure, stem: Path | str) -> list[Path]:
    """Write `stem`.pdf and `stem`.png."""
    stem = Path(stem)
    return [write_figure(figure, stem.with_name(f"{stem.name}.{kind}")) for kind in ("pdf", "png")]


def _length(text: str) -> int:
    shown = re.sub(r"\\(mathrm|mathsf|sqrt)|[{}^_$]", "", text)
    return len(re.sub(r"\\[a-zA-Z]+", "x", shown))
