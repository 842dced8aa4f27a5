"""Figures of the final loss: the floor of 1-bit networks, and scaling in parameters, compute and data."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import draw_series, draw_slope, log_axes, note, power_text, stretch
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import BROWN, PRECISION_NAME, Look, points
from ntk1bit.plots.palettes import Colours, precision_look, read_palette
from ntk1bit.plots.recipes.recipe import TEXTS, figure_title, stored_measure, stored_table, with_exponent
from ntk1bit.plots.tables import ends, pick, value_at, values

_DIM = 64  # of both tasks of the floor studies: spheres in R^64, and digits of 8 x 8 pixels
_LAWS = {
    "n": (2.0, "points $n$", "n"),
    "d": (-1.0, "input dimension $d$", "d"),
    "kappa": (2.0, r"output scale $\kappa$", r"\kappa"),
    "eta": (0.0, r"learning rate $\eta_{\mathrm{rel}}$", r"\eta"),
}
_TASKS = {"sphere": precision_look("one_bit"), "digits": Look(BROWN, "^", "-.", hollow=True)}


def draw_floor(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the floor of the loss against width, beside full precision, and against n, d, kappa and eta."""
    floor, full = stored_table(results, "C2", "floor against width"), stored_table(results, "C2", "full precision")
    rest = stored_table(results, "C2-law", "floor against the rest")
    ratios, palette = (1.75, 1, 1), sheet.palette
    figure, axes = sheet.figure(
        TEXTS["floor"]["panels"], (PAGE, 3.8), figure_title(results, "floor"), width_ratios=ratios
    )
    left = axes["m"]
    for task, look in _tasks(palette).items():
        label = with_exponent(f"1-bit, {task}:", results, "C2", f"floor.m.{task}")
        draw_series(pick(floor, task=task), ax=left, look=look, label=label)
    draw_series(full, ax=left, look=precision_look("full", palette=palette), label="full precision, sphere")
    widths = ends(full, "width")
    top = 3.0 * values(pick(floor, width=ends(floor, "width")[0]), "value").max()
    draw_slope(left, x=widths, anchor=(ends(floor, "width")[0], top), exponent=-1.0, text="slope $-1$")
    log_axes(left, values(full, "width"))
    left.set(xlabel="width $m$", ylabel="training loss $L$ at the end")
    legend(left, "center left", bbox_to_anchor=(0.0, 0.45), size=6.8)
    panel(left, "against width")

    for name, (law, words, symbol) in _LAWS.items():
        exponent = stored_measure(results, "C2-law", f"floor.{name}")
        text = power_text(exponent, symbol)
        plot_floor_against(pick(rest, against=name), ax=axes[name], law=law, exponent=text, palette=palette)
        spec = axes[name].get_subplotspec()
        first = name in ("n", "kappa") or spec is None or spec.is_first_col()
        axes[name].set(xlabel=words, ylabel=r"floor $L_\infty$" if first else "")
        panel(axes[name], f"against ${symbol}$")
    return figure


def plot_floor_against(table: pd.DataFrame, *, ax: Axes, law: float, exponent: str, palette: Colours = None) -> Axes:
    """Draw the floor against one variable, with the law's slope above it and `exponent`, the one measured, in words."""
    table = table.sort_values("x")
    draw_series(table, ax=ax, x="x", look=precision_look("one_bit", palette=palette))
    x, y = values(table, "x"), values(table, "value")
    middle = len(x) // 2
    draw_slope(ax, x=ends(table, "x"), anchor=(float(x[middle]), 2.2 * float(y[middle])), exponent=law, text="")
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if high < 20 * low:  # a flat series must not be blown up until its noise fills the panel
        centre = (low * high) ** 0.5
        ax.set_ylim(centre / 6, centre * 6)
    log_axes(ax, x, most=4)
    stretch(ax, below=0.3)
    law_text = f"dashed: slope {law:g}".replace("-", "\N{MINUS SIGN}")
    words = f"{exponent}\n{law_text}" if exponent else law_text
    ax.text(0.04, 0.03, words, transform=ax.transAxes, fontsize=points(6.8), color="black", linespacing=1.3)
    return ax


