"""What a reader would complain of in a figure: text that is cut off or lies on text, and legends that lie on data."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from ntk1bit.plots.legends import covers_data

_INSIDE = 2.0  # pixels at 100 an inch: a letter may overhang its box by as much


def complaints(figure: Figure) -> list[str]:
    """Return sentences about a figure that is laid out as it will be saved; none if all is well."""
    figure.draw_without_rendering()
    found = [*_cut(figure), *_on_each_other(figure)]
    for ax in figure.axes:
        shown = ax.get_legend()
        if shown is not None and covers_data(ax, shown, clearance=0.5):
            found.append(f"the legend of {_name(ax)!r} lies on data")
    return found


def texts(figure: Figure) -> Iterator[Text]:
    """Yield the texts that can be seen; labels of ticks beyond the ends of an axis are made, and not drawn."""
    labels: dict[Text, bool] = {}
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                labels[tick.label1] = ax.axison and low <= tick.get_loc() <= high
                labels[tick.label2] = False
    for one in figure.findobj(Text):
        assert isinstance(one, Text)
        if one.get_visible() and one.get_text().strip() and labels.get(one, True):
            yield one


def _cut(figure: Figure) -> Iterator[str]:
    page = figure.bbox.padded(_INSIDE)
    for one in texts(figure):
        box = one.get_window_extent()
        if box.x0 < page.x0 or box.y0 < page.y0 or box.x1 > page.x1 or box.y1 > page.y1:
            yield f"{one.get_text()!r} is cut off"


def _on_each_other(figure: Figure) -> Iterator[str]:
    every = [(one, one.get_window_extent().padded(-_INSIDE)) for one in texts(figure)]
    for place, (one, box) in enumerate(every):
        for other, beside in every[:place]:
            if box.width > 0 and box.height > 0 and box.overlaps(beside) and beside.width > 0 and beside.height > 0:
                yield f"{one.get_text()!r} lies on {other.get_text()!r}"


def _name(ax: Axes) -> str:
    return ax.get_title() or ax.get_title(loc="left") or ax.get_ylabel()
