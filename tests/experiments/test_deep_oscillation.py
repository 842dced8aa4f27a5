"""The experiment against the pieces that it is made of, and what each remedy changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.data import tasks
from ntk1bit.errors import InputError
from ntk1bit.experiments import DeepOscillation
from ntk1bit.networks import mlp
from ntk1bit.training.freezing import FreezingTraining
from ntk1bit.training.oscillation import oscillation_reference
from ntk1bit.training.supervised import train

EPSILON = float(np.finfo(np.float32).eps)
SMALL = DeepOscillation(12, "sgd", 0.4, 30, 8, (3, 5), n_train=24, n_test=16)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cells") / "key"


@pytest.fixture(scope="module")
def plain(scratch) -> pd.DataFrame:
    return SMALL.run(scratch)


def test_losses_are_those_of_the_outputs_of_the_window(plain):
    task = tasks.load("digits", n_train=24, n_test=16, seed=0)
    network = SMALL.network(task.dim)

    def apply(params, x):
        return mlp.apply(network, params, x)

    x, x_test = task.x * 8, task.x_test * 8  # of norm sqrt(64)
    training = dataclasses.replace(SMALL.training(network), every=1)
    found = train(
        lambda seed: mlp.init(network, seed), apply, x, task.y, training, seeds=(3, 5), watch=np.vstack([x, x_test])
    )
    assert plain["seed"].tolist() == [3, 5]
    for place in (0, 1):
        outputs = found.predictions[place, -8:]
        for name, f, y in (("", outputs[:, :24], task.y), ("test_", outputs[:, 24:], task.y_test)):
            row = oscillation_reference(f, y, window=8, last=8).iloc[0]
            for column in ("loss", "averaged", "averaged_last"):
                # outputs of one program and of another: roundings of float32, of numbers of size 2
                assert plain[f"{name}{column}"].iloc[place] == pytest.approx(row[column], abs=100 * EPSILON)
        assert plain["loss_start"].iloc[place] == pytest.approx(found.loss[place, 0], rel=100 * EPSILON)
    assert (plain["flips"].to_numpy() > 0).any()
    assert not plain["diverged"].to_numpy().any()


def test_without_steps_between_the_average_of_latent_weights_is_near_the_network(scratch):
    """At a rate of 1e-6 the latent weights stay where they are: so do the outputs of their average."""
    still = dataclasses.replace(SMALL, rate=1e-6).run(scratch)
    # the mean of eight copies of a number of size 1 in float32 is off by a rounding, which flips no sign
    assert still["latents"].to_numpy() == pytest.approx(still["loss"].to_numpy(), rel=1e-3)
    assert (still["flips"].to_numpy() == 0).all()


@pytest.mark.parametrize("changes", [
    {"remedy": "latent"}, {"remedy": "decay"}, {"levels": "ternary"}, {"optimiser": "momentum"}, {"batch": 6},
])  # fmt: skip
def test_every_choice_trains_another_network(changes, plain, scratch):
    found = dataclasses.replace(SMALL, **changes).run(scratch)
    assert np.isfinite(found["loss"]).all()
    assert (found["loss"].to_numpy() != plain["loss"].to_numpy()).all()


def test_adam_has_its_rate_at_width_256_and_less_of_it_at_larger_ones():
    for width, rate in ((64, 0.04), (256, 0.01), (1024, 0.0025)):
        one = dataclasses.replace(SMALL, width=width, optimiser="adam", rate=0.01)
        assert one.training(one.network(64)).rate == rate


def test_remedies_are_in_the_training_or_in_the_network():
    for remedy, schedule, activity in (
        ("none", "constant", "straight_through"),
        ("latent", "constant", "latent"),
        ("decay", "linear", "straight_through"),
        ("freezing", "constant", "straight_through"),
    ):
        one = dataclasses.replace(SMALL, remedy=remedy)
        network = one.network(64)
        training = one.training(network)
        assert (training.schedule, network.activity) == (schedule, activity)
        assert isinstance(training, FreezingTraining) == (remedy == "freezing")


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("changes", "message"), [
    ({"remedy": "prayer"}, "remedy"),
    ({"window": 31}, "window must be from 2 to the 30 steps"),
    ({"window": 1}, "window must be"),
    ({"remedy": "freezing", "levels": "ternary"}, "freezing is of signs"),
])  # fmt: skip
def test_what_cannot_be_run_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SMALL, **changes)
