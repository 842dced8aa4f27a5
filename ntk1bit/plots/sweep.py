"""Axes-level plots, `plot_x(data, *, ax, palette) -> ax`, and the overview of a run that has them as panels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, StrMethodFormatter

from ntk1bit.errors import InputError
from ntk1bit.estimators import AgainstWidth, distance_to_predictions, drift, floor, gap, loss_at_end
from ntk1bit.estimators.against_width import groups_of_both
from ntk1bit.estimators.captions import group_caption
from ntk1bit.estimators.outputs import PREDICTION_COLUMNS
from ntk1bit.experiments import Run
from ntk1bit.plots.axes import label_logs, short_number
from ntk1bit.plots.figures import wrap_title, write_together
from ntk1bit.plots.layout import Panels, StyleName, panel, read_sheet
from ntk1bit.plots.legends import legend, settle
from ntk1bit.plots.looks import GREY, PRECISION_NAME, Formula, Look, literal, points
from ntk1bit.plots.palettes import Colours, Palette, precision_look, read_palette
from ntk1bit.plots.tables import values
from ntk1bit.statistics import PowerFit

_TITLE, _CAPTION = 100, 150  # letters in a line
PANELS = ("loss", "drift", "end", "gap", "predictions", "distance")
_ROW_HEIGHT = 2.5  # inches of panels arranged anew
_SHADES = [to_hex(one) for one in mpl.colormaps["viridis"](np.linspace(0.0, 0.82, 200))]
_MOST_CURVES = 5  # widths drawn in one panel; more cannot be told apart


def plot_loss(frame: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw training loss against step, a shade for each width, 1-bit solid and full precision dashed.

    Parameters
    ----------
    frame
        Rows of one group of settings from `Run.frame`: columns width, precision, seed, step, loss.
    ax
        Where to draw.
    palette
        As `palettes.read_palette`; shades of widths are its ``"ordered"`` map.

    Notes
    -----
    Means over seeds and over steps within bins evenly spaced in log(step), since a 1-bit loss jumps from step to step.
    Step t is drawn at t + 1.
    """
    widths = np.array(sorted(set(frame["width"])))
    shown = widths[np.unique(np.linspace(0, len(widths) - 1, min(len(widths), _MOST_CURVES)).round().astype(int))]
    shades = read_palette(palette).shades(len(shown), _SHADES)
    for precision, side in frame.groupby("precision"):
        for width, shade in zip(shown, shades, strict=True):
            cells = side.loc[side["width"] == width]
            if cells.empty:
                continue
            mean = cells.groupby("step")["loss"].mean()
            steps, loss = _binned(mean.index.to_numpy() + 1.0, mean.to_numpy())
            ax.plot(steps, loss, color=shade, linestyle=precision_look(str(precision)).line)
    ax.set(xscale="log", yscale="log", xlabel="step + 1", ylabel="training loss L")
    keys = [Line2D([], [], color=shade, label=f"m = {width}") for width, shade in zip(shown, shades, strict=True)]
    present = [p for p in PRECISION_NAME if p in set(frame["precision"])]
    keys += [Line2D([], [], color=GREY, linestyle=precision_look(p).line, label=PRECISION_NAME[p]) for p in present]
    label_logs(ax)
    legend(ax, "lower left", size=6.8, handles=keys)
    return ax


