"""The feed-forward layer as an experiment: how its loss falls, divergence, checkpoints."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments.feed_forward import FeedForward
from ntk1bit.training import checkpoints
from ntk1bit.training.checkpoints import Checkpoint


def test_training_on_text_repeats_and_full_precision_falls_below_its_one_bit_twin(tmp_path):
    def run(precision, seeds=(900,)):
        layer = FeedForward(128, precision, 400, seeds, text="pydoc", sequences=3, positions=4)
        return layer.run(tmp_path / layer.key)

    one_bit, full = run("one_bit"), run("full")
    assert one_bit.equals(run("one_bit"))
    both = run("one_bit", seeds=(899, 900))
    assert both.loc[both["seed"] == 900].reset_index(drop=True).equals(one_bit)
    assert one_bit["step"].iloc[0] == 0
    assert one_bit["step"].iloc[-1] == 400
    for frame in (one_bit, full):
        first = frame.iloc[0]
        assert first["loss_start"] == pytest.approx(0.5 * 12, rel=1e-5)  # 12 targets of norm 1, outputs 0
        assert 0 < first["lambda_min"] < first["lambda_max"]
        assert first["eta"] * first["lambda_max"] == pytest.approx(1)
        assert first["level_lowest"] <= first["level"] < 0.5 * first["loss_start"]
        assert not first["diverged"]
    # the floor of 1-bit at this width is about (12 4)^2/(2 pi 128 32) = 0.09; full precision falls exponentially
    assert full["level"].iloc[0] < 0.1 * one_bit["level"].iloc[0]


def test_divergence_is_told_and_has_no_level(tmp_path):
    layer = FeedForward(16, "full", 60, (900,), eta_rel=1e3, text="pydoc", sequences=2, positions=3)
    frame = layer.run(tmp_path / "key")
    assert frame["diverged"].to_numpy().all()
    assert np.isnan(frame["level"].to_numpy()).all()


def test_a_stopped_training_is_resumed_to_the_same_bits(tmp_path, monkeypatch):
    layer = FeedForward(16, "one_bit", 2500, (900, 901), text="pydoc", sequences=2, positions=3)
    whole = layer.run(tmp_path / "whole")
    monkeypatch.setattr(checkpoints, "Checkpoint", functools.partial(Checkpoint, seconds=0.0))
    plain = checkpoints.write_whole

    def write_and_stop(path, data):
        plain(path, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_whole", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        layer.run(tmp_path / "stopped")
    assert [path.name for path in tmp_path.iterdir()] == ["stopped-900.checkpoint"]
    monkeypatch.setattr(checkpoints, "write_whole", plain)
    pd.testing.assert_frame_equal(layer.run(tmp_path / "stopped"), whole)
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told():
    with pytest.raises(InputError, match="at least 20"):
        FeedForward(8, "full", 5, (0,))
    with pytest.raises(InputError, match="eta_rel must be a positive number"):
        FeedForward(8, "full", 20, (0,), eta_rel=0.0)
