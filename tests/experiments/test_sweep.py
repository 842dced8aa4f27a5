from __future__ import annotations

import codecs
import dataclasses
import os
import subprocess
import sys
import tomllib
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w

from ntk1bit.data import tasks
from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec, TwoLayer, open_run, run_all
from ntk1bit.experiments.at_start import LimitDistances
from ntk1bit.experiments.runner import WORKER_BYTES, require_memory
from ntk1bit.experiments.specification import read_specification
from ntk1bit.experiments.store import Store
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import ACTIVITIES


def networks_of(spec: SweepSpec) -> tuple[TwoLayer, ...]:
    return spec.networks


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": ()}, "widths is empty"),
        ({"widths": (64, 64)}, "repeated"),
        ({"widths": (0,)}, "1 or more"),
        ({"widths": (2**60,)}, "at most"),
        ({"widths": (63,), "inits": ("paired",)}, "even width"),
        ({"tasks": ("digit",)}, "did you mean"),
        ({"precisions": ("half",)}, "unknown precision"),
        ({"scales": ("mean",)}, "unknown scale"),
        ({"inits": ("pairs",)}, "unknown init"),
        ({"activities": ("forward",)}, "unknown activity 'forward'"),
        ({"activities": ()}, "activities is empty"),
        ({"activities": ("frozen", "frozen")}, "repeated"),
        ({"activities": ("frozen",), "terms": True}, "terms decompose the straight-through step"),
        ({"kappas": (0.0,)}, "positive"),
        ({"kappas": (float("nan"),)}, "positive"),
        ({"kappas": (1.0, 1e200)}, "positive number, from 1e-30 to 1e30, got 1e.200"),
        ({"eta_rel": float("inf")}, "positive"),
        ({"steps": 0}, "1 or more"),
        ({"n_train": (0,)}, "1 or more"),
        ({"checkpoints": 1}, "2 or more"),
        ({"seeds": (-1,)}, "0 or more"),
        ({"kappas": (1e200,)}, "from 1e-30 to 1e30"),
        ({"kappas": (1e-200,)}, "from 1e-30 to 1e30"),
        ({"kappas": (10**400,)}, "too large"),
        ({"eta_rel": 1e300}, "between 2\\^-40 and 2\\^40"),
        ({"eta_rel": float("nan")}, "positive"),
        ({"eta_rel": None}, "eta_rel must be a number"),
        ({"eta_rel": "1"}, "eta_rel must be a number"),
        ({"steps": 10**400}, "at most"),
        ({"widths": (64.5,)}, "widths must be a whole number"),
        ({"widths": (float("nan"),)}, "widths must be a whole number"),
        ({"widths": (float("inf"),)}, "widths must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"steps": float("nan")}, "steps must be a whole number"),
        ({"seeds": ("a",)}, "seeds must be a whole number"),
        ({"tasks": (None,)}, "tasks must be a name"),
        ({"terms": 1}, "terms must be true or false"),
    ],
)
def test_a_specification_that_could_not_run_is_refused(settings, message, untyped):
    with pytest.raises(InputError, match=message) as caught:
        SweepSpec(**settings)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_and_lists_are_plain_numbers(untyped):
    """They have one spelling, so that a network has one key and a specification can be written."""
    given: Any = {"widths": np.array([8, 16]), "seeds": range(2), "steps": np.int64(7), "kappas": [1, np.float32(0.5)]}
    spec = SweepSpec(**(given | {"eta_rel": np.float64(1), "n_train": [np.int32(8)]}))
    plain = SweepSpec(widths=(8, 16), seeds=(0, 1), steps=7, kappas=(1.0, 0.5), n_train=(8,))
    assert repr(spec) == repr(plain)
    assert tomli_w.dumps(spec.as_dict()) == tomli_w.dumps(plain.as_dict())
    assert [one.key for one in networks_of(spec)] == [one.key for one in networks_of(plain)]


SMALL: Any = {"widths": (8,), "seeds": (0,), "steps": 2, "n_train": (4,), "n_test": 2, "tasks": ("sphere-linear",)}


@pytest.mark.parametrize("name", ["widths", "n_train", "steps", "n_test", "checkpoints", "dims"])
def test_what_no_machine_could_hold_is_refused_before_anything_runs(name):
    huge = (2**53,) if name in ("widths", "n_train", "dims") else 2**53
    with pytest.raises(InputError, match=r"too many|GB of memory") as told:
        require_memory(networks_of(SweepSpec(**(SMALL | {name: huge}))), 1)
    assert "\n" not in str(told.value)


def test_seeds_may_be_any_number():
    assert len(networks_of(SweepSpec(**(SMALL | {"seeds": (2**53,), "data_seed": 2**53})))) == 2


