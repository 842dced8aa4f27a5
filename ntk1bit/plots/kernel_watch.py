"""What a watch of a kernel saw (`autodiff.KernelWatch`): drift, alignment and effective rank of layers, over steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ntk1bit.autodiff.group_kernels import ALL
from ntk1bit.autodiff.kernel_watch import COLUMNS
from ntk1bit.errors import InputError
from ntk1bit.estimators.columns import require_columns
from ntk1bit.plots.axes import corner_text, draw_series
from ntk1bit.plots.figures import PAGE, write_figure
from ntk1bit.plots.layout import Panels, StyleName, panel, read_sheet
from ntk1bit.plots.legends import legend, settle
from ntk1bit.plots.looks import BLACK, MARKERS, Look, literal, points
from ntk1bit.plots.palettes import Colours, Palette, shade_look
from ntk1bit.plots.tables import pick, values

PANELS = ("drift", "alignment", "effective_rank")
_TITLES = {
    "drift": ("from the first look", "drift of the kernel"),
    "alignment": ("with the targets", "kernel-target alignment"),
    "effective_rank": ("of the eigenvalues", "effective rank"),
}
_NAMED = 8  # layers that a legend names one by one
_LETTERS = 16  # of a name


def draw_kernel_watch(
    frame: pd.DataFrame,
    path: Path | str,
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> Path:
    """Draw what a watch saw into a file, a line for each layer and one for all parameters, and return where.

    Parameters
    ----------
    frame
        Of `autodiff.KernelWatch.frame`: a row for each look and layer.
    path
        The figure; the ending decides the format.
    panels, palette, style, columns
        As `layout.read_sheet`; panels are `PANELS`, and series of the palette the layers. Layers are dark to light in
        their order; of more than eight the legend names the first and the last and says how many lie between them.

    Raises
    ------
    InputError
        If a column is missing or there is no look.
    """
    require_columns(frame, COLUMNS, for_what="a figure of a kernel's watch", advice="give watch.frame()")
    if frame.empty:
        raise InputError("the frame has no look at a kernel; call the watch's update during training first")
    layers = [str(name) for name in frame["layer"].unique() if name != ALL]
    sheet = read_sheet(panels=panels, palette=palette, style=style, columns=columns, also=(*layers, ALL))
    looks = _looks(layers, sheet.palette)
    with sheet.drawing():
        figure, axes = sheet.figure([PANELS], (PAGE, 2.4))
        for column in PANELS:
            title, label = _TITLES[column]
            _lines(frame, column, axes[column], looks)
            axes[column].set(xlabel="step", ylabel=label)
            axes[column].xaxis.set_major_locator(MaxNLocator(4, integer=True))
            panel(axes[column], title)
        legend(axes[sheet.chosen(PANELS)[0]], "upper left")
        settle(figure)
        return write_figure(figure, path)


def _looks(layers: list[str], palette: Palette) -> dict[str, Look]:
    """Return the look of each layer, in order, and of all parameters."""
    shades = [shade_look(place, len(layers), palette=palette) for place in range(len(layers))]
    own = zip(layers, shades, strict=True)
    found = {name: replace(look, colour=palette.named.get(name, look.colour)) for name, look in own}
    return found | {ALL: palette.look(ALL, Look(BLACK, MARKERS[-1], hollow=True))}


def _lines(frame: pd.DataFrame, column: str, ax: Axes, looks: dict[str, Look]) -> None:
    """Draw a measure of each layer against the step; what is NaN throughout is named as not defined."""
    layers = [name for name in looks if name != ALL]
    missing = []
    for name, look in looks.items():
        table = pick(frame, layer=name)
        if not np.isfinite(values(table, column)).any():
            missing.append(name)
        draw_series(table, ax=ax, look=look, x="step", y=column, label=_label(name, layers))  # in the legend anyway
    if len(missing) == len(looks):
        ax.text(0.5, 0.5, "not defined", transform=ax.transAxes, ha="center", va="center", fontsize=points(7))
    elif missing:
        named = ", ".join(literal(name, letters=_LETTERS) for name in missing)
        which = named if len(missing) < 3 else f"{len(missing)} layers"
        corner_text(ax, f"not defined: {which}", right=True)


def _label(name: str, layers: list[str]) -> str:
    """Return a layer's words in the legend; none for those in the middle of many."""
    if name == ALL:
        return "all parameters"
    shown = literal(name, letters=_LETTERS)
    if len(layers) <= _NAMED or name == layers[0]:
        return shown
    return f"{shown}, {len(layers) - 2} between" if name == layers[-1] else ""
