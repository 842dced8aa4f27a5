"""`ntk1bit import`: what it prints and writes, and that every refusal is one line that leaves nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.cli.main import main
from ntk1bit.packed.imported_files import load_imported
from ntk1bit.packed.imported_model import perplexity
from ntk1bit.packed.model_folders import read_model
from tests.packed.foreign_files import damaged
from tests.packed.published_models import FORMS, published, write_folder


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["import", *map(str, words)])
    return int(str(ended.value.code))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(published(2, FORMS[0]), tmp_path / "published")


def test_it_tells_what_there_is_and_writes_it(folder, tmp_path, capsys):
    assert call(folder, "--out", tmp_path / "model.npz") == 0
    out, err = capsys.readouterr()
    model = read_model(folder).model
    assert err == ""
    assert f"{model.shape.layers} layers of width {model.shape.width}" in out
    assert "autobitlinear, offline" in out
    row = next(line.split() for line in out.splitlines() if line.startswith("gate"))
    assert row[1:6] == [
        str(model.shape.hidden),
        str(model.shape.width),
        str(model.shape.layers),
        "of",
        str(model.shape.layers),
    ]
    entries = sum(weights.codes.size for _, weights in model.ternary())
    assert f"{'projections at 2 bits per weight':44} {entries / 4e6:,.2f} MB" in out
    assert out.endswith(f"{tmp_path / 'model.npz'}\n")
    tokens = np.array([1, 2, 3])
    np.testing.assert_array_equal(load_imported(tmp_path / "model.npz").logits(tokens), model.logits(tokens))


def test_verify_prints_the_perplexity_of_given_tokens(folder, tmp_path, capsys):
    (tmp_path / "tokens.txt").write_text("1 2, 3\n5 8\n")
    assert call(folder, "--verify", tmp_path / "tokens.txt") == 0
    expected = perplexity(read_model(folder).model, np.array([1, 2, 3, 5, 8]))
    assert f"{'perplexity of 5 tokens':44} {expected:.4g}" in capsys.readouterr().out


def test_tensors_that_are_left_out_are_told_on_stderr(tmp_path, capsys):
    model = published(2, FORMS[0])
    model.tensors["extra"] = np.zeros(3)
    assert call(write_folder(model, tmp_path / "published")) == 0
    assert "note: 1 tensor is not part of the network: extra" in capsys.readouterr().err


@pytest.mark.parametrize("tokens", ["", "1", "1 x", "-1 2", "1.5 2", "1 999999", "9" * 30 + " 1"])
def test_tokens_that_are_none_end_in_one_line(tokens, folder, tmp_path, capsys):
    (tmp_path / "tokens.txt").write_text(tokens)
    assert call(folder, "--verify", tmp_path / "tokens.txt", "--out", tmp_path / "model.npz") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "model.npz").exists()


def test_mistakes_end_in_one_line_and_leave_nothing(folder, tmp_path, capsys):
    whole = (folder / "model.safetensors").read_bytes()
    before = {one.name for one in tmp_path.iterdir()}
    for words in ([folder, "--out", tmp_path / "model.bin"], [tmp_path], [tmp_path / "none.gguf"]):
        assert call(*words) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
    refused = 0
    for content in damaged(whole, 40, head=2000):
        (folder / "model.safetensors").write_bytes(content)
        code = call(folder, "--out", tmp_path / "model.npz")
        err = capsys.readouterr().err
        assert (code, err.count("\n")) in ((0, 0), (2, 1))
        refused += code == 2
        assert (tmp_path / "model.npz").exists() == (code == 0)
        (tmp_path / "model.npz").unlink(missing_ok=True)
    assert refused > 20
    assert {one.name for one in tmp_path.iterdir()} == before
