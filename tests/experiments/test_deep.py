from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.data.cubes_and_curves import GRID, curve_data, curve_inputs
from ntk1bit.errors import InputError
from ntk1bit.experiments.deep import RECORDS, DeepScaling, DeepSimilarity
from ntk1bit.networks import mlp
from ntk1bit.networks.mlp import MLP
from ntk1bit.training import checkpoints
from ntk1bit.training.checkpoints import Checkpoint

EPSILON = float(np.finfo(np.float32).eps)
FIG_1: dict[str, Any] = {"task": "f3", "depth": 3, "parameters": 200, "steps": 45, "rate": 0.01, "seeds": (0, 1)}
FIG_3: dict[str, Any] = {"task": "log-sine", "k": 3, "epochs": 4, "batch": 10, "rate": 0.01, "seeds": (0, 1, 2)}


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Whether two frames are equal to the last bit, columns of lists included."""
    return all(
        np.array_equal(np.asarray(x), np.asarray(y), equal_nan=name != "grid")
        for name in a.columns
        for x, y in zip(a[name], b[name], strict=True)
    )


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cells") / "key"


@pytest.fixture(scope="module")
def fig_1(scratch) -> pd.DataFrame:
    return DeepScaling(precision="one_bit", **FIG_1).run(scratch)


@pytest.fixture(scope="module")
def fig_3(scratch) -> pd.DataFrame:
    return DeepSimilarity(**FIG_3).run(scratch)


def test_a_row_a_seed_with_the_least_loss_of_all_steps(fig_1):
    assert fig_1["seed"].tolist() == [0, 1]
    assert (fig_1["least_loss"] <= fig_1["curve"].map(np.min)).all()
    assert (fig_1["least_loss"] < 0.5 * fig_1["loss_start"]).all()
    assert (fig_1["loss"] == fig_1["curve"].map(lambda one: one[-1])).all()
    assert fig_1["curve"].map(len).max() <= RECORDS + 1
    # 3 inputs, widths h and h with biases: h^2 + 6 h + 1 = 200 for h near 11.4
    assert set(fig_1["width"]) == {11}
    assert set(fig_1["N"]) == {11**2 + 6 * 11 + 1}
    assert fig_1["one_bit_share"].iloc[0] == pytest.approx(121 / 188)
    assert (fig_1["diverged_at"] == -1).all()


def test_precision_changes_the_result_and_the_same_settings_do_not(fig_1, scratch):
    assert same(fig_1, DeepScaling(precision="one_bit", **FIG_1).run(scratch))
    full = DeepScaling(precision="full", **FIG_1).run(scratch)
    assert (full["loss"] - fig_1["loss"]).abs().min() > 1e-6
    assert set(full["N"]) == set(fig_1["N"])
    assert set(full["one_bit_share"]) == set(fig_1["one_bit_share"])  # of the network's one-bit sister


def test_a_stopped_experiment_is_resumed(fig_1, fig_3, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(checkpoints, "Checkpoint", functools.partial(Checkpoint, seconds=0.0))
    for experiment, whole, kept in (
        (DeepScaling(precision="one_bit", **FIG_1), fig_1, "key.checkpoint"),
        (DeepSimilarity(**FIG_3), fig_3, "key-one_bit.checkpoint"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(checkpoints, "write_whole", _write_and_stop)
            with pytest.raises(KeyboardInterrupt):
                experiment.run(tmp_path / "key")
        assert [path.name for path in tmp_path.iterdir()] == [kept]
        assert same(whole, experiment.run(tmp_path / "key"))
        assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_cannot_be_used_is_replaced(fig_1, tmp_path: Path):
    (tmp_path / "key.checkpoint").write_bytes(b"of another time")
    assert same(fig_1, DeepScaling(precision="one_bit", **FIG_1).run(tmp_path / "key"))
    assert not list(tmp_path.iterdir())


def _write_and_stop(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    raise KeyboardInterrupt


def test_a_row_a_seed_and_epoch_of_both_precisions(fig_3):
    assert len(fig_3) == 3 * 5
    assert fig_3["epoch"].tolist() == list(range(5)) * 3
    assert set(fig_3["N"]) == {20 * 9 + 41 * 3}
    assert mlp.parameters(MLP(2, (60, 3), biases=False)) == 20 * 9 + 41 * 3
    assert not fig_3["diverged"].any()
    ends = fig_3.loc[fig_3["epoch"] == 4]
    assert ends["grid_full"].map(len).tolist() == [GRID] * 3
    assert fig_3.loc[fig_3["epoch"] < 4, "grid_one_bit"].map(len).max() == 0


def test_the_start_is_that_of_the_plain_networks(fig_3):
    points = curve_data("log-sine", n_train=100, n_test=100, seed=0)
    outputs = {}
    for precision in ("one_bit", "full"):
        spec = MLP(2, (60, 3), precision=precision, biases=False, parameterisation="ntk")
        params = mlp.init(spec, 1)
        outputs[precision] = [
            np.asarray(mlp.apply(spec, params, x.astype(np.float32))) for x in (points.x, points.x_test)
        ]
    row = fig_3.loc[(fig_3["seed"] == 1) & (fig_3["epoch"] == 0)].iloc[0]
    for place, (name, y) in enumerate((("", points.y), ("test_", points.y_test))):
        for precision, found in outputs.items():
            # sums of 60 and 3 products of size 1, squared
            assert row[f"{name}loss_{precision}"] == pytest.approx(((found[place] - y) ** 2).mean(), rel=1e3 * EPSILON)
        apart = outputs["one_bit"][place] - outputs["full"][place]
        # a difference of outputs of size 1, itself of size 0.1
        expected = np.sqrt((apart**2).mean())
        assert row[f"apart_{('train', 'test')[place]}"] == pytest.approx(expected, rel=1e4 * EPSILON)


def test_the_drawn_function_is_the_trained_one(fig_3):
    ends = fig_3.loc[fig_3["epoch"] == 4].set_index("seed")
    grid = np.linspace(-np.pi, np.pi, GRID)
    points = curve_data("log-sine", n_train=100, n_test=100, seed=0)
    at_train = np.interp(points.x[:, 0] * np.pi, grid, ends.loc[2, "grid_one_bit"])
    loss = ((at_train - points.y) ** 2).mean()
    # the outputs are piecewise linear with few kinks between points 0.02 apart
    assert loss == pytest.approx(ends.loc[2, "loss_one_bit"], rel=0.02)
    assert curve_inputs(grid).shape == (GRID, 2)


def test_mistakes_are_told(scratch):
    with pytest.raises(InputError, match="unknown function"):
        DeepScaling(precision="full", **dict(FIG_1, task="bessel")).run(scratch)
    with pytest.raises(InputError, match="or more"):
        DeepScaling(precision="full", **dict(FIG_1, parameters=2)).run(scratch)
    with pytest.raises(InputError, match="size k"):
        DeepSimilarity(**dict(FIG_3, k=0))