@pytest.mark.parametrize("prefix", [b"", codecs.BOM_UTF8])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path, prefix):
    (tmp_path / "my.toml").write_bytes(prefix + b"[sweep]\r\nsteps = 7\r\n")
    assert SweepSpec.read(tmp_path / "my.toml").steps == 7


@pytest.mark.parametrize("read", [SweepSpec.read, read_specification])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[sweep]\nsteps = 7".encode("utf-16"), "is written in UTF-16; save it as UTF-8"),
        ("[sweep]\nsteps = 7".encode("utf-32"), "is written in UTF-32; save it as UTF-8"),
        ("[sweep]\nsteps = 7".encode("utf-16-le"), "not a text file in UTF-8"),
        ("[sweep] # é".encode("latin-1"), "not a text file in UTF-8"),
        (b"[sweep", "not valid TOML"),
        (b"a = " + b"[" * 100_000, "not valid TOML"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
        (b"", "table"),
    ],
)
def test_files_of_other_encodings_are_told_in_a_line(tmp_path, read, content, message):
    (tmp_path / "my.toml").write_bytes(content)
    with pytest.raises(InputError, match=message) as told:
        read(tmp_path / "my.toml")
    assert "\n" not in str(told.value)
    assert "my.toml" in str(told.value)


def test_toml_round_trip(tmp_path):
    spec = SweepSpec(widths=(8, 16), tasks=("f1", "sphere-linear"), dims=(4,), kappas=(0.1, 1.0), steps=7)
    path = tmp_path / "spec.toml"
    path.write_text(tomli_w.dumps({"sweep": spec.as_dict(), "versions": {"numpy": "1"}}))
    assert SweepSpec.read(path) == spec
    assert SweepSpec.read(path).differences(spec) == []
    assert spec.differences(SweepSpec(**{**vars(spec), "steps": 9})) == ["steps: 7 there, 9 asked for"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[sweep\] table"),
        ("[sweep", "not valid TOML"),
        ("sweep = 3", r"no \[sweep\] table"),
        ("[sweep]\nwdiths = [3]", "did you mean 'widths'"),
        ("[sweep]\nwidths = ['64']", "whole number"),
        ("[sweep]\nwidths = [true]", "whole number"),
        ("[sweep]\nsteps = 1.5", "whole number"),
        ("[sweep]\neta_rel = 'big'", "a number"),
        ("[sweep]\ntasks = [3]", "a name"),
    ],
)
def test_bad_spec_files_are_told_by_name(tmp_path, text, message):
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        SweepSpec.read(path)
    assert "my.toml" in str(caught.value)


