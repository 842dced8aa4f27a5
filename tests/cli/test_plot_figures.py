"""`ntk1bit plot` of a verification: files, and what it says when it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread as read_image

from ntk1bit.claims.results import FILE
from ntk1bit.cli.main import main
from ntk1bit.plots.recipes import RECIPES

from ..plots.recipes.made_up import document
from ..reports.documents import as_stored


@pytest.fixture
def stored(tmp_path):
    """Return a folder of made-up results."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / FILE).write_text(as_stored(document()))
    return folder


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["plot", *map(str, arguments)])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_each_figure_is_a_pdf_and_a_png_and_the_same_bytes_again(stored, tmp_path, capsys):
    out = tmp_path / "out"
    paths = [str(out / name) for name in ("drift.pdf", "drift.png", "floor.pdf", "floor.png")]
    code, printed, err = call(capsys, stored, "--figures", "drift, floor", "--out", out)
    assert (code, printed.split(), err) == (0, paths, "")
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(first) == 4
    assert first["drift.pdf"].startswith(b"%PDF")
    assert first["drift.png"].startswith(b"\x89PNG")
    assert call(capsys, stored, "--figures", "drift,floor", "--out", out)[0] == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_all_are_drawn_by_default_but_for_what_is_missing(stored, capsys):
    needed = {"C1", "C2", "C2-law"}
    results = document()
    results["claims"] = [one for one in results["claims"] if one["id"] in needed]
    (stored / FILE).write_text(as_stored(results))
    code, _, err = call(capsys, stored)
    assert code == 0
    drawn = {"verdicts", "drift", "floor"}
    assert {path.stem for path in (stored / "figures").iterdir()} == drawn
    assert all(f"left out {name}: the results lack claim" in err for name in set(RECIPES) - drawn)


def refused(capsys, *arguments) -> str:
    code, out, err = call(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def test_what_cannot_be_drawn_is_told_and_nothing_is_written(stored, tmp_path, capsys):
    told = refused(capsys, stored, "--figures", "drift,drfit")
    assert "did you mean 'drift'" in told
    assert "flip-noise" in told
    assert "not a run folder" in refused(capsys, tmp_path, "--figures", "drift")
    (stored / FILE).write_text(as_stored(document() | {"claims": []}))
    assert "cannot draw drift: the results lack claim C1" in refused(capsys, stored, "--figures", "drift")
    (stored / FILE).write_text("{")
    assert "damaged" in refused(capsys, stored)
    assert [path.name for path in stored.iterdir()] == [FILE]


def test_one_figure_goes_to_one_file_and_several_to_a_folder(stored, tmp_path, capsys):
    file = tmp_path / "a.png"
    code, printed, _ = call(capsys, stored, "--figures", "drift", "--out", file)
    assert (code, printed.split()) == (0, [str(file)])
    assert file.read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "a.png.png").exists()
    for figures in (["--figures", "drift,floor"], []):
        told = refused(capsys, stored, *figures, "--out", tmp_path / "b.pdf")
        assert "b.pdf is one file" in told
        assert "give a folder, or choose one with --figures" in told
    assert "panels are those of one figure" in refused(capsys, stored, "--panels", "m", "--out", tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "results"]


def test_sizes_colours_and_panels_are_options(stored, tmp_path, capsys):
    usual, own = tmp_path / "usual.png", tmp_path / "own.png"
    assert call(capsys, stored, "--figures", "floor", "--out", usual)[0] == 0
    options = ["--panels", "m,n", "--columns", "1", "--style", "slides", "--palette", "one_bit=#aa0000,full=navy"]
    assert call(capsys, stored, "--figures", "floor", "--out", own, *options)[0] == 0
    sizes = [read_image(path).shape[:2] for path in (usual, own)]
    assert sizes[1][0] > sizes[0][0]  # two panels below each other, twice as large
    shown = {tuple(pixel) for pixel in np.rint(255 * read_image(own)[..., :3]).astype(int).reshape(-1, 3)}
    assert {(0xAA, 0, 0), (0, 0, 0x80)} <= shown
    for wrong, words in (
        (("--columns", "3"), "columns must be 1"),
        (("--palette", "one_bti=red"), "did you mean 'one_bit'"),
        (("--panels", "m,q"), "unknown panel 'q'"),
    ):
        assert words in refused(capsys, stored, "--figures", "floor", "--out", own, *wrong)


def test_a_place_that_cannot_be_written_is_told(stored, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, stored, "--figures", "drift", "--out", tmp_path / "file")
