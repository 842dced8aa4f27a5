"""What the commands that show runs make of a run of language models, and how an export finds its weights."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ntk1bit.cli import training_lm
from ntk1bit.cli.main import main
from ntk1bit.cli.options import Running
from ntk1bit.errors import InputError
from ntk1bit.estimators import language as summary
from ntk1bit.experiments import run_all
from ntk1bit.experiments.language_run import load_language_run, ngram_losses, read_network, restore_network
from ntk1bit.packed.file_format import load

from ..tiny_language import TINY


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "copy")


def test_summary_prints_the_tables_of_the_run(finished, copy, capsys):
    _, run = finished
    assert call("summary", copy, "--settings") == 0
    told = capsys.readouterr().out
    for words in ("rate_factor", "uJ float32", "floats as FP16", "bitnet minus full", "L(N) = a N^b + c", "x16"):
        assert words in told
    assert "barely trained: full 1x8" in told  # after 100 steps of 64 characters
    assert call("summary", copy, "--csv") == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    pd.testing.assert_frame_equal(table, summary.networks(run), check_exact=False)
    assert call("summary", copy, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["networks"]) == len(table)
    assert {row["arm"] for row in document["gaps"]} == set(TINY.arms[1:])
    assert [row["joules_float32"] is None for row in document["losses"]] == [
        row["arm"] != "full" for row in document["losses"]
    ]


def test_plot_draws_the_run(copy, tmp_path, capsys):
    assert call("plot", copy) == 0
    assert call("plot", copy, "--out", tmp_path / "name.pdf") == 0
    drawn = [copy / "scaling.png", tmp_path / "name.pdf"]
    assert capsys.readouterr().out.split() == [str(path) for path in drawn]
    assert all(path.stat().st_size > 10_000 for path in drawn)


def test_an_export_trains_a_network_again_whose_weights_are_lost(finished, copy, capsys):
    _, run = finished
    before = {path.name: path.read_bytes() for path in (copy / "cells").glob("*.weights")}
    for path in (copy / "cells").glob("*.weights"):
        path.unlink()
    with pytest.raises(InputError, match="train this network again with: ntk1bit train-lm --export"):
        read_network(copy)
    training_lm.run(TINY, running=Running(jobs=1), out=copy, export=copy / "model.npz")
    told = capsys.readouterr()
    assert "the weights of the largest bitnet network could not be read: it was trained again" in told.err
    assert "Packed: " in told.out
    (again,) = (copy / "cells").glob("*.weights")  # the network that is exported, and no other
    assert again.read_bytes() == before[again.name]
    packed = load(copy / "model.npz")
    assert packed.shape.width == 16
    assert packed.note.startswith("trained on pydoc, 6,400 characters; barely trained, no better than a bigram")
    table = pd.read_csv(copy / "networks.csv")
    np.testing.assert_allclose(table["loss"], summary.networks(run)["loss"], rtol=1e-5)  # six digits are written
    assert not restore_network(copy)


def test_ngram_models_lie_in_order_and_the_trigram_is_that_of_the_run(finished):
    _, run = finished
    found = ngram_losses(run.spec)
    assert found["unigram"] > found["bigram"] > found["trigram"] == run.trigram["loss"]


def test_sizes_written_in_two_ways_are_one_run(finished, copy):
    _, run = finished
    spec = replace(TINY, sizes=(" 1 x 8", "1X12", "01x16"))
    assert run_all(spec, copy).computed == 0
    pd.testing.assert_frame_equal(load_language_run(copy).frame, run.frame)
