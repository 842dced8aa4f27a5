"""The figure of a run of language models: its panels, intervals that go on beyond them, ticks and legend."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.markers import CARETUP

from ntk1bit.errors import InputError
from ntk1bit.plots import language as plots
from ntk1bit.plots.axes import labels_in_view

from .sizes import complaints

NOTHING = pd.DataFrame({name: [] for name in ("arm", "parameters", "loss", "low", "high")})


@pytest.fixture
def losses() -> pd.DataFrame:
    """Two sizes close together, with an interval of two seeds that is far wider than the values."""
    table = pd.DataFrame({"arm": ["full"] * 2 + ["bitnet"] * 2, "parameters": [24_576, 55_296] * 2})
    table = table.assign(loss=[2.0, 1.9, 2.2, 2.05], joules=[1e-6, 2e-6, 3e-7, 5e-7])
    return table.assign(low=table["loss"] - [0.05, 9.0, 0.05, 0.05], high=table["loss"] + [0.05, 9.0, 0.05, 0.05])


def test_an_interval_that_is_cut_is_marked_and_axes_have_two_labels(losses):
    ax = plots.plot_losses(losses, NOTHING, ax=Figure().subplots())
    marks = [line for line in ax.lines if line.get_gid() == "cut"]
    assert [np.asarray(line.get_xdata()).tolist() for line in marks if line.get_marker() == CARETUP] == [[55_296]]
    assert all(len(labels_in_view(axis)) >= 2 for axis in (ax.xaxis, ax.yaxis))


def test_gaps_of_several_arms_stay_in_view():
    ax = Figure().subplots()
    for arm, height in (("bitnet", 0.3), ("b158", 0.1)):
        gap = pd.DataFrame({"N": [1e4, 1e5], "value": [height, height / 2], "low": height / 3, "high": 2 * height})
        plots.plot_gap(gap, ax=ax, arm=arm)
    low, high = ax.get_ylim()
    assert low < 0.05 < 0.3 < high


def test_arms_have_the_colours_asked_for(losses):
    ax = plots.plot_losses(losses, NOTHING, ax=Figure().subplots(), palette={"full": "navy", "one_bit": "red"})
    colours = {container.get_label(): container[0].get_color() for container in ax.containers}
    assert colours == {"full": "#000080", "bitnet": "#ff0000"}
    with pytest.raises(InputError, match="unknown series in the palette 'bitnte'"):
        plots.plot_losses(losses, NOTHING, ax=ax, palette={"bitnte": "red"})


@pytest.mark.parametrize("asked", [{}, {"columns": 1}, {"columns": 2}, {"style": "slides", "panels": "gap,losses"}])
def test_the_figure_of_a_run_can_be_read(finished, asked, tmp_path, monkeypatch):
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "write_figure", lambda figure, path: drawn.append(figure) or path)
    plots.draw_run(finished[1], tmp_path / "one.png", **asked)
    (figure,) = drawn
    assert complaints(figure) == []
    (legend,) = figure.legends
    boxes = [ax.get_window_extent() for ax in figure.axes]
    assert not any(legend.get_window_extent().overlaps(box) for box in boxes)
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            assert axis.get_scale() != "log" or len(labels_in_view(axis)) >= 2
    if "panels" in asked:
        assert [ax.get_title(loc="left") for ax in figure.axes] == [
            "(a) loss above full precision", "(b) validation loss, with fitted laws",
        ]  # fmt: skip


def test_panels_without_data_are_not_offered(finished, tmp_path):
    with pytest.raises(InputError, match=r"unknown panel 'loss'.*choose one of: losses, gap, energy"):
        plots.draw_run(finished[1], tmp_path / "one.png", panels="loss")
    assert not (tmp_path / "one.png").exists()
