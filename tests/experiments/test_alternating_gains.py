"""The gain along the alternating direction: against one step by hand, and against K_eff where nothing sticks."""

import numpy as np
import pytest

from ntk1bit.data import tasks
from ntk1bit.experiments import AlternatingGain
from ntk1bit.experiments.alternating_gains import _Look
from ntk1bit.kernels import effective_ntk
from ntk1bit.networks import two_layer

AT = (3, 4, 8)


def experiment(**more):
    return AlternatingGain(
        **{"task": "sphere-random", "dim": 8, "n_train": 16, "eta_rel": 0.5, "width": 512, "seeds": (1, 2), "at": AT}
        | more
    )


def test_a_row_for_each_network_and_step(tmp_path):
    found = experiment().run(tmp_path / "a")
    assert found[["seed", "step"]].to_numpy().tolist() == [[seed, step] for seed in (1, 2) for step in AT]
    assert (found[["change", "by_kernel"]].to_numpy() > 0).all()
    alone = experiment(seeds=(2,)).run(tmp_path / "b")
    assert alone["gain"].tolist() == found.loc[found["seed"] == 2, "gain"].tolist()


def test_it_is_what_two_steps_by_hand_differ_by(tmp_path):
    """At step 3, from the weights of a run of three steps, in plain NumPy."""
    task = tasks.load("sphere-random", n_train=16, n_test=1, seed=0, dim=8)
    start = two_layer.init(512, 8, seed=1, init="paired")
    run = two_layer.train(task.x, task.y, start, eta_rel=0.5, steps=3, record=[0, 2, 3])
    change = run.outputs[-1] - run.outputs[-2]
    v, h = change / np.linalg.norm(change), np.linalg.norm(change) / 8
    own = two_layer.train(task.x, task.y, run.final, steps=0).eta
    ends = [
        two_layer.train(task.x, y, run.final, eta_rel=run.eta / own, steps=1, reference=True).outputs[-1]
        for y in (task.y + h * v, task.y - h * v)
    ]
    found = experiment(seeds=(1,)).run(tmp_path / "a").iloc[0]
    # float32 networks on both sides; outputs of order 1 with rounding of 1e-6, divided by 2 h
    assert found["gain"] == pytest.approx(v @ (ends[0] - ends[1]) / (2 * h), abs=float(1e-5 / h))
    kernel = effective_ntk(task.x, samples=100_000).value
    assert found["by_kernel"] == pytest.approx(run.eta * v @ kernel @ v)
    assert found["change"] == pytest.approx(np.linalg.norm(change))


def test_early_in_training_it_is_that_of_k_eff(tmp_path):
    """At step 3 few weights have met their threshold twice; gains of networks of 65536 neurons scatter by tenths."""
    found = experiment(width=65536, seeds=tuple(range(16)), at=(3,)).run(tmp_path / "a")
    ratio = found["gain"].to_numpy() / found["by_kernel"].to_numpy()
    assert ratio.mean() == pytest.approx(1.0, abs=float(3 * ratio.std() / 4 + 0.25))
    assert ratio.mean() < 1.5


def test_outputs_that_did_not_change_have_no_gain():
    task = tasks.load("sphere-random", n_train=16, n_test=1, seed=0, dim=8)
    look = _Look(task, "straight_through", np.eye(16), [0, 1], (1,))
    weights = two_layer.init(64, 8, seed=0, init="paired")
    look(weights, 0.1)
    look(weights, 0.1)
    ((step, gain, by_kernel, change),) = look.found
    assert (step, change) == (1, 0.0)
    assert np.isnan([gain, by_kernel]).all()