def test_spec_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        SweepSpec.read(tmp_path / "none.toml")
    with pytest.raises(InputError, match="it is a folder"):
        SweepSpec.read(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        SweepSpec.read(tmp_path / "binary")


def test_all_combinations_once():
    spec = SweepSpec(
        widths=(8, 16),
        tasks=("sphere-linear",),
        dims=(4, 6),
        n_train=(10, 20),
        scales=("std", "absmean"),
        inits=("iid", "paired"),
        kappas=(0.5, 1.0),
        seeds=(0, 1, 2),
        activities=("straight_through", "latent", "frozen"),
    )
    networks = networks_of(spec)
    # full precision has no scale and one activity, so it runs once for all
    assert len(networks) == 2 * 2 * 2 * 2 * 2 * 3 * (2 * 3 + 1)
    assert {one.activity for one in networks if one.precision == "full"} == {"straight_through"}
    assert len({one.key for one in networks}) == len(networks)
    assert {one.dim for one in networks} == {4, 6}


def test_keys_depend_on_every_setting_and_on_nothing_else():
    (base,) = networks_of(SweepSpec(widths=(8,), seeds=(0,), precisions=("full",)))
    again = networks_of(SweepSpec(widths=(8, 16), seeds=(0, 1), precisions=("full",)))
    assert base.key in {one.key for one in again}
    assert len(base.key) == 20
    other = {"task": "f1", "precision": "one_bit", "init": "paired", "scale": "std", "activity": "frozen"}
    for field in dataclasses.fields(base):
        value = getattr(base, field.name)
        changed = other[field.name] if isinstance(value, str) else not value if isinstance(value, bool) else value + 1
        assert dataclasses.replace(base, **{field.name: changed}).key != base.key


def test_keys_and_names_of_folders_are_those_of_before_there_were_activities():
    """As they were when two-layer networks had no activity, and `LimitDistances` no seed of the data."""
    spec = SweepSpec(widths=(64,), seeds=(0,))
    assert [one.key for one in networks_of(spec)] == ["a94fe7cf4c707a6c0510", "5f590091cd62d75a9f8a"]
    assert [SweepSpec().mark, SweepSpec(widths=(64,), precisions=("full",)).mark] == ["798bb0", "86c63b"]
    of_jax = SweepSpec(widths=(64,), seeds=(0,), precisions=("one_bit",), backend="jax")
    assert [one.key for one in networks_of(of_jax)] == ["c27320db3671ab0f39af"]
    assert SweepSpec(activities=("frozen",)).mark != SweepSpec().mark
    distances = LimitDistances(task="digits", precision="full", widths=(64, 128), draws=2, samples=100)
    assert distances.key == "a91b3eff6d5480e29693"
    assert dataclasses.replace(distances, data_seed=3).key == "0913090ec9e2448f489a"
    assert "data_seed" not in distances.stored_settings
    assert distances.as_dict()["data_seed"] == 0


def test_a_run_of_before_there_were_activities_is_resumed_and_extended_by_them(tmp_path):
    spec = SweepSpec(**SMALL)
    run_all(spec, tmp_path / "run", jobs=1)
    path = tmp_path / "run" / "spec.toml"
    document = tomllib.loads(path.read_text())
    del document["sweep"]["activities"]
    path.write_text(tomli_w.dumps(document))
    for cell in networks_of(spec):
        assert "activity" not in Store(tmp_path / "run").read(cell.key)[0]["settings"]
    assert open_run(tmp_path / "run").spec == spec
    old = open_run(tmp_path / "run").frame()
    assert set(old["activity"]) == {"straight_through"}
    outcome = run_all(spec, tmp_path / "run", jobs=1)
    assert (outcome.found, outcome.computed) == (2, 0)

    more = SweepSpec(**(SMALL | {"activities": ("latent", "frozen")}))
    outcome = run_all(more, tmp_path / "run", jobs=1)
    assert (outcome.cells, outcome.found, outcome.computed, outcome.failed) == (4, 2, 2, 0)
    frame = open_run(tmp_path / "run").frame()
    first = frame.loc[frame["step"] == 0]
    assert [*zip(first["precision"], first["activity"], strict=True)] == [
        ("full", "straight_through"), *(("one_bit", one) for one in sorted(ACTIVITIES)),
    ]  # fmt: skip
    kept = frame.loc[frame["activity"] == "straight_through"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, old, check_exact=True)
    last = frame.loc[(frame["step"] == 2) & (frame["precision"] == "one_bit"), "loss"]
    assert len(set(last)) == 3


def test_a_cell_of_each_activity_is_trained_by_it(tmp_path):
    spec = SweepSpec(widths=(16,), tasks=("sphere-linear",), seeds=(1,), steps=9, n_train=(8,), n_test=3,
        precisions=("one_bit",), activities=ACTIVITIES)  # fmt: skip
    for one in networks_of(spec):
        task = one.data(tmp_path / "cells" / "key")
        expected = two_layer.train(task.x, task.y, one.start(), activity=one.descends_by, steps=9)
        np.testing.assert_array_equal(one.run(tmp_path)["loss"], expected.loss)


def test_tasks_that_cannot_be_loaded_are_refused_before_anything_starts():
    with pytest.raises(InputError, match="at most 442"):
        networks_of(SweepSpec(tasks=("diabetes",), n_train=(400,), n_test=100))
    with pytest.raises(InputError, match="d = 64"):
        networks_of(SweepSpec(dims=(8,)))
    lossless = SweepSpec(tasks=("bessel",), dims=(2,), n_train=(16,), n_test=4)
    assert "lossless" in lossless.notes[0]  # what is remarkable is said beforehand too


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_predicted_memory_covers_a_real_network_without_being_absurd():
    """Resident memory of a process that trains one wide network, against the prediction."""
    code = (
        "import re\n"
        "from pathlib import Path\n"
        "from ntk1bit.experiments import SweepSpec\n"
        "spec = SweepSpec(widths=(2**12, 2**16, 2**18), seeds=(0,), precisions=('one_bit',), steps=2, n_train=(64,))\n"
        "for one in spec.first_stage.experiments:\n"
        "    one.run(Path('not used'))\n"
        "    peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
        "    print(int(peak) * 1024, one.memory)\n"
    )
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as in a worker
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=alone)
    peaks, predicted = np.array([line.split() for line in done.stdout.splitlines()], dtype=float).T
    assert (peaks < 1.1 * (WORKER_BYTES + predicted)).all()
    assert 0.6 < (peaks[2] - peaks[1]) / (predicted[2] - predicted[1]) < 1.1


def test_two_tasks_of_ones_own_data_need_names_of_their_own():
    rng = np.random.default_rng(0)
    made = [tasks.from_arrays("mine", rng.standard_normal((20, 3)), rng.standard_normal(20)) for _ in range(2)]
    with pytest.raises(InputError, match="two tasks of your own data are called 'mine'"):
        SweepSpec(tasks=tuple(made))
