"""One signature for all figures, their sizes and panels, and that nothing global is left changed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

import ntk1bit.plots
from ntk1bit.errors import InputError
from ntk1bit.plots import deep, kernels, language, recipes, scaling, sweep
from ntk1bit.plots.figures import COLUMN, PAGE, write_figure
from ntk1bit.plots.layout import SLIDE, StyleName, panel, read_sheet
from ntk1bit.plots.looks import PALETTE
from ntk1bit.plots.palettes import ORDERED, PALETTES, SERIES
from ntk1bit.plots.recipes import RECIPES, draw_one
from ntk1bit.plots.sweep import overview_figure

from ..estimators.frames import run_frame
from .recipes.made_up import results
from .sizes import complaints, texts

FIGURES: tuple[Callable[..., Any], ...] = (
    sweep.overview_figure,
    sweep.save_overview,
    language.draw_run,
    deep.draw_frame,
    scaling.summary_figure,
    scaling.write_summary,
    kernels.draw_measurement,
    recipes.draw_one,
    recipes.write_figures,
)
ASKED = {"panels": None, "palette": None, "style": "paper", "columns": None}


def plots() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every public function that fills a panel."""
    for found in pkgutil.walk_packages(ntk1bit.plots.__path__, "ntk1bit.plots."):
        module = importlib.import_module(found.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("plot_") and function.__module__ == found.name:
                yield f"{found.name}.{name}", function


def test_what_fills_a_panel_takes_data_first_and_axes_and_palette_by_keyword():
    found = dict(plots())
    assert len(found) > 20
    keyword = inspect.Parameter.KEYWORD_ONLY
    for name, function in found.items():
        signature = inspect.signature(function)
        ax, palette = signature.parameters["ax"], signature.parameters["palette"]
        assert next(iter(signature.parameters)) != "ax", name
        assert (ax.kind, ax.default, palette.kind, palette.default) == (keyword, ax.empty, keyword, None), name
        assert signature.return_annotation == "Axes", name


@pytest.mark.parametrize("function", FIGURES, ids=lambda one: one.__name__)
def test_whole_figures_take_panels_palette_style_and_columns(function):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in ASKED} == ASKED
    assert {parameters[name].kind for name in ASKED} == {inspect.Parameter.KEYWORD_ONLY}


def cell(width, seed, precision, rng):
    t = np.arange(101) + 1.0
    level = 3.0 / width if precision == "one_bit" else 1e-9
    noise = 0.3 * rng.standard_normal((101, 2)) if precision == "one_bit" else np.ones((101, 2))
    return {"drift": width**-0.5 * np.minimum(t / 100, 1), "loss": 1 / t**2 + level, "test_outputs": list(noise)}


@pytest.fixture(scope="module")
def frame():
    return run_frame(cell, widths=(16, 32, 64, 128))


def widths_of(figure: Figure) -> set[float]:
    """Return the left ends of panels, to tell how many stand side by side."""
    return {round(ax.get_position().x0, 1) for ax in figure.axes}


@pytest.mark.parametrize(
    ("style", "columns", "width", "beside"),
    [("paper", 1, COLUMN, 1), ("paper", 2, PAGE, 2), ("slides", 1, COLUMN * SLIDE / PAGE, 1), ("slides", 2, SLIDE, 2)],
)
def test_a_figure_is_as_wide_as_asked_and_nothing_is_cut_off_or_covered(frame, style, columns, width, beside):
    figure = overview_figure(frame, "a run", style=style, columns=columns)
    assert figure.get_figwidth() == pytest.approx(width)
    assert len(widths_of(figure)) == beside
    assert complaints(figure) == []
    sizes = {float(one.get_fontsize()) for one in texts(figure)}
    assert min(sizes) >= (6 if style == "paper" else 11)


def test_panels_are_drawn_in_the_order_asked_with_letters_that_follow(frame):
    figure = overview_figure(frame, "", panels=["end", "drift"])
    assert [ax.get_title(loc="left")[:7] for ax in figure.axes] == ["(a) los", "(b) ker"]
    (alone,) = overview_figure(frame, "", panels="drift", columns=1).axes
    assert alone.get_title(loc="left") == "kernel drift"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"panels": "drift,gup"},
            r"unknown panel 'gup' \(did you mean 'gap'\?\); choose one of: loss, drift, end, gap",
        ),
        ({"panels": ["predictions"]}, "unknown panel 'predictions'"),
        ({"panels": ""}, "cannot read the panels ''"),
        ({"style": "poster"}, "unknown style 'poster'; choose one of: paper, slides"),
        ({"columns": 3}, r"columns must be 1 \(one column of a journal\) or 2 \(the page\), got 3"),
        ({"palette": {"onebit": "red"}}, "unknown series in the palette 'onebit'"),
    ],
)
def test_mistakes_are_told_in_one_line(frame, asked, words):
    with pytest.raises(InputError, match=words) as told:
        overview_figure(frame, "", **asked)
    assert "\n" not in str(told.value)


