from __future__ import annotations

import errno
import os
import shutil

import pytest

from ntk1bit.cli.main import main
from ntk1bit.reports import write_report

from .documents import small_run, verification


def call(capsys, *arguments):
    """Run the program in this process; return its exit code, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main(["report", *map(str, arguments)])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def refusal(capsys, *arguments) -> str:
    code, out, err = call(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("ntk1bit: ")
    return err


def test_a_sweep_and_a_verification_get_a_report_each(capsys, tmp_path):
    small_run(tmp_path / "sweep", finish=False)
    verification(tmp_path / "verification")
    for name, title in (("sweep", "Sweep sweep"), ("verification", "Verdicts on 3 claims")):
        code, out, err = call(capsys, tmp_path / name)
        assert (code, out, err) == (0, f"{tmp_path / name / 'report.html'}\n", "")
        assert f"<h1>{title}" in (tmp_path / name / "report.html").read_text(encoding="utf-8")
    code, out, _ = call(capsys, tmp_path / "sweep", "--out", tmp_path / "new" / "folder" / "page.HTML")
    assert code == 0
    assert (tmp_path / "new" / "folder" / "page.HTML").is_file()


def test_progress_says_what_is_done(tmp_path):
    told: list[tuple[str, float]] = []
    small_run(tmp_path / "sweep")
    write_report(tmp_path / "sweep", progress=lambda what, share: told.append((what, share)))
    assert [what for what, _ in told][:3] == ["starting", "reading the run", "estimating"]
    assert told[-1][0].startswith("drawing group")
    shares = [share for _, share in told]
    assert shares == sorted(shares)


def test_a_folder_with_both_is_a_verification(capsys, tmp_path):
    small_run(tmp_path / "both", finish=False)
    verification(tmp_path / "both")
    assert call(capsys, tmp_path / "both")[0] == 0
    assert "<h1>Verdicts" in (tmp_path / "both" / "report.html").read_text(encoding="utf-8")


def test_a_report_does_not_stand_in_the_way_of_resuming(capsys, tmp_path):
    from ntk1bit.experiments import run_all

    spec = small_run(tmp_path / "run", finish=False, widths=(16,), seeds=(0,), precisions=("full",))
    assert call(capsys, tmp_path / "run")[0] == 0
    assert run_all(spec, tmp_path / "run").computed == 1


def test_places_that_are_no_runs(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun" / "studies").mkdir(parents=True)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "spec.toml").write_text("[sweep\n")
    verification(tmp_path / "damaged", format=7)
    for name, words in (
        ("nowhere", "does not exist"),
        ("file", "is a file, not a folder"),
        ("empty", "neither a sweep"),
        ("begun", "is not finished"),
        ("bad", "not valid TOML"),
        ("damaged", "has format 7"),
        ("a" * 5000, "ntk1bit: "),
        ("a\nb", "does not exist"),
    ):
        assert words in refusal(capsys, tmp_path / name)
    refusal(capsys)
    refusal(capsys, tmp_path / "empty", "--format", "pdf")
    assert not list(tmp_path.rglob("*.html"))


@pytest.mark.parametrize("out", ["", ".", "page.pdf", "verdicts.json", "spec.toml", "page.html/", ".html"])
def test_an_out_that_is_no_page_is_refused_and_touches_nothing(capsys, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    verification(tmp_path)
    (tmp_path / "page.html").mkdir()
    before = sorted(tmp_path.iterdir()), (tmp_path / "verdicts.json").read_bytes()
    assert "--out" in refusal(capsys, tmp_path, "--out", out) or out.startswith("page.html")
    assert (sorted(tmp_path.iterdir()), (tmp_path / "verdicts.json").read_bytes()) == before


def test_a_place_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    verification(tmp_path / "run")
    assert "cannot write" in refusal(capsys, tmp_path / "run", "--out", tmp_path / "file" / "page.html")
    assert "too long" in refusal(capsys, tmp_path / "run", "--out", tmp_path / ("x" * 300 + ".html"))


def test_a_full_disk_leaves_the_report_before_as_it_was(capsys, tmp_path, monkeypatch):
    verification(tmp_path)
    (tmp_path / "report.html").write_text("the report before")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in refusal(capsys, tmp_path)
    assert (tmp_path / "report.html").read_text() == "the report before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "verdicts.json"]


def test_help_has_an_example(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert "Example: ntk1bit report" in out


def test_a_run_is_not_changed_by_its_report(capsys, tmp_path):
    small_run(tmp_path / "run", widths=(16,), seeds=(0,))
    shutil.copytree(tmp_path / "run", tmp_path / "before")
    call(capsys, tmp_path / "run", "--out", tmp_path / "page.html")
    here, there = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("run", "before")
    )
    assert here == there
