"""Axes-level plots of kernels and spectra, and the figure that `ntk1bit ntk` draws."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
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
from ntk1bit.plots.figures import empty_figure, write_figure
from ntk1bit.plots.looks import AMBER, BLUE, GREEN, drawing, literal

# Line and marker differ as well as colour. The first line is wide: it shows under a second one that agrees with it.
_STYLES = (
    {"color": AMBER, "marker": "o", "markersize": 7, "linewidth": 3.0},
    {"color": BLUE, "marker": "s", "markersize": 3, "linewidth": 1.0, "linestyle": "--"},
    {"color": GREEN, "marker": "D", "markersize": 4, "linewidth": 1.3},
)
_LOOK = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 200}


def plot_kernel(
    kernel: Float[np.ndarray, "n n2"] | ArrayLike,
    *,
    ax: Axes,
    y: Float[np.ndarray, " n"] | ArrayLike | None = None,
    label: str = "H",
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

    Notes
    -----
    The scale ends at the 99th percentile of the off-diagonal size, which the diagonal usually exceeds.

    Raises
    ------
    InputError
        If the kernel is no finite matrix, or targets do not match its points.
    """
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


def plot_eigenvalues(spectra: Mapping[str, Float[np.ndarray, " k"] | ArrayLike], *, ax: Axes) -> Axes:
    """Draw eigenvalues against rank on logarithmic axes; the legend counts those that are not positive and left out.

    Parameters
    ----------
    spectra
        Eigenvalues, largest first, by name.
    ax
        Where to draw.

    Raises
    ------
    InputError
        If one is no list of finite numbers.
    """
    for (name, given), style in zip(spectra.items(), itertools.cycle(_STYLES), strict=False):
        values = finite(f"the spectrum {name!r}", given)
        if values.ndim != 1:
            raise InputError(f"the spectrum {name!r} is a list of eigenvalues, got shape {values.shape}")
        rank = np.arange(1, len(values) + 1)
        keep = values > 0
        left_out = f" ({int(np.sum(~keep))} not positive, not shown)" if not keep.all() else ""
        # A marker at ranks 1, 2, 4, ... is enough to tell lines apart and does not hide them.
        marked = [i for i, r in enumerate(rank[keep]) if r & (r - 1) == 0]
        ax.plot(rank[keep], values[keep], markevery=marked, label=literal(name) + left_out, **style)
    ax.set(xscale="log", yscale="log", xlabel="rank k", ylabel="eigenvalue")
    ax.legend(frameon=False)
    return ax


def draw_measurement(measurement: Measurement, path: Path | str) -> None:
    """Draw H as a heat map beside the eigenvalues of everything measured, and write the figure to `path`."""
    found = measurement.spectrum
    spectra = {"H": found.eigenvalues if isinstance(found, Spectrum) else _eigenvalues(measurement.empirical)}
    if measurement.limit is not None:
        spectra["limit"] = _eigenvalues(measurement.limit.value)
    if measurement.effective is not None:
        spectra["K_eff, symmetric part"] = _eigenvalues(symmetric_part(measurement.effective.value))
    with drawing(_LOOK):
        figure = empty_figure(7.0, 2.9, layout="constrained")
        heat, lines = figure.subplots(1, 2)
        plot_kernel(measurement.empirical, ax=heat, y=measurement.y)
        heat.set_title(f"H(0), width {measurement.settings.width}, {measurement.settings.precision}", loc="left")
        plot_eigenvalues(spectra, ax=lines)
        lines.set_title("eigenvalues", loc="left")
    write_figure(figure, path, _LOOK)


def _eigenvalues(kernel: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    return np.linalg.eigvalsh(kernel)[::-1]
