from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.data import text
from ntk1bit.errors import InputError
from ntk1bit.estimators import language as summary
from ntk1bit.experiments import ExperimentList, open_run, run_all
from ntk1bit.experiments.at_start import LimitsInDim
from ntk1bit.experiments.language_run import load_language_run, read_network
from ntk1bit.networks.bitlinear import Projection
from ntk1bit.networks.post_training.quantised_transformer import quantise_transformer
from ntk1bit.packed.export import export
from ntk1bit.packed.file_format import load
from ntk1bit.plots.language import draw_run
from ntk1bit.training.checkpoints import read_state, write_state
from ntk1bit.training.language import evaluate

from ..tiny_language import TINY


def test_every_network_is_there_once(finished):
    _, run = finished
    networks = summary.networks(run)
    assert len(networks) == 3 * 4 * 2
    assert len(networks.drop_duplicates(["arm", "size", "seed"])) == len(networks)
    assert set(networks["seed"]) == set(TINY.seeds)
    assert set(networks["tokens"]) == {TINY.tokens}
    assert not np.any(networks["diverged"].to_numpy())
    trained = networks.loc[networks["arm"].isin(["full", "bitnet"])]
    assert np.all(trained["seconds"].to_numpy() > 0)
    assert set(run.rates) == {(arm, size) for arm in ("full", "bitnet") for size in TINY.sizes}
    for row in trained.to_dict("records"):
        assert row["rate"] == run.rates[row["arm"], row["size"]]


def test_the_best_rate_has_the_least_training_loss(finished):
    _, run = finished
    for _, part in summary.searched(run).groupby(["arm", "size"]):
        best = part["best"].to_numpy(bool)
        assert best.sum() == 1
        assert best[np.argmin(part["train_loss"].to_numpy())]
        assert len(part) >= 3


def test_reading_gives_what_running_gave(finished):
    folder, run = finished
    again = load_language_run(folder)
    assert again.spec == run.spec
    assert again.rates == run.rates
    pd.testing.assert_frame_equal(again.frame, run.frame)


def test_resuming_trains_nothing_again_and_another_spec_is_refused(finished):
    folder, run = finished
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    outcome = run_all(TINY, folder)
    assert (outcome.computed, outcome.failed, outcome.notes) == (0, 0, ())
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before
    pd.testing.assert_frame_equal(load_language_run(folder).frame, run.frame)
    with pytest.raises(InputError, match=r"other settings \(tokens: 6400 there, 20480 asked for\)"):
        run_all(replace(TINY, tokens=20_480), folder)


def test_a_run_is_extended_and_its_middle_size_stays(finished, tmp_path):
    folder, run = finished
    copy = shutil.copytree(folder, tmp_path / "copy")
    outcome = run_all(replace(TINY, seeds=(2,), stability=(4.0,)), copy)
    # one more seed at three sizes in two arms, and by two methods; both multiples of the rate at three seeds, one of
    # them there at two
    assert (outcome.computed, outcome.notes) == (3 * 2 + 3 * 2 + 2 * (3 * 3 - 2 * 2), ())
    more = load_language_run(copy)
    assert more.spec.seeds == (0, 1, 2)
    assert more.spec.stability == (16.0, 4.0)
    assert more.rates == run.rates
    with pytest.raises(InputError, match="the middle one, at which stability was tried, is 1x16 and no longer 1x12"):
        run_all(replace(TINY, sizes=("1x18", "1x20")), copy)


