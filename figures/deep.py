"""Figures of deep networks: D25's Fig. 1 to 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from figures.axes import legend, log_axes, note, plot_series, precision_look, shade_look, stretch, with_power
from figures.canvas import PAGE, new_figure, panel
from figures.recipe import Results
from figures.tables import ends, pick, values
from ntk1bit.deep.data import CUBES, CURVES
from ntk1bit.styles import GREY, PRECISION_COLOUR, PRECISION_LINE, PRECISION_NAME
from ntk1bit.tasks.functions import CURVE_FUNCTIONS
from proofs_numeric.c5_deep import ROUNDING

_POINTS = {"train": precision_look("one_bit - full"), "test": precision_look("one_bit - full", hollow=True)}


def draw_scaling_law(results: Results) -> Figure:
    """Draw D25's Fig. 1: the least training loss of each function against parameters."""
    title = results.sentence(
        "C5",
        supported="The loss of deep 1-bit networks falls with size, and so does its distance to full precision",
        refuted="The loss of deep 1-bit networks, or its distance to full precision, does not fall with size",
        otherwise="Whether the loss of deep 1-bit networks and its distance to full precision fall with size is open",
    ) + results.sentence(
        "C5-ratio",
        supported="; on logarithmic axes the curves approach each other",
        refuted="; on logarithmic axes the curves do not approach each other",
        otherwise="; whether the curves approach each other on logarithmic axes is open",
    )
    table = results.table("C5", "loss against parameters")
    words = {"one_bit": "the 1-bit loss", "full": "the full-precision loss"}
    labels: dict[tuple[str, int], str] = {}
    for depth in sorted({int(depth) for depth in table["depth"]}):
        for precision, word in words.items():
            found = results.measure("C5", f"exponent in N of {word}, depth {depth}")
            labels[precision, depth] = with_power(f"{PRECISION_NAME[precision]}, depth {depth}:", found, "N")
    figure = new_figure(PAGE, 4.5, title)
    present = _present(table, CUBES)
    axes = figure.subplots(2, 3, squeeze=False, sharey=True)
    for place, ax in enumerate(axes.ravel()):
        if place >= len(present):
            ax.set_axis_off()
            continue
        plot_losses(pick(table, task=present[place]), ax=ax, labels=labels)
        panel(ax, "abcdef"[place], f"${present[place][0]}_{present[place][1]}$")
        if place % 3 == 0:
            ax.set_ylabel("least training loss")
        if place >= len(present) - 3:
            ax.set_xlabel("parameters $N$")
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2, fontsize=6.8)
    return figure


def plot_losses(table: pd.DataFrame, *, ax: Axes, labels: Mapping[tuple[str, int], str]) -> Axes:
    """Draw one function's losses against parameters, a series for each precision and depth (the deepest hollow)."""
    deepest = max(depth for _, depth in labels)
    for (precision, depth), label in labels.items():
        look = precision_look(precision, hollow=depth == deepest)
        plot_series(pick(table, precision=precision, depth=depth), ax=ax, x="N", look=look, label=label)
    if ends(table, "value")[0] < 10 * ROUNDING:
        ax.axhspan(ROUNDING / 1e3, ROUNDING, color=GREY, alpha=0.15, linewidth=0)
        note(ax, ends(table, "N")[0], ROUNDING, "rounding", xytext=(-3, -2), va="top")
    power_axes(ax, values(table, "N"))
    return ax


def power_axes(ax: Axes, x: np.ndarray) -> None:
    """Make axes logarithmic, with powers of two on x where all sizes are."""
    log_axes(ax, x, most=4)
    ticks = [tick for tick in ax.get_xticks() if tick > 0]
    if all(float(np.log2(tick)).is_integer() for tick in ticks):
        ax.set_xticks(ticks, [f"$2^{{{int(np.log2(tick))}}}$" for tick in ticks])


def draw_functions(results: Results) -> Figure:
    """Draw D25's Fig. 2: three functions of one variable, and what both networks made of them."""
    table = results.table("C5-similar", "functions")
    size = ends(table, "N")[1]
    title = f"Functions as networks of {short(size)} parameters learn them; with size " + results.sentence(
        "C5-similar",
        supported="both precisions approach each other",
        refuted="both precisions do not approach each other",
        otherwise="both precisions may or may not approach each other",
    )
    figure = new_figure(PAGE, 4.6, title)
    present = _present(table, CURVES)
    axes = figure.subplots(len(present), 1, sharex=True, squeeze=False)[:, 0]
    for letter, ax, task in zip("abc", axes, present, strict=False):
        plot_function(pick(table, task=task), ax=ax)
        panel(ax, letter, CURVE_FUNCTIONS[task].formula)
        ax.set_ylabel("$y$")
    axes[-1].set_xlabel("$x$")
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=3, fontsize=6.8)
    return figure


