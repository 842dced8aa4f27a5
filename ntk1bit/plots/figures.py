"""Whole figures: the widths of a journal, titles in lines, and how figures are written."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ntk1bit.errors import InputError
from ntk1bit.files import write_all_whole
from ntk1bit.plots.looks import drawing, paper

COLUMN, PAGE = 3.25, 6.75  # inches: one column, and the full width
PANEL_TITLE = "title of a panel"
_UNDATED = {"pdf": {"CreationDate": None, "Producer": None}, "png": {"Software": None}}


class SheetFigure(Figure):
    """A figure whose panels have no sizes until it is laid out as a whole, as `layout.Sheet` makes it."""


def empty_figure(width: float, height: float, **options: Any) -> Figure:
    """Return an empty figure of this size in inches, in no window; `legends.settle` it when it is drawn."""
    figure = SheetFigure(figsize=(width, height), **options)
    FigureCanvasAgg(figure)
    return figure


def wrap_title(text: str, columns: int) -> str:
    """Break a text into lines of at most `columns` letters; formulas stay whole and count as they will be shown."""
    lines: list[str] = []
    for word in re.findall(r"(?:\$[^$]*\$|[^\s$])+", text):
        if lines and title_length(f"{lines[-1]} {word}") <= columns:
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
        The look it was drawn with, `looks.paper` by default.

    Raises
    ------
    InputError
        If the ending is no format that can be drawn.
    OSError
        If it cannot be written; a file of this name is as it was then.
    """
    return write_together([(path, figure)], look)[0]


def write_together(figures: Iterable[tuple[Path | str, Figure]], look: Mapping[str, Any] | None = None) -> list[Path]:
    """Write figures that belong together, each with its path, as `write_figure` does: all of them or none."""
    every = {Path(path): figure for path, figure in figures}
    for path in every:
        require_drawable(path)
    # fontTools warns that DejaVu's fonts for formulas were made on an impossible date, which no reader can change.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    drawn: dict[Path, memoryview] = {}
    with drawing(paper() if look is None else look):
        for path, figure in every.items():
            place = path if path.suffix else path.with_name(f"{path.name}.{mpl.rcParams['savefig.format']}")
            kind = place.suffix[1:].lower()
            figure.savefig(sink := io.BytesIO(), format=kind, metadata=_UNDATED.get(kind))
            drawn[place] = sink.getbuffer()
    for place in drawn:
        place.parent.mkdir(parents=True, exist_ok=True)
    write_all_whole(drawn.items())
    return list(drawn)


def is_figure_file(path: Path | str) -> bool:
    """Say whether a path names one figure, by its ending, rather than a folder for several."""
    path = Path(path)
    return path.suffix[1:].lower() in FigureCanvasAgg.get_supported_filetypes() and not path.is_dir()


def require_drawable(path: Path | str) -> None:
    """Raise `InputError` unless a path ends as a format that can be drawn, or has no ending."""
    path, kinds = Path(path), FigureCanvasAgg.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in kinds:
        allowed = ", ".join(f".{kind}" for kind in sorted(kinds))
        raise InputError(f"cannot draw {str(path)!r}: a figure must end in one of {allowed}")


def title_length(text: str) -> int:
    """Return how many letters of a text will be shown, its formulas drawn."""
    shown = re.sub(r"\\(mathrm|mathsf|sqrt)|[{}^_$]", "", text)
    return len(re.sub(r"\\[a-zA-Z]+", "x", shown))
