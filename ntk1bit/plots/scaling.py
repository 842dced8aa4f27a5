"""Axes-level plots of fits: each draws on the axes it is given and returns them. No LaTeX, no global settings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, SymmetricalLogLocator

from ntk1bit.errors import InputError
from ntk1bit.plots.axes import label_logs
from ntk1bit.plots.figures import PAGE, PANEL_TITLE, write_figure
from ntk1bit.plots.layout import Panels, StyleName, read_sheet
from ntk1bit.plots.legends import legend, settle
from ntk1bit.plots.looks import drawing, literal
from ntk1bit.plots.palettes import Colours, Palette, read_palette
from ntk1bit.scaling.allocation import Frontier
from ntk1bit.scaling.result import Fit
from ntk1bit.statistics import LEVEL

PANELS = ("fit", "residuals", "exponents", "frontier")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_INK, _PALE = "#333333", "#DDDDDD"
_SLICES = 4
_MOST_LINES = 8  # of a legend inside a panel
_LINE = 0.22  # inches of a line of a legend below the panels
_GRID = 200
_LEGEND = 7.0  # points, where text has 8
_ONE_VALUE = 1e-9  # of an exponent: replicates that spread less differ by rounding, and have no histogram


def plot_fit(fits: Mapping[Hashable, Fit], *, ax: Axes, level: float = LEVEL, palette: Colours = None) -> Axes:
    """Draw losses, fitted curves and their bands on log axes.

    A law of one variable is drawn against it, a colour a group. A law of several is drawn against its first one, in
    slices: each curve holds the others at a value seen in the data, and points have the colour of theirs, so that each
    group needs axes of its own.

    Raises
    ------
    InputError
        If several groups of a law of several variables are to share the axes.
    """
    colours = read_palette(palette, also=fits)
    first = next(iter(fits.values()))
    if len(fits) > 1 and len(first.law.variables) > 1:
        raise InputError("a law of several variables is drawn in slices, one group on its own axes; give one fit")
    if len(first.law.variables) == 1:
        for i, (name, fit) in enumerate(fits.items()):
            _plot_curve(name, fit, ax, *_style(i, name, colours), level)
        if len(fits) > 1:
            legend(ax, "upper right", size=_LEGEND)
    else:
        _plot_slices(first, ax, level)
    ax.set(xscale="log", yscale="log", xlabel=literal(next(iter(first.observations.x.values()))))
    ax.set_ylabel(literal(first.observations.loss_name))
    ax.set_title(_headline(fits, level), fontsize="medium", loc="left", gid=PANEL_TITLE)
    _readable_decade(ax)
    return _plain(label_logs(ax))


def plot_residuals(fits: Mapping[Hashable, Fit], *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw residuals against the predicted loss, in percent, with a band of two robust standard deviations."""
    colours, spreads, extremes = read_palette(palette, also=fits), [], []
    loss_name = next(iter(fits.values())).observations.loss_name
    for i, (name, fit) in enumerate(fits.items()):
        predicted = fit.observations.loss / np.exp(fit.log_residuals)
        percent = 100 * np.expm1(fit.log_residuals)
        spreads.append(100 * float(fit.residual_diagnostics["robust_std"]))
        extremes += [float(percent.min()), float(percent.max())]
        colour, marker = _style(i, name, colours)
        ax.axhspan(-2 * spreads[-1], 2 * spreads[-1], color=colour, alpha=0.08, lw=0)
        ax.plot(predicted, percent, color=colour, marker=marker, ls="", ms=3, alpha=0.6, label=literal(name))
    ax.axhline(0, color=_INK, lw=0.8)
    linear = 4 * max(spreads)
    if max(np.abs(extremes)) > 3 * linear > 0:  # one outlier must not flatten everything else
        ax.set_yscale("symlog", linthresh=linear, linscale=2)
        ax.set_ylim(min(-1.2 * linear, 1.6 * min(extremes)), max(1.2 * linear, 1.6 * max(extremes)))
        ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=linear, subs=(1.0, 3.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set(xscale="log", xlabel=f"predicted {literal(loss_name)}", ylabel="residual (%)")
    ax.set_title("residuals; band: 2 robust std.", fontsize="medium", loc="left", gid=PANEL_TITLE)
    _readable_decade(ax, x_only=True)
    if len(fits) > 1:
        legend(ax, "upper right", size=_LEGEND)
    return _plain(label_logs(ax))


def plot_exponents(fits: Mapping[Hashable, Fit], *, ax: Axes, level: float = LEVEL, palette: Colours = None) -> Axes:
    """Draw the bootstrap replicates of the first two exponents, or the distribution of the only one."""
    first = next(iter(fits.values()))
    names = [each.name for each in first.law.exponents][:2]
    if not names:
        raise InputError(f"law {first.law.name!r} has no exponent to draw")
    colours = read_palette(palette, also=fits)
    for i, (name, fit) in enumerate(fits.items()):
        columns = [fit.replicates[:, fit.law.parameter_names.index(each)] for each in names]
        (colour, marker), ends = _style(i, name, colours), fit.interval(level).loc[names].to_numpy(dtype=np.float64)
        if len(names) == 2:
            ax.plot(columns[0], columns[1], ".", color=colour, ms=2, alpha=0.25)
            (x, *x_ends), (y, *y_ends) = ends
            ax.plot(x_ends, [y, y], color=_INK, lw=1.2)
            ax.plot([x, x], y_ends, color=_INK, lw=1.2)
            ax.plot(x, y, marker, color=colour, mec=_INK, label=literal(name))
        else:
            estimate, low, high = ends[0]
            spread = bool(np.ptp(columns[0]) > _ONE_VALUE * abs(estimate))  # points on a curve have but one exponent
            if spread:
                ax.hist(columns[0], bins=40, density=True, color=colour, alpha=0.4, label=literal(name))
            ax.axvline(estimate, color=colour, lw=1.5, label=None if spread else literal(name))
            ax.axvline(low, color=colour, lw=1, ls=":")
            ax.axvline(high, color=colour, lw=1, ls=":")
    if len(names) == 2:
        _trim(ax, [fit.replicates[:, [fit.law.parameter_names.index(each) for each in names]] for fit in fits.values()])
    ax.set(xlabel=literal(names[0]), ylabel=literal(names[1]) if len(names) == 2 else "density of replicates")
    ax.set_title(
        f"bootstrap of the exponents; {100 * level:g} % intervals", fontsize="medium", loc="left", gid=PANEL_TITLE
    )
    if len(fits) > 1:
        legend(ax, "upper right", size=_LEGEND)
    return _plain(ax)


def plot_frontier(frontiers: Sequence[Frontier], *, ax: Axes, level: float = LEVEL, palette: Colours = None) -> Axes:
    """Draw N_opt against C by every route, with its exponent and its interval in the legend.

    The colour of a frontier is that of its group, if there are several, and its marker is that of its route.
    """
    if not frontiers:
        raise InputError("there is no frontier to draw; give at least one route")
    groups = list(dict.fromkeys(each.group for each in frontiers))
    routes = list(dict.fromkeys(each.route for each in frontiers))
    colours = read_palette(palette, also=groups)
    for each in frontiers:
        table, exponent = each.table(level), each.exponents(level).iloc[0]
        marker = _style(routes.index(each.route), "", colours)[1]
        place, name = (
            (groups.index(each.group), each.group) if each.group is not None else (routes.index(each.route), "")
        )
        colour = _style(place, name, colours)[0]
        label = literal(", ".join(each.labels.values()))
        label += f": C^{exponent['exponent']:.3f} [{exponent['low']:.3f}, {exponent['high']:.3f}]"
        best, low, high = (table[f"N_opt{end}"].to_numpy() for end in ("", "_low", "_high"))
        if each.route == "parametric":
            ax.fill_between(table["C"], low, high, color=colour, alpha=0.15, lw=0)
            ax.plot(table["C"], best, color=colour, label=label)
        else:
            bars = np.nan_to_num(np.maximum([best - low, high - best], 0.0))
            ax.errorbar(table["C"], best, bars, fmt=marker, color=colour, ms=4, lw=0.8, label=label)
    ax.set(xscale="log", yscale="log", xlabel="compute C (operations)", ylabel="optimal N")
    ax.set_title("compute-optimal size", fontsize="medium", loc="left", gid=PANEL_TITLE)
    legend(ax, "upper left", size=6.8)
    return _plain(label_logs(ax))


def summary_figure(
    fits: Mapping[Hashable, Fit],
    frontiers: Sequence[Frontier] = (),
    *,
    level: float = LEVEL,
    left_out: Sequence[str] = (),
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> Figure:
    """Return a figure of all that applies: data with fit (slices: a panel a group), residuals, exponents, frontier.

    Below stands what was left out, by number and reason.

    Parameters
    ----------
    fits, frontiers, level, left_out
        Of a `scaling.report.Report`.
    panels, palette, style, columns
        As `layout.read_sheet`: panels are `PANELS`, of which those apply that there is something to draw for, and
        series of the palette are groups. Without a column width and outside slides, panels are as large as on a screen,
        in the user's own style.
    """
    sheet = read_sheet(panels=panels, palette=palette, style=style, columns=columns, also=fits)
    first = next(iter(fits.values()))
    scatter = all(len(fit.replicates) > 1 for fit in fits.values()) and bool(first.law.exponents)
    shared = len(first.law.variables) == 1
    views = {"fit": fits} if shared else {f"fit {i}": {name: fit} for i, (name, fit) in enumerate(fits.items())}
    applies = [name for name in PANELS if {"exponents": scatter, "frontier": bool(frontiers)}.get(name, True)]
    chosen = sheet.chosen(applies)
    names = [one for name in chosen for one in (views if name == "fit" else [name])]
    beside = 2 if len(names) % 2 == 0 else min(3, len(names))
    padded: list[Any] = [*names, *"." * (-len(names) % beside)]
    rows = [padded[at : at + beside] for at in range(0, len(padded), beside)]
    with sheet.drawing() if sheet.changed else nullcontext():
        if sheet.changed:
            figure, axes = replace(sheet, panels=()).figure(rows, (PAGE, 2.6 * len(rows)))
        else:
            figure = Figure(figsize=(5.2 * beside, 3.9 * len(rows)), layout="constrained")
            axes = figure.subplot_mosaic(rows)
        groups: list[Axes] = []
        for name, view in views.items():
            if name in names:
                ax = plot_fit(view, ax=axes[name], level=level, palette=sheet.palette)
                groups.append(ax)
                if len(views) > 1:
                    title = f"{literal(next(iter(view)))}: {ax.get_title(loc='left')}"
                    ax.set_title(title, fontsize="medium", loc="left", gid=PANEL_TITLE)
        if "residuals" in names:
            plot_residuals(fits, ax=axes["residuals"], palette=sheet.palette)
        if "exponents" in names:
            groups.append(plot_exponents(fits, ax=axes["exponents"], level=level, palette=sheet.palette))
        if "frontier" in names:
            plot_frontier(frontiers, ax=axes["frontier"], level=level, palette=sheet.palette)
        _finish(figure, groups, left_out, beside)
        settle(figure)
    return figure


def _finish(figure: Figure, groups: Sequence[Axes], left_out: Sequence[str], beside: int) -> None:
    """Put a legend that is too long for its panel below all of them, and below that what was left out."""
    handles, labels = groups[0].get_legend_handles_labels() if groups else ([], [])
    lines = sum(label.count("\n") + 1 for label in labels)
    if lines > _MOST_LINES:
        for ax in groups:
            if (inside := ax.get_legend()) is not None:
                inside.remove()
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + _LINE * -(-lines // beside))
        figure.legend(handles, labels, loc="outside lower left", ncols=beside, frameon=False, fontsize="small")
    if left_out:
        short = "; ".join(line.partition(": ")[0] for line in left_out)
        figure.supxlabel(f"left out: {short}", x=0.01, ha="left", fontsize="small", parse_math=False, wrap=True)


def write_summary(
    fits: Mapping[Hashable, Fit],
    frontiers: Sequence[Frontier],
    path: Path | str,
    *,
    level: float = LEVEL,
    left_out: Sequence[str] = (),
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> None:
    """Write `summary_figure` to a file; its ending decides the format."""
    asked: dict[str, Any] = {"panels": panels, "palette": palette, "style": style, "columns": columns}
    with drawing():
        figure = summary_figure(fits, frontiers, level=level, left_out=left_out, **asked)
    if style == "paper" and columns is None:
        write_figure(figure, path, {"savefig.dpi": 150})
    else:
        write_figure(figure, path)


def _style(i: int, name: object, palette: Palette) -> tuple[str, str]:
    """Return the colour and the marker of a group or route."""
    return palette.nth(i, str(name)), _MARKERS[i % len(_MARKERS)]


def _plot_curve(name: Hashable, fit: Fit, ax: Axes, colour: str, marker: str, level: float) -> None:
    column = next(iter(fit.observations.x.values()))
    x = fit.observations.columns[0]
    grid = pd.DataFrame({column: np.geomspace(x.min(), x.max(), _GRID)})
    if len(fit.replicates) > 1:
        band = fit.band(grid, level)
        ax.fill_between(grid[column], band["low"], band["high"], color=colour, alpha=0.2, lw=0)
    ax.plot(x, fit.observations.loss, marker, color=colour, ms=4, alpha=0.6, mec="none", ls="")
    ax.plot(grid[column], fit.predict(grid), color=colour, lw=1.5, label=literal(name), marker="")


def _plot_slices(fit: Fit, ax: Axes, level: float) -> None:
    columns, names = fit.observations.columns, list(fit.observations.x.values())
    other = columns[1]
    norm = LogNorm(other.min(), other.max()) if np.ptp(other) > 0 else LogNorm(other[0] / 2, other[0] * 2)
    points = ax.scatter(columns[0], fit.observations.loss, c=other, norm=norm, cmap="viridis", s=12, lw=0, alpha=0.8)
    grid = np.geomspace(columns[0].min(), columns[0].max(), _GRID)
    held = np.unique(np.quantile(other, np.linspace(0.05, 0.95, _SLICES), method="nearest"))
    for value in held:
        table = pd.DataFrame({names[0]: grid, names[1]: value})
        for name, column in zip(names[2:], columns[2:], strict=True):
            table[name] = np.exp(np.median(np.log(column)))
        colour = points.get_cmap()(norm(value))
        if len(fit.replicates) > 1:
            band = fit.band(table, level)
            ax.fill_between(grid, band["low"], band["high"], color=colour, alpha=0.2, lw=0)
        ax.plot(grid, fit.predict(table), color=colour, lw=1.5)
    if ax.figure is not None:
        ax.figure.colorbar(points, ax=ax, label=literal(names[1]), pad=0.01)
    label = f"fit at {len(held)} values of {literal(names[1])}"
    ax.legend(handles=[Line2D([], [], color=_INK, lw=1.5, label=label)], frameon=False)


def _headline(fits: Mapping[Hashable, Fit], level: float) -> str:
    first = next(iter(fits.values()))
    shown = first.law.exponents[:2]
    if len(fits) > 1 or not shown:
        return literal(first.law.formula)
    parts = []
    for each in shown:
        text = f"{literal(each.name)} = {first.params[each.name]:z.3f}"
        if len(first.replicates) > 1:
            row = first.interval(level).loc[each.name]
            text += f" [{row['low']:z.3f}, {row['high']:z.3f}]"
        parts.append(text)
    return ", ".join(parts)


def _trim(ax: Axes, clouds: Sequence[np.ndarray]) -> None:
    """Show the middle 99 % of the replicates: a few that ran away must not shrink the rest."""
    every = np.concatenate(clouds)
    low, high = np.quantile(every, [0.005, 0.995], axis=0)
    margin = 0.15 * (high - low) + 1e-12
    low, high = low - margin, high + margin
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _readable_decade(ax: Axes, *, x_only: bool = False) -> None:
    """Write plain numbers on an axis that spans less than a decade and a half, where powers of ten would be too few."""
    for axis in (ax.xaxis,) if x_only else (ax.xaxis, ax.yaxis):
        low, high = axis.get_view_interval()
        if low > 0 and high / low < 30:
            axis.set_major_locator(
                LogLocator(subs=(1.0, 2.0, 3.0, 5.0) if high / low > 4 else tuple(np.arange(1, 10, 0.5)))
            )
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())  # its labels would lie on each other; `label_logs` sees to enough


def _plain(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=_PALE, lw=0.5)
    ax.set_axisbelow(True)
    return ax
