"""The mean field of a task and networks on two opposite inputs, against what computes each directly."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from ntk1bit.data import tasks
from ntk1bit.errors import InputError
from ntk1bit.experiments import (
    ExperimentList,
    FloorOnTask,
    MeanFieldOnTask,
    OppositeNetworks,
    OscillationOnTask,
    SpreadOnTask,
    Store,
    mean_fields,
    open_run,
)
from ntk1bit.experiments.mean_fields import first_capture
from ntk1bit.kernels import floor_process, limit_ntk, mean_field, opposite_inputs, output_spread
from ntk1bit.networks import two_layer

SCRATCH = Path("not used")
SAMPLES = 4000
LIMIT = MeanFieldOnTask("sphere-random", 6, 5, 0.5, 8, "straight_through", 6000, replicates=3)
PAIR = OppositeNetworks(8, 0.9, 0.5, 256, 12, (3, 7))


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch):
    """Constants of opposite inputs by few neurons."""
    monkeypatch.setattr(mean_fields, "_SAMPLES", SAMPLES)


@pytest.mark.parametrize("activity", ["straight_through", "frozen"])
def test_the_limit_is_that_of_the_kernel_on_the_task(activity):
    one = MeanFieldOnTask("sphere-random", 6, 5, 0.5, 8, activity, 6000, replicates=3)
    found = one.run(SCRATCH)
    task = tasks.load("sphere-random", n_train=5, n_test=1, seed=0, dim=6)
    expected = mean_field(task.x, task.y, eta_rel=0.5, steps=8, activity=activity, particles=6000, replicates=3)
    assert list(zip(found["seed"], found["step"], strict=True)) == [*itertools.product(range(3), range(9))]
    outputs = np.stack(found["outputs"].tolist()).reshape(3, 9, 5)
    assert np.array_equal(outputs, expected.replicates)
    away = outputs - task.y
    losses = found["loss"].to_numpy().reshape(3, 9)
    assert losses == pytest.approx(0.5 * (away**2).sum(axis=2))
    averaged = found["averaged"].to_numpy().reshape(3, 9)
    assert averaged[:, :8] == pytest.approx(0.5 * (((away[:, 1:] + away[:, :-1]) / 2) ** 2).sum(axis=2))
    assert np.isnan(averaged[:, 8]).all()
    assert set(found["eta"]) == {expected.eta}
    assert set(found["near_threshold"]) == {expected.near_threshold}
    sticking = found["sticking"].to_numpy().reshape(3, 9)
    assert np.array_equal(sticking[:, :8], np.tile(expected.sticking, (3, 1)))
    assert np.isnan(sticking[:, 8]).all()


def test_a_task_with_a_dimension_of_its_own_needs_none():
    found = MeanFieldOnTask("digits", 0, 8, 0.5, 3, "frozen", 2000, replicates=2).run(SCRATCH)
    task = tasks.load("digits", n_train=8, n_test=1, seed=0)
    start = found.loc[found["step"] == 0, "loss"]
    assert start.to_numpy() == pytest.approx(0.5 * float((task.y.astype(np.float64) ** 2).sum()))


def test_networks_on_opposite_inputs_are_those_of_the_trainer():
    found = PAIR.run(SCRATCH)
    x = np.random.default_rng([17, 8]).standard_normal(8)
    x -= x.mean()
    x /= np.linalg.norm(x)
    y = np.array([1.0, 0.9])
    assert list(zip(found["seed"], found["step"], strict=True)) == [*itertools.product((3, 7), range(13))]
    for seed in (3, 7):
        trained = two_layer.train(
            np.stack([x, -x]).astype(np.float32),
            y,
            two_layer.init(256, 8, seed=seed, init="paired"),
            eta_rel=0.5,
            steps=12,
            record=range(13),
        )
        residuals = trained.outputs - y
        part = found.loc[found["seed"] == seed]
        assert part["apart"].to_numpy() == pytest.approx(residuals[:, 0] - residuals[:, 1])
        assert part["total"].to_numpy() == pytest.approx(residuals[:, 0] + residuals[:, 1])
        assert part["total"].iloc[0] == pytest.approx(-1.9)  # a paired start: outputs 0


def test_what_networks_are_held_against_is_the_closed_form_and_the_recursion():
    found = PAIR.run(SCRATCH)
    x = np.random.default_rng([17, 8]).standard_normal(8)
    x = (x - x.mean()) / np.linalg.norm(x - x.mean())
    known = opposite_inputs(x, samples=SAMPLES)
    limit = known.residuals((1.0, 0.9), eta=0.5 / known.h, steps=12)
    error = known.switching_error / known.switching + known.k_eff_error / known.k_eff
    for column, expected in (
        ("amplitude", known.amplitude((1.0, 0.9), eta=0.5 / known.h)),
        ("amplitude_error", error),
        ("recursion", np.abs(limit[-3:, 0] - limit[-3:, 1]).mean()),  # a quarter of twelve steps
    ):
        (seen,) = set(found[column])
        # two ways to scale x round differently, by 1e-16 of it: a draw in 4000 could fall on the other side of 0
        assert seen == pytest.approx(expected, rel=1e-3)


def test_the_draw_of_the_input_is_that_of_its_dimension():
    one, two = (OppositeNetworks(8, 0.9, rate, 64, 4, (0,)).run(SCRATCH).to_dict("list") for rate in (0.25, 0.5))
    assert one["amplitude_error"] == two["amplitude_error"]
    assert one["amplitude"][0] < two["amplitude"][0]  # 1/(2 - eta K_eff) grows with the rate


def test_stored_results_are_read_back_with_their_settings(tmp_path):
    every = ExperimentList((LIMIT, PAIR))
    store = Store(tmp_path / "run")
    store.open(every)
    for one in every.experiments:
        store.write(one, one.run(SCRATCH), seconds=1.0)
    run = open_run(tmp_path / "run")
    run.require_whole()
    assert run.spec == every
    frame = run.frame()
    limit, pair = frame.loc[frame["task"].notna()], frame.loc[frame["second"].notna()]
    expected = LIMIT.run(SCRATCH)
    assert np.array_equal(np.stack(limit["outputs"].tolist()), np.stack(expected["outputs"].tolist()))
    for column in ("seed", "step", "loss", "averaged", "sticking"):
        assert np.array_equal(limit[column], expected[column], equal_nan=True)
    assert set(limit["activity"]) == {"straight_through"}
    assert set(limit["eta_rel"]) == {0.5}
    expected = PAIR.run(SCRATCH)
    for column in ("seed", "step", "apart", "total", "amplitude", "recursion"):
        assert np.array_equal(pair[column], expected[column])
    assert set(pair["width"]) == {256}


@pytest.mark.parametrize(("activity", "settling"), [("frozen", 0), ("straight_through", 30)])
def test_floors_are_those_of_the_trainer_and_of_the_process(activity, settling):
    made = FloorOnTask("sphere-random", 6, 5, 0.5, activity, 128, (2, 9), 40, 3, 24, settling, 6000)
    found = made.run(SCRATCH)
    task = tasks.load("sphere-random", n_train=5, n_test=1, seed=0, dim=6)
    networks = found.loc[found["source"] == "networks"]
    assert list(zip(networks["seed"], networks["share"], strict=True)) == [*itertools.product((2, 9), (0.25, 0.5, 1.0))]
    for seed, part in networks.groupby("seed"):
        start = two_layer.init(128, 6, seed=int(str(seed)), init="paired")
        loss = two_layer.train(task.x, task.y, start, eta_rel=0.5, activity=activity, steps=40).loss
        # steps 8 to 10, 15 to 20 and 30 to 40: a quarter of ten, of twenty and of forty before each
        expected = [128 * loss[first : last + 1].mean() for first, last in ((8, 10), (15, 20), (30, 40))]
        assert part["level"].to_numpy() == pytest.approx(expected)
    intensities = {"process": 1.0}
    if settling:
        settled = mean_field(task.x, task.y, eta_rel=0.5, steps=30, activity=activity, particles=6000)
        intensities["carried"] = settled.near_threshold
        assert settled.near_threshold > 1
    assert set(found["source"]) == {"networks", *intensities}
    for source, intensity in intensities.items():
        part = found.loc[found["source"] == source]
        expected = floor_process(
            task.x, task.y, eta_rel=0.5, activity=activity, intensity=intensity, replicates=3, steps=24
        )
        assert part["level"].to_numpy() == pytest.approx(expected.levels)
        assert part["seed"].tolist() == [0, 1, 2]
        assert set(part["intensity"]) == {intensity}


def test_the_process_of_a_floor_is_drawn_by_its_seed_and_keys_of_the_first_are_what_they_were():
    made = [FloorOnTask("sphere-random", 6, 5, 0.5, "frozen", 64, (2,), 4, 3, 24, process_seed=seed) for seed in (0, 7)]
    assert "process_seed" not in made[0].stored_settings
    assert made[1].stored_settings["process_seed"] == 7
    task = tasks.load("sphere-random", n_train=5, n_test=1, seed=0, dim=6)
    for one in made:
        found = one.run(SCRATCH)
        expected = floor_process(
            task.x, task.y, eta_rel=0.5, activity="frozen", replicates=3, steps=24, seed=one.process_seed
        )
        assert found.loc[found["source"] == "process", "level"].to_numpy() == pytest.approx(expected.levels)


def test_what_alternates_is_that_of_the_limit_and_of_the_network_on_each_data_set():
    found = OscillationOnTask("sphere-random", 6, 5, 0.5, (3, 4), 4, 9, 256, 6000).run(SCRATCH)
    assert found["seed"].tolist() == [3, 4]
    for seed, row in zip((3, 4), found.to_dict("records"), strict=True):
        task = tasks.load("sphere-random", n_train=5, n_test=1, seed=seed, dim=6)
        values = np.linalg.eigvalsh(limit_ntk(task.x, precision="full").value)
        assert row["lambda_ratio"] == pytest.approx(values[0] / values[-1])
        limit = mean_field(task.x, task.y, eta_rel=0.5, steps=9, particles=6000, seed=seed)
        start = two_layer.init(256, 6, seed=seed, init="paired")
        network = two_layer.train(task.x, task.y, start, eta_rel=0.5, steps=9, record=range(10)).outputs
        for outputs, name in ((limit.replicates, "limit_{}"), (network[None], "{}")):
            away = np.asarray(outputs, np.float64) - task.y
            loss = [0.5 * (away[:, t] ** 2).sum(axis=1).mean() for t in range(4, 9)]
            averaged = [0.125 * ((away[:, t] + away[:, t + 1]) ** 2).sum(axis=1).mean() for t in range(4, 9)]
            assert row[name.format("loss")] == pytest.approx(np.mean(loss), rel=1e-6)  # float32 outputs
            assert row[name.format("averaged")] == pytest.approx(np.mean(averaged), rel=1e-6)


def test_the_spread_is_that_of_the_kernels_on_the_task():
    found = SpreadOnTask("sphere-linear", 6, 5, 3, 2000).run(SCRATCH)
    task = tasks.load("sphere-linear", n_train=5, n_test=3, seed=0, dim=6)
    expected = output_spread(task.x, task.y, task.x_test, samples=2000)
    assert found["index"].tolist() == [0, 1, 2]
    assert set(found) == {"index", *vars(expected)}
    assert all(np.array_equal(found[name], values) for name, values in vars(expected).items())


def test_the_first_stretch_is_of_the_steps_that_alternate_until_the_first_lapse():
    """Steps 30 and 31 have one sign, and so have the first six."""
    signal = (-1.0) ** np.arange(60)
    signal[31:] *= -1
    signal[:6] = signal[6]
    assert first_capture(signal) == (6, 30)
    assert first_capture(signal, 24) == (6, 30)
    assert first_capture(signal, 25) == (31, 59)


def test_a_stretch_without_a_lapse_ends_with_the_last_step():
    assert first_capture(0.7 * (-1.0) ** np.arange(60)) == (0, 59)


@pytest.mark.parametrize("signal", [np.ones(60), -np.arange(1.0, 61.0), np.zeros(60), (-1.0) ** np.arange(20)])
def test_constant_signs_zeros_and_what_is_too_short_are_no_stretch(signal):
    assert first_capture(signal) == (0, 0)


def test_a_zero_ends_a_stretch():
    signal = (-1.0) ** np.arange(60)
    signal[30] = 0.0
    assert first_capture(signal) == (0, 29)


@pytest.mark.parametrize(("changed", "words"), [
    ({"activity": "half"}, "activity"),
    ({"task": "sphere-nothing"}, "sphere-nothing"),
    ({"steps": 0}, "steps"),
    ({"particles": 3}, "particles"),
    ({"replicates": 1}, "replicates"),
])  # fmt: skip
def test_settings_of_no_limit_are_refused(changed, words):
    settings = {"task": "sphere-random", "dim": 6, "n_train": 5, "eta_rel": 0.5, "steps": 8}
    settings |= {"activity": "frozen", "particles": 2000, "replicates": 2}
    with pytest.raises(InputError, match=words):
        MeanFieldOnTask(**settings | changed).run(SCRATCH)
