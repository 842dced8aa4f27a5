"""Arms fitted as groups of one table, under every two options, are the arms fitted alone, bit for bit."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

from ntk1bit.cli.fitting import run_fit
from ntk1bit.errors import InputError
from ntk1bit.plots import scaling as drawing
from ntk1bit.plots.scaling import plot_fit, summary_figure
from ntk1bit.scaling import FitRequest, fit
from ntk1bit.scaling.analysis import analyse
from ntk1bit.scaling.laws import get_law

from .arms import AMPLITUDES, best_size, isoflops, two_arms

ARMS = tuple(AMPLITUDES)
OPTIONS: dict[str, dict[str, Any]] = {
    "group": {},  # always on: the arms are the groups
    "run": {"run": "run"},
    "cluster": {"cluster": "seed"},
    "found": {"cluster": None},  # runs, or of their ends seeds; the other options take rows as independent
    "where": {"where": "half=1"},
    "frontier": {"frontier": True},
    "holdout": {"holdout": 0.3},
    "tilt": {"tilt": 0.3},
    "plot": {"plot": "fit.png"},
    "out": {},  # always on: the reports are compared
}
PAIRS = list(itertools.combinations(OPTIONS, 2))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arms") / "arms.csv"
    two_arms().to_csv(path, index=False)
    return path


def report(table: Path, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    held = get_law("chinchilla").fix(E=1.69, beta=0.28)  # 27 starts
    places = {name: options[name] for name in ("where", "plot") if name in options}
    asked = {name: value for name, value in options.items() if name not in places}
    out = folder / "fit.json"
    run_fit(table, {"bootstrap": 20, **asked}, law=held, given={"N": "N", "D": "D"}, out=out, **places)
    return json.loads(out.read_text())


def part(content: dict[str, Any], group: str) -> dict[str, Any]:
    """Return what a report says of one group, without its name."""
    named = {name: content.get(name, []) for name in ("extrapolation", "frontier", "frontier_disagreement")}
    mine = {name: [_unnamed(row) for row in rows if row.get("group", group) == group] for name, rows in named.items()}
    return {"fit": content["fits"][group], **mine}


def _unnamed(content: Any) -> Any:
    if isinstance(content, list):
        return [_unnamed(each) for each in content]
    if isinstance(content, dict):
        return {name: _unnamed(each) for name, each in content.items() if name != "group"}
    return content


def drawn(figure: matplotlib.figure.Figure) -> set[bytes]:
    """Return all coordinates drawn as lines or points."""
    shown = set()
    for ax in figure.axes:
        shown |= {np.asarray(line.get_xydata()).tobytes() for line in ax.get_lines()}
        shown |= {np.ma.getdata(each.get_offsets()).tobytes() for each in ax.collections}
    return shown


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_arms_together_are_the_arms_alone(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    figures: list[matplotlib.figure.Figure] = []

    def keep(*content: Any, **options: Any) -> matplotlib.figure.Figure:
        figures.append(summary_figure(*content, **options))
        return figures[-1]

    monkeypatch.setattr(drawing, "summary_figure", keep)
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", lambda *_arguments, **_options: None)
    options = {"cluster": (), **OPTIONS[first], **OPTIONS[second]}
    if "plot" in options:
        options["plot"] = tmp_path / options["plot"]
    together = report(table, tmp_path, {**options, "group": "arm"})
    assert list(together["fits"]) == list(ARMS)
    for i, arm in enumerate(ARMS):
        seed = i if options["cluster"] == () else 0  # shared clusters are drawn together, with one seed
        where = ",".join(filter(None, (options.get("where"), f"arm={arm}")))
        alone = report(table, tmp_path, {**options, "where": where, "seed": seed})
        expected = part(alone, "all")
        assert part(together, arm) == expected
        assert bool(expected["frontier"]) == ("frontier" in (first, second))
        assert bool(expected["extrapolation"]) == ("holdout" in (first, second))
    for alone in figures[1:]:
        assert drawn(alone) <= drawn(figures[0])
    assert len(figures) == (3 if "plot" in options else 0)


def test_each_group_has_its_own_frontier() -> None:
    table = pd.concat([isoflops(amplitude).assign(arm=arm) for arm, amplitude in AMPLITUDES.items()])
    request = FitRequest(
        law=get_law("chinchilla"), x={"N": "N", "D": "D"}, loss="loss", group="arm", bootstrap=0, frontier=True
    )
    found = analyse(table, request)
    assert [(each.group, each.route) for each in found.frontiers] == [
        (arm, route) for arm in ARMS for route in ("parametric", "isoflop")
    ]
    for each in found.frontiers:
        arm = str(each.group)
        size = best_size(AMPLITUDES[arm], 1e21)
        if each.route == "parametric":  # without noise, the truth to the solver's tolerance in flat directions
            assert np.exp(each.log_n[0, -1]) == pytest.approx(size, rel=1e-3)
            continue
        own = table.loc[(table["arm"] == arm) & np.isclose(6 * table["N"] * table["D"], 1e21)]
        square, slope, _ = np.polyfit(np.log(own["N"] / size), np.log(own["loss"]), 2)
        assert np.exp(each.log_n[0, -1]) == pytest.approx(size * np.exp(-slope / (2 * square)), rel=1e-9)
        assert np.exp(each.log_n[0, -1]) == pytest.approx(size, rel=0.05)  # the curve is no parabola
    text = found.markdown()
    assert "| a     | isoflop    |" in text
    assert "| b     | parametric |" in text
    assert [entry["group"] for entry in found.as_dict()["frontier"]] == ["a", "a", "b", "b"]
    assert set(found.as_dict()["frontier_disagreement"][0]) >= {"group", "first", "second"}
    assert len(found.as_dict()["frontier_disagreement"]) == len(ARMS)


def test_the_figure_shows_every_group_of_a_law_of_two_variables() -> None:
    table = two_arms()
    request = FitRequest(
        law=get_law("chinchilla").fix(E=1.69, beta=0.28),
        x={"N": "N", "D": "D"},
        loss="loss",
        group="arm",
        bootstrap=20,
        frontier=True,
        run="run",
    )
    found = analyse(table, request)
    figure = summary_figure(found.fits, found.frontiers)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title[:3] for title in titles[:2]] == ["a: ", "b: "]
    legend = figure.axes[titles.index("compute-optimal size")].get_legend()
    assert legend is not None
    shown = [text.get_text().partition(":")[0] for text in legend.get_texts()]
    assert set(shown) == {f"{arm}, {route}" for arm in ARMS for route in ("parametric", "isoflop", "envelope")}
    with pytest.raises(InputError, match="one group on its own axes"):
        plot_fit(found.fits, ax=matplotlib.figure.Figure().subplots())


def test_a_route_that_a_group_does_not_show_is_told_and_takes_nothing_away() -> None:
    table = two_arms()
    few = table.loc[(table["arm"] == "a") | (table["run"] % 7 < 4)]  # b has four sizes a budget
    request = FitRequest(
        law=get_law("chinchilla").fix(E=1.69, beta=0.28),
        x={"N": "N", "D": "D"},
        loss="loss",
        group="arm",
        bootstrap=0,
        frontier=True,
        run="run",
    )
    found = analyse(few, request)
    assert ("b", "isoflop") not in [(each.group, each.route) for each in found.frontiers]
    assert ("a", "isoflop") in [(each.group, each.route) for each in found.frontiers]
    assert any(line.startswith("arm = b: no budget has five runs") for line in found.remarks)
    assert "- note: arm = b: no budget" in found.markdown()


def test_a_repeated_index_changes_nothing() -> None:
    table = two_arms()
    request = FitRequest(
        law=get_law("chinchilla").fix(E=1.69, beta=0.28),
        x={"N": "N", "D": "D"},
        loss="loss",
        group="arm",
        cluster="seed",
        bootstrap=20,
        holdout=0.3,
        frontier=True,
        run="run",
    )
    repeated = table.set_axis(np.arange(len(table)) % 5, axis=0)
    assert analyse(repeated, request).as_dict() == analyse(table, request).as_dict()
    whole = fit(table, request.law, bootstrap=20, cluster="name")
    np.testing.assert_array_equal(fit(repeated, request.law, bootstrap=20, cluster="name").latent, whole.latent)
