"""Series, slopes, ticks and titles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.markers import CARETDOWN, CARETUP

from ntk1bit.claims.results import EstimateEntry
from ntk1bit.errors import InputError
from ntk1bit.plots.axes import (
    draw_series,
    draw_slope,
    label_logs,
    labels_in_view,
    log_axes,
    mark_cut_bars,
    power_text,
    short_number,
)
from ntk1bit.plots.figures import empty_figure, wrap_title, write_figure
from ntk1bit.plots.looks import PRECISION_NAME, Look
from ntk1bit.plots.palettes import precision_look
from ntk1bit.plots.recipes.verdicts import as_formulas
from ntk1bit.plots.tables import ends, pick, value_at


@pytest.fixture
def ax():
    return Figure().subplots()


def test_series_leave_out_what_is_not_there_and_sort(ax):
    table = pd.DataFrame({"width": [4, 1, 2], "value": [4.0, 1.0, np.nan], "low": 0.5, "high": [9.0, np.nan, 9.0]})
    draw_series(table, ax=ax, look=Look("black", "o"), label="it")
    line = next(one for one in ax.lines if one.get_label() == "it")
    assert list(np.asarray(line.get_xdata())) == [1.0, 4.0]


def test_a_bootstrap_interval_beside_its_value_is_drawn(ax):
    table = pd.DataFrame({"width": [1], "value": [3.0], "low": [1.0], "high": [2.0]})  # a rare large value among seeds
    draw_series(table, ax=ax, look=Look("black", "o"))
    (bar,) = ax.collections
    assert bar.get_segments()[0][:, 1].tolist() == [1.0, 3.0]


def test_slopes_pass_through_their_anchor(ax):
    draw_slope(ax, x=(1.0, 100.0), anchor=(10.0, 5.0), exponent=-0.5, text="slope")
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata(), dtype=np.float64), [5 * 10**0.5, 5 / 10**0.5])


def test_widths_are_ticks_and_both_ends_are_marked(ax):
    widths = [2.0**k for k in range(6, 15)]
    ax.plot(widths, widths)
    log_axes(ax, widths, most=5)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["64", "256", "1024", "4096", "16384"]


@pytest.mark.parametrize(("low", "high"), [(0.3, 2.0), (40.0, 90.0), (2e-4, 9e-4)])
def test_short_ranges_have_more_ticks_than_a_power_of_ten(ax, low, high):
    ax.plot([1, 2], [low, high])
    log_axes(ax, [1.0, 2.0])
    bottom, top = ax.get_ylim()
    assert sum(bottom <= tick <= top for tick in ax.get_yticks()) >= 2


def test_exponents_are_written_without_minus_nothing():
    def exponent(value, low, high):
        words = dict.fromkeys(("id", "label", "meaning", "span", "study", "note"), "")
        return EstimateEntry(value=value, low=low, high=high, seeds=5, **words)

    assert power_text(exponent(-0.001, -0.004, 0.02)) == "$m^{0.00}$ [0.00, 0.02]"
    assert power_text(exponent(None, None, None)) == ""
    assert power_text(exponent(2.0, None, None), "n") == "$n^{2.00}$"


def test_precisions_differ_by_more_than_colour():
    looks = [precision_look(one) for one in PRECISION_NAME]
    assert len({one.marker for one in looks}) == len(looks)


def test_titles_are_broken_between_words_and_formulas_stay_whole():
    lines = wrap_title(r"it falls as $m^{-1/4} \, x$, at large $d$", 14).split("\n")
    assert len(lines) > 1
    assert all(one.count("$") % 2 == 0 for one in lines)
    assert " ".join(lines) == r"it falls as $m^{-1/4} \, x$, at large $d$"
    assert wrap_title("short", 40) == "short"


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("falls as m^-1/4", "falls as $m^{-1/4}$"),
        ("the dynamics of K_eff", r"the dynamics of $K_{\mathrm{eff}}$"),
        ("n^2 kappa^2/(m d), whatever eta", r"$n^2\kappa^2/(m\,d)$, whatever $\eta$"),
        ("feed-forward layer", "feed-forward layer"),
    ],
)
def test_claims_are_written_with_formulas(text, formula):
    assert as_formulas(text) == formula


def test_a_figure_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """A process that dies while it draws leaves the figure from before, and nothing half-written."""
    figure = empty_figure(2.0, 2.0)
    path = write_figure(figure, tmp_path / "new" / "figure.pdf")
    before = path.read_bytes()

    def killed(file, **_):
        file.write(b"%PDF half")
        raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", killed)
    with pytest.raises(KeyboardInterrupt):
        write_figure(figure, path)
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == {"figure.pdf": before}


def test_a_figure_without_an_ending_is_a_png_and_other_endings_are_refused(tmp_path):
    assert write_figure(empty_figure(2.0, 2.0), tmp_path / "figure") == tmp_path / "figure.png"
    with pytest.raises(InputError, match=r"a figure must end in one of .*\.png"):
        write_figure(empty_figure(2.0, 2.0), tmp_path / "figure.txt")
    assert [one.name for one in tmp_path.iterdir()] == ["figure.png"]


def test_tables_are_picked_by_value():
    table = pd.DataFrame({"a": [1, 1, 2], "width": [3, 1, 2], "value": [30.0, 10.0, 20.0]})
    assert pick(table, a=1)["value"].tolist() == [30.0, 10.0]
    assert pick(table, a=1, width=3)["value"].tolist() == [30.0]
    assert ends(table, "width") == (1.0, 3.0)
    assert (value_at(table, "width", 0), value_at(table, "width", -1)) == (10.0, 30.0)


@pytest.mark.parametrize("span", [(1.0, 7.0), (3.1, 3.4), (0.05, 0.4), (20_000.0, 90_000.0), (1.0, 1.004), (5.0, 5.0)])
def test_every_logarithmic_axis_has_two_labels(ax, span):
    ax.plot(span, span)
    ax.set(xscale="log", yscale="log")
    label_logs(ax)
    assert all(len(set(labels_in_view(axis))) >= 2 for axis in (ax.xaxis, ax.yaxis))


def test_axes_that_are_labelled_already_are_left_alone(ax):
    ax.plot([1, 1e4], [1, 1e4])
    ax.set(xscale="log", yscale="log")
    before = labels_in_view(ax.xaxis)
    label_logs(ax)
    assert labels_in_view(ax.xaxis) == before


def test_numbers_are_short():
    assert [short_number(one) for one in (0.02, 43.0, 9999.0, 1e5, 2e4, 3e-7)] == [
        "0.02", "43", "9999", "$10^{5}$", r"$2\times10^{4}$", r"$3\times10^{-7}$",
    ]  # fmt: skip


def test_intervals_that_a_panel_cuts_go_on_as_carets(ax):
    table = pd.DataFrame({"width": [1, 2], "value": [2.0, 2.0], "low": [1.9, -9.0], "high": [9.0, 2.1]})
    draw_series(table, ax=ax, look=Look("red", "o"))
    ax.set_ylim(1, 3)
    for _ in range(2):  # once more changes nothing
        mark_cut_bars(ax)
        marks = [line for line in ax.lines if line.get_gid() == "cut"]
        found = {(float(np.asarray(one.get_xdata())[0]), one.get_marker()) for one in marks}
        assert found == {(1.0, CARETUP), (2.0, CARETDOWN)}
        assert len(marks) == 2
    ax.set_ylim(-10, 10)
    mark_cut_bars(ax)
    assert not [line for line in ax.lines if line.get_gid() == "cut"]