def plot_against_width(
    quantities: Sequence[AgainstWidth],
    *,
    ax: Axes,
    names: Sequence[str] | None = None,
    converged: Sequence[AgainstWidth] = (),
    palette: Colours = None,
) -> Axes:
    """Draw quantities against width with intervals, and their fitted laws with exponents.

    Parameters
    ----------
    quantities
        What to draw; colour and marker follow the precision, and a second quantity of a precision has open markers.
    ax
        Where to draw.
    names
        What to call them in the legend, shown letter by letter unless they are a `looks.Formula`; the precision by
        default.
    converged
        The same quantities at the widths where they have converged; other widths have open markers.
    palette
        As `palettes.read_palette`.
    """
    colours = read_palette(palette)
    drawn: Counter[str] = Counter()
    missing: list[str] = []
    for i, quantity in enumerate(quantities):
        precision = quantity.settings["precision"]
        before, widths = drawn[precision], len(quantity.table)
        drawn[precision] += 1
        positive = pd.DataFrame(quantity.table.loc[quantity.table["value"] > 0])
        name = literal(names[i]) if names is not None else PRECISION_NAME[precision]
        if len(positive) < widths:
            name = f"{name} ({widths - len(positive)} of {widths} widths: nothing above 0)"
        if positive.empty:
            missing += [name] * (widths > 0)
            continue
        look = precision_look(precision, palette=colours)
        fit = _fit_shown(quantity)
        if fit.warranted:
            name = f"{name}: {law_text(fit)}"
            x = np.geomspace(fit.smallest, fit.largest, 100)
            style = ("-", "--", ":")[before % 3]
            ax.plot(x, fit.predict(x), color=look.colour, linestyle=style, linewidth=points(0.9))
        is_open = np.full(len(positive), before > 0)
        if converged:
            same = [other.table["width"] for other in converged if other.settings == quantity.settings]
            is_open = ~np.isin(positive["width"], np.concatenate(same) if same else [])
        _plot_points(positive, is_open, look, ax, name)
    ax.set_xlabel("width m")
    if not ax.lines:
        ax.text(0.5, 0.5, "\n".join(["nothing to show", *missing]), transform=ax.transAxes, ha="center", color=GREY)
        return ax
    for name in missing:
        ax.plot([], [], linestyle="none", label=name)
    ax.set(xscale="log", yscale="log")
    _label_widths(ax, np.concatenate([np.asarray(quantity.table["width"]) for quantity in quantities]))
    low, high = ax.get_ylim()
    if high < 30 * low:  # too short a range for powers of ten alone to be read off
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    legend(ax, "upper right", size=6.8)
    return label_logs(ax)


def _fit_shown(quantity: AgainstWidth) -> PowerFit:
    """Return the law with a floor where one is seen, and the law without one otherwise."""
    with_floor = quantity.power_with_floor
    return with_floor if with_floor is not None and with_floor.warranted and with_floor.floored else quantity.power


def _plot_points(table: pd.DataFrame, is_open: np.ndarray, look: Look, ax: Axes, label: str) -> None:
    """Draw values with intervals; markers are open where `is_open` (n,), and in the legend where all are."""
    width, value, low, high = (values(table, column) for column in ("width", "value", "low", "high"))
    around = np.nan_to_num(np.abs(np.stack([value - low, high - value])))
    ax.errorbar(
        width, value, yerr=around, color=look.colour, linestyle="none", capsize=points(2), elinewidth=points(0.8)
    )
    marks: dict[str, Any] = {"color": look.colour, "marker": look.marker, "linestyle": "none"}
    for show, face in ((~is_open, look.colour), (is_open, "white")):
        ax.plot(width[show], value[show], markerfacecolor=face, **marks)
    ax.plot([], [], markerfacecolor="white" if is_open.all() else look.colour, label=label, **marks)


def plot_predictions(frame: pd.DataFrame, *, ax: Axes, palette: Colours = None) -> Axes:
    """Draw, for the widest network, how far its training outputs are from predictions of H(0) and of K_eff or K_lat.

    Parameters
    ----------
    frame
        Rows of one group of settings from `Run.frame` of a sweep with predictions.
    ax
        Where to draw. Lines are means over seeds; bands span the seeds.
    palette
        As `palettes.read_palette`.
    """
    widest = frame.loc[(frame["width"] == frame["width"].max()) & frame["from_h"].notna() & (frame["step"] > 0)]
    one_bit = widest.loc[widest["precision"] == "one_bit"]
    latent = "activity" in one_bit and set(one_bit["activity"]) == {"latent"}
    for precision, column, name, style in (
        ("one_bit", "from_h", "1-bit, from H", "--"),
        ("one_bit", "from_k_eff", f"1-bit, from {_effective(latent=latent)}", "-"),
        ("full", "from_h", "full precision, from H", ":"),
    ):
        by_step = widest.loc[widest["precision"] == precision].groupby("step")[column]
        if not len(by_step):
            continue
        mean, low, high = (np.asarray(side) for side in (by_step.mean(), by_step.min(), by_step.max()))
        steps = np.asarray(by_step.mean().index)
        colour = precision_look(precision, palette=palette).colour
        ax.plot(steps, mean, color=colour, linestyle=style, label=name)
        ax.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.set(xscale="log", yscale="log", xlabel="step")
    label_logs(ax)
    legend(ax, "lower left", size=6.8)
    return ax


