"""Axes-level plots of kernels and spectra, and the figure that `ntk1bit ntk` draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ntk1bit.errors import InputError
from ntk1bit.kernels.effective import symmetric_part
from ntk1bit.kernels.measure import Measurement
from ntk1bit.kernels.precision import finite
from ntk1bit.kernels.spectra import Spectrum
from ntk1bit.plots.axes import label_logs
from ntk1bit.plots.figures import write_figure
from ntk1bit.plots.layout import Panels, StyleName, read_sheet
from ntk1bit.plots.legends import legend, settle
from ntk1bit.plots.looks import AMBER, BLUE, GREEN, literal, points
from ntk1bit.plots.palettes import Colours, read_palette

# Line and marker differ as well as colour. The first line is wide: it shows under a second one that agrees with it.
_STYLES = ((AMBER, "o", 7, 3.0, "-"), (BLUE, "s", 3, 1.0, "--"), (GREEN, "D", 4, 1.3, "-"))
PANELS = ("kernel", "eigenvalues")
_K_EFF = "K_eff, symmetric part"


def plot_kernel(
    kernel: Float[np.ndarray, "n n2"] | ArrayLike,
    *,
    ax: Axes,
    y: Float[np.ndarray, " n"] | ArrayLike | None = None,
    label: str = "H",
    palette: Colours = None,
) -> Axes:
    """Draw a kernel as a heat map on a diverging scale centred at 0.

    Parameters
    ----------
    kernel
        (n, n2).
    ax
        Where to draw.
    y
        (n,) targets of a square kernel; points are then ordered by target, so that classes show as blocks.
    label
        Name of the colour scale.
    palette
        As `palettes.read_palette`. A kernel has no series: a palette leaves the scale as it is.

    Notes
    -----
    The scale ends at the 99th percentile of the off-diagonal size, which the diagonal usually exceeds.

    Raises
    ------
    InputError
        If the kernel is no finite matrix, or targets do not match its points.
    """
    read_palette(palette)
    shown = finite("the kernel", kernel)
    if shown.ndim != 2 or 0 in shown.shape:
        raise InputError(f"a kernel to draw is a matrix with entries, got shape {shown.shape}")
    if y is not None:
        targets = finite("y", y)
        if not shown.shape == targets.shape * 2:
            raise InputError(f"targets of shape {targets.shape} cannot order the points of a kernel {shown.shape}")
        order = np.argsort(targets, kind="stable")
        shown = shown[np.ix_(order, order)]
    off = np.abs(shown[~np.eye(*shown.shape, dtype=bool)])
    top = float(np.percentile(off, 99)) if off.size and off.any() else float(np.abs(shown).max(initial=0.0)) or 1.0
    image = ax.imshow(shown, cmap=colormaps["RdBu_r"], vmin=-top, vmax=top, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, extend="both", label=literal(label), shrink=0.85)
    ordered = ", ordered by target" if y is not None else ""
    ax.set(xlabel=f"point{ordered}", ylabel="point")
    ax.grid(visible=False)
    return ax


def plot_eigenvalues(
    spectra: Mapping[str, Float[np.ndarray, " k"] | ArrayLike], *, ax: Axes, palette: Colours = None
) -> Axes:
    """Draw eigenvalues against rank on logarithmic axes; the legend counts those that are not positive and left out.

    Parameters
    ----------
    spectra
        Eigenvalues, largest first, by name.
    ax
        Where to draw.
    palette
        As `palettes.read_palette`; its series are the names of spectra.

    Raises
    ------
    InputError
        If one is no list of finite numbers.
    """
    colours = read_palette(palette, also=spectra)
    for place, (name, given) in enumerate(spectra.items()):
        usual, marker, size, width, line = _STYLES[place % len(_STYLES)]
        colour = colours.nth(place, name) if colours.colours else colours.named.get(name, usual)
        values = finite(f"the spectrum {name!r}", given)
        if values.ndim != 1:
            raise InputError(f"the spectrum {name!r} is a list of eigenvalues, got shape {values.shape}")
        rank = np.arange(1, len(values) + 1)
        keep = values > 0
        left_out = f" ({int(np.sum(~keep))} not positive, not shown)" if not keep.all() else ""
        # A marker at ranks 1, 2, 4, ... is enough to tell lines apart and does not hide them.
        marked = [i for i, r in enumerate(rank[keep]) if r & (r - 1) == 0]
        (drawn,) = ax.plot(rank[keep], values[keep], color=colour, marker=marker, linestyle=line, markevery=marked)
        drawn.set(linewidth=points(width), markersize=points(size), label=literal(name) + left_out)
    ax.set(xscale="log", yscale="log", xlabel="rank k", ylabel="eigenvalue")
    legend(ax, "lower left", size=8)
    return label_logs(ax)


def draw_measurement(
    measurement: Measurement,
    path: Path | str,
    *,
    panels: Panels = None,
    palette: Colours = None,
    style: StyleName = "paper",
    columns: int | None = None,
) -> None:
    """Draw H as a heat map beside the eigenvalues of everything measured, and write the figure to `path`.

    Parameters
    ----------
    measurement
        Of `kernels.measure`.
    path
        Where to write it; the ending decides the format.
    panels, palette, style, columns
        As `layout.read_sheet`; panels are `PANELS`, and series of the palette ``"H"``, ``"limit"`` and ``"K_eff"``.
    """
    sheet = read_sheet(panels=panels, palette=palette, style=style, columns=columns, also=("H", "limit", "K_eff"))
    found = measurement.spectrum
    spectra = {"H": found.eigenvalues if isinstance(found, Spectrum) else _eigenvalues(measurement.empirical)}
    if measurement.limit is not None:
        spectra["limit"] = _eigenvalues(measurement.limit.value)
    colours = sheet.palette
    if measurement.effective is not None:
        spectra[_K_EFF] = _eigenvalues(symmetric_part(measurement.effective.value))
        if "K_eff" in colours.named:
            colours = replace(colours, named={**colours.named, _K_EFF: colours.named["K_eff"]})
    chosen = sheet.chosen(PANELS)
    with sheet.drawing():
        figure, axes = sheet.figure([PANELS], (7.0, 2.9))
        if "kernel" in chosen:
            plot_kernel(measurement.empirical, ax=axes["kernel"], y=measurement.y)
            axes["kernel"].set_title(f"H(0), width {measurement.settings.width}, {measurement.settings.precision}")
        plot_eigenvalues(spectra, ax=axes["eigenvalues"], palette=colours)
        axes["eigenvalues"].set_title("eigenvalues")
        settle(figure)
    write_figure(figure, path)


def _eigenvalues(kernel: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    return np.linalg.eigvalsh(kernel)[::-1]
