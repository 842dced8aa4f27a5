"""What experiments on late oscillations share: windows, remedies in the training, the mean of weights."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments.remedies import (
    WeightsMean,
    last_windows,
    remedied_training,
    require_freezable,
    require_window,
    window_stops,
)
from ntk1bit.training import Oscillation
from ntk1bit.training.freezing import FreezingTraining
from ntk1bit.training.schedules import Training

EPSILON = float(np.finfo(np.float32).eps)


def test_a_window_has_two_steps_or_more_of_the_training():
    for window in (2, 5):
        require_window(window, 5)
    for window in (0, 1, 6):
        with pytest.raises(InputError, match=f"window must be from 2 to the 5 steps of the training, got {window}"):
            require_window(window, 5)
    assert window_stops(3, 10) == (0, 8, 9, 10)
    assert window_stops(4, 4) == (0, 1, 2, 3, 4)


def test_only_signs_freeze():
    require_freezable("freezing", "signs", signs=True)
    require_freezable("decay", "ternary", signs=False)
    with pytest.raises(InputError, match="freezing is of signs, not of ternary weights"):
        require_freezable("freezing", "ternary", signs=False)


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam"])
def test_a_remedy_changes_its_part_of_the_training(optimiser):
    settings: dict[str, Any] = {"steps": 7, "rate": 0.2, "optimiser": optimiser}
    plain = Training(**settings, schedule="constant")
    assert remedied_training("none", (True,), **settings) == plain
    assert remedied_training("latents", None, **settings) == plain
    assert remedied_training("decay", None, **settings) == Training(**settings, schedule="linear")
    for layers in ((False, True), None):
        frozen = remedied_training("freezing", layers, **settings)
        assert frozen == FreezingTraining(**settings, schedule="constant", one_bit_layers=layers)
    with pytest.raises(InputError, match="learning rate"):
        remedied_training("decay", None, steps=7, rate=-1.0)


def test_the_mean_of_weights_is_that_of_all_of_them():
    rng = np.random.default_rng(0)
    every = [{"w": rng.standard_normal((3, 2)), "b": [rng.standard_normal(4)]} for _ in range(9)]
    mean = WeightsMean(9)
    for one in every:
        assert mean.mean is None
        mean.add({"w": jnp.asarray(one["w"], jnp.float32), "b": [jnp.asarray(one["b"][0], jnp.float32)]})
    found: Any = mean.mean
    # nine numbers of size up to 3, rounded, divided and added in float32
    close = 9 * 3 * EPSILON
    assert np.asarray(found["w"]) == pytest.approx(np.mean([one["w"] for one in every], axis=0), abs=close)
    assert np.asarray(found["b"][0]) == pytest.approx(np.mean([one["b"][0] for one in every], axis=0), abs=close)


def test_a_monitor_that_saw_nothing_has_a_row_without_numbers():
    seen, unseen = Oscillation(np.zeros(3), window=2, last=2), Oscillation(np.zeros(3), window=2, last=2)
    for step, f in enumerate((1.0, -1.0, 2.0, 2.0)):
        seen.update(np.full(3, f), step=step)
    found = last_windows([seen, unseen])
    assert found["loss"].iloc[0] == 4.0  # of the second window
    assert found["averaged"].iloc[0] == 4.0
    assert len(found) == 2
    assert found.iloc[1].isna().all()