def draw_scaling(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw the loss against parameters with its fit, the frontier in compute, and the test loss against points."""
    title = figure_title(results, "scaling")
    exponent = stored_measure(results, "4.3", "loss.size")
    if exponent.high is not None and exponent.high < -0.25:
        title += "; it is steeper than the $N^{-1/4}$ of D25's law"
    losses, band = stored_table(results, "C4", "loss against width"), stored_table(results, "C4", "fit band")
    tested = stored_table(results, "C4", "test loss against n")
    figure, axes = sheet.figure(TEXTS["scaling"]["panels"], (PAGE, 2.8), title)
    left, middle, right, palette = axes["parameters"], axes["compute"], axes["points"], sheet.palette

    labels = {task: with_exponent(f"{task}:", results, "C4", f"loss.size.{task}", "N") for task in _TASKS}
    plot_loss_against_parameters(losses, band, ax=left, labels=labels, palette=palette)
    panel(left, "training loss against $N$")

    plot_frontier(stored_table(results, "C4", "frontier"), ax=middle, palette=palette)
    frontier = stored_measure(results, "C4", "frontier.compute")
    middle.text(
        0.97, 0.97, power_text(frontier, "C"), transform=middle.transAxes, fontsize=points(6.8), ha="right", va="top"
    )
    panel(middle, "best loss for a budget, 1-bit")

    for precision, word in PRECISION_NAME.items():
        part = pick(tested, precision=precision)
        if part.empty:
            continue
        name = "full:" if precision == "full" else f"{word}:"
        label = with_exponent(name, results, "C4", f"test_loss.n.{precision}", "n")
        draw_series(part, ax=right, x="n", look=precision_look(precision, palette=palette), label=label)
    log_axes(right, values(tested, "n"))
    stretch(right, below=0.28)
    log_axes(right, values(tested, "n"))  # again: the longer y-axis may have room for other ticks
    right.set(xlabel="training points $n$", ylabel="test loss")
    legend(right, "lower left")
    panel(right, "test loss against points")
    return figure


def plot_loss_against_parameters(
    losses: pd.DataFrame, band: pd.DataFrame, *, ax: Axes, labels: Mapping[str, str], palette: Colours = None
) -> Axes:
    """Draw the final loss of both tasks against N = m d, the fitted law with its band, and D25's slope."""
    losses = losses.assign(N=values(losses, "width") * _DIM)
    grid = values(band, "N")
    colour = precision_look("one_bit", palette=palette).colour
    ax.fill_between(grid, values(band, "low"), values(band, "high"), color=colour, alpha=0.3, linewidth=0)
    ax.plot(grid, values(band, "estimate"), color=colour, linewidth=points(0.9))
    for task, look in _tasks(palette).items():
        marks = Look(look.colour, look.marker, "none", look.hollow)
        draw_series(pick(losses, task=task), ax=ax, x="N", look=marks, label=labels[task])
    sphere = pick(losses, task="sphere")
    widths = ends(sphere, "N")
    start = (widths[0], value_at(sphere, "N", 0))
    draw_slope(ax, x=widths, anchor=start, exponent=-0.25, text="D25: slope $-1/4$", share=0.3)
    ax.set(xscale="log", yscale="log", xlabel="parameters $N = m\\,d$", ylabel="training loss $L$ at the end")
    stretch(ax, below=0.25)
    legend(ax, "lower left")
    return ax


def plot_frontier(frontier: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw the least loss of any width against compute, with the width that reaches it at some budgets."""
    frontier = frontier.sort_values("compute")
    draw_series(frontier, ax=ax, x="compute", y="loss", look=precision_look("one_bit", palette=palette))
    compute, loss, width = (values(frontier, name) for name in ("compute", "loss", "width"))
    last = len(compute) - 1
    for place in sorted({0, last // 2, last}):
        words = f"$m\\approx${width[place]:.0f}"
        note(ax, compute[place], loss[place], words, xytext=(-4, -5), ha="right", va="center", colour="black")
    start = (float(compute[0]), 2.5 * float(loss[0]))
    draw_slope(ax, x=(float(compute[0]), float(compute[-1])), anchor=start, exponent=-1.0, text="slope $-1$", share=0.4)
    ax.set(xscale="log", yscale="log", xlabel="compute $C = N\\,n\\,t$", ylabel="least training loss")
    low, high = ax.get_xlim()
    ax.set_xlim(low * (low / high) ** 0.36, high)  # room for the words at the first point
    stretch(ax, above=0.1, below=0.06)
    return ax


def _tasks(palette: Colours) -> dict[str, Look]:
    colours = read_palette(palette)
    return {task: colours.look(task, look) for task, look in _TASKS.items()}
