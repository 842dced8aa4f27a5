from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from ntk1bit.estimators import drift, loss_at_end
from ntk1bit.plots import sweep as plots
from ntk1bit.statistics import PowerFit

from ..estimators.frames import run_frame


def cell(width, seed, precision, rng):
    t = np.arange(101) + 1.0
    top = width**-0.5 * np.exp(0.05 * rng.standard_normal())
    level = 3.0 / width if precision == "one_bit" else 1e-9
    return {"drift": top * np.minimum(t / 100, 1), "loss": 1 / t**2 + level}


@pytest.fixture
def ax():
    return Figure().subplots()


def test_loss_is_drawn_for_at_most_five_widths_and_both_precisions(ax):
    assert plots.plot_loss(run_frame(cell), ax=ax) is ax
    assert len(ax.lines) == 2 * 5
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "m = 64"
    assert labels[-2:] == ["1-bit", "full precision"]
    # the first point is the starting loss, drawn at step + 1 = 1
    assert ax.lines[0].get_xdata()[0] == 1.0
    assert ax.lines[0].get_ydata()[0] == pytest.approx(1 + 1e-9 if ax.lines[0].get_linestyle() == "--" else 1 + 3 / 64)


def test_against_width_draws_values_fit_and_exponent(ax):
    found = drift(run_frame(cell))
    plots.plot_against_width(found, ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == 2
    assert all("$m^{-0." in label for label in labels)
    assert ax.get_xlabel() == "width m"


def test_widths_that_have_not_converged_have_open_markers(ax):
    found = loss_at_end(run_frame(cell, precisions=("one_bit",)))
    level = found[0].table["width"] < 500
    converged = [type(found[0])("floor", "", found[0].settings, found[0].table.loc[level], found[0].power)]
    plots.plot_against_width(found, ax=ax, converged=converged)
    filled = [line for line in ax.lines if line.get_marker() == "o" and line.get_markerfacecolor() != "white"]
    assert list(filled[0].get_xdata()) == [64, 128, 256]


@pytest.mark.parametrize(("activity", "kernel"), [
    ("straight_through", "$K_{eff}$"), ("frozen", "$K_{eff}$"), ("latent", "$K_{lat}$"),
])  # fmt: skip
def test_predictions_are_named_after_the_kernel_of_the_activity(ax, activity, kernel):
    frame = run_frame(cell, precisions=("one_bit", "full"))
    frame = frame.assign(from_h=0.2, from_k_eff=np.where(frame["precision"] == "one_bit", 0.1, np.nan))
    one_bit = frame["precision"] == "one_bit"
    frame["activity"] = np.where(one_bit, activity, "straight_through")  # as full precision has it
    plots.plot_predictions(frame, ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["1-bit, from H", f"1-bit, from {kernel}", "full precision, from H"]


def test_nothing_to_show_is_said(ax):
    plots.plot_against_width([], ax=ax)
    assert ax.texts[0].get_text() == "nothing to show"


def test_laws_are_written_with_all_their_numbers():
    assert plots.law_text(PowerFit(True, "", exponent=-0.5, amplitude=1.87)) == "1.9 $m^{-0.50}$"
    plain = PowerFit(True, "", exponent=-0.5, exponent_low=-0.6, exponent_high=-0.4, amplitude=43.2)
    assert plots.law_text(replace(plain, curved=True)) == "43 $m^{-0.50}$ [-0.60, -0.40], curved"
    seen = replace(plain, floor=0.1, floor_low=0.09, floor_high=0.3)
    assert plots.law_text(seen) == "0.10 + 43 $m^{-0.50}$ [-0.60, -0.40]"
    unseen = replace(plain, floor=0.25, floor_low=0.0, floor_high=0.3)
    assert plots.law_text(unseen) == "43 $m^{-0.50}$ [-0.60, -0.40]"
    assert plots.law_text(replace(plain, amplitude=4.3e6)).startswith(r"$4.3\times10^{6}$ $m^")
    assert plots.law_text(replace(seen, floor=3e-7)).startswith(r"$3\times10^{-7}$ + 43 $m^")


def test_a_law_with_a_floor_is_drawn_only_where_the_floor_is_seen(ax):
    one = drift(run_frame(cell, precisions=("one_bit",)))[0]
    for low, drawn in ((0.0, False), (0.2, True)):
        floored = PowerFit(True, "", -1.0, -1.1, -0.9, 1.0, 0.25, low, 0.3, widths=6, smallest=64.0, largest=2048.0)
        plots.plot_against_width([replace(one, power_with_floor=floored)], ax=ax)
        assert ("0.25 + 1.0 $m^{-1.00}$" in ax.get_legend().get_texts()[-1].get_text()) == drawn