def test_a_lost_network_is_trained_again_to_the_same_result(finished, tmp_path):
    folder, run = finished
    copy = shutil.copytree(folder, tmp_path / "copy")
    search = open_run(folder).stages[0].experiments
    for one in search[:1]:
        (copy / "cells" / f"{one.key}.parquet").unlink()
    with pytest.raises(InputError, match="is not finished: 1 of its results are missing"):
        load_language_run(copy)
    assert run_all(TINY, copy, jobs=2).computed == 1
    again = load_language_run(copy)
    pd.testing.assert_frame_equal(again.frame.drop(columns="seconds"), run.frame.drop(columns="seconds"))


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A run of all that a network may be besides its arm: recipe, start, groups, questions, and methods after it."""
    arms = ("fp16", "bitnet", "absmax-w4a4", "gptq-w2", "sign-ptq")
    spec = replace(TINY, arms=arms, sizes=("1x8",), rate_rounds=0, stability=(), context=64, batch=1)
    spec = replace(spec, recipe="w23", groups=2, choices=4, start="full")
    folder = tmp_path_factory.mktemp("started") / "run"
    return folder, spec, run_all(spec, folder, jobs=2)


def test_methods_quantise_the_weights_that_the_run_has_kept(started):
    folder, spec, outcome = started
    assert (outcome.failed, outcome.cells) == (0, 2 * 3 + 2 + 3 * 2)  # the search, second seeds, methods
    run = load_language_run(folder)
    rows = run.frame.loc[run.frame["stage"] == "seeds"].set_index(["evaluated", "seed"])
    assert sorted(rows.index) == sorted((arm, seed) for arm in spec.arms for seed in spec.seeds)
    assert set(rows.loc["gptq-w2", "arm"]) == {"fp16"}
    for seed in spec.seeds:
        trained = read_network(folder, arm="fp16", seed=seed).model
        corpus = text.load(TINY.text)
        windows = text.training_batch(corpus.train, batch=64, context=64, step=0, seed=2**31 + seed)
        held_out = text.validation_windows(corpus.validation, context=64, count=TINY.windows)
        again = evaluate(quantise_transformer(trained, "gptq-w2", windows, seed=seed), held_out)
        assert rows.loc[("gptq-w2", seed), "loss"] == again["loss"]
    assert len(set(rows["loss"])) == len(rows)
    assert rows["accuracy_4"].between(0, 1).all()


def test_methods_train_again_what_has_lost_its_weights(started, tmp_path):
    folder, spec, _ = started
    kept, lost = (shutil.copytree(folder, tmp_path / name) for name in ("kept", "lost"))
    for weights in (lost / "cells").glob("*.weights"):
        weights.unlink()
    for one in (kept, lost):
        outcome = run_all(replace(spec, arms=(*spec.arms, "absmax-w8a8")), one)
        assert (outcome.failed, outcome.computed) == (0, 2)
    first, second = (summary.networks(load_language_run(one)).drop(columns="seconds") for one in (kept, lost))
    pd.testing.assert_frame_equal(first, second)
    assert len(list((lost / "cells").glob("*.weights"))) == 2


def test_a_start_is_the_first_half_in_another_arm(started, tmp_path):
    _, spec, _ = started
    one = spec.network(spec.shapes[0], "bitnet", 0.004, 0)
    whole = one.run(tmp_path / "whole")
    first = replace(one, start="", arm="full", tokens=one.tokens // 2)
    first.run(tmp_path / "first")
    assert not (tmp_path / "whole.start").exists()
    assert int(whole["steps"].iloc[0]) == one.tokens // 64 // 2
    # resumed after the first half: its weights are read, and the same network comes out
    half = read_state(tmp_path / "first.weights", one.start_network(text.load(one.text).vocabulary), first.key)
    kept = tmp_path / "again.start"
    write_state(kept, half, f"{one.key} start")
    pd.testing.assert_frame_equal(one.run(tmp_path / "again"), whole)
    for damage in (b"", b"nonsense", (tmp_path / "first.weights").read_bytes()):  # the last is of another training
        kept.write_bytes(damage)
        pd.testing.assert_frame_equal(one.run(tmp_path / "again"), whole)
        assert not kept.exists()


def test_another_kind_of_run_is_refused(tmp_path):
    run_all(ExperimentList((LimitsInDim(dim=2, scale="std", samples=10),)), tmp_path / "run")
    with pytest.raises(InputError, match="is of a run of ntk1bit verify, not of ntk1bit train-lm"):
        load_language_run(tmp_path / "run")
    with pytest.raises(InputError, match="is of a run of ntk1bit verify, not of ntk1bit train-lm"):
        read_network(tmp_path / "run")
    with pytest.raises(InputError, match="holds a run of ntk1bit verify, not of ntk1bit train-lm"):
        run_all(TINY, tmp_path / "run")


def test_gaps_are_paired(finished):
    _, run = finished
    paired = summary.gaps(run, of="bitnet")
    table = summary.networks(run)
    keys = zip(table["arm"], table["parameters"], table["seed"], strict=True)
    networks = dict(zip(keys, table["loss"].to_numpy(), strict=True))
    for row in paired.to_dict("records"):
        key = (row["parameters"], row["seed"])
        expected = networks["bitnet", *key] - networks["full", *key]
        assert row["gap"] == pytest.approx(expected)
        assert row["relative"] == pytest.approx(expected / networks["full", *key])
    assert np.all(paired["gap_error"].to_numpy() > 0)
    with pytest.raises(InputError, match="no arm 'b158'"):
        summary.gaps(run, of="b158")


def test_means_have_students_intervals(finished):
    _, run = finished
    table = summary.losses(run)
    assert list(table.groupby("arm", sort=False).size()) == [3, 3, 3, 3]
    row = table.loc[(table["arm"] == "bitnet") & (table["size"] == "1x12")].iloc[0]
    networks = summary.networks(run)
    values = networks.loc[(networks["arm"] == "bitnet") & (networks["size"] == "1x12"), "loss"].to_numpy()
    assert row["loss"] == pytest.approx(values.mean())
    # t of one degree of freedom at 97.5 % is 12.706; the standard error of two values is half their distance
    assert row["high"] - row["loss"] == pytest.approx(12.7062 * abs(values[1] - values[0]) / 2, rel=1e-4)


def test_excess_is_against_the_same_arm_and_seed(finished):
    _, run = finished
    found = summary.excess(run)
    assert len(found) == 2 * 2 * 2
    assert np.all(found.loc[found["times"] == 1, "excess"].to_numpy() == 0)
    assert set(found["times"]) == {1.0, 16.0}
    means = summary.mean_excess(run)
    assert len(means) == 4
    part = found.loc[(found["arm"] == "full") & (found["times"] == 16), "excess"]
    row = means.loc[(means["arm"] == "full") & (means["times"] == 16)].iloc[0]
    assert row["excess"] == pytest.approx(part.mean())


def test_energy_at_equal_energy_is_interpolated(finished):
    _, run = finished
    table = summary.loss_against_energy(run)
    spent_by = {arm: table.loc[table["arm"] == arm, "joules"].to_numpy() for arm in ("bitnet", "full")}
    assert spent_by["bitnet"].min() < spent_by["full"].min()
    assert (table["joules_exact"].to_numpy() > table["joules"].to_numpy()).all()  # it counts more
    found = summary.at_equal_energy(run, model="exact")
    spent = {size: summary.joules(run, size, "bitnet", model="exact") for size in TINY.sizes}
    inside = [
        size
        for size in TINY.sizes
        if min(spent.values()) <= summary.joules(run, size, "full", model="exact") <= max(spent.values())
    ]
    assert set(found["size"]) == set(inside)


def test_a_network_comes_back_from_its_run(finished):
    folder, run = finished
    trained = read_network(folder, size="1x12", arm="bitnet", seed=1)
    assert trained.shape.width == 12
    assert len(trained.alphabet) == trained.shape.vocabulary
    assert isinstance(trained.model.blocks[0].up, Projection)
    assert trained.model.blocks[0].up.arm == "bitnet"
    mistakes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"size": "9x9"}, "unknown size"),
        ({"arm": "sign-ptq"}, "unknown arm"),
        ({"seed": 7}, "no seed 7"),
    )
    for wrong, words in mistakes:
        with pytest.raises(InputError, match=words):
            read_network(folder, **wrong)
    assert run.spec.sizes[-1] == "1x16"
    assert read_network(folder).shape.width == 16


def test_a_trained_network_packed_has_the_same_loss(finished, tmp_path):
    folder, run = finished
    trained = read_network(folder, seed=1)
    path = tmp_path / "model.npz"
    export(trained.model, trained.shape, path, alphabet=trained.alphabet)
    windows = text.validation_windows(text.load(TINY.text).validation, context=TINY.context, count=TINY.windows)
    logits = load(path).logits(windows[:, :-1]).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    found = -np.take_along_axis(logs, windows[:, 1:, None].astype(np.int64), axis=-1).mean()
    networks = summary.networks(run)
    own = networks.loc[(networks["arm"] == "bitnet") & (networks["size"] == "1x16") & (networks["seed"] == 1), "loss"]
    # levels that are ties may be rounded to either side; over 512 characters such steps of 1/127 average out
    assert found == pytest.approx(float(own.iloc[0]), abs=2e-3)


def test_the_picture_is_drawn(finished, tmp_path):
    _, run = finished
    path = draw_run(run, tmp_path / "scaling.png")
    assert path.stat().st_size > 10_000
    frame = run.frame.loc[(run.frame["evaluated"] == "full") & (run.frame["stage"] != "stability")]
    fewer = replace(run, spec=replace(run.spec, arms=("full",), stability=()), frame=pd.DataFrame(frame))
    assert draw_run(fewer, Path(tmp_path / "full.png")).exists()
