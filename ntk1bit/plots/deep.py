"""D25's Fig. 1 to 3 from the tables of `estimators.deep`: axes-level plots, and how each figure arranges them."""

from __future__ import annotations

from collections.abc import Mapping
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
from ntk1bit.plots.axes import legend, plot_series, ticks_at_1_2_5
from ntk1bit.plots.figures import PAGE, empty_figure, panel, write_figure
from ntk1bit.plots.looks import GREY, PRECISION_NAME, SHADES, drawing, literal, paper, precision_look, shade_look
from ntk1bit.plots.tables import pick, values

POINTS = ("train", "test")
_MOST = 4  # labels on an axis of sizes


def draw_frame(frame: pd.DataFrame, which: int, path: Path | str) -> Path:
    """Draw one of D25's figures from the frame of its measurements and write it.

    Parameters
    ----------
    frame
        Of `experiments.scaling` (Fig. 1) or `experiments.similarity` (Fig. 2 and 3), many measurements together.
    which
        1, 2 or 3.
    path
        Where to write it; the ending decides the format.
    """
    with drawing(paper()):
        figure = empty_figure(PAGE, {1: 4.4, 2: 4.4, 3: 5.4}[which])
        if which == 1:
            fill_scaling(figure, losses_table(frame))
        elif which == 2:
            fill_functions(figure, functions_table(frame))
        else:
            fill_similarity(figure, epochs_table(frame), ends_table(frame))
    return write_figure(figure, path)


