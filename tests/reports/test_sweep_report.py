from __future__ import annotations

import json
import shutil

import pytest

from ntk1bit.estimators import overview
from ntk1bit.estimators.run_overview import COLUMNS
from ntk1bit.experiments import open_run
from ntk1bit.reports.formats import number
from ntk1bit.reports.sweep_report import sweep_page

from .documents import Reader, assert_complete_in_itself, small_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small <run>"
    small_run(folder, inits=("iid", "paired"), scales=("std", "absmean"), predictions=True)
    return folder


@pytest.fixture(scope="module")
def page(run):
    return sweep_page(run)


def test_the_page_is_complete_in_itself(page):
    assert_complete_in_itself(page)
    assert page.count("<img") == 2  # a figure for each init
    assert len(page) < 3_000_000  # bytes; a run of 60 cells is to stay below 5 MB, mostly figures


def test_every_value_and_every_law_is_in_its_table(run, page):
    found = overview(open_run(run).frame(COLUMNS))
    read = Reader(page)
    values = found.values()
    assert len(values) > 50
    for row in values.to_dict("records"):
        value = number(row["value"], even=True)
        low, high = (number(row[name], even=True) for name in ("low", "high"))
        assert (value if (low, high) == ("–", "–") else f"{value} [{low}, {high}]") in read.text
    for row in found.exponents().to_dict("records"):
        assert (number(row["exponent"], even=True) if row["warranted"] else row["note"][1:]) in read.text
    for one in found.quantities:
        assert one.meaning[1:] in read.text
        assert page.count(f"<h3>{one.quantity}</h3>") == 2  # once for each init
        for note in one.notes:
            assert note[1:] in read.text
    assert page.count("<tr>") > len(values) / 3  # precisions and scales stand side by side
    assert read.tags.count("table") >= 2 * len({one.quantity for one in found.quantities})


def test_settings_versions_and_groups_are_there(run, page):
    text = Reader(page).text
    spec = open_run(run).spec
    for name in spec.as_dict():
        assert name in text
    assert "digits, d = 64, n = 16, init iid, κ = 1, ηrel = 1" in text
    assert "36 of 36 networks are trained" in text
    assert "1-bit, absmean" in text
    assert "Sweep small <run>" in text
    assert "numpy" in text
    assert "2 seeds: intervals are an indication" in text


def test_the_same_run_gives_the_same_page(run, page):
    assert sweep_page(run) == page


def test_what_is_missing_failed_or_damaged_is_told(run, tmp_path):
    partial = tmp_path / "partial"
    shutil.copytree(run, partial)
    cells = {cell.key: cell for cell in open_run(partial).experiments}
    keys = sorted(cells)
    for key in keys[:5]:
        (partial / "cells" / f"{key}.parquet").unlink()
    (partial / "cells" / f"{keys[5]}.parquet").write_bytes(b"PAR1")
    lines = [json.dumps({"key": key, "why": f"<ValueError {key}>"}) for key in (keys[0], keys[30])]
    (partial / "failures.jsonl").write_text("\n".join(["{", "[]", "3", *lines, lines[0][:20]]))
    made = sweep_page(partial)
    assert_complete_in_itself(made)
    text = Reader(made).text
    assert "30 of 36 networks are trained" in text
    assert "Unfinished cells: 4 of 36" in text  # a fifth one failed, and the damaged one is named
    assert f"{keys[5]}.parquet left out" in text
    assert "Failed cells: 1," in text
    assert f"<ValueError {keys[0]}>" in text
    assert keys[30] not in text  # it failed once and is finished now


def test_a_run_without_a_finished_cell(tmp_path):
    small_run(tmp_path / "run", finish=False)
    made = sweep_page(tmp_path / "run")
    assert_complete_in_itself(made)
    assert "no finished cells yet" in made
    assert "Unfinished cells: 12 of 12" in made
    assert "<img" not in made


def test_diverged_cells_are_listed(tmp_path):
    small_run(tmp_path / "run", widths=(16, 32), precisions=("full",), seeds=(0,), eta_rel=50.0, steps=300)
    about = open_run(tmp_path / "run").about
    assert all(one["diverged"] for one in about.values())
    made = sweep_page(tmp_path / "run")
    assert_complete_in_itself(made)
    text = Reader(made).text
    assert "Diverged cells: 2;" in text
    assert "Cells that diverged" in text
    assert "steps reached" in text


@pytest.mark.parametrize(
    "settings",
    [
        {"precisions": ("one_bit",)},
        {"widths": (16,), "seeds": (0,)},
        {"n_test": 0},
        {"tasks": ("digits", "sphere-linear"), "terms": True, "widths": (16,)},
    ],
)
def test_runs_of_other_shapes(tmp_path, settings):
    small_run(tmp_path / "run", **settings)
    assert_complete_in_itself(sweep_page(tmp_path / "run"))


def test_other_versions_are_told(tmp_path):
    other = tmp_path / "other"
    small_run(other, widths=(16,), seeds=(0,), precisions=("full",))
    spec = (other / "spec.toml").read_text()
    lines = ['numpy = "0.0.1"' if line.startswith("numpy =") else line for line in spec.splitlines()]
    (other / "spec.toml").write_text("\n".join(lines))
    assert "in place of 0.0.1" in sweep_page(other)


@pytest.mark.parametrize("versions", ['versions = "3"', "[[versions]]\nnumpy = 3", ""])
def test_versions_that_are_none_do_not_cost_the_page(tmp_path, versions):
    small_run(tmp_path / "run", finish=False)
    settings, rest = (tmp_path / "run" / "spec.toml").read_text().split("[versions]")
    sweep = settings + rest[rest.index("[made]") :]
    text = f"{versions}\n{sweep}" if versions.startswith("versions") else f"{sweep}\n{versions}"
    (tmp_path / "run" / "spec.toml").write_text(text)
    assert_complete_in_itself(sweep_page(tmp_path / "run"))
