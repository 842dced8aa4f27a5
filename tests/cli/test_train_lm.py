from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.cli import training_lm
from ntk1bit.cli.main import main
from ntk1bit.cli.training_lm import collect
from ntk1bit.errors import InputError
from ntk1bit.experiments.language_spec import PRESETS


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_a_dry_run_says_what_would_be_trained(capsys, tmp_path):
    assert call("train-lm", "--sizes", "1x16,2x32", "--tokens", "1e5", "--out", tmp_path / "run", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "24,576" in told
    assert "99,840 per network, in 195 steps of 8 x 64" in told
    assert str(tmp_path / "run") in told
    assert not (tmp_path / "run").exists()


def test_a_dry_run_tells_settings_that_change_nothing(capsys):
    assert call("train-lm", "--preset", "smoke", "--arms", "fp16", "--groups", "2", "--dry-run") == 0
    told = capsys.readouterr().err.splitlines()
    assert [note.split()[:2] for note in told] == [["note:", "stability"], ["note:", "groups"]]


def test_options_override_the_preset():
    spec = collect("smoke", sizes="1x16, 1x32", tokens="2e5", seeds="3", stability="4,8", arms=None, tied=False)
    assert spec.sizes == ("1x16", "1x32")
    assert spec.tokens == 200_000
    assert spec.seeds == (0, 1, 2)
    assert spec.stability == (4.0, 8.0)
    assert spec.arms == PRESETS["smoke"].arms
    assert not spec.tied


@pytest.fixture
def own(tmp_path):
    """A text of one's own: 10,000 characters of it, of which the last 1,000 are held out."""
    path = tmp_path / "my.txt"
    path.write_text("Ärger über Öl. " * 666 + "Ärger übe\n", encoding="utf-8")
    return path


def test_a_text_of_ones_own_is_planned_by_size(own, capsys, tmp_path):
    words = ("--preset", "smoke", "--sizes", "1x16,2x32", "--text", own, "--seeds", "3", "--jobs", 1)
    assert call("train-lm", *words, "--dry-run") == 0
    table, _, rest = capsys.readouterr().out.partition("\n\n")
    rows = {line.split()[0]: line.split() for line in table.splitlines()[2:]}
    assert list(rows) == ["1x16", "2x32"]
    # 3 seeds and 2 more rates, in the two arms that are trained; 78 steps of 512 characters
    assert [row[1:4] for row in rows.values()] == [["3,072", "39,936", "10"], ["24,576", "39,936", "10"]]
    assert all(row[-1] == "GB" for row in rows.values())
    assert "my.txt: 9,000 characters for training (a network reads 4.4 times as many), 1,000 held out" in rest
    assert "runs/lm-my.txt-" in rest


def test_losses_are_measured_on_as_many_windows_as_the_text_has(own):
    assert collect("smoke", text=str(own)).windows == 1_000 // 65
    assert collect("smoke", text=str(own), context=16).windows == 1_000 // 17
    assert collect("smoke").windows == PRESETS["smoke"].windows
    assert collect("standard", text="pydoc").windows == 46_519 // 65
    with pytest.raises(InputError, match=r"held-out part of my.txt has 1,000 characters.* at most 499"):
        collect("smoke", text=str(own), context=600)


def test_networks_no_better_than_a_bigram_model_are_named():
    ngrams = {"unigram": 3.0, "bigram": 2.5, "trigram": 2.0}
    rows = [("full", "1x8", 2.4), ("full", "1x4", 2.5), ("bitnet", "1x8", 2.9), ("sign-ptq", "1x8", 3.5)]
    losses = pd.DataFrame(rows, columns=pd.Index(["arm", "size", "loss"]))
    told = training_lm._barely_trained(losses, ngrams)
    assert told.startswith("barely trained: full 1x4 (2.50), bitnet 1x8 (2.90) nats")
    assert "bigram model (2.50; unigram 3.00, trigram 2.00)" in told
    assert training_lm._barely_trained(losses.iloc[:1], ngrams) == ""
    assert training_lm._barely_trained(losses.iloc[:1].assign(loss=np.nan), ngrams) == ""  # diverged, as the table says


def test_all_arms_are_held_against_the_first_of_floats():
    assert training_lm._compared(collect("smoke", arms="bitnet,fp16,full,gptq-w4")) == ("bitnet", "full", "gptq-w4")
    assert training_lm._compared(collect("smoke", arms="bitnet,b158")) == ()


def test_accuracies_are_a_row_for_each_arm_and_size(capsys):
    rows = [("full", "1x8", 768, 0, 2, 0.3, 0.2, 0.4), ("full", "1x8", 768, 4, 2, 0.25, 0.25, 0.25)]
    names = ["arm", "size", "parameters", "examples", "seeds", "accuracy", "low", "high"]
    training_lm._print_accuracies(pd.DataFrame(rows, columns=pd.Index(names)), 30)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "share of 30 questions answered rightly, with 0 and 4 examples; by guessing 0.25"
    assert lines[-1].split("  ")[-2:] == ["0.3000 [0.2000, 0.4000]", "0.2500 [0.2500, 0.2500]"]
    training_lm._print_accuracies(pd.DataFrame(columns=pd.Index(names)), 0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sizes", "64"], "write layers x width"),
        (["--sizes", ""], "--sizes"),
        (["--arms", "bitnet,sign-ptq"], "add 'full' to the arms"),
        (["--tokens", "many"], "--tokens takes a positive whole number"),
        (["--tokens", "1.5"], "--tokens takes a positive whole number"),
        (["--tokens", "10"], "less than one step"),
        (["--preset", "huge"], "is not one of 'smoke', 'quick', 'standard', 'thorough'"),
        (["--text", "bible"], "choose one of: sotu, pydoc"),
        (["--text", "bible"], "or give the path of a text file"),
        (["--text", "bible.txt"], "cannot read"),
        (["--stability", "-1"], "positive multiples"),
        (["--arms", "full", "--export", "model.npz"], "add bitnet to --arms"),
        (["--preset", "smoke", "--export", "model.pkl"], "writes a .npz file"),
        (["--preset", "smoke", "--export", "nowhere/model.npz"], "the folder 'nowhere' does not exist"),
        (["--sizes", "1 x 16,1X16"], "repeated values: 1x16, 1x16"),
        (["--arms", "full, full"], "repeated"),
        (["--arms", "Full"], "did you mean 'full'"),
        (["--seeds", "1, 2, 1"], "repeated"),
        (["--seeds", "1 2"], "cannot read --seeds"),
        (["--stability", "4,4.0"], "differ from each other"),
        (["--preset", "smoke", "--jobs", "0"], "--jobs must be from 1"),
        (["--preset", "smoke", "--choices", "9999"], "9999 questions need 9999 separate pieces"),
        (["--preset", "smoke", "--start", "full-preln"], "start in one of: full, fp16"),
        (["--preset", "smoke", "--groups", "2", "--export", "model.npz"], "--export writes matrices with one scale"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(words, said, capsys, tmp_path):
    assert call("train-lm", "--out", tmp_path / "run", *words) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folder", ["there.npz", "run"])
def test_an_export_that_cannot_be_written_is_refused_before_training(capsys, tmp_path, folder):
    (tmp_path / "there.npz").mkdir()
    path = tmp_path / "there.npz" if folder == "there.npz" else tmp_path / "run" / "deeper" / "model.npz"
    assert call("train-lm", "--preset", "smoke", "--out", tmp_path / "run", "--export", path) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("written", ["1 x 16, 1x24 ,1 X 32", "1x16,1x24,1x32"])
def test_sizes_have_one_spelling(written):
    assert collect("smoke", sizes=written) == PRESETS["smoke"]
    assert training_lm.default_folder(collect("smoke", sizes=written)) == training_lm.default_folder(PRESETS["smoke"])


@pytest.mark.slow
def test_the_smoke_run_trains_prints_writes_resumes_and_generates(capsys, tmp_path):
    folder, packed = tmp_path / "run", tmp_path / "model.npz"
    assert call("train-lm", "--preset", "smoke", "--out", folder, "--export", packed, "--jobs", 2) == 0
    told = capsys.readouterr().out
    for words in ("validation loss", "trigram model", "bitnet minus full", "L(N) = a N^b + c", "x16"):
        assert words in told
    table = pd.read_csv(folder / "networks.csv")
    spec = PRESETS["smoke"]
    assert len(table) == len(spec.arms) * len(spec.sizes) * len(spec.seeds)
    assert np.isfinite(table["loss"].to_numpy()).all()
    assert (folder / "scaling.png").stat().st_size > 10_000
    before = (folder / "networks.csv").read_bytes()
    assert call("train-lm", "--preset", "smoke", "--out", folder) == 0
    assert (folder / "networks.csv").read_bytes() == before
    capsys.readouterr()
    assert call("generate", packed, "--prompt", "The ", "--length", 40) == 0
    text = capsys.readouterr().out
    assert text.startswith("The ")
    assert len(text) == 4 + 40 + 1
