"""Names are shown letter by letter, and figures do not hang on the user's matplotlibrc."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import hypothesis
import hypothesis.strategies as st
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure

from ntk1bit.cli.main import main
from ntk1bit.estimators import drift
from ntk1bit.experiments import SweepSpec, run_all
from ntk1bit.plots import deep as deep_plots
from ntk1bit.plots import language as language_plots
from ntk1bit.plots import sweep as plots
from ntk1bit.plots.kernels import plot_eigenvalues, plot_kernel
from ntk1bit.plots.looks import Formula, drawing, literal

from ..estimators.frames import run_frame
from ..labels import LABELS

USERS: Any = {
    "LaTeX": {"text.usetex": True},
    "no formulas": {"text.parse_math": False},
    "numbers as in the locale": {"axes.formatter.use_locale": True},
    "numbers as formulas": {"axes.formatter.use_mathtext": True},
    "formulas in Computer Modern": {"mathtext.fontset": "cm", "mathtext.fallback": "None"},
    "formulas in a font that is missing": {"mathtext.fontset": "custom", "mathtext.rm": "No Such Font"},
    "bold formulas": {"mathtext.default": "bf"},
    "cut out": {"savefig.bbox": "tight", "savefig.transparent": True, "savefig.format": "svg"},
    "another layout": {"figure.autolayout": True},
    "a layout": {"figure.constrained_layout.use": True},
    "a cycle of lines": {"axes.prop_cycle": cycler(linestyle=["-", ":"])},
    "a cycle of markers": {"axes.prop_cycle": cycler(color=["r", "b"], marker=["o", "x"])},
    "a missing font": {"font.family": ["No Such Font"]},
    "only missing fonts": {"font.family": ["sans-serif"], "font.sans-serif": ["No Such Font"]},
    "serifs": {"font.family": ["serif"]},
    "core fonts": {"pdf.use14corefonts": True, "ps.useafm": True},
    "plain minus": {"axes.unicode_minus": False},
    "letters in SVG": {"svg.fonttype": "none"},
    "another backend": {"backend": "svg"},
}


@pytest.fixture(autouse=True)
def nothing_is_complained_of(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Turn warnings into errors, and look for what matplotlib logs, such as missing fonts."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


def canvas(width: float = 6.0, height: float = 4.0) -> Figure:
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def pixels(text: str, *, parse_math: bool = True) -> np.ndarray:
    figure = canvas(8, 0.5)
    figure.text(0.01, 0.4, text, parse_math=parse_math)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())  # pyright: ignore[reportAttributeAccessIssue] - of Agg


def legend_of(ax: Axes) -> list[str]:
    legend = ax.legend()
    return [text.get_text() for text in legend.get_texts()]


def test_every_name_is_in_the_legend_and_looks_different() -> None:
    figure = canvas(12, 40)
    ax = figure.subplots()
    for label in LABELS:
        ax.plot([0, 1], [0, 1], label=literal(label))
    ax.set(title=literal(LABELS[25]), xlabel=literal("x_$^$"), ylabel=literal("x" * 200))
    shown = legend_of(ax)
    assert shown == [literal(label) for label in LABELS]
    assert len(set(shown)) == len(LABELS)
    figure.canvas.draw()


def test_a_name_is_drawn_as_its_letters_and_nothing_else() -> None:
    plain = [
        label for label in LABELS if label.strip() and label == literal(label).replace("\u200b", "").replace(r"\$", "$")
    ]
    assert len(plain) > 60
    for label in ("one_bit$x$", "_full", "x_$^$", r"\$5", "a\\", "{%", "שלום"):
        assert label in plain
    for label in plain:
        np.testing.assert_array_equal(pixels(literal(label)), pixels(label, parse_math=False))


@hypothesis.given(st.text(max_size=60), st.text(max_size=60))
def test_no_name_is_a_formula_left_out_or_taken_for_another(one: str, other: str) -> None:
    shown = literal(one)
    assert shown
    assert not shown.startswith("_")
    assert not is_math_text(shown)
    assert max(map(len, shown.replace(r"\$", "$").split("\n"))) <= 41  # 40 and what is put before an underscore
    if one != other and "\\" not in one + other and "<" not in one + other and "(" not in one + other:
        assert shown != literal(other)


def test_our_own_formulas_stay_formulas() -> None:
    assert literal(Formula("$m^{-1}$")) == "$m^{-1}$"
    assert not np.array_equal(pixels(literal(Formula("$m^{-1}$"))), pixels(literal("$m^{-1}$")))


@pytest.mark.parametrize("label", ["_full", "one_bit$x$", "", "$"])
def test_plots_take_any_name(label: str) -> None:
    """Every axes-level plot that is given names by its caller, or reads them from a table."""
    shown = literal(label)

    def cell(width: int, seed: int, precision: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"drift": np.full(11, width**-0.5) * np.exp(0.05 * rng.standard_normal()), "loss": np.ones(11)}

    axes = list(canvas(12, 8).subplots(2, 4).ravel())
    found = drift(run_frame(cell, widths=(8, 16, 64), seeds=2, steps=10, precisions=("one_bit",)))
    plots.plot_against_width(found, ax=axes[0], names=[label])
    assert legend_of(axes[0])[0].startswith(f"{shown}: 0.90 $m^")  # drifts are m^-1/2, times noise
    plot_eigenvalues({label: np.array([2.0, 1.0]), "b": np.ones(2), "c": np.ones(2), "d": np.ones(2)}, ax=axes[1])
    assert legend_of(axes[1]) == [shown, "b", "c", "d"]
    plot_kernel(np.eye(3), ax=axes[2], label=label)
    table = pd.DataFrame({"arm": ["full", label], "parameters": [100, 100], "loss": [2.0, 2.5]})
    table = table.assign(low=np.nan, high=np.nan, joules=1e-6, times=1.0, excess=0.1, N=100, value=1.0)
    nothing = pd.DataFrame({name: [] for name in ("arm", "parameters", "loss", "low", "high")})
    language_plots.plot_losses(table, nothing, ax=axes[3])
    language_plots.plot_energy(table, ax=axes[4])
    language_plots.plot_excess(table, ax=axes[5])
    for ax in axes[3:6]:
        assert legend_of(ax) == ["full", shown]
    sizes = pd.DataFrame({"N": [64, 128], "value": [1.0, 0.5], "low": np.nan, "high": np.nan})
    sizes = sizes.assign(precision="full", depth=3)
    deep_plots.plot_losses(sizes, ax=axes[6], labels={("full", 3): label})
    assert legend_of(axes[6]) == [shown]
    figure = axes[0].figure
    assert figure is not None
    figure.savefig("/dev/null", format="png")


def test_arms_that_are_left_to_the_table_are_named() -> None:
    ax = canvas().subplots()
    table = pd.DataFrame({"arm": ["full", "far_$", "lost"], "parameters": 100, "loss": [2.0, 9.0, np.nan]})
    nothing = pd.DataFrame({name: [] for name in ("arm", "parameters", "loss", "low", "high")})
    language_plots.plot_losses(table.assign(low=np.nan, high=np.nan), nothing, ax=ax)
    assert legend_of(ax) == ["full"]
    assert "far_\\$, lost" in ax.texts[0].get_text()


def test_eigenvalues_and_losses_that_a_logarithm_cannot_show_are_counted() -> None:
    left, right = canvas().subplots(1, 2)
    plot_eigenvalues({"H": np.array([2.0, 0.0, -1e-17])}, ax=left)
    assert legend_of(left) == ["H (2 not positive, not shown)"]
    table = pd.DataFrame({"N": [64, 128], "value": [1.0, 0.0], "low": np.nan, "high": np.nan})
    deep_plots.plot_losses(table.assign(precision="full", depth=3), ax=right, labels={("full", 3): "a"})
    assert legend_of(right) == ["a (1 not positive or finite)"]


@pytest.mark.parametrize("user", USERS)
def test_figures_are_drawn_whatever_the_users_style(user: str, tmp_path) -> None:
    with mpl.rc_context(rc=USERS[user]):
        with drawing():
            figure = canvas()
            ax = figure.subplots()
            line = ax.plot([1, 1000], [0.1, 10], color="#0072B2", label="$m^{-0.50}$ ‖H(t)‖ λ")[0]
            ax.set(xscale="log", yscale="log", title=literal("_a_$ \U0001f9e0"))
            ax.legend()
            for ending in ("png", "pdf", "svg"):
                figure.savefig(tmp_path / f"figure.{ending}")
        assert (line.get_linestyle(), line.get_marker()) == ("-", "None")
        assert mpl.rcParams["savefig.transparent"] == USERS[user].get("savefig.transparent", False)
    for ending in ("png", "pdf", "svg"):
        assert (tmp_path / f"figure.{ending}").stat().st_size > 3000


def test_what_figures_do_not_depend_on_is_left_to_the_user() -> None:
    style: Any = {"font.size": 17.0, "font.family": ["serif"], "axes.facecolor": "#eeeeee", "savefig.transparent": True}
    with mpl.rc_context(rc=style), drawing():
        assert {name: mpl.rcParams[name] for name in style} == style | {"font.family": ["serif", "DejaVu Sans"]}
    before = dict(mpl.rcParams)
    with drawing():
        assert dict(mpl.rcParams) == before | {"pdf.use14corefonts": False}  # by default nothing changes, bits neither
    assert dict(mpl.rcParams) == before


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs") / "small"
    run_all(SweepSpec(widths=(8, 16, 64), seeds=(0,), steps=6, n_train=(8,), n_test=4), folder)
    return str(folder)


def test_commands_draw_without_latex_where_the_users_style_wants_it(run: str, tmp_path, capsys) -> None:
    table = pd.DataFrame({"x_$^$": [10, 20, 40, 80] * 2, "arm": ["_full"] * 4 + ["one_bit$x$"] * 4})
    table["loss"] = 3 * table["x_$^$"] ** -0.3
    table.to_csv(tmp_path / "t.csv", index=False)
    fit = f"fit {tmp_path / 't.csv'} --law power --x x_$^$ --group arm --bootstrap 0 --plot {tmp_path / 'fit.png'}"
    for command in (fit, f"plot {run} --out {tmp_path / 'plot.pdf'}", f"report {run} --out {tmp_path / 'report.html'}"):
        with mpl.rc_context(rc={"text.usetex": True}), pytest.raises(SystemExit) as ended:
            main(command.split())
        assert ended.value.code == 0, capsys.readouterr().err
    for name in ("fit.png", "plot.pdf", "report.html"):
        assert (tmp_path / name).stat().st_size > 3000
