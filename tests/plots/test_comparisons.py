"""Differences that cross 0, rates at which networks diverge, and rows whose names stand beside their values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ntk1bit.errors import InputError
from ntk1bit.plots.axes import labels_in_view, stretch
from ntk1bit.plots.comparisons import plot_contrasts, plot_differences, plot_rates
from ntk1bit.plots.looks import drawing, paper

NAN = float("nan")


def test_differences_of_both_signs_are_told_from_0_and_a_missing_one_is_left_out():
    table = pd.DataFrame({"arm": ["8-bit PTQ"] * 2 + ["1-bit PTQ"] * 2, "parameters": [1e4, 1e5] * 2})
    table["difference"] = [-0.02, -0.3, 3.0, NAN]
    ax = plot_differences(
        table.assign(low=table["difference"] - 0.1, high=table["difference"] + 0.1), ax=Figure().subplots()
    )
    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in ax.lines}
    assert drawn["8-bit PTQ"] == [-0.02, -0.3]
    assert drawn["1-bit PTQ"] == [3.0]
    assert {"\N{MINUS SIGN}0.1", "0", "0.1", "1"} <= set(labels_in_view(ax.yaxis))
    at = ax.transData.transform(np.array([[1e4, -0.02], [1e4, 0.0], [1e4, 3.0]]))[:, 1] / ax.bbox.height
    assert at[1] - at[0] > 0.02  # a share of the panel: about the width of a line
    low, high = ax.get_ylim()
    assert low < -0.4 < 3.1 < high


def test_room_for_a_legend_is_a_share_of_what_is_seen_on_every_scale():
    for scale, options in (("linear", {}), ("log", {}), ("symlog", {"linthresh": 0.1})):
        ax = Figure().subplots()
        ax.set_yscale(scale, **options)
        ax.set_ylim(0.2, 3.0)
        stretch(ax, above=0.25)
        before = ax.transAxes.inverted().transform(ax.transData.transform((0.5, 3.0)))
        np.testing.assert_allclose(before[1], 1 / 1.25, rtol=1e-9)  # a few roundings of logarithms


def test_where_networks_diverge_markers_are_hollow_and_losses_beyond_the_panel_are_at_its_edge():
    rates, loss = [0.001, 0.002, 0.004, 0.008], [2.3, 2.0, 50.0, NAN]
    table = pd.DataFrame({"arm": "bitnet", "rate": rates, "loss": loss, "lost": [0.0, 0.0, 0.2, 1.0]})
    ax = plot_rates(table, ax=Figure().subplots())
    line, hollow = (one for one in ax.lines if len(np.asarray(one.get_xdata())))
    top = ax.get_ylim()[1]
    assert top == pytest.approx(2.3 + 0.3 / 3)
    np.testing.assert_array_equal(np.asarray(line.get_ydata()), [2.3, 2.0, top, top])
    assert np.asarray(hollow.get_xdata()).tolist() == [0.004, 0.008]
    assert hollow.get_markerfacecolor() == "white"
    assert ax.get_legend_handles_labels()[1] == ["bitnet", "diverged"]
    calm = plot_rates(table.assign(loss=2.0, lost=0.0), ax=Figure().subplots())
    assert calm.get_legend_handles_labels()[1] == ["bitnet"]


def test_rates_at_which_every_network_diverged_are_drawn_too():
    table = pd.DataFrame({"arm": "bitnet", "rate": [0.1, 0.2], "loss": [NAN, NAN], "lost": 1.0})
    ax = plot_rates(table, ax=Figure().subplots())
    assert np.asarray(ax.lines[0].get_ydata()).tolist() == [ax.get_ylim()[1]] * 2


def test_rates_at_which_none_diverged_leave_the_layout_alone():
    """An empty line that is not clipped has a box at the corner of the figure, for which the layout makes room."""
    table = pd.DataFrame({"arm": "bitnet", "rate": [0.1, 0.2], "loss": [2.0, 2.1], "lost": 0.0})
    ax = plot_rates(table, ax=Figure().subplots())
    assert all(len(np.asarray(line.get_xdata())) for line in ax.lines if not line.get_clip_on())


def test_names_of_rows_do_not_lie_on_their_intervals():
    table = pd.DataFrame({"name": ["Pre-LN - SubLN, elastic", "$2"], "value": [0.1, NAN], "low": [-0.4, NAN]})
    with drawing(paper()):
        figure = Figure(figsize=(3.25, 2.2), layout="constrained")  # inches: a column of a journal
        ax = plot_contrasts(table.assign(high=[0.6, NAN]), ax=figure.subplots())
        figure.draw_without_rendering()
    assert [text.get_text() for text in ax.texts] == ["Pre-LN - SubLN, elastic", r"\$2"]
    starts = ax.transData.transform((-0.4, 0))[0]
    assert all(text.get_window_extent().x1 < starts for text in ax.texts)
    assert all(float(tick) >= -0.5 for tick in ax.get_xticks())


def test_colours_are_those_asked_for():
    table = pd.DataFrame({"arm": ["fp16-preln"], "rate": [0.1], "loss": [2.0], "lost": [0.0]})
    ax = plot_rates(table, ax=Figure().subplots(), palette={"full": "navy"})
    assert ax.lines[0].get_color() == "#000080"
    with pytest.raises(InputError, match="unknown series in the palette 'bitnte'"):
        plot_rates(table, ax=ax, palette={"bitnte": "red"})