def fill_scaling(figure: Figure, table: pd.DataFrame, labels: Mapping[tuple[str, int], str] | None = None) -> None:
    """Arrange Fig. 1: a panel for each function, one legend below.

    Parameters
    ----------
    figure
        An empty figure, of the full width of a page.
    table
        As `losses_table`.
    labels
        What the legend calls each (precision, depth), letter by letter unless it is a `looks.Formula`.
    """
    depths = sorted({int(depth) for depth in table["depth"]})
    named = labels or {(p, d): f"{PRECISION_NAME[p]}, depth {d}" for d in depths for p in ("one_bit", "full")}
    present = _present(table, CUBES)
    axes = figure.subplots(-(-len(present) // 3), 3, squeeze=False, sharey=True)
    for ax in axes.ravel()[len(present) :]:
        ax.set_axis_off()
    for place, (ax, task) in enumerate(zip(axes.ravel(), present, strict=False)):
        plot_losses(pick(table, task=task), ax=ax, labels=named)
        panel(ax, "abcdefghi"[place], f"${task[0]}_{task[1]}$")
        if place % 3 == 0:
            ax.set_ylabel("least training loss")
        if place >= len(present) - 3:
            ax.set_xlabel("parameters $N$")
    _legend_below(figure, axes[0, 0], columns=2)


def fill_functions(figure: Figure, table: pd.DataFrame) -> None:
    """Arrange Fig. 2: a panel for each function of one variable, from `functions_table`."""
    present = _present(table, CURVES)
    axes = figure.subplots(len(present), 1, sharex=True, squeeze=False)[:, 0]
    for place, (ax, task) in enumerate(zip(axes, present, strict=True)):
        plot_function(pick(table, task=task), ax=ax)
        panel(ax, "abcdefghi"[place], CURVE_FUNCTIONS[task].formula)
        ax.set_ylabel("$y$")
    axes[-1].set_xlabel("$x$")
    _legend_below(figure, axes[0], columns=3)


def fill_similarity(
    figure: Figure, epochs: pd.DataFrame, ends: pd.DataFrame, labels: Mapping[tuple[str, str], str] | None = None
) -> None:
    """Arrange Fig. 3: for each function its losses, the difference of the outputs, and the last difference against N.

    Parameters
    ----------
    figure
        An empty figure, of the full width of a page.
    epochs, ends
        As `epochs_table` and `ends_table`.
    labels
        What the legend calls the difference of each (task, points), letter by letter unless it is a `looks.Formula`.
    """
    present = _present(epochs, CURVES)
    size = float(values(epochs, "N").max())
    axes = figure.subplots(len(present), 3, squeeze=False)
    for place, (row, task) in enumerate(zip(axes, present, strict=True)):
        part, first = pick(epochs, task=task), place == 0
        plot_epoch_losses(pick(part, N=size), ax=row[0], named=first)
        panel(row[0], "abcdefghi"[3 * place], f"{task}: losses, $N=${short(size)}")
        plot_epoch_differences(pick(part, what="test difference"), ax=row[1], named=first)
        panel(row[1], "abcdefghi"[3 * place + 1], "difference, test points")
        named = {points: (labels or {}).get((task, points), points) for points in POINTS}
        plot_last_differences(pick(ends, task=task), ax=row[2], labels=named)
        panel(row[2], "abcdefghi"[3 * place + 2], "difference after training")
    for ax, words in zip(axes[-1], ("epoch", "epoch", "parameters $N$"), strict=True):
        ax.set_xlabel(words)


def plot_losses(table: pd.DataFrame, *, ax: Axes, labels: Mapping[tuple[str, int], str]) -> Axes:
    """Draw one function's losses against parameters, a series for each precision and depth, the deepest open."""
    deepest = max(depth for _, depth in labels)
    for (precision, depth), label in labels.items():
        part = pick(table, precision=precision, depth=depth)
        _series(part, "N", ax, precision, hollow=depth == deepest, label=literal(label))
    if values(table, "value").min() < 10 * ROUNDING:
        ax.axhspan(ROUNDING / 1e3, ROUNDING, color=GREY, alpha=0.15, linewidth=0)
        place = (float(values(table, "N").min()), ROUNDING / 1e3)  # below the band, which may be full of points
        ax.annotate("rounding", place, (-3, -2), textcoords="offset points", va="top", fontsize=6.8, color=GREY)
    ax.set_yscale("log")
    _sizes_below(ax, values(table, "N"))
    return ax


def plot_function(table: pd.DataFrame, *, ax: Axes) -> Axes:
    """Draw a target and the outputs of both precisions."""
    x = values(table, "x")
    ax.plot(x, values(table, "target"), color=GREY, linewidth=2.2, alpha=0.45, label="target")
    for precision in ("full", "one_bit"):
        look, y = precision_look(precision), values(table, precision)
        ax.plot(x, y, color=look.colour, linestyle=look.line, linewidth=1.0, label=PRECISION_NAME[precision])
    return ax


def plot_epoch_losses(table: pd.DataFrame, *, ax: Axes, named: bool = True) -> Axes:
    """Draw training and test losses (hollow) of both precisions against epochs, with a legend if `named`."""
    for precision in ("full", "one_bit"):
        for points in POINTS:
            part = pick(table, precision=precision, what=f"{points} loss")
            name = "full" if precision == "full" else PRECISION_NAME[precision]
            _series(part, "epoch", ax, precision, hollow=points == "test", label=f"{name}, {points}")
    _plain_log(ax, room=0.4 * named)
    if named:
        legend(ax, "upper right", size=6.0, ncols=2, columnspacing=0.8)
    ax.set_ylabel("mean square")
    return ax


def plot_epoch_differences(table: pd.DataFrame, *, ax: Axes, named: bool = True) -> Axes:
    """Draw the rms difference of the outputs against epochs, a series for each size, with a legend if `named`."""
    for place, size in enumerate(sorted(set(values(table, "N")))):
        look = shade_look(place % len(SHADES), len(SHADES))
        part = pick(table, N=size).sort_values("epoch")
        shape: dict[str, Any] = {"color": look.colour, "marker": look.marker, "linestyle": look.line, "linewidth": 1.0}
        ax.plot(values(part, "epoch"), values(part, "value"), label=f"$N=${short(size)}", **shape)
    _plain_log(ax, room=0.4 * named)
    if named:
        legend(ax, "upper right", size=6.0, ncols=2, columnspacing=0.8)
    ax.set_ylabel("rms difference")
    return ax


def plot_last_differences(table: pd.DataFrame, *, ax: Axes, labels: Mapping[str, str]) -> Axes:
    """Draw the difference after training against N, on training and on test points (hollow)."""
    for points in POINTS:
        part = pick(table, points=points)
        _series(part, "N", ax, "one_bit - full", hollow=points == "test", label=literal(labels[points]))
    _sizes_below(ax, values(table, "N"))
    _plain_log(ax, room=0.35)
    legend(ax, "upper right", size=6.0, ncols=1, columnspacing=0.8)
    return ax


def short(count: float) -> str:
    """Write a number of parameters as D25 does: 2.4K, 20M."""
    unit, letter = (1e6, "M") if count >= 1e6 else (1e3, "K") if count >= 1e3 else (1.0, "")
    return f"{count / unit:.2g}{letter}" if count < 100 * unit else f"{count / unit:.0f}{letter}"


def _series(table: pd.DataFrame, x: str, ax: Axes, precision: str, *, hollow: bool, label: str) -> None:
    """Draw values with a band from low to high in the look of a precision; those not positive are counted instead."""
    value = values(table, "value")
    shown = np.isfinite(value) & (value > 0)
    label += f" ({int(np.sum(~shown))} not positive or finite)" if not shown.all() else ""
    look = precision_look(precision, hollow=hollow)
    plot_series(pd.DataFrame(table.loc[shown]), ax=ax, look=look, x=x, label=label, band=True)


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


def _legend_below(figure: Figure, ax: Axes, *, columns: int) -> None:
    handles, texts = ax.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=columns, fontsize=6.8)


def _present(table: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Return the names that occur in the column ``task``, in their order."""
    there = {str(name) for name in table["task"]}
    return [name for name in names if name in there]
