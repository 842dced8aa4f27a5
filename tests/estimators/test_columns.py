"""What every estimator does with a frame that lacks a column, a key, or holds a network twice."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit import estimators
from ntk1bit.errors import InputError
from ntk1bit.estimators.outputs import PREDICTION_COLUMNS
from ntk1bit.estimators.run_overview import COLUMNS
from ntk1bit.experiments import SweepSpec, open_run, run_all

from .frames import run_frame

ESTIMATORS = {
    "loss_at_end": (estimators.loss_at_end, ()),
    "floor": (estimators.floor, ()),
    "decay_rate": (estimators.decay_rate, ("eta", "lambda_min")),
    "steps_needed": (functools.partial(estimators.steps_needed, share=0.1), ("eta", "lambda_max")),
    "width_needed": (estimators.width_needed, ()),
    "drift": (estimators.drift, ()),
    "kernel_shift": (estimators.kernel_shift, ("lambda_min",)),
    "movement": (estimators.movement, ("radius",)),
    "sign_flips": (estimators.sign_flips, ("flipped",)),
    "activation_changes": (estimators.activation_changes, ("activation_change",)),
    "gap": (estimators.gap, ("scale", "test_outputs")),
    "spread": (estimators.spread, ("test_outputs",)),
    "distance_to_predictions": (estimators.distance_to_predictions, ()),
    "overview": (estimators.overview, ("eta", *COLUMNS[: -len(PREDICTION_COLUMNS)])),
}
OF_EVERY_RUN = ("width", "seed", "precision", "step", "loss", "drift", "diverged", "key")


def cell(width, seed, precision, rng):
    t = np.arange(21) + 1.0
    made = {
        name: rng.random(21) for name in ("flipped", "activation_change", "radius", "lambda_min", "lambda_max", "drift")
    }
    return made | {"loss": 1 / t**2 + 1 / width, "test_outputs": list(rng.standard_normal((21, 3)))}


@pytest.fixture(scope="module")
def frame():
    return run_frame(cell, widths=(64, 128, 256), seeds=2, steps=20)


def refusal(estimate, frame):
    with pytest.raises(InputError) as told:
        estimate(frame)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_names_the_columns_that_it_lacks(frame, name):
    estimate, reads = ESTIMATORS[name]
    for column in (*OF_EVERY_RUN, *reads):
        message = refusal(estimate, frame.drop(columns=column))
        assert message.startswith(f"{name} needs the column {column!r}, which the frame lacks")
        assert "read the run with run.frame([" in message
    every = [*OF_EVERY_RUN, *reads]
    message = refusal(estimate, frame.drop(columns=every))
    assert all(repr(column) in message for column in every)
    estimate(frame[[*dict.fromkeys([*every, "task", "dim", "n_train", "init", "kappa", "eta_rel", "scale"])]])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_row_without_a_key_is_refused_and_not_dropped(frame, name):
    for column in ("seed", "width", "precision", "kappa", "task", "key"):
        gap = frame.astype({column: object})
        gap.loc[[3, 5], column] = None
        message = refusal(ESTIMATORS[name][0], gap)
        assert f"needs {column!r} in every row, and 2 of {len(frame)} rows have none" in message


@pytest.mark.parametrize("name", ESTIMATORS)
def test_two_networks_are_not_read_as_one(frame, name):
    estimate = ESTIMATORS[name][0]
    other = frame.assign(key="other " + frame["key"], steps=99)  # the same settings but for what no group tells apart
    for twice in (pd.concat([frame, other], ignore_index=True), pd.concat([frame, frame], ignore_index=True)):
        assert "two networks of width 64, seed 0, one_bit" in refusal(estimate, twice)
    estimate(pd.concat([frame, frame.assign(kappa=0.5)], ignore_index=True))  # another group: no ambiguity


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_run_without_finished_cells_has_nothing_to_estimate(name):
    found = ESTIMATORS[name][0](pd.DataFrame())
    assert not len(found.quantities if name == "overview" else found)


def test_networks_without_a_counterpart_are_counted(frame):
    alone = frame.loc[~((frame["precision"] == "full") & (frame["width"] == 128) & (frame["seed"] == 1))]
    assert estimators.gap(frame)[0].notes == ()
    notes = estimators.gap(alone)[0].notes
    assert "1 networks of one precision without their counterpart are left out" in notes
    assert estimators.gap(alone)[0].table["seeds"].tolist() == [2, 1, 2]


def test_widths_with_one_seed_have_no_spread_and_that_is_said(frame):
    single = frame.loc[~((frame["width"] == 128) & (frame["seed"] == 1))]
    found = estimators.spread(single)[0]
    assert found.table["width"].tolist() == [64, 256]
    assert "one seed only at widths 128: they are left out" in found.notes


def test_the_example_of_the_claims_page_runs(tmp_path, monkeypatch):
    """Its frame is `run.frame([])`, so it must need no column that has to be asked for."""
    monkeypatch.chdir(tmp_path)
    run_all(SweepSpec(widths=(8, 16, 64), seeds=(0, 1), steps=8, n_train=(8,), n_test=4), Path("runs/mine"))
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text(encoding="utf-8")
    examples = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "evidence(" in code]
    found: dict[str, Any] = {"open_run": open_run}
    exec(compile("\n".join(examples), "docs/claims.md", "exec"), found)
    assert "exponent of drift" in str(found["verdict"])
    with pytest.raises(InputError, match=r"activation_changes needs the column 'activation_change'"):
        estimators.activation_changes(open_run("runs/mine").frame([]))