def plot_function(table: pd.DataFrame, *, ax: Axes) -> Axes:
    """Draw a target and the outputs of both precisions."""
    x = values(table, "x")
    ax.plot(x, values(table, "target"), color=GREY, linewidth=2.2, alpha=0.45, label="target")
    for precision in ("full", "one_bit"):
        colour, line = PRECISION_COLOUR[precision], PRECISION_LINE[precision]
        name = PRECISION_NAME[precision]
        ax.plot(x, values(table, precision), color=colour, linestyle=line, linewidth=1.0, label=name)
    return ax


def draw_similarity(results: Results) -> Figure:
    """Draw D25's Fig. 3: losses and differences of the outputs epoch by epoch, and the last difference against N."""
    title = results.sentence(
        "C5-similar",
        supported="The outputs of 1-bit and full precision approach each other as networks grow",
        refuted="The outputs of 1-bit and full precision do not approach each other as networks grow",
        otherwise="Whether the outputs of 1-bit and full precision approach each other as networks grow is open",
    )
    epochs, after = results.table("C5-similar", "against epochs"), results.table("C5-similar", "after training")
    present = _present(epochs, CURVES)
    size = ends(epochs, "N")[1]
    figure = new_figure(PAGE, 5.6, title)
    axes = figure.subplots(len(present), 3, squeeze=False)
    letters = iter("abcdefghi")
    for place, (row, task) in enumerate(zip(axes, present, strict=True)):
        part = pick(epochs, task=task)
        plot_epoch_losses(pick(part, N=size), ax=row[0], named=place == 0)
        panel(row[0], next(letters), f"{task}: losses, $N=${short(size)}")
        plot_epoch_differences(pick(part, what="test difference"), ax=row[1], named=place == 0)
        panel(row[1], next(letters), "difference, test points")
        measures = {
            points: results.measure("C5-similar", f"exponent in N of the difference, {task}, {points} points")
            for points in _POINTS
        }
        plot_last_differences(pick(after, task=task), ax=row[2], measures=measures)
        panel(row[2], next(letters), "difference after training")
    for ax, words in zip(axes[-1], ("epoch", "epoch", "parameters $N$"), strict=True):
        ax.set_xlabel(words)
    return figure


def plot_epoch_losses(table: pd.DataFrame, *, ax: Axes, named: bool = True) -> Axes:
    """Draw training and test losses (hollow) of both precisions against epochs, with a legend if `named`."""
    for precision in ("full", "one_bit"):
        for points in ("train", "test"):
            part = pick(table, precision=precision, what=f"{points} loss")
            look = precision_look(precision, hollow=points == "test")
            name = "full" if precision == "full" else PRECISION_NAME[precision]
            plot_series(part, ax=ax, x="epoch", look=look, label=f"{name}, {points}")
    if named:
        ax.set_yscale("log")
        stretch(ax, above=0.4)
        legend(ax, "upper right", ncols=2, size=6.0, columnspacing=0.8)
    plain_log(ax)
    ax.set_ylabel("mean square")
    return ax


def plot_epoch_differences(table: pd.DataFrame, *, ax: Axes, named: bool = True) -> Axes:
    """Draw the rms difference of the outputs against epochs, a series for each size, with a legend if `named`."""
    sizes = sorted({int(size) for size in table["N"]})
    for place, size in enumerate(sizes):
        look = shade_look(place, len(sizes))
        plain = pick(table, N=size)[["epoch", "value"]]
        plot_series(pd.DataFrame(plain), ax=ax, x="epoch", look=look, label=f"$N=${short(size)}")
    if named:
        ax.set_yscale("log")
        stretch(ax, above=0.4)
        legend(ax, "upper right", ncols=2, size=6.0, columnspacing=0.8)
    plain_log(ax)
    ax.set_ylabel("rms difference")
    return ax


def plot_last_differences(table: pd.DataFrame, *, ax: Axes, measures: Mapping[str, dict[str, Any]]) -> Axes:
    """Draw the difference after training against N, with its exponents on training and on test points (hollow)."""
    for points, look in _POINTS.items():
        label = with_power(f"{points}:", measures[points], "N")
        plot_series(pick(table, points=points), ax=ax, x="N", look=look, label=label)
    log_axes(ax, values(table, "N"), most=4)
    sizes = [tick for tick in ax.get_xticks() if tick > 0]
    ax.set_xticks(sizes, [short(tick) for tick in sizes])
    stretch(ax, above=0.35)
    legend(ax, "upper right", size=6.0)
    return ax


def plain_log(ax: Axes) -> None:
    """Make the y-axis logarithmic, with plain numbers at 1, 2 and 5."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def short(count: float) -> str:
    """Write a number of parameters as D25 does: 2.4K, 20M."""
    unit, letter = (1e6, "M") if count >= 1e6 else (1e3, "K")
    return f"{count / unit:.2g}{letter}" if count < 100 * unit else f"{count / unit:.0f}{letter}"


def _present(table: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Return the names that occur in the column ``task``, in their order."""
    there = {str(name) for name in table["task"]}
    return [name for name in names if name in there]
