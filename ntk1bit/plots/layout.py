"""How large a whole figure is and which panels it has: for a column or a page of a journal, or for a slide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.errors import InputError, require_choice
from ntk1bit.plots.figures import COLUMN, PAGE, PANEL_TITLE, empty_figure, wrap_title
from ntk1bit.plots.looks import drawing, paper, points
from ntk1bit.plots.palettes import Colours, Palette, read_palette

StyleName: TypeAlias = Literal["paper", "slides"]
Panels: TypeAlias = Sequence[str] | str | None  # names, or one text with commas between them

SLIDE = 13.33  # inches: the width of a slide of 16 to 9
_SLIDE_ROW = 2  # panels side by side on a slide
_TITLE_LETTERS, _TITLE_LINE = 13.6, 0.14  # letters an inch of a figure's title, and inches a line
_FLATTEST, _TALLEST = 2.2, 2.9  # inches: panels that are arranged anew


@dataclass(frozen=True)
class Sheet:
    """What a whole figure is asked to be, passed on to what draws it.

    Attributes
    ----------
    palette
        Colours.
    slides
        Whether sizes are those of slides; otherwise they are those of a paper.
    columns
        1 for the width of one column of a journal, or half a slide; 2 for that of a page, or a slide; None for the
        figure's own.
    panels
        Names of panels in the order wanted; empty for all.
    """

    palette: Palette = field(default_factory=Palette)
    slides: bool = False
    columns: int | None = None
    panels: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """How many times larger than in a paper everything is."""
        return SLIDE / PAGE if self.slides else 1.0

    @property
    def changed(self) -> bool:
        """Whether any size differs from the figure's own."""
        return self.slides or self.columns is not None

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Apply its sizes while a figure is made."""
        with drawing(paper(self.scale)):
            yield

    def chosen(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return which of a figure's panels are to be drawn, in order.

        Raises
        ------
        InputError
            If one is asked for that the figure does not have.
        """
        there = [name for name in dict.fromkeys(names) if name != "."]
        return tuple(dict.fromkeys(require_choice("panel", one, there) for one in self.panels)) or tuple(there)

    def figure(
        self,
        rows: Sequence[Sequence[str]],
        size: tuple[float, float],
        title: str = "",
        *,
        row_height: float | None = None,
        **options: Any,
    ) -> tuple[Figure, Mapping[str, Axes]]:
        """Return an empty figure and the axes of every panel, by name; what `drawing` applies must be applied.

        Parameters
        ----------
        rows
            Names of panels, row by row; a name that occurs again is a panel that spans rows. They are arranged anew
            where not all are wanted, or another width is: as many side by side as are so wide as in the figure's own
            arrangement, at most two on a slide, and below each other in one column.
        size
            Width and height in inches of the figure's own arrangement.
        title
            Its message; empty for none.
        row_height
            Inches of a row that is arranged anew; by default in proportion to its width.
        options
            Of `Figure.subplot_mosaic`, for the figure's own arrangement.

        Notes
        -----
        A panel that is not wanted has axes in a figure that nobody sees: whoever draws the panels need not know which
        those are.
        """
        every = dict.fromkeys(name for row in rows for name in row if name != ".")
        chosen = self.chosen(every)
        width, height = size
        usual = 1 if width <= COLUMN else 2
        columns = self.columns or usual
        most = max(1, round(max(map(len, rows)) * PAGE / max(width, PAGE))) if columns == 2 else 1
        if self.slides:
            most = min(most, _SLIDE_ROW)
        fits = columns == usual and max(map(len, rows)) <= most
        own = chosen == tuple(every) and (fits or not self.changed)
        arranged: list[Any] = [list(row) for row in rows]
        if self.changed or not own:
            width = (COLUMN, PAGE)[columns - 1]
        lines = wrap_title(title, round(width * _TITLE_LETTERS)) if title else ""
        if not own:
            beside = -(-len(chosen) // -(-len(chosen) // most))
            padded = [*chosen, *"." * (-len(chosen) % beside)]
            arranged = [padded[at : at + beside] for at in range(0, len(padded), beside)]
            row_height = row_height or min(max(0.75 * width / beside, _FLATTEST), _TALLEST)
            height = row_height * len(arranged) + _TITLE_LINE * (lines.count("\n") + 1 if title else 0)
            options = {}
        figure = empty_figure(self.scale * width, self.scale * height)
        if lines:
            figure.suptitle(lines, x=0.01, ha="left", fontsize=points(8.8), fontweight="bold", linespacing=1.15)
        axes: dict[str, Axes] = dict(figure.subplot_mosaic(arranged, **options))
        for name in every:
            if name not in axes:
                axes[name] = empty_figure(self.scale * width, self.scale * height).subplots()
        for ax in axes.values():
            _keep_style(ax)
        return figure, axes


PLAIN = Sheet()


def read_sheet(
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
    also: Iterable[object] = (),
) -> Sheet:
    """Return what a figure is asked to be, from the arguments that every function of a whole figure takes.

    Parameters
    ----------
    panels
        Names of the panels wanted, in order; all by default. Each figure has its own.
    palette
        As `palettes.read_palette`.
    style
        ``"paper"``, or ``"slides"``: twice the size, and at most two panels side by side.
    columns
        1 for the width of one column of a journal (3.25 inches) or half a slide, 2 for that of a page (6.75 inches) or
        a slide; by default the figure's own.
    also
        Names of series that the palette may hold beside the known ones.

    Raises
    ------
    InputError
        If any of them is unknown.
    """
    require_choice("style", style, get_args(StyleName))
    if columns not in (None, 1, 2):
        raise InputError(f"columns must be 1 (one column of a journal) or 2 (the page), got {columns!r}")
    names = [name.strip() for name in panels.split(",")] if isinstance(panels, str) else list(panels or ())
    if panels is not None and not all(names or [""]):
        raise InputError(f"cannot read the panels {panels!r}; write names separated by commas, or leave them out")
    return Sheet(read_palette(palette, also=also), style == "slides", columns, tuple(names))


def panel(ax: Axes, title: str) -> None:
    """Title a panel, with its letter where there are several; `legends.settle` breaks it into lines that fit."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    letter = f"({'abcdefghijkl'[figure.axes.index(ax)]}) " if len(figure.axes) > 1 else ""
    ax.set_title(f"{letter}{title}", fontsize=points(8), gid=PANEL_TITLE)


def is_bottom(ax: Axes) -> bool:
    """Say whether no panel stands below this one, so that it needs a label of its own on the x-axis."""
    spec, figure = ax.get_subplotspec(), ax.get_figure(root=True)
    if spec is None or figure is None:
        return True
    others = [other for one in figure.axes if one.axison and (other := one.get_subplotspec()) is not None]
    return not any(one.rowspan.start >= spec.rowspan.stop and set(one.colspan) & set(spec.colspan) for one in others)


def _keep_style(ax: Axes) -> None:
    """Fix what ticks look like: matplotlib makes them when a figure is saved, in the style of that moment."""
    style: Any = mpl.rcParams
    for axis in ("x", "y"):
        ax.tick_params(axis=axis, labelsize=style[f"{axis}tick.labelsize"])
        for kind in ("major", "minor"):
            size, width, pad = (style[f"{axis}tick.{kind}.{what}"] for what in ("size", "width", "pad"))
            ax.tick_params(axis=axis, which=kind, length=size, width=width, pad=pad)
    if style["axes.grid"]:
        ax.grid(color=style["grid.color"], linewidth=style["grid.linewidth"])
