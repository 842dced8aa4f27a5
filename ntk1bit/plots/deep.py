"""D25's Fig. 1 to 3 from the tables of `estimators.deep`: axes-level plots, and how each figure arranges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from ntk1bit.data.cubes_and_curves import CUBES, CURVES
from ntk1bit.data.target_functions import CURVE_FUNCTIONS
from ntk1bit.estimators.deep import ROUNDING, ends_table, epochs_table, functions_table, losses_table
from ntk1bit.plots.axes import draw_series, label_logs, ticks_at_1_2_5
from ntk1bit.plots.figures import PAGE, write_figure
from ntk1bit.plots.layout import PLAIN, Panels, Sheet, StyleName, is_bottom, panel, read_sheet
from ntk1bit.plots.legends import legend, settle
from ntk1bit.plots.looks import GREY, PRECISION_NAME, SHADES, literal, points
from ntk1bit.plots.palettes import Colours, precision_look, shade_look
from ntk1bit.plots.tables import pick, values

POINTS = ("train", "test")
_MOST = 4  # labels on an axis of sizes
_LETTERS_AN_INCH = 20  # of a legend


def draw_frame(
    frame: pd.DataFrame,
    which: int,
    path: Path | str,
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> Path:
    """Draw one of D25's figures from the frame of its measurements and write it.

    Parameters
    ----------
    frame
        Of `experiments.scaling` (Fig. 1) or `experiments.similarity` (Fig. 2 and 3), many measurements together.
    which
        1, 2 or 3.
    path
        Where to write it; the ending decides the format.
    panels, palette, style, columns
        As `layout.read_sheet`. Panels are functions (``"f1"``, ``"bessel"``); in Fig. 3 each function has three:
        ``"bessel-losses"``, ``"bessel-epochs"`` and ``"bessel-sizes"``.
    """
    sheet = read_sheet(panels=panels, palette=palette, style=style, columns=columns)
    if which == 1:
        figure = scaling_figure(losses_table(frame), sheet=sheet)
    elif which == 2:
        figure = functions_figure(functions_table(frame), sheet=sheet)
    else:
        figure = similarity_figure(epochs_table(frame), ends_table(frame), sheet=sheet)
    with sheet.drawing():
        settle(figure)
    return write_figure(figure, path)


def scaling_figure(
    table: pd.DataFrame,
    labels: Mapping[tuple[str, int], str] | None = None,
    *,
    title: str = "",
    sheet: Sheet = PLAIN,
) -> Figure:
    """Draw Fig. 1: a panel for each function, one legend below.

    Parameters
    ----------
    table
        As `losses_table`.
    labels
        What the legend calls each (precision, depth), letter by letter unless it is a `looks.Formula`.
    title
        Of the figure.
    sheet
        Sizes, colours and panels.
    """
    depths = sorted({int(depth) for depth in table["depth"]})
    named = labels or {(p, d): f"{PRECISION_NAME[p]}, depth {d}" for d in depths for p in ("one_bit", "full")}
    present = _present(table, CUBES)
    padded = [*present, *"." * (-len(present) % 3)]
    rows = [padded[at : at + 3] for at in range(0, len(padded), 3)]
    with sheet.drawing():
        figure, axes = sheet.figure(rows, (PAGE, 4.5 if title else 4.4), title, sharey=True)
        for task in present:
            plot_losses(pick(table, task=task), ax=axes[task], labels=named, palette=sheet.palette)
            panel(axes[task], f"${task[0]}_{task[1]}$")
        _label_outside(axes, present, "parameters $N$", "least training loss")
        _legend_below(figure, columns=2)
    return figure


def functions_figure(table: pd.DataFrame, *, title: str = "", sheet: Sheet = PLAIN) -> Figure:
    """Draw Fig. 2: a panel for each function of one variable, from `functions_table`."""
    present = _present(table, CURVES)
    with sheet.drawing():
        size = PAGE, 4.6 if title else 4.4
        figure, axes = sheet.figure([[task] for task in present], size, title, row_height=1.6, sharex=True)
        for task in present:
            plot_function(pick(table, task=task), ax=axes[task], palette=sheet.palette)
            panel(axes[task], CURVE_FUNCTIONS[task].formula)
        _label_outside(axes, present, "$x$", "$y$")
        _legend_below(figure, columns=3)
    return figure


def similarity_figure(
    epochs: pd.DataFrame,
    ends: pd.DataFrame,
    labels: Mapping[tuple[str, str], str] | None = None,
    *,
    title: str = "",
    sheet: Sheet = PLAIN,
) -> Figure:
    """Draw Fig. 3: for each function its losses, the difference of the outputs, and the last difference against N.

    Parameters
    ----------
    epochs, ends
        As `epochs_table` and `ends_table`.
    labels
        What the legend calls the difference of each (task, points), letter by letter unless it is a `looks.Formula`.
    title
        Of the figure.
    sheet
        Sizes, colours and panels.
    """
    present, palette = _present(epochs, CURVES), sheet.palette
    size = float(values(epochs, "N").max())
    rows = [[f"{task}-losses", f"{task}-epochs", f"{task}-sizes"] for task in present]
    with sheet.drawing():
        figure, axes = sheet.figure(rows, (PAGE, 5.6 if title else 5.4), title)
        spec = axes[rows[0][0]].get_subplotspec()
        # in rows of one function its first panel names it
        whole = not sheet.panels and spec is not None and spec.get_gridspec().ncols == len(rows[0])
        named: set[str] = set()  # panels of losses and of epochs need one legend each, in the first one that is shown
        for task, row in zip(present, rows, strict=True):
            losses, differences, last = (axes[name] for name in row)
            shown = {name for name in row if axes[name].figure is figure}
            first = {name for name in shown if name.rpartition("-")[2] not in named}
            named |= {name.rpartition("-")[2] for name in shown}
            part = pick(epochs, task=task)
            plot_epoch_losses(pick(part, N=size), ax=losses, named=row[0] in first, palette=palette)
            panel(losses, f"{task}: losses, $N=${short(size)}")
            tests = pick(part, what="test difference")
            plot_epoch_differences(tests, ax=differences, named=row[1] in first, palette=palette)
            panel(differences, "difference, test points" if whole else f"{task}: difference, test points")
            words = {where: (labels or {}).get((task, where), where) for where in POINTS}
            plot_last_differences(pick(ends, task=task), ax=last, labels=words, palette=palette)
            panel(last, "difference after training" if whole else f"{task}: difference after training")
            for name, label in zip(row, ("epoch", "epoch", "parameters $N$"), strict=True):
                axes[name].set_xlabel(label if is_bottom(axes[name]) or not whole else "")
    return figure


def plot_losses(
    table: pd.DataFrame, *, ax: Axes, labels: Mapping[tuple[str, int], str], palette: Colours = None
) -> Axes:
    """Draw one function's losses against parameters, a series for each precision and depth, the deepest open."""
    deepest = max(depth for _, depth in labels)
    for (precision, depth), label in labels.items():
        part = pick(table, precision=precision, depth=depth)
        _series(part, "N", ax, precision, hollow=depth == deepest, label=literal(label), palette=palette)
    if values(table, "value").min() < 10 * ROUNDING:
        ax.axhspan(ROUNDING / 1e3, ROUNDING, color=GREY, alpha=0.15, linewidth=0)
        place = (float(values(table, "N").min()), ROUNDING / 1e3)  # below the band, which may be full of points
        ax.annotate("rounding", place, (-3, -2), textcoords="offset points", va="top", fontsize=points(6.8), color=GREY)
    ax.set_yscale("log")
    _sizes_below(ax, values(table, "N"))
    return label_logs(ax)


