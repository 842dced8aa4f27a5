"""Sweeps whose networks JAX trains: what they store, stopped and resumed, and beside sweeps of the cores."""

from __future__ import annotations

import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec, TwoLayer, TwoLayerJax, open_run, run_all
from ntk1bit.experiments.experiment import groups
from ntk1bit.networks.two_layer import ACTIVITIES

SPEC = SweepSpec(
    widths=(8, 9),
    tasks=("bessel",),
    precisions=("full",),  # which has no K_eff to estimate
    seeds=(0, 1),
    kappas=(0.5, 1.0),
    steps=12,
    n_train=(10,),
    n_test=4,
    checkpoints=4,
    predictions=True,
    backend="jax",
)


def test_a_sweep_is_that_of_the_cores_and_a_resumed_one_the_same_to_the_bit(tmp_path):
    outcome = run_all(SPEC, tmp_path / "jax", jobs=2)
    assert (outcome.cells, outcome.computed, outcome.failed) == (8, 8, 0)
    undisturbed = open_run(tmp_path / "jax").frame()

    lost = list((tmp_path / "jax" / "cells").glob("*.parquet"))[:1]
    lost[0].unlink()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "jax" / "cells").glob("*.parquet")}
    outcome = run_all(SPEC, tmp_path / "jax", jobs=1)
    assert (outcome.found, outcome.computed) == (7, 1)
    pd.testing.assert_frame_equal(open_run(tmp_path / "jax").frame(), undisturbed, check_exact=True)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())

    of_cores = SweepSpec.from_dict({"backend": "cores"}, SPEC)
    with pytest.raises(InputError, match="backend: jax there, cores asked for"):
        run_all(of_cores, tmp_path / "jax")
    run_all(of_cores, tmp_path / "cores")
    frame = open_run(tmp_path / "cores").frame()
    assert frame.dtypes.to_dict() == undisturbed.dtypes.to_dict()
    start = frame["step"] == 0
    for name in ("loss", "drift", "lambda_max", "eta", "test_loss", "from_h"):  # float32 sums of at most 16 terms
        pd.testing.assert_series_equal(frame.loc[start, name], undisturbed.loc[start, name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_activities_are_those_of_the_cores(activity, tmp_path):
    small = {"widths": (16,), "tasks": ("sphere-linear",), "precisions": ("one_bit",), "seeds": (0, 1), "n_train": (8,)}
    frames = []
    for backend in ("jax", "cores"):
        spec = SweepSpec.from_dict(small | {"steps": 3, "n_test": 4, "activities": (activity,), "backend": backend})
        run_all(spec, tmp_path / backend, jobs=1)
        frames.append(open_run(tmp_path / backend).frame())
    assert set(frames[0]["activity"]) == {activity}
    # three steps, before a sign or an activation falls otherwise; float32 sums of at most 16 terms
    pd.testing.assert_series_equal(frames[0]["loss"], frames[1]["loss"], rtol=1e-5, atol=1e-6)


def test_networks_of_one_shape_and_data_are_trained_together():
    spec = SweepSpec(widths=(8, 10), tasks=("bessel",), seeds=tuple(range(40)), inits=("iid", "paired"), backend="jax")
    found = groups(spec.networks)
    assert sum(map(len, found)) == len(spec.networks)
    assert {len(group) for group in found} == {64, 16}
    for group in found:
        assert {type(one) for one in group} == {TwoLayerJax}
        assert len({(one.width, one.precision) for one in group}) == 1
    assert {len(group) for group in groups(SweepSpec(tasks=("bessel",)).networks)} == {1}
    large = SweepSpec(widths=(2**15,), tasks=("bessel",), precisions=("full",), seeds=tuple(range(9)), backend="jax")
    assert {len(group) for group in groups(large.networks)} == {2, 1}
    assert max(sum(one.memory for one in group) for group in groups(large.networks)) <= 2**30


def test_a_network_of_one_backend_is_never_taken_for_one_of_the_other():
    (ours,), (theirs,) = (
        SweepSpec(widths=(8,), precisions=("full",), seeds=(0,), tasks=("bessel",), backend=backend).networks
        for backend in ("jax", "cores")
    )
    assert ours.as_dict() == theirs.as_dict()
    assert ours.key != theirs.key
    assert ours != theirs
    assert isinstance(theirs, TwoLayer)
    assert theirs.key == "efe0f11fb7d8b8d441ea"  # as results of the cores were stored before there was another backend


def test_a_specification_without_a_backend_is_of_the_cores(tmp_path):
    (tmp_path / "spec.toml").write_text("[sweep]\nwidths = [64]\n")
    assert SweepSpec.read(tmp_path / "spec.toml").backend == "cores"
    for settings, message in (
        ({"backend": "cuda"}, "unknown backend 'cuda'; choose one of: cores, jax"),
        ({"backend": "jax", "terms": True}, "terms are recorded by the backend 'cores' alone"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            SweepSpec.from_dict(settings)
        assert "\n" not in str(caught.value)
