"""Axes-level plots of sweeps of language models, from plain tables; and the figure that `ntk1bit train-lm` draws."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from ntk1bit.estimators import language as summary
from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.networks.transformer_shape import TRAINED_ARMS
from ntk1bit.plots.axes import error_bars, label_logs, mark_cut_bars
from ntk1bit.plots.figures import write_figure
from ntk1bit.plots.layout import Panels, StyleName, panel, read_sheet
from ntk1bit.plots.legends import settle
from ntk1bit.plots.looks import AMBER, BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, Look, literal, points
from ntk1bit.plots.palettes import Colours, Palette, read_palette
from ntk1bit.plots.tables import pick, values

ARM_LOOK = {
    "full": Look(BLUE, "s", "--"),
    "bitnet": Look(ORANGE, "o"),
    "b158": Look(GREEN, "D", "-."),
    "int8-absmax": Look(GREY, "x", ":"),
    "sign-ptq": Look(PURPLE, "v", ":"),
    "fp16-preln": Look(BLUE, "D", "-."),
    "elastic": Look(GREEN, "^", ":"),
    "8-bit PTQ": Look(BLACK, "X", ":"),  # the best of several methods that quantise after training
    "4-bit PTQ": Look(SKY, "P", "--"),
    "2-bit PTQ": Look(AMBER, "<", "-."),
    "1-bit PTQ": Look(PURPLE, "v", ":"),
}
PANELS = {
    "losses": "validation loss, with fitted laws",
    "gap": "loss above full precision",
    "energy": "loss against energy",
    "excess": "loss at large learning rates",
}
_OTHER_COLOURS, _OTHER_MARKERS = (AMBER, SKY, BLACK, "#8c6bb1", "#7f6000"), ("^", "<", ">", "P", "*", "X")
_MOST_TICKS = 7
_LEGEND_INCHES = 1.0  # of a name in the legend
_FAR = 1.35  # an arm whose loss is above this multiple of the worst trained one is left to the table


def plot_losses(
    losses: pd.DataFrame, laws: pd.DataFrame, *, ax: Axes, trigram: float | None = None, palette: Colours = None
) -> Axes:
    """Draw the validation loss of every arm against N, with fitted laws and their bands.

    Parameters
    ----------
    losses
        As `summary.losses`: columns arm, parameters, loss, low, high.
    laws
        Columns arm, parameters, loss, low, high of fitted curves; may be empty.
    ax
        Where to draw.
    trigram
        Loss of the trigram model, drawn as a level.
    palette
        As `palettes.read_palette`.
    """
    colours = _colours(palette, losses)
    fitted = list(dict.fromkeys(laws["arm"]))
    for arm in shown_arms(losses):
        part = losses.loc[losses["arm"] == arm].sort_values("parameters")
        _points(ax, part, "parameters", "loss", arm, colours, line="none" if arm in fitted else arm_look(arm).line)
    for arm in fitted:
        curve, look = pick(laws, arm=arm), arm_look(arm, palette=colours)
        at, loss, low, high = (values(curve, name) for name in ("parameters", "loss", "low", "high"))
        ax.fill_between(at, low, high, color=look.colour, alpha=0.2, linewidth=0)
        ax.plot(at, loss, color=look.colour, linestyle=look.line, linewidth=points(1.0))
    _name_left_out(ax, losses)
    if trigram is not None:
        ax.axhline(trigram, color=GREY, linewidth=points(0.8), linestyle=":")
        beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
        word = ax.annotate("trigram", (1.0, trigram), fontsize=points(6.5), **beside)
        word.set(annotation_clip=True, in_layout=False)  # it may lie beyond the axes
    ax.set(xscale="log", yscale="log", xlabel="non-embedding parameters $N$", ylabel="loss (nats a character)")
    _around(ax, losses.loc[losses["arm"].isin(shown_arms(losses)), "loss"])
    readable(ax)
    mark_cut_bars(ax)
    return ax


def plot_gap(gap: pd.DataFrame, *, ax: Axes, arm: str = "bitnet", label: str = "", palette: Colours = None) -> Axes:
    """Draw a gap against N.

    Parameters
    ----------
    gap
        Columns N, value, low, high.
    ax
        Where to draw.
    arm
        Whose look it has.
    label
        Its name in the legend, if any.
    palette
        As `palettes.read_palette`.

    Notes
    -----
    Gaps of several arms are drawn one after the other on the same axes.
    """
    before = [line for line in ax.lines if line.get_gid() == "gap"]
    _points(ax, gap.sort_values("N"), "N", "value", arm, _colours(palette, gap), line="-", label=label, gid="gap")
    every = np.concatenate([values(gap, "value"), *(np.asarray(line.get_ydata(), np.float64) for line in before)])
    scale = "log" if every.min() > 0 else "linear"  # small networks may have no gap, or a negative one
    ax.set(xscale="log", yscale=scale, xlabel="non-embedding parameters $N$", ylabel="gap (nats a character)")
    ax.autoscale(axis="y")  # limits were those of the gaps before
    _around(ax, every)
    readable(ax)
    mark_cut_bars(ax)
    return ax


def plot_energy(
    losses: pd.DataFrame, *, ax: Axes, column: str = "joules", faint: bool = False, palette: Colours = None
) -> Axes:
    """Draw the loss of every arm against the energy of a forward pass.

    Parameters
    ----------
    losses
        As `summary.loss_against_energy`.
    column
        ``"joules"`` (W23's counting) or ``"joules_exact"``; floats count as FP16 in both.
    faint
        Draw thin dotted lines with small marks, for a second counting beside the first.
    palette
        As `palettes.read_palette`.
    """
    colours = _colours(palette, losses)
    table = losses.assign(microjoules=losses[column] * 1e6)
    for arm in shown_arms(losses):
        part = table.loc[table["arm"] == arm].sort_values("microjoules")
        if faint:
            look = arm_look(arm, palette=colours)
            at, loss = values(part, "microjoules"), values(part, "loss")
            ax.plot(at, loss, ":", color=look.colour, marker=look.marker, ms=points(2.5), mfc="white", lw=points(0.8))
        else:
            _points(ax, part, "microjoules", "loss", arm, colours, line=arm_look(arm).line)
    if not faint:
        _name_left_out(ax, losses)
    ax.set(xscale="log", yscale="log", ylabel="loss (nats a character)")
    ax.set_xlabel("energy of a pass (µJ, floats as FP16)")
    _around(ax, losses.loc[losses["arm"].isin(shown_arms(losses)), "loss"])
    readable(ax)
    mark_cut_bars(ax)
    return ax


def plot_excess(excess: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw how far the loss is above that at the best rate of `full`, at multiples of it.

    Parameters
    ----------
    excess
        Columns arm, times, excess, low, high.
    palette
        As `palettes.read_palette`.
    """
    colours = _colours(palette, excess)
    for arm in shown_arms(excess):
        part = excess.loc[excess["arm"] == arm].sort_values("times")
        _points(ax, part, "times", "excess", arm, colours, line=arm_look(arm).line)
    ax.axhline(0, color=GREY, linewidth=points(0.6))
    ax.set(xscale="log", xlabel="rate over the best of full", ylabel="loss above that at 1 (nats)")
    times = sorted(set(excess["times"]))
    ax.xaxis.set_major_locator(FixedLocator([float(time) for time in times]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return ax


def _around(ax: Axes, values: object) -> None:
    """Cut a loss axis where two seeds give intervals that would hide the values: at a third beyond their range."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if ax.get_yscale() == "log":
        finite = finite[finite > 0]  # a text that is predicted for certain has a loss of 0
    if not len(finite):
        return
    low, high = ax.get_ylim()
    least, most = float(finite.min()), float(finite.max())
    if ax.get_yscale() == "log":
        room = max(most / least, 1.05) ** (1 / 3)
        ax.set_ylim(max(low, least / room), min(high, most * room))
    else:
        room = max(most - least, 1e-3) / 3
        ax.set_ylim(max(low, least - room), min(high, most + room))


def shown_arms(table: pd.DataFrame) -> list[str]:
    """Return the arms of a table, the known ones first, without those so far off that they would flatten the rest.

    Without a finite loss an arm is left out, too; `plot_losses` and `plot_energy` name those that are.
    """
    present = list(dict.fromkeys(table["arm"]))
    arms = [arm for arm in ARM_LOOK if arm in present] + [arm for arm in present if arm not in ARM_LOOK]
    if "loss" not in table or "parameters" not in table:
        return arms
    known = table.loc[table["arm"].isin(TRAINED_ARMS), "loss"].to_numpy(np.float64)
    limit = _FAR * float(np.max(known[np.isfinite(known)], initial=0.0)) or np.inf  # of networks that were trained
    least = {arm: np.min(table.loc[table["arm"] == arm, "loss"].to_numpy(np.float64)) for arm in arms}
    return [arm for arm in arms if np.isfinite(least[arm]) and least[arm] <= limit]


def readable(ax: Axes) -> Axes:
    """Tick a logarithmic loss axis of less than a decade with plain numbers, and the other with powers of ten."""
    ax.xaxis.set_minor_formatter(NullFormatter())
    low, high = ax.get_ylim()
    if ax.get_yscale() == "log" and high < 12 * low:
        decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        ticks: list[float] = []
        for steps in (np.arange(10, 100) / 10, np.array([1, 1.5, 2, 3, 4, 5, 7]), np.array([1, 2, 5])):
            ticks = [float(tick) for tick in np.outer(decades, steps).ravel() if low <= tick <= high]
            if len(ticks) <= _MOST_TICKS:
                break
        ax.yaxis.set_major_locator(FixedLocator(ticks))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    return label_logs(ax)


def draw_run(
    run: LanguageRun,
    path: Path | str,
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> Path:
    """Draw losses with laws, gap, energy and stability of a run to a picture; panels without data are left out.

    Parameters
    ----------
    run
        A run of `train-lm`.
    path
        Where to write it; the ending decides the format.
    panels, palette, style, columns
        As `layout.read_sheet`; panels are those of `PANELS` that the run has data for.
    """
    sheet = read_sheet(panels=panels, palette=palette, style=style, columns=columns, also=run.spec.arms)
    rival = run.spec.quantised
    others = [arm for arm in run.spec.trained_arms if arm != rival] if rival else []
    excess = summary.mean_excess(run)
    there = ["losses", *(["gap"] if others else []), "energy", *(["excess"] if len(excess) else [])]
    chosen, colours = sheet.chosen(there), sheet.palette
    losses = summary.loss_against_energy(run)
    with sheet.drawing():
        figure, axes = sheet.figure([there], (2.6 * len(there), 2.6))
        if "losses" in chosen:
            laws = pd.concat([summary.law_curve(run, arm) for arm in run.spec.trained_arms], ignore_index=True)
            trigram = float(run.trigram["loss"])
            plot_losses(losses, laws, ax=axes["losses"], trigram=trigram, palette=colours)
        for arm in others if "gap" in chosen else ():
            plot_gap(summary.mean_gap(run, of=arm, against=rival), ax=axes["gap"], arm=arm, label=arm, palette=colours)
        if "energy" in chosen:
            plot_energy(losses, ax=axes["energy"], palette=colours)
        if "excess" in chosen:
            plot_excess(excess, ax=axes["excess"], palette=colours)
        named: dict[str, Any] = {}
        for name in chosen:
            panel(axes[name], PANELS[name])
            handles, words = axes[name].get_legend_handles_labels()
            named |= {word: handle for word, handle in zip(words, handles, strict=True) if word not in named}
        settle(figure)
        # below all panels, since intervals of few seeds fill them from top to bottom
        beside = max(1, min(len(named), round(figure.get_figwidth() / points(_LEGEND_INCHES))))
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=beside, fontsize=points(6.8))
    return write_figure(figure, path)


def arm_look(arm: str, *, palette: Colours = None) -> Look:
    """Return the look of an arm; one that is not known has the same look everywhere, by its name."""
    colours = read_palette(palette, also=[arm])
    if arm in ARM_LOOK:
        return colours.look(arm, ARM_LOOK[arm])
    mark = zlib.crc32(str(arm).encode("utf-8", "backslashreplace"))
    kinds = len(_OTHER_COLOURS)
    usual = Look(_OTHER_COLOURS[mark % kinds], _OTHER_MARKERS[mark // kinds % len(_OTHER_MARKERS)], "-.")
    return colours.look(arm, usual)


def _colours(palette: Colours, table: pd.DataFrame) -> Palette:
    return read_palette(palette, also=list(table["arm"]) if "arm" in table.columns else ())


def _name_left_out(ax: Axes, table: pd.DataFrame) -> None:
    """Name in a panel the arms that `shown_arms` leaves to the table."""
    shown = shown_arms(table)
    far = [literal(arm) for arm in dict.fromkeys(table["arm"]) if arm not in shown]
    if far:
        words = f"not shown, far above or not finite: {', '.join(far)}"
        note = ax.annotate(words, (0.02, 0.02), xycoords="axes fraction", fontsize=points(5.5), color=GREY)
        note.set_in_layout(False)


def _points(
    ax: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    arm: str,
    palette: Palette,
    *,
    line: str,
    label: str | None = None,
    gid: str | None = None,
) -> None:
    """Draw means with intervals in the look of an arm, under its name unless there is another label."""
    look, value = arm_look(arm, palette=palette), values(table, y)
    shape: dict[str, Any] = {"color": look.colour, "marker": look.marker, "linestyle": line, "linewidth": points(1.0)}
    bars = error_bars(value, values(table, "low"), values(table, "high"))
    name = literal(arm if label is None else label) if label != "" else None
    ax.errorbar(
        values(table, x), value, yerr=bars, capsize=points(2), elinewidth=points(1), label=name, gid=gid, **shape
    )
