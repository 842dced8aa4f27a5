"""Plots of fits: what they draw, in whose colours, and whether it can be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ntk1bit.errors import InputError
from ntk1bit.plots.looks import PALETTE
from ntk1bit.plots.scaling import plot_exponents, plot_fit, plot_frontier, plot_residuals, summary_figure
from ntk1bit.scaling import Fit, fit, get_law
from ntk1bit.scaling.fitting import IdentificationWarning
from ntk1bit.scaling.frontier import parametric_frontier

from .sizes import complaints


def test_every_plot_draws_on_the_axes_it_is_given(chinchilla: Fit, floored: Fit) -> None:
    frontier = parametric_frontier(chinchilla, np.geomspace(1e18, 1e22, 5))
    for draw in (
        lambda ax: plot_fit({"all": chinchilla}, ax=ax),
        lambda ax: plot_fit({"a": floored, "b": floored}, ax=ax),
        lambda ax: plot_residuals({"all": chinchilla}, ax=ax),
        lambda ax: plot_exponents({"all": chinchilla}, ax=ax),
        lambda ax: plot_exponents({"all": floored}, ax=ax),
        lambda ax: plot_frontier([frontier], ax=ax),
    ):
        ax = Figure().subplots()
        assert draw(ax) is ax
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.has_data()


def test_points_and_curve_are_those_of_the_fit(floored: Fit) -> None:
    ax = plot_fit({"all": floored}, ax=Figure().subplots())
    points, curve = ax.get_lines()
    np.testing.assert_array_equal(points.get_ydata(), floored.observations.loss)
    x, y = np.asarray(curve.get_xdata(), float), np.asarray(curve.get_ydata(), float)
    np.testing.assert_allclose(y, floored.predict(pd.DataFrame({"x": x})))
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_an_outlier_does_not_flatten_the_residuals(chinchilla: Fit, floored: Fit) -> None:
    assert plot_residuals({"all": chinchilla}, ax=Figure().subplots()).get_yscale() == "symlog"
    assert plot_residuals({"all": floored}, ax=Figure().subplots()).get_yscale() == "linear"


@pytest.mark.parametrize("bootstrap", [0, 20])
def test_figures_hold_what_applies(widths: pd.DataFrame, bootstrap: int) -> None:
    found = fit(widths, "power+floor", bootstrap=bootstrap)
    figure = summary_figure({"all": found})
    assert len(figure.axes) == (3 if bootstrap else 2)
    figure.canvas.draw()


def test_three_variables_are_drawn_in_slices() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(np.exp(rng.uniform(1, 5, (60, 3))), columns=["N", "D", "C"])
    frame["loss"] = np.maximum(5 * frame["N"] ** -0.5 * frame["D"] ** 0.1, 2 * np.exp(-0.01 * frame["C"]))
    ax = plot_fit({"all": fit(frame, "max", bootstrap=0)}, ax=Figure().subplots())
    assert len(ax.get_lines()) == 4


def test_nothing_to_draw_is_told(floored: Fit) -> None:

    held = replace(floored, request=replace(floored.request, law=get_law("power+floor").fix(alpha=0.8)))
    with pytest.raises(InputError, match="no exponent"):
        plot_exponents({"all": held}, ax=Figure().subplots())
    with pytest.raises(InputError, match="at least one route"):
        plot_frontier([], ax=Figure().subplots())


@pytest.mark.parametrize("asked", [{}, {"columns": 1}, {"columns": 2}, {"style": "slides"}])
def test_figures_of_groups_can_be_read_in_every_width(floored: Fit, asked: dict[str, Any]) -> None:
    figure = summary_figure({"one": floored, "another": floored}, palette={"another": "navy"}, **asked)
    assert complaints(figure) == []
    colours = {str(line.get_color()) for ax in figure.axes for line in ax.lines}
    assert {"#000080", PALETTE[0]} <= colours


def test_panels_are_chosen_among_those_that_apply(floored: Fit) -> None:
    figure = summary_figure({"all": floored}, panels="exponents,fit")
    assert [ax.get_ylabel() for ax in figure.axes] == ["density of replicates", "loss"]
    with pytest.raises(InputError, match="unknown panel 'frontier'; choose one of: fit, residuals, exponents"):
        summary_figure({"all": floored}, panels="frontier")
    with pytest.raises(InputError, match="unknown series in the palette 'alle'"):
        summary_figure({"all": floored}, palette={"alle": "red"})


def test_points_on_a_curve_have_one_exponent_and_no_histogram() -> None:
    """Seen: replicates that differ by rounding alone, for which no bins are wide enough."""
    x = np.geomspace(10, 1e4, 8)
    with pytest.warns(IdentificationWarning, match="to rounding"):
        found = fit(pd.DataFrame({"N": x, "loss": 3 * x**-0.34}), get_law("power"), x="N", loss="loss", bootstrap=20)
    ax = Figure().subplots()
    plot_exponents({"all": found}, ax=ax)
    assert len(ax.patches) == 0
    assert ax.lines[0].get_label() == "all"