def plot_function(table: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw a target and the outputs of both precisions."""
    x = values(table, "x")
    ax.plot(x, values(table, "target"), color=GREY, linewidth=points(2.2), alpha=0.45, label="target")
    for precision in ("full", "one_bit"):
        look, y = precision_look(precision, palette=palette), values(table, precision)
        ax.plot(x, y, color=look.colour, linestyle=look.line, linewidth=points(1.0), label=PRECISION_NAME[precision])
    return ax


def plot_epoch_losses(table: pd.DataFrame, *, ax: Axes, named: bool = True, palette: Colours = None) -> Axes:
    """Draw training and test losses (hollow) of both precisions against epochs, with a legend if `named`."""
    for precision in ("full", "one_bit"):
        for where in POINTS:
            part = pick(table, precision=precision, what=f"{where} loss")
            name = "full" if precision == "full" else PRECISION_NAME[precision]
            _series(part, "epoch", ax, precision, hollow=where == "test", label=f"{name}, {where}", palette=palette)
    _plain_log(ax, room=0.4 * named)
    if named:
        legend(ax, "upper right", size=6.0, ncols=2, columnspacing=0.8)
    ax.set_ylabel("mean square")
    return ax


def plot_epoch_differences(table: pd.DataFrame, *, ax: Axes, named: bool = True, palette: Colours = None) -> Axes:
    """Draw the rms difference of the outputs against epochs, a series for each size, with a legend if `named`."""
    for place, size in enumerate(sorted(set(values(table, "N")))):
        look = shade_look(place % len(SHADES), len(SHADES), palette=palette)
        part = pick(table, N=size).sort_values("epoch")
        shape: dict[str, Any] = {
            "color": look.colour,
            "marker": look.marker,
            "linestyle": look.line,
            "linewidth": points(1.0),
        }
        ax.plot(values(part, "epoch"), values(part, "value"), label=f"$N=${short(size)}", **shape)
    _plain_log(ax, room=0.4 * named)
    if named:
        legend(ax, "upper right", size=6.0, ncols=2, columnspacing=0.8)
    ax.set_ylabel("rms difference")
    return ax


def plot_last_differences(table: pd.DataFrame, *, ax: Axes, labels: Mapping[str, str], palette: Colours = None) -> Axes:
    """Draw the difference after training against N, on training and on test points (hollow)."""
    for where in POINTS:
        part = pick(table, points=where)
        _series(part, "N", ax, "one_bit - full", hollow=where == "test", label=literal(labels[where]), palette=palette)
    _sizes_below(ax, values(table, "N"))
    _plain_log(ax, room=0.35)
    legend(ax, "upper right", size=6.0, ncols=1, columnspacing=0.8)
    return ax


def short(count: float) -> str:
    """Write a number of parameters as D25 does: 2.4K, 20M."""
    unit, letter = (1e6, "M") if count >= 1e6 else (1e3, "K") if count >= 1e3 else (1.0, "")
    return f"{count / unit:.2g}{letter}" if count < 100 * unit else f"{count / unit:.0f}{letter}"


def _series(
    table: pd.DataFrame, x: str, ax: Axes, precision: str, *, hollow: bool, label: str, palette: Colours
) -> None:
    """Draw values with a band from low to high in the look of a precision; those not positive are counted instead."""
    value = values(table, "value")
    shown = np.isfinite(value) & (value > 0)
    label += f" ({int(np.sum(~shown))} not positive or finite)" if not shown.all() else ""
    look = precision_look(precision, hollow=hollow, palette=palette)
    draw_series(pd.DataFrame(table.loc[shown]), ax=ax, look=look, x=x, label=label, band=True)


def _sizes_below(ax: Axes, sizes: Float[np.ndarray, " k"]) -> None:
    """Label a logarithmic x-axis with some of the sizes that occur: as powers of two where all are."""
    ax.set_xscale("log")
    present = np.unique(sizes)
    shown = present[:: -(-len(present) // _MOST)]
    powers = np.log2(present)
    whole = bool(np.all(powers == np.round(powers)))
    ax.set_xticks(shown, [f"$2^{{{round(float(np.log2(size)))}}}$" if whole else short(size) for size in shown])
    ax.xaxis.set_minor_locator(FixedLocator(present.tolist()))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _plain_log(ax: Axes, *, room: float = 0.0) -> None:
    """Make the y-axis logarithmic with plain numbers at 1, 2 and 5, and leave room for a legend above."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** room)
    ticks_at_1_2_5(ax)
    label_logs(ax)


def _label_outside(axes: Mapping[str, Axes], names: Sequence[str], x: str, y: str) -> None:
    """Label the axes of panels that share them: x below the lowest ones, y beside the first ones."""
    for ax in (axes[name] for name in names):
        spec = ax.get_subplotspec()
        if is_bottom(ax):
            ax.set_xlabel(x)
            ax.tick_params(labelbottom=True)
        if spec is None or spec.is_first_col():
            ax.set_ylabel(y)


def _legend_below(figure: Figure, *, columns: int) -> None:
    handles, texts = figure.axes[0].get_legend_handles_labels()
    widest = 2 * max(map(len, texts), default=0) > figure.get_figwidth() / points(1) * _LETTERS_AN_INCH
    ncols = 1 if widest else columns
    figure.legend(handles, texts, loc="outside lower center", ncols=ncols, fontsize=points(6.8))


def _present(table: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Return the names that occur in the column ``task``, in their order."""
    there = {str(name) for name in table["task"]}
    return [name for name in names if name in there]