def test_nothing_global_is_changed_and_the_next_figure_has_our_colours(frame, tmp_path):
    before = dict(mpl.rcParams)
    asked: dict[str, Any] = {"palette": {"one_bit": "#aa0000", "full": "navy"}, "style": "slides", "columns": 1}
    figure = overview_figure(frame, "", panels="drift", **asked)
    write_figure(figure, tmp_path / "one.pdf")
    assert dict(mpl.rcParams) == before
    usual = overview_figure(frame, "", panels="drift")
    for drawn, colours in ((figure, ("#aa0000", "navy")), (usual, (PALETTE[1], PALETTE[0]))):
        marked = [line for line in drawn.axes[0].lines if line.get_marker() in ("o", "s")]
        assert {str(line.get_marker()) for line in marked} == {"o", "s"}
        assert all(same_color(line.get_color(), colours[line.get_marker() == "s"]) for line in marked)


def test_ticks_look_alike_whenever_the_figure_is_saved(frame, tmp_path):
    """Matplotlib makes ticks when a figure is saved: by then a user has other settings."""
    figure = overview_figure(frame, "", panels="drift", columns=1)
    with mpl.rc_context({"xtick.labelsize": 30, "grid.linewidth": 9}):
        figure.savefig(tmp_path / "one.png")
        assert {label.get_fontsize() for label in figure.axes[0].get_xticklabels()} == {7}


@pytest.mark.parametrize(("style", "columns"), [("paper", 1), ("slides", 2)])
@pytest.mark.parametrize("name", RECIPES)
def test_figures_of_verdicts_fit_a_column_and_a_slide(name, style, columns):
    figure = draw_one(RECIPES[name], results(), style=style, columns=columns, palette="tol-bright")
    assert figure.get_figwidth() == pytest.approx((COLUMN, PAGE)[columns - 1] if style == "paper" else SLIDE)
    assert len(figure.axes) == len(RECIPES[name].panels)
    assert [one for one in complaints(figure) if "cut off" in one] == []


@pytest.mark.parametrize("name", RECIPES)
def test_every_panel_of_every_figure_can_be_drawn_alone(name):
    for one in RECIPES[name].panels:
        assert len(draw_one(RECIPES[name], results(), panels=[one]).axes) == 1, one


def test_a_figure_is_arranged_as_it_was_made_unless_something_else_is_asked():
    rows, size = [["a", "b", "c"], ["a", "d", "e"]], (PAGE, 3.0)
    with read_sheet().drawing():
        own, _ = read_sheet().figure(rows, size)
        page, _ = read_sheet(columns=2).figure(rows, size)
        few, axes = read_sheet(panels="e,a", columns=2).figure(rows, size)
        long, _ = read_sheet(columns=1).figure(rows, size)
    assert own.get_size_inches().tolist() == page.get_size_inches().tolist() == [PAGE, 3.0]
    assert few.axes == [axes["e"], axes["a"]]
    assert axes["b"].figure is not few  # drawn on, and not shown
    assert len(long.axes) == 5
    assert long.get_figheight() > 5 * 2


def test_panels_have_letters_where_there_are_several():
    several, alone = Figure().subplots(1, 2), Figure().subplots()
    for ax in (*several, alone):
        panel(ax, "title")
    assert [ax.get_title() for ax in (*several, alone)] == ["(a) title", "(b) title", "title"]


def test_the_page_has_every_panel_palette_and_series():
    page = (Path(__file__).parents[2] / "docs" / "figures.md").read_text(encoding="utf-8")
    rows = {cells[1].strip(): cells[2] for line in page.splitlines() if len(cells := line.split("|")) == 4}
    named = {name: re.findall(r"`([\w-]+)`", row) for name, row in rows.items()}
    for name, recipe in RECIPES.items():
        assert tuple(named[f"`{name}`"]) == recipe.panels
    for kind, panels in (
        ("`train-lm`", language.PANELS),
        ("`fit` (Python)", scaling.PANELS),
        ("`ntk` (Python)", kernels.PANELS),
    ):
        assert named[kind] == list(panels)
    assert set(named["`sweep`"]) - {"--predictions"} == set(sweep.PANELS)
    words = set(re.findall(r"`([\w -]+)`", page))
    assert words >= {*PALETTES, *(name for names in SERIES.values() for name in names), ORDERED}
    assert all(f"--style {name}" in page for name in get_args(StyleName))
    for name, function in plots():
        module = name.rpartition(".")[0]
        assert f"`{function.__name__}`" in page or "recipes" in module or module.endswith("axes"), name
