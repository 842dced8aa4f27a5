from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from ntk1bit.scaling import Fit, IdentificationWarning, fit

from .synthetic import BESIROGLU, chinchilla_design, draw_losses, width_design


def _lines(frame: pd.DataFrame, law: str, **options: object) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentificationWarning)
        return "\n".join(fit(frame, law, **{"bootstrap": 100, **options}).warnings)  # pyright: ignore[reportArgumentType]


def test_a_sound_fit_has_no_warnings(floored: Fit, chinchilla: Fit) -> None:
    assert floored.warnings == ()
    assert chinchilla.warnings == ()


def test_a_range_under_a_decade_is_told() -> None:
    frame = draw_losses(width_design((64, 128, 256)), "power", {"A": 1.0, "alpha": 0.5}, noise=0.01)
    assert "alpha: not identified well, x spans only 0.60 decades" in _lines(frame, "power")


def test_a_floor_that_is_not_there_is_told() -> None:
    frame = draw_losses(width_design(), "power", {"A": 1.0, "alpha": 0.5}, noise=0.001, seed=2)
    assert "floor E is indistinguishable from 0" in _lines(frame, "power+floor")


def test_a_floor_above_the_data_is_told() -> None:
    frame = draw_losses(width_design(), "power+floor", {"E": 0.5, "A": 3.0, "alpha": 0.8}, noise=0.01)
    frame.loc[0, "loss"] = 0.01
    assert "lies above the smallest loss" in _lines(frame, "power+floor")


def test_too_few_points_and_shapes_are_told() -> None:
    frame = pd.DataFrame({"x": [1.0, 10.0, 100.0], "loss": [1.0, 0.5, 0.4]})
    lines = _lines(frame, "power+floor")
    assert "too few points: 3 for 3 parameters" in lines
    assert "shape of the law is not tested" in lines


def test_few_clusters_are_told(widths: pd.DataFrame) -> None:
    assert "only 5 clusters" in _lines(widths, "power+floor", cluster="seed")


def test_an_exponent_that_may_be_zero_is_told() -> None:
    frame = pd.DataFrame({"x": np.geomspace(1, 1e3, 30), "loss": np.exp(np.random.default_rng(0).normal(size=30))})
    assert "contains 0" in _lines(frame, "power")


@pytest.mark.parametrize("law", ["power", "power+floor"])
@pytest.mark.parametrize("bootstrap", [0, 50])
@pytest.mark.parametrize("loss", [1.0, 2.5, 0.3, 1e-6, 1e9])
def test_a_constant_loss_has_an_exponent_of_0(law: str, bootstrap: int, loss: float) -> None:
    frame = pd.DataFrame({"width": np.geomspace(1, 1e4, 12), "loss": loss})
    told = _lines(frame, law, bootstrap=bootstrap, x="width")
    assert "exponent alpha is 0 to rounding: the losses do not change with width" in told
    assert ("intervals of no width say nothing of noise" in told) == (bootstrap > 0)


def test_parameters_that_move_nothing_are_told() -> None:
    design = pd.DataFrame([(n, d) for n in np.geomspace(1e6, 1e9, 8) for d in np.geomspace(2e7, 2e10, 8)])
    frame = design.set_axis(["N", "D"], axis=1).assign(loss=2.0)
    told = _lines(frame, "chinchilla", x=("N", "D"))
    assert "B, beta: not identified, no predicted loss changes with them" in told
    assert "exponent alpha is 0 to rounding" in told


def test_exact_losses_have_intervals_of_no_width() -> None:
    frame = draw_losses(width_design(seeds=1), "power", {"A": 3.0, "alpha": 0.7})
    assert "the losses lie on the curve to rounding" in _lines(frame, "power")
    noisy = draw_losses(width_design(seeds=1), "power", {"A": 3.0, "alpha": 0.7}, noise=1e-6)
    assert "on the curve" not in _lines(noisy, "power")


def test_variables_that_move_together_are_told() -> None:
    design = chinchilla_design(60)
    design["D"] = 20 * design["N"] * np.exp(np.random.default_rng(0).normal(0, 0.01, 60))
    assert "N and D move together" in _lines(draw_losses(design, "chinchilla", BESIROGLU, noise=0.01), "chinchilla")


def test_a_lonely_optimum_is_told(floored: Fit) -> None:
    from dataclasses import replace

    from ntk1bit.scaling.identification import _about_optimum
    from ntk1bit.scaling.outcome import Starts

    lonely = replace(floored, starts=Starts(tried=54, reached_best=1, rivals=1, objectives=np.ones(54)))
    assert any("only 1 of 54 starts" in line for line in _about_optimum(lonely))


@pytest.mark.parametrize("kept", [0, 3])
def test_replicates_left_out_are_told(floored: Fit, kept: int) -> None:
    from dataclasses import replace

    from ntk1bit.scaling.identification import _about_optimum

    finite = np.ones(200, dtype=bool)
    finite[:kept] = False
    told = any("left out" in line for line in _about_optimum(replace(floored, finite_replicates=finite)))
    assert told == (kept > 0)
