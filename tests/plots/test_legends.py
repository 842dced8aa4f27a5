"""Legends make room for themselves."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ntk1bit.plots.axes import draw_series
from ntk1bit.plots.legends import covers_data, legend
from ntk1bit.plots.looks import Look


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.mark.parametrize("where", ["upper right", "lower left"])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_a_legend_makes_room_for_itself(ax, where, scale):
    """A marker of a legend that lies on an interval reads as a point."""
    table = pd.DataFrame({"width": [1, 2, 3], "value": 2.0, "low": 1.0, "high": 4.0})
    draw_series(table, ax=ax, look=Look("black", "o", hollow=True), label="open")
    ax.set(yscale=scale)
    usual = ax.legend(loc=where)
    assert covers_data(ax, usual)
    shown = legend(ax, where)
    assert not covers_data(ax, shown, clearance=0)
    assert shown.get_frame_on()
