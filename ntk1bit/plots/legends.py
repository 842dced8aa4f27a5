"""Legends that lie on no data, and what else has to wait until the panels of a figure have their sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.path import Path as MplPath
from matplotlib.text import Text

from ntk1bit.plots.axes import CUT, Place, label_logs, mark_cut_bars, stretch
from ntk1bit.plots.figures import PANEL_TITLE, SheetFigure, title_length, wrap_title
from ntk1bit.plots.looks import points

_STRETCH, _MOST_STRETCHES = 0.03, 40  # of the y-axis for a legend, as a share of its range: by 1.03^40 = 3.3 at most


def legend(ax: Axes, where: Place, *, size: float = 6.4, **options: Any) -> Legend:
    """Add a compact legend that does not push panels apart, and extend the y-axis if it would lie on data.

    Its words must be short enough for the panel. What is drawn later may still come to lie below it. In a `SheetFigure`
    room is made by `settle`, when panels have their sizes.
    """
    usual: dict[str, Any] = {"handlelength": 1.7, "handletextpad": 0.4, "borderaxespad": 0.25, "labelspacing": 0.35}
    shown = ax.legend(loc=where, fontsize=points(size), borderpad=0.3, **(usual | options))
    shown.set_in_layout(False)
    shown.set_gid(where)
    shown.get_frame().set_linewidth(points(0.5))
    if not isinstance(ax.get_figure(root=True), SheetFigure):
        _make_room(ax, shown)
    return shown


def settle(figure: Figure) -> None:
    """Make room for the legends and titles of a figure that is drawn: its panels get their sizes only then."""
    figure.draw_without_rendering()
    broken = [_fit_title(ax, figure) for ax in figure.axes]
    if any(broken):
        figure.draw_without_rendering()
    for ax in figure.axes:
        if (shown := ax.get_legend()) is not None:
            _make_room(ax, shown)
            label_logs(ax)
        if any(line.get_gid() == CUT for line in ax.lines):
            mark_cut_bars(ax)


def _fit_title(ax: Axes, figure: Figure) -> bool:
    """Break the title of a panel so that it ends before the page or the next panel; return whether it was too long."""
    frame = ax.get_window_extent()
    beside = [other.get_window_extent() for other in figure.axes if other is not ax]
    right = min([box.x0 for box in beside if box.x0 > frame.x1 and box.y1 > frame.y0 and box.y0 < frame.y1], default=0)
    for title in ax.get_children():
        if isinstance(title, Text) and title.get_gid() == PANEL_TITLE:
            box = title.get_window_extent()
            free = (right or figure.bbox.x1) - box.x0
            if box.width > free > 0:
                letters = title_length(title.get_text()) * free / box.width
                title.set_text(wrap_title(title.get_text(), int(letters)))
                return True
    return False


def _make_room(ax: Axes, shown: Legend) -> None:
    """Extend the y-axis on the side of a legend, little by little, until it lies on nothing."""
    side = {"upper": "above", "lower": "below"}.get(str(shown.get_gid()).partition(" ")[0])
    for _ in range(_MOST_STRETCHES if side else 0):
        if not covers_data(ax, shown):
            break
        stretch(ax, **{str(side): _STRETCH})


def covers_data(ax: Axes, shown: Legend, *, clearance: float = 2.5) -> bool:
    """Say whether a legend lies on points, lines or bands of its axes; levels from side to side do not count.

    What comes as close as `clearance`, in points, counts: a marker is so large.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    _ = ax.viewLim  # what was drawn last may not have moved the limits yet
    box = shown.get_window_extent().padded(points(clearance) * figure.dpi / 72)
    return any(path.intersects_bbox(box, filled) for path, filled in _paths(ax))


def _paths(ax: Axes) -> Iterator[tuple[MplPath, bool]]:
    """Yield what is drawn in a panel, in pixels, and whether it is an area."""
    for line in ax.lines:
        if line.get_transform() != ax.transData:
            continue
        x, y = (np.asarray(each, dtype=np.float64) for each in line.get_data())
        places = line.get_transform().transform(np.column_stack([x, y]))
        places = places[np.all(np.isfinite(places), axis=1)]
        if len(places) and line.get_linestyle() != "None":
            yield MplPath(places), False
        for right, up in places if line.get_marker() not in ("", "None", "none", None) else ():
            yield MplPath([(right - 1, up - 1), (right + 1, up + 1)]), False
    for patch in (one for one in ax.patches if one.get_data_transform() == ax.transData):  # bars of a histogram
        yield MplPath(patch.get_transform().transform(patch.get_path().vertices)), True
    for collection in ax.collections:
        filled = not isinstance(collection, LineCollection)
        for path in collection.get_paths():
            places = collection.get_transform().transform(path.vertices)
            offsets = np.atleast_2d(np.asarray(collection.get_offsets(), dtype=np.float64))
            if len(offsets) > 1:  # a scatter: one shape at many places
                places = collection.get_offset_transform().transform(offsets)
            places = places[np.all(np.isfinite(places), axis=1)]
            if len(places):
                yield MplPath(places), filled