def _effective(*, latent: bool) -> str:
    """Name the kernel that a 1-bit network's steps follow at first: that of latent patterns is another one."""
    return "$K_{lat}$" if latent else "$K_{eff}$"


def law_text(fit: PowerFit) -> str:
    """Write a fitted law with its numbers, and the interval of its exponent: A m^p [low, high], or c + A m^p."""
    text = f"{_two_digits(fit.amplitude)} $m^{{{fit.exponent:.2f}}}$"
    if fit.floored:
        text = f"{_two_digits(fit.floor)} + {text}"
    if np.isfinite(fit.exponent_low):
        text += f" [{fit.exponent_low:.2f}, {fit.exponent_high:.2f}]"
    return f"{text}, curved" if fit.curved else text


def group_title(settings: Mapping[str, Any]) -> Formula:
    """Title a group of cells by its settings."""
    return Formula(group_caption(settings, kappa=r"$\kappa$", eta_rel=r"$\eta_{rel}$", escape=literal))


def overview_figure(
    frame: pd.DataFrame,
    title: str,
    left_out: Sequence[str] = (),
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> Figure:
    """Draw one group of settings: loss against step; drift, final loss, gap and, if any, predictions against width.

    Parameters
    ----------
    frame
        Rows of one group of settings from `Run.frame`.
    title
        Shown letter by letter unless it is a `looks.Formula`; may be empty.
    left_out
        Sentences about cells that the run lacks; written below the panels, with those about widths that the estimates
        leave out.
    panels, palette, style, columns
        As `layout.read_sheet`; panels are `PANELS`, the last two of sweeps with predictions.
    """
    sheet = read_sheet(panels=panels, palette=palette, style=style, columns=columns)
    predicted = "from_h" in frame
    rows = [PANELS[at : at + 2] for at in range(0, 6 if predicted else 4, 2)]
    chosen = sheet.chosen(name for row in rows for name in row)
    with sheet.drawing():
        figure, axes = sheet.figure(rows, (7.2, 8.0 if predicted else 5.4), row_height=_ROW_HEIGHT)
        notes: list[str] = []
        for name in chosen:
            notes += _fill(axes[name], name, frame, sheet.palette)
        if title:
            letters = round(_TITLE * figure.get_figwidth() / points(7.2))
            words = wrap_title(title if isinstance(title, Formula) else literal(title, letters=10**6), letters)
            figure.suptitle(words, fontsize=points(9))
        letters = round(_CAPTION * figure.get_figwidth() / points(7.2))
        below = [literal(note, letters=letters) for note in dict.fromkeys([*left_out, *notes])]
        if below:
            figure.supxlabel("\n".join(below), x=0.01, ha="left", fontsize=points(6.5), color=GREY)
        settle(figure)
    return figure


def _fill(ax: Axes, name: str, frame: pd.DataFrame, palette: Palette) -> list[str]:
    """Draw the panel of this name; return sentences about widths that its estimates leave out."""
    names: list[str] | None = None
    converged: list[AgainstWidth] = []
    if name == "loss":
        widths = len(set(frame["width"]))
        some = f", {_MOST_CURVES} of {widths} widths" if widths > _MOST_CURVES else ""
        panel(plot_loss(frame, ax=ax, palette=palette), f"training loss: mean over seeds{some}")
        return []
    if name == "predictions":
        panel(plot_predictions(frame, ax=ax, palette=palette), f"distance to predictions, m = {frame['width'].max()}")
        ax.set_ylabel("RMS over training inputs")
        return []
    if name == "drift":
        found = drift(frame)
        title, label = "kernel drift", r"max$_t$ ‖H(t)-H(0)‖ / ‖H(0)‖"
    elif name == "end":
        found, converged = loss_at_end(frame), floor(frame)
        title, label = "loss at the end (open markers: not converged)", "training loss L, last tenth of steps"
    elif name == "gap":
        found = [*gap(frame, when="end"), *gap(frame, when="start")]
        names = ["trained"] * (len(found) // 2) + ["at start"] * (len(found) // 2)
        title, label = "gap between 1-bit and full precision", "RMS of f - f' on test inputs"
    else:
        found = distance_to_predictions(frame)
        of = [_effective(latent=each.settings.get("activity") == "latent") for each in found]
        words = [each.quantity.replace("K_eff", kernel) for each, kernel in zip(found, of, strict=True)]
        names = [
            Formula(f"{PRECISION_NAME[each.settings['precision']]}, {word}")
            for each, word in zip(found, words, strict=True)
        ]
        title, label = "distance to predictions, mean while L > L(0)/10", "RMS over training inputs"
    plot_against_width(found, ax=ax, names=names, converged=converged, palette=palette)
    panel(ax, title)
    ax.set_ylabel(label)
    return [] if name == "distance" else [f"{each.quantity}: {note}" for each in found for note in each.notes]


def save_overview(
    run: Run,
    path: Path | str,
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> list[Path]:
    """Draw the overview of each group of settings in a run; the ending of `path` chooses the format.

    What the run lacks is written below the panels. With several groups, files are numbered: overview-1.png and so on.
    `panels`, `palette`, `style` and `columns` are those of `overview_figure`.

    Raises
    ------
    InputError
        If the run has no finished cell, or a panel, colour or size is unknown.
    """
    path = Path(path)
    read_sheet(panels=panels, palette=palette, style=style, columns=columns)  # a mistake is told before any work
    frame = run.frame(["test_outputs", *PREDICTION_COLUMNS])
    if frame.empty:
        raise InputError(f"{run.folder} has no finished cells to draw; give the command that began the sweep again")
    parts = groups_of_both(frame)
    lacking = run.left_out
    drawn = dict[Path, Figure]()
    for number, (settings, part) in enumerate(parts, start=1):
        figure = overview_figure(
            part, group_title(settings), lacking, panels=panels, palette=palette, style=style, columns=columns
        )
        name = path if len(parts) == 1 else path.with_stem(f"{path.stem}-{number}")
        drawn[name] = figure
    return write_together(drawn.items())


def _binned(x: np.ndarray, y: np.ndarray, bins: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Average y within bins evenly spaced in log x, keeping the first points single."""
    edges = np.unique(np.rint(np.geomspace(1, x.max() + 1, bins)))
    where = np.searchsorted(edges, x, side="right")
    parts = [where == each for each in np.unique(where)]
    return np.array([np.exp(np.log(x[p]).mean()) for p in parts]), np.array([y[p].mean() for p in parts])


def _label_widths(ax: Axes, widths: np.ndarray) -> None:
    ticks = np.unique(widths)
    if len(ticks) > 6:
        ticks = ticks[::2]
    ax.set_xticks(ticks, [str(int(tick)) for tick in ticks])
    ax.minorticks_off()
    ax.tick_params(axis="y", which="minor", left=True)


def _two_digits(value: float) -> str:
    """Write 0.10, 1.9, 43, and large and small numbers with a power of ten."""
    digits = 1 - int(np.floor(np.log10(value)))
    return f"{value:.{digits}f}" if 0 <= digits <= 4 else short_number(float(f"{value:.2g}"))
