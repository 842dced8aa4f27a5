from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ntk1bit.data import tasks
from ntk1bit.experiments import SweepSpec, open_run, run_all
from ntk1bit.experiments.predictions import COLUMNS, distances
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


def test_other_activities_are_compared_with_their_kernels():
    """Each is nearer to what its own kernel predicts; what is left is the noise of flips, of order m^-1/4."""
    task = tasks.load("sphere-linear", n_train=24, n_test=16, dim=64)
    start = two_layer.init(8192, task.dim, seed=1, init="paired")
    options: dict[str, Any] = {"precision": "one_bit", "kappa": 1.0, "scale": "std"}
    runs = {
        one: two_layer.train(task.x, task.y, start, activity=one, steps=6, x_test=task.x_test, eta_rel=0.5)
        for one in ACTIVITIES
    }
    found = {
        (one, other): distances(task, start, runs[one], activity=other, **options)["from_k_eff"][2:]
        for one, other in itertools.product(ACTIVITIES, ACTIVITIES)
    }
    for own, other in (("latent", "straight_through"), ("straight_through", "latent"), ("frozen", "latent")):
        assert (found[own, own] < found[own, other]).all()
    np.testing.assert_array_equal(found["frozen", "frozen"], found["frozen", "straight_through"])


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
