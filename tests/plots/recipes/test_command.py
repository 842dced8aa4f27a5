"""`python -m ntk1bit.plots.recipes`: files, and what it says when it cannot."""

from __future__ import annotations

import json

import pytest
from ntk1bit.plots.recipes.__main__ import main

from ntk1bit.claims import verdict_file as verdicts
from ntk1bit.plots.recipes import __main__ as command
from ntk1bit.plots.recipes.catalogue import RECIPES

from .made_up import document


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Return a folder of made-up results; that the reader accepts real ones is tested elsewhere."""
    monkeypatch.setattr(command, "read_results", lambda folder: json.loads((folder / verdicts.FILE).read_text()))
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / verdicts.FILE).write_text(json.dumps(document()))
    return folder


def test_each_figure_is_a_pdf_and_a_png_and_the_same_bytes_again(stored, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["drift", "--results", str(stored), "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out / "drift.pdf"), str(out / "drift.png")]
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(first) == {"drift.pdf", "drift.png"}
    assert first["drift.pdf"].startswith(b"%PDF")
    assert first["drift.png"].startswith(b"\x89PNG")
    assert main(["drift", "--results", str(stored / verdicts.FILE), "--out", str(out)]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_all_are_drawn_by_default_but_for_what_is_missing(stored, tmp_path, capsys):
    results = document()
    results["claims"] = [one for one in results["claims"] if one["id"] not in ("C4", "C1b", "C2-law", "C3", "C0")]
    (stored / verdicts.FILE).write_text(json.dumps(results))
    out = tmp_path / "out"
    assert main(["--results", str(stored), "--out", str(out)]) == 0
    missing = {"scaling", "terms", "floor", "gap", "limits"}
    assert {path.stem for path in out.iterdir()} == set(RECIPES) - missing
    told = capsys.readouterr().err
    assert all(f"left out {name}: the results lack claim" in told for name in missing)


def refused(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_unknown_names_are_refused(capsys):
    told = refused(capsys, "drfit")
    assert "did you mean 'drift'" in told
    assert "flip-noise" in told


def test_missing_results_say_how_to_make_them(tmp_path, capsys):
    told = refused(capsys, "drift", "--results", str(tmp_path / "none"))
    assert "make verify" in told
    assert "--preset quick" in told


def test_damaged_results_are_refused(tmp_path, capsys):
    (tmp_path / verdicts.FILE).write_text("{")
    assert "damaged" in refused(capsys, "--results", str(tmp_path))


def test_a_figure_that_was_named_must_be_drawn(stored, tmp_path, capsys):
    (stored / verdicts.FILE).write_text(json.dumps(document() | {"claims": []}))
    told = refused(capsys, "drift", "--results", str(stored), "--out", str(tmp_path / "out"))
    assert "cannot draw drift: the results lack claim C1" in told


def test_a_place_that_cannot_be_written_is_told(stored, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, "drift", "--results", str(stored), "--out", str(tmp_path / "file"))


def test_results_and_preset_exclude_each_other(tmp_path, capsys):
    assert "one of the two" in refused(capsys, "--results", str(tmp_path), "--preset", "quick")


def test_unknown_presets_are_refused(capsys):
    assert "unknown preset 'fast'" in refused(capsys, "drift", "--preset", "fast")


@pytest.mark.parametrize(("names", "claims"), [(["gap", "drift"], {"C1", "C3", "C3-paired"}), (["verdicts"], None)])
def test_a_preset_runs_the_studies_of_the_figures_named(names, claims, tmp_path, monkeypatch):
    """The verification itself is tested where it lives; here it is what is asked of it."""
    asked = {}

    def verify(chosen, work, *, preset, folder, jobs, progress):
        asked.update(claims=set(chosen), studies={one.study.name for one in work}, preset=preset, folder=str(folder))
        return document()

    monkeypatch.setattr(command.verification, "verify", verify)
    assert main([*names, "--preset", "quick", "--out", str(tmp_path)]) == 0
    assert asked["preset"] == "quick"
    assert asked["folder"].endswith("figures-quick")
    if claims is None:
        assert len(asked["claims"]) > 20  # a figure of all claims needs all
    else:
        assert asked["claims"] == claims
        assert asked["studies"] == {"digits", "functions", "gap-dims", "gap-kappas"}
