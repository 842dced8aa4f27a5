from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ntk1bit import kernels
from ntk1bit.data import tasks
from ntk1bit.experiments import SweepSpec, open_run, run_all
from ntk1bit.experiments.predictions import COLUMNS, SAMPLES, distances
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import ACTIVITIES


def test_a_wide_full_precision_network_follows_its_kernel_and_a_one_bit_one_the_effective_kernel():
    task = tasks.load("sphere-linear", n_train=24, n_test=16, dim=24)
    found = {}
    for precision in ("full", "one_bit"):
        start = two_layer.init(8192, task.dim, seed=1, init="paired")
        run = two_layer.train(task.x, task.y, start, precision=precision, steps=6, x_test=task.x_test, eta_rel=0.5)
        found[precision] = distances(task, start, run, precision=precision, kappa=1.0, scale="std")
        for name in COLUMNS:
            assert len(found[precision][name]) == len(run.steps)
    size = float(np.sqrt(np.mean(task.y**2)))
    # the kernel moves by O(m^-1/2) = 0.011 of itself, and so may outputs of size `size` over these few steps
    assert found["full"]["from_h"].max() < 3 * size / np.sqrt(8192)
    assert np.isnan(found["full"]["from_k_eff"]).all()
    # H is 1/0.8 times too fast for the 1-bit network, which shows as a distance of 0.2 of each step's move
    later = found["one_bit"]["from_k_eff"][2:]
    assert (later < found["one_bit"]["from_h"][2:]).all()
    assert found["one_bit"]["from_k_eff"][0] == found["one_bit"]["from_h"][0] == 0.0


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_outputs_that_follow_the_kernel_of_the_activity_are_at_no_distance(activity):
    task = tasks.load("sphere-linear", n_train=12, n_test=5, dim=16)
    start = two_layer.init(256, task.dim, seed=1)
    run = two_layer.train(task.x, task.y, start, activity=activity, steps=6, x_test=task.x_test, eta_rel=0.5)
    every = np.concatenate([task.x, task.x_test])
    options: dict[str, Any] = {"kappa": 1.0, "scale": "std"}
    found = {}
    for kernel_of in ("straight_through", "latent"):
        kernel = kernels.effective_ntk(every, task.x, activity=kernel_of, samples=SAMPLES, **options).value
        exact = kernels.predict(
            kernel[:12], task.y.astype(float), eta=run.eta, steps=run.steps.tolist(), kernel_test=kernel[12:],
            f0=run.outputs[0], f0_test=run.test_outputs[0],
        )  # fmt: skip
        made = dataclasses.replace(run, outputs=exact.train, test_outputs=exact.test)
        columns = distances(task, start, made, precision="one_bit", activity=activity, **options)
        found[kernel_of] = np.array([columns["from_k_eff"], columns["from_k_eff_test"]])
    own = "latent" if activity == "latent" else "straight_through"  # the kernel of frozen is K_eff
    assert found.pop(own).max() < 1e-6  # float32 outputs
    ((_, other),) = found.items()
    assert (other[:, 1:] > 1e-3).all()


def test_frozen_networks_descend_like_the_effective_kernel_on_average():
    """Mean outputs of 60 paired networks over five steps, against descent with K_eff.

    Each step adds at most eta norm(K(t) - K(0)) norm(r) to the error. K moves by about as much of itself as H does, and
    2 is for what the drift of H does not see; to this come four standard errors of the mean in norm.
    """
    task, steps = tasks.load("sphere-linear", n_train=16, n_test=0, dim=16), 5
    starts = [two_layer.init(1024, 16, seed=seed, init="paired") for seed in range(60)]
    options: dict[str, Any] = {"activity": "frozen", "steps": steps, "eta_rel": 0.5}
    runs = [two_layer.train(task.x, task.y, start, **options) for start in starts]
    outputs = np.array([run.outputs for run in runs])
    eta, moved = np.mean([run.eta for run in runs]), np.mean([run.drift.max() for run in runs])
    errors = np.linalg.norm(outputs.std(axis=0, ddof=1) / np.sqrt(len(runs)), axis=1)
    size = float(np.linalg.norm(task.y))
    kernel = kernels.effective_ntk(task.x, samples=SAMPLES).value
    expected = kernels.predict(kernel, task.y.astype(float), eta=float(eta), steps=range(steps + 1)).train
    slack = 2 * np.arange(steps + 1) * eta * moved * np.linalg.norm(kernel, 2) * size + 4 * errors + 1e-6  # float32
    assert (np.linalg.norm(outputs.mean(axis=0) - expected, axis=1) <= slack).all()
    assert slack.max() < 0.2 * np.linalg.norm(expected[-1])  # a comparison that could fail


def test_the_sweep_stores_them_on_request_only(tmp_path):
    spec = SweepSpec(widths=(16, 32), seeds=(0,), steps=5, n_train=(8,), n_test=4, tasks=("sphere-linear",), dims=(6,))
    assert not set(COLUMNS) & set(spec.first_stage.experiments[0].run(tmp_path).columns)
    asked = SweepSpec(**{**vars(spec), "predictions": True})
    assert {one.key for one in asked.first_stage.experiments}.isdisjoint(
        one.key for one in spec.first_stage.experiments
    )
    run_all(asked, tmp_path / "run", jobs=1)
    frame = open_run(tmp_path / "run").frame(["from_h", "from_k_eff"])
    one_bit = frame.loc[frame["precision"] == "one_bit"]
    assert one_bit["from_k_eff"].notna().to_numpy().all()
    run_all(spec, tmp_path / "other", jobs=1)
    assert "from_h" not in open_run(tmp_path / "other").frame(["from_h", "test_loss"])
