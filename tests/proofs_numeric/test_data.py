"""What claims read of a study: a row a network, and that planted studies have no column which real ones lack."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from ntk1bit.data import tasks
from ntk1bit.experiments import ExperimentList, SweepSpec, at_start, run_all
from ntk1bit.experiments.at_start import AtStart, FlipProbability, LimitDistances, LimitsInDim, StepNoise
from proofs_numeric.data import Data, cells, log_factor, networks_of, theorem_width, widest
from tests.proofs_numeric.planted import ARRAYS, SEEDS, drawn, networks, stored, sweep

SPEC = SweepSpec(
    widths=(4, 8), tasks=("sphere-linear",), dims=(3,), n_train=(4,), n_test=3, seeds=(0, 1), steps=20, checkpoints=5,
    inits=("paired",), terms=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Data:
    """A verification with one tiny sweep, and one tiny list of distances on two data sets."""
    folder = tmp_path_factory.mktemp("verification")
    distances = ExperimentList(
        tuple(LimitDistances("sphere-linear", "full", (4, 8), draws=2, samples=50, data_seed=one) for one in (1, 2))
    )
    with ThreadPoolExecutor(1) as executor:
        run_all(SPEC, folder / "studies" / "tiny", executor=executor)
        run_all(distances, folder / "studies" / "distances", executor=executor)
    return Data(folder)


def planted() -> pd.DataFrame:
    laws = dict.fromkeys(("drift", "kernel_norm", "lambda_min", "radius", "flipped", "activation_change"), 1.0)
    terms = dict.fromkeys(("c1", "c2", "c3", "c4", "unit", "identity_error", "kernel_error", "test_loss"), 1.0)
    outputs = {"test_outputs": lambda frame: list(np.zeros((len(frame), 4)))}
    return sweep(networks(), 1.0, steps=4, every=2, **laws, **terms, **outputs)


def test_planted_sweeps_have_the_columns_and_kinds_of_real_ones(real):
    frame, made = real.frame("tiny"), planted()
    assert set(made) <= set(frame)
    for name in made:
        if name not in (*ARRAYS, "key"):
            kinds = {one[name].dtype.kind for one in (frame, made)}
            assert len(kinds) == 1 or kinds <= set("OTUS"), name  # words are objects or strings
    # what is unknown between checkpoints is so in both, and key and settings tell networks apart in both
    for one in (frame, made):
        between = one.loc[one["drift"].isna()]
        assert len(between)
        assert between["test_outputs"].isna().to_numpy().all()
        assert between[["lambda_min", "radius", "c1"]].isna().to_numpy().all()
        assert between[["loss", "eta", "diverged"]].notna().to_numpy().all()
        assert len(one.drop_duplicates(["key", "step"])) == len(one)
        assert len(set(one["key"])) == len(one.drop_duplicates(["precision", "init", "width", "seed"]))
    assert set(frame.loc[frame["precision"] == "full", "scale"]) == set(made.loc[made["precision"] == "full", "scale"])


def test_long_columns_are_read_where_they_are_asked_for_and_not_kept(real):
    frame = real.frame("tiny", also=("outputs",))
    usual = real.frame("tiny")
    assert set(frame) == {*usual, "outputs"}
    assert frame[list(usual)].drop(columns="test_outputs").equals(usual.drop(columns="test_outputs"))
    at_checkpoints = frame.loc[frame["drift"].notna(), "outputs"]
    assert {np.asarray(one).shape for one in at_checkpoints} == {(4,)}  # of training points
    assert frame.loc[frame["drift"].isna(), "outputs"].isna().to_numpy().all()
    # losses are those of the outputs: float32 sums of four squares
    task = tasks.load("sphere-linear", n_train=4, n_test=3, seed=0, dim=3)
    losses = [0.5 * np.sum((np.asarray(one) - task.y) ** 2) for one in at_checkpoints]
    assert losses == pytest.approx(frame.loc[frame["drift"].notna(), "loss"].to_numpy(), rel=1e-5)
    assert real.frame("tiny") is usual
    assert "outputs" not in real.frame("tiny")
    assert real.frame("distances", also=("outputs",)).equals(real.frame("distances"))  # not a sweep: all it has
    planted_outputs = sweep(networks(), 1.0, outputs=lambda f: list(np.zeros((len(f), 16))))
    made = stored({"planted": planted_outputs})
    assert made.frame("planted", also=("outputs",)) is made.frame("planted")


def test_distances_on_data_sets_say_which_data_and_network_they_are_of(real):
    frame = real.frame("distances")
    assert len(frame) == 2 * 2 * 2
    assert not frame.duplicated(["data_seed", "width", "seed"]).any()
    assert sorted(set(frame["data_seed"])) == [1, 2]


def test_planted_draws_have_the_columns_of_real_ones(tmp_path):
    real = AtStart(dim=3, width=4, n_train=2, draws=2).run(tmp_path)
    columns = ("largest_weight", "largest_mean", "largest_std", "largest_norm", "largest_u", "rms_u", "residual", "gap")
    made = drawn(draws=2, **dict.fromkeys((*columns, "largest_gap"), 1.0))
    assert set(made) - {"noise", "dim", "width", "n_train"} <= set(real)


def test_experiments_without_training_give_what_claims_read_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(at_start, "_limits", lambda dim: (dict.fromkeys(("one_bit", "full"), np.eye(32)), np.eye(32)))
    limits = LimitDistances("sphere-linear", "one_bit", widths=(4,), draws=1, samples=50)
    for experiment, columns in (
        (FlipProbability(dim=3, radius=0.1, seed=0, neurons=10), {"reached", "possible", "missed"}),
        (limits, {"width", "seed", "distance", "limit_error"}),
        (LimitsInDim(dim=3, scale="std", samples=400), {"distance", "noise", "ratio", "ratio_error"}),
        (
            StepNoise(dim=3, width=4, seed=0, networks=2),
            {"precision", "scatter", "predicted", "speed", "predicted_speed"},
        ),
    ):
        assert set(experiment.run(tmp_path)) == columns


def test_a_cell_is_reduced_to_its_start_its_end_and_its_extremes():
    losses = np.r_[8.0, 2.0, np.full(17, 0.5), 0.3, 0.1]
    losses[10] = 0.7
    frame = sweep(
        networks(width=64, seed=SEEDS[:2], precision="one_bit"),
        lambda f: losses[f["step"]],
        steps=20,
        every=10,
        drift=lambda f: np.where(f["step"] == 10, 0.3, 0.1),
        radius=lambda f: 0.01 * f["step"],
        activation_change=lambda f: 0.2 - 0.005 * f["step"],
        kernel_norm=lambda f: 5.0 + f["step"],
        lambda_min=lambda f: np.where(f["step"] == 10, 0.7, 0.9),
    )
    found = cells(pd.DataFrame(frame.sample(frac=1.0, random_state=0)))  # in any order of rows
    assert len(found) == 2
    expected = {
        "loss_start": 8.0,
        "loss_end": 0.2,  # over the last two of twenty steps
        "loss_half": 0.7,  # over the last one of ten
        "residual_sum": np.sqrt(2 * losses[:-1]).sum(),  # over steps that were taken
        "drift": 0.3,
        "radius": 0.2,
        "activation_change": 0.2,
        "kernel_norm": 5.0,
        "lambda_min": 0.9,
        "lambda_lowest": 0.7,
    }
    for _, row in found.iterrows():
        assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_half_of_the_steps_are_those_of_each_network():
    steps = {0.25: 40, 0.5: 20, 1.0: 1}  # of three networks
    frame = pd.concat([
        sweep(networks(width=64, seed=0, precision="full", kappa=kappa), lambda f: 1.0 + f["step"], steps=count)
        for kappa, count in steps.items()
    ])  # fmt: skip
    found = cells(frame).set_index("kappa")["loss_half"].to_dict()
    # the last two of twenty steps, the last one of ten, and the loss before any step
    assert found == {0.25: 20.5, 0.5: 11.0, 1.0: 1.0}


def test_networks_of_several_studies_know_their_study():
    frame = sweep(networks(width=64, seed=0), 1.0)
    found = networks_of(stored({"a": frame, "b": frame}), ("a", "b"))
    assert found["study"].tolist() == ["a", "a", "b", "b"]


def test_the_widest_are_the_four_widest_widths():
    frame = pd.DataFrame({"width": [64, 2048, 128, 256, 512, 1024, 2048]})
    assert sorted(set(widest(frame)["width"])) == [256, 512, 1024, 2048]


def test_the_logarithm_is_at_least_1_and_knows_d_as_m():
    frame = pd.DataFrame({"width": [1, 1024, 32], "dim": [0.1, 32, 1024]})
    assert log_factor(frame) == pytest.approx([1.0, *[np.sqrt(np.log(1024 * 32 / 0.05))] * 2])


def test_the_width_of_the_theorem_is_its_powers():
    asked = theorem_width(0.1, 10.0, 100.0, 0.02, dim_power=20)
    assert asked == pytest.approx(8 + 12 + 40 - 4 * np.log10(0.05 * 0.02))
