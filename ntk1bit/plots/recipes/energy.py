"""Figure of energy and memory by counting, with the figures that W23 prints."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import Results
from ntk1bit.plots.axes import draw_series, note, stretch
from ntk1bit.plots.figures import PAGE
from ntk1bit.plots.layout import PLAIN, Sheet, panel
from ntk1bit.plots.legends import legend
from ntk1bit.plots.looks import BLUE, GREEN, GREY, ORANGE, PURPLE, Look, points
from ntk1bit.plots.palettes import Colours, read_palette
from ntk1bit.plots.recipes.recipe import TEXTS, figure_title, stored_table
from ntk1bit.plots.tables import ends, pick, values

_LOOKS = {
    "full32": Look(BLUE, "s", "--"),
    "full16": Look(GREEN, "D", "-."),
    "bitnet": Look(ORANGE, "o", "-"),
}
_NAMES = {"full32": "FP32", "full16": "FP16", "bitnet": "BitNet"}
_STORED = {
    "full32": ("FP32", _LOOKS["full32"]),
    "full16": ("FP16", _LOOKS["full16"]),
    "int8-absmax": ("INT8", Look(GREY, "none", ":")),
    "b158": ("2 bits", Look(PURPLE, "none", "--")),
    "bitnet": ("1 bit", _LOOKS["bitnet"]),
}
_COUNTINGS = {
    "w23": ("W23's counting", Look(ORANGE, "none", "-")),
    "exact": ("all operations", Look(GREY, "none", "--")),
    "exact, wide": ("all, 32-bit sums", Look(GREY, "none", ":")),
}


def draw_energy(results: Results, sheet: Sheet = PLAIN) -> Figure:
    """Draw energy against parameters, the share saved, and memory, with what W23 prints."""
    figures = stored_table(results, "C7-table", "figures")
    missed = np.count_nonzero(np.asarray(figures["agrees"]) == "no")
    energy, memory = stored_table(results, "C7", "energy"), stored_table(results, "C7", "memory")
    parameters = {row["size"]: float(row["parameters"]) for row in memory.to_dict("records")}
    title = figure_title(results, "energy", figures=len(figures), missed=missed)
    figure, axes = sheet.figure(TEXTS["energy"]["panels"], (PAGE, 2.8), title)
    left, middle, right, palette = axes["energy"], axes["saved"], axes["memory"], sheet.palette

    plot_energy(energy, figures, ax=left, parameters=parameters, palette=palette)
    panel(left, "energy at 7 nm")
    plot_reduction(energy, figures, ax=middle, parameters=parameters, palette=palette)
    panel(middle, "FP16's energy over BitNet's")
    plot_memory(memory, ax=right, palette=palette)
    panel(right, "memory of weights")
    return figure


def plot_energy(
    energy: pd.DataFrame, figures: pd.DataFrame, *, ax: Axes, parameters: dict[str, float], palette: Colours = None
) -> Axes:
    """Draw the energy of three arms by W23's counting, with the sums it prints as black marks."""
    for arm, look in _LOOKS.items():
        line = Look(read_palette(palette).colour(arm, look.colour), "none", look.line)
        draw_series(pick(energy, arm=arm), ax=ax, look=line, x="parameters", y="w23, 7nm (J)", label=_NAMES[arm])
        printed = pick(figures, arm=arm, node="7nm")
        for size in dict.fromkeys(printed["size"]):
            part = pick(printed, size=size)
            good = bool(np.all(np.asarray(part["agrees"]) == "yes"))
            _mark(ax, parameters[size], float(values(part, "printed").sum()), look.marker, good)
    ax.set(xscale="log", yscale="log", xlabel="parameters $N$", ylabel="joules for 512 tokens")
    stretch(ax, above=0.08)
    legend(ax, "upper left")
    return ax


def plot_reduction(
    energy: pd.DataFrame, figures: pd.DataFrame, *, ax: Axes, parameters: dict[str, float], palette: Colours = None
) -> Axes:
    """Draw how many times less energy BitNet takes than FP16, by three countings, with the reductions W23 prints."""
    full, bitnet = (pick(energy, arm=arm).sort_values("parameters") for arm in ("full16", "bitnet"))
    for counting, (words, look) in _COUNTINGS.items():
        column = f"{counting}, 7nm (J)"
        ratio = full.assign(value=values(full, column) / values(bitnet, column))
        draw_series(ratio, ax=ax, look=read_palette(palette).look("", look), x="parameters", label=words)
    for row in pick(figures, group="reduction").to_dict("records"):
        _mark(ax, parameters[row["size"]], float(row["printed"]), "o", row["agrees"] == "yes")
    _mark(ax, np.nan, np.nan, "o", good=True, label="printed")
    _mark(ax, np.nan, np.nan, "o", good=False, label="printed, does not follow")
    ax.set(xscale="log", xlabel="parameters $N$", ylabel="times less energy", ylim=(0, None))
    stretch(ax, above=0.25)
    legend(ax, "upper left")
    return ax


def plot_memory(memory: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw the bytes of the linear maps in five formats, and of a whole 1-bit model."""
    last = memory.loc[values(memory, "parameters").argmax()]
    for arm, (words, look) in _STORED.items():
        column = f"{arm}, linear (GB)"
        colour = read_palette(palette).colour(arm, look.colour)
        draw_series(memory, ax=ax, look=Look(colour, "none", look.line), x="parameters", y=column)
        share = last["full32, linear (GB)"] / last[column]
        label = words if arm == "full32" else f"{words}: 1/{share:.0f}"
        note(ax, float(last["parameters"]), float(last[column]), label, colour=colour)
    whole = Look(read_palette(palette).colour("bitnet", ORANGE), "o", "none", hollow=True)
    draw_series(memory, ax=ax, look=whole, x="parameters", y="bitnet, whole (GB)", label="1 bit, with\nembedding")
    ax.set(xscale="log", yscale="log", xlabel="parameters $N$", ylabel="gigabytes")
    low, high = ends(memory, "parameters")
    ax.set_xlim(low / 1.6, high * 30)  # room for the words at the right ends
    legend(ax, "lower right")
    return ax


def _mark(ax: Axes, x: float, y: float, marker: str, good: bool, label: str = "") -> None:
    """Draw a printed figure: filled if it follows, open if not."""
    ax.plot(
        [x],
        [y],
        marker=marker,
        color="black",
        markerfacecolor="black" if good else "white",
        markersize=points(3.4),
        markeredgewidth=points(0.9),
        linestyle="none",
        label=label or "_nolegend_",
    )
