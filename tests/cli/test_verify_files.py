from __future__ import annotations

import json

import pytest

from ntk1bit.cli.main import main

from ..reports.documents import Reader, assert_complete_in_itself, small_run

MINE = """
[claim]
id = "mine"
title = "drift falls"
statement = "The drift falls."

[[criterion]]
kind = "exponent"
measure = "drift"
at = "largest"
where = {precision = "one_bit"}
high = 5.0
"""
SWEEP = '[sweep]\ntasks = "sphere-linear"\nwidths = [16, 32, 64]\nsteps = 10\nn_train = 8\nn_test = 4\nseeds = [0, 1]\n'


def call(capsys, *arguments):
    """Run the program in this process; return its exit code, output and errors, without lines of progress."""
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return ended.value.code, out, "".join(line for line in err.splitlines(keepends=True) if not line.startswith("["))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    small_run(folder, tasks=("sphere-linear",), widths=(16, 32, 64, 128), seeds=(0, 1, 2, 3, 4))
    return folder


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(MINE)
    return tmp_path / "mine.toml"


def test_a_claim_goes_from_file_to_page(capsys, mine, run):
    code, out, err = call(capsys, "verify", "mine.toml", run)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "mine: SUPPORTED: drift falls"
    assert lines[1].startswith("measured: exponent in m of drift (largest, 1-bit)")
    assert lines[2].startswith("rule: exponent in m of drift (largest, 1-bit) is at most 5")
    assert len(lines) <= 8
    page = (mine.parent / "runs" / "verify-mine" / "report.html").read_text(encoding="utf-8")
    assert_complete_in_itself(page)
    assert "Verdict on 1 claim about 1-bit networks" in Reader(page).text
    assert page.count("data:image/") == 1
    assert "fixed before its data" not in page  # which the program cannot know of a run that was there
    code, out, _ = call(capsys, "report", "runs/verify-mine")
    assert (code, out.strip()) == (0, "runs/verify-mine/report.html")


def test_json_is_all_that_is_printed(capsys, mine, run):
    code, out, _ = call(capsys, "verify", mine, run, "--json", "--out", "v")
    found = json.loads(out)
    assert (code, [one["id"] for one in found], found[0]["outcome"]) == (0, ["mine"], "supported")
    assert found[0]["measures"][0]["kind"] == "estimate"


def test_a_sweep_that_the_file_asks_for_is_run_after_what_it_lacks_is_told(capsys, mine):
    mine.write_text(MINE + SWEEP)
    code, out, err = call(capsys, "verify", mine, "--dry-run")
    assert (code, "mine" in out, "2 seeds, and a finding needs 5" in err) == (0, True, True)
    assert not (mine.parent / "runs").exists()
    code, out, err = call(capsys, "verify", mine, "--jobs", "1")
    assert (code, err.count("\n")) == (0, 1)
    assert "mine: INCONCLUSIVE" in out
    code, out, err = call(capsys, "verify", mine, "--jobs", "1", "--seeds", "5")
    assert (code, err) == (0, "")
    assert "mine: SUPPORTED" in out


def test_the_rule_is_listed(capsys, mine):
    code, out, _ = call(capsys, "verify", mine, "--list")
    assert (code, out.splitlines()[0]) == (0, "mine: drift falls (" + str(mine) + ")")
    assert "rule: exponent in m of drift" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mine.toml", "C1"], "'C1' is no claim file"),
        (["C1", "RUN"], "is a run; name the claim as well"),
        (["RUN"], "is a run; name the claim as well"),
        (["mine.toml", "RUN", "RUN"], "judged on one run, got 2"),
        (["none.toml", "RUN"], "cannot read none.toml"),
        (["mine.toml"], "names no run"),
        (["mine.toml", "runs/none"], "no run folder"),
        (["mine.toml", "RUN", "--preset", "quick"], "--preset is for the claims of the documents"),
        (["mine.toml", "RUN", "--publish"], "--publish is for the claims of the documents"),
        (["mine.toml", "RUN", "--seeds", "5"], "--seeds is for a sweep"),
        (["mine.toml", "RUN", "--jobs", "0"], "--jobs must be"),
        (["mine.toml", "RUN", "--out", "mine.toml"], "is a file, not a folder"),
        (["mine.toml", "C1", "--list"], "'C1' is no claim file"),
        (["mine.txt"], "must end in .toml or .py"),
    ],
)
def test_what_does_not_go_together_is_told_in_a_line(capsys, mine, run, words, told):
    (mine.parent / "mine.txt").write_text("")
    code, out, err = call(capsys, "verify", *[str(run) if word == "RUN" else word for word in words])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err


def test_measures_are_printed_within_a_hundred_columns(capsys):
    from ntk1bit.estimators.measured import MEASURES
    from ntk1bit.estimators.moments import MOMENTS

    code, out, _ = call(capsys, "measures")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 100
    first = {line.split("  ")[0] for line in out.splitlines()}
    assert {*MEASURES, *MOMENTS, "exponent", "level", "ratio", "count"} <= first
    code, out, _ = call(capsys, "measures", "--json")
    assert [one["name"] for one in json.loads(out)["measures"]] == [*MEASURES]
    code, out, _ = call(capsys, "measures", "--csv")
    assert len(out.splitlines()) == len(MEASURES) + 1
