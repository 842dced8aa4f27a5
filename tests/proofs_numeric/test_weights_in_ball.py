"""The rules of I.6-ball and D.7-ball on made-up draws."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from proofs_numeric import weights_in_ball
from proofs_numeric.data import Data, log_factor


def draws(*, std=0.5, u=1.0, growth=0.0, failing=0, beyond=0):
    """A hundred draws per setting: scales `std` times D + R/sqrt d, differences `u` times sqrt(d) + R, as m^growth."""
    frame = pd.DataFrame(
        list(itertools.product((8, 32), (64, 256, 1024), (0.1, 10.0), range(100))),
        columns=["dim", "width", "radius", "seed"],
    )
    log, root = log_factor(frame), np.sqrt(frame["dim"])
    high = np.where((frame["seed"] < failing) & (frame["dim"] == 32) & (frame["width"] == 64), 3.0, 1.0)
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal(len(frame))
    frame = frame.assign(
        start_weight=0.9 * log,
        start_norm=root * 0.5 * log,
        start_mean=0.3 * log,
        start_std=std * log * high,
        norm=root * 0.5 * log + frame["radius"],
        mean=0.3 * log + frame["radius"] / root,
        std=std * log * high + frame["radius"] / root,
        u=u * (root + frame["radius"]) * (frame["width"] / 64) ** growth * noise,
        beyond=beyond,
        searched=100,
    )
    return Data(Path("nowhere"), frames={"ball-weights": frame})


def outcomes(data):
    return {one.claim.id: one.claim.judge(one.evidence(data)).outcome for one in weights_in_ball.PROOFS}


def test_draws_within_the_bounds_support_both():
    assert outcomes(draws()) == {"I.6-ball": "supported", "D.7-ball": "supported"}


def test_too_many_draws_outside_at_one_setting_refute():
    assert outcomes(draws(failing=40))["I.6-ball"] == "refuted"
    assert outcomes(draws(failing=4))["I.6-ball"] == "inconclusive"  # 4 of 100 may come of a rate above 0.05
    assert outcomes(draws(std=1.5))["I.6-ball"] == "refuted"  # above sqrt(2) D at every draw


def test_a_large_difference_or_one_that_grows_with_width_refutes():
    assert outcomes(draws(u=50.0))["D.7-ball"] == "refuted"
    assert outcomes(draws(growth=0.2))["D.7-ball"] == "refuted"


def test_weights_beyond_the_closed_forms_refute_both():
    assert set(outcomes(draws(beyond=1)).values()) == {"refuted"}
