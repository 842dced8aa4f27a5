from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators.sweep_losses import (
    compute_envelope,
    curves_from_sweep,
    losses_from_sweep,
    operations,
    proposition_fits,
    proposition_laws,
    sweep_fits,
)
from ntk1bit.scaling import IdentificationWarning
from ntk1bit.scaling.compare import compare_laws

pytestmark = pytest.mark.filterwarnings("ignore::ntk1bit.scaling.IdentificationWarning")

Sweep = Callable[..., pd.DataFrame]


def test_operations_count_two_products_an_update_and_a_look() -> None:
    one = np.ones(1)
    assert operations(7 * one, 3 * one, 5 * one, 0 * one)[0] == 2 * 7 * 3 * 5
    assert operations(7 * one, 3 * one, 5 * one, 2 * one)[0] == 2 * (4 * 5 * 3 * 7 + 2 * 7 * 3) + 2 * 7 * 3 * 5


def test_one_loss_a_cell_at_the_last_step_the_best_and_any(sweep: Sweep) -> None:
    frame = sweep()
    last = losses_from_sweep(frame)
    assert len(last) == 2 * 6 * 3
    assert set(last["step"]) == {256}
    assert {"N", "n", "C", "loss", "precision", "seed", "width"} <= set(last.columns)
    np.testing.assert_array_equal(last["N"], 10.0 * last["width"])
    at_four = losses_from_sweep(frame, at=4)
    assert set(at_four["step"]) == {4}
    assert np.all(at_four["C"] < last["C"])
    frame.loc[(frame["step"] == 32) & (frame["width"] == 64), "loss"] = 1e-6
    best = losses_from_sweep(frame, at="best")
    assert (best.loc[best["width"] == 64, "step"] == 32).all()
    assert (best.loc[best["width"] == 64, "loss"] == 1e-6).all()


def test_test_losses_are_known_at_checkpoints(sweep: Sweep) -> None:
    frame = sweep()
    assert set(losses_from_sweep(frame, loss="test", at="last")["step"]) == {256}
    assert set(losses_from_sweep(frame, loss="test", at=16)["step"]) == {16}
    with pytest.raises(InputError, match=r"no cell has a test loss at step 8; steps run 0\.\.256"):
        losses_from_sweep(frame, loss="test", at=8)


def test_diverged_and_exhausted_cells_are_left_out_and_counted(sweep: Sweep) -> None:
    frame = sweep()
    frame.loc[(frame["width"] == 64) & (frame["seed"] == 0), "diverged"] = True
    frame.loc[(frame["width"] == 128) & (frame["step"] == 256) & (frame["precision"] == "full"), "loss"] = 0.0
    table = losses_from_sweep(frame)
    assert table.attrs["left_out"] == 2 + 3
    assert len(table) == 36 - 5
    assert table.attrs["why_left_out"] == (
        "2 of 36 cells (diverged): width 64 precision full seed 0; width 64 precision one_bit seed 0",
        "3 of 36 cells (a train loss that is not positive): width 128 precision full seed 0; width 128 precision full "
        "seed 1; width 128 precision full seed 2",
    )
    frame.loc[(frame["width"] == 256) & (frame["step"] == 8), "loss"] = np.nan
    assert (
        losses_from_sweep(frame, at=8).attrs["why_left_out"][1].startswith("6 of 36 cells (no train loss at step 8): ")
    )
    assert losses_from_sweep(frame, at=8).attrs["left_out"] == 2 + 6
    with pytest.raises(InputError, match="no cell is left"):
        losses_from_sweep(frame.assign(diverged=True))


def test_fits_of_a_sweep_carry_what_was_left_out(sweep: Sweep) -> None:
    frame = sweep()
    frame.loc[(frame["width"] == 64) & (frame["seed"] == 0), "diverged"] = True
    frame.loc[(frame["width"] == 128) & (frame["seed"] == 1), "loss"] = np.nan
    curves = curves_from_sweep(frame)
    assert [line.partition(":")[0] for line in curves.attrs["why_left_out"]] == [
        "2 of 36 cells (diverged)",
        "2 of 36 cells (no train loss)",
    ]
    for found in sweep_fits(frame, laws=("power",), bootstrap=0).values():
        assert any(line.startswith("left out: 2 of 36 cells (diverged): width 64") for line in found.warnings)
    part = curves.loc[curves["precision"] == "full"]
    (first, *_) = proposition_fits(part, bootstrap=0).values()
    assert any(line.startswith("left out: 2 of 36 cells (diverged): width 64") for line in first.warnings)


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (pd.DataFrame({"a": [1]}), {}, "lacks the column"),
        (pd.DataFrame(), {}, "no finished cells"),
    ],
)
def test_other_tables_and_moments_are_refused(frame: pd.DataFrame, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        losses_from_sweep(frame, **options)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": "first"}, "choose one of: last, best"),
        ({"loss": "validation"}, "choose one of: train, test"),
        ({"loss": "test"}, "no test losses"),
    ],
)
def test_moments_and_losses_that_do_not_exist(sweep: Sweep, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        losses_from_sweep(sweep().assign(test_loss=np.nan), **options)


def test_curves_keep_an_even_choice_of_steps(sweep: Sweep) -> None:
    curves = curves_from_sweep(sweep(), moments=5)
    assert len(np.unique(curves["step"])) <= 5
    assert np.max(curves["step"]) == 256
    assert len(np.unique(curves["cell"])) == 36
    assert np.all(curves["D"] == 50)


def test_envelope_in_compute_only_falls(sweep: Sweep) -> None:
    table = compute_envelope(curves_from_sweep(sweep()))
    for _, part in table.groupby("precision"):
        assert (np.diff(part["C"]) > 0).all()
        assert (np.diff(part["loss"]) <= 0).all()


def test_exponents_in_width_come_back_per_precision(sweep: Sweep) -> None:
    fits = sweep_fits(sweep(n_train=(50, 100, 200, 400)), bootstrap=100)
    assert {key[1] for key in fits} == {"L(N)", "L(n)", "L(C)"}
    for precision, alpha in (("full", 1.0), ("one_bit", 0.5)):
        interval = fits[(precision, "L(N)", "power")].interval(0.999).loc["alpha"]
        assert interval["low"] < alpha < interval["high"]
        flat = fits[(precision, "L(n)", "power")].interval(0.999).loc["alpha"]
        assert flat["low"] < 0 < flat["high"]  # these losses do not depend on n
    with pytest.raises(InputError, match="at least three widths"):
        sweep_fits(sweep(widths=(64,)).query("step == 256"), bootstrap=0)


def test_the_form_with_decay_in_steps_wins_on_data_made_that_way(sweep: Sweep) -> None:
    curves = curves_from_sweep(sweep(noise=0.02))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentificationWarning)
        fits = proposition_fits(curves.loc[curves["precision"] == "full"], bootstrap=0)
    table = compare_laws(fits)
    assert table["law"].iloc[0].startswith("max-per-step")
    best = next(found for name, found in fits.items() if name.startswith("max-per-step"))
    # rate 0.05 a step and 4 n m d operations a step: exp(-g C/(N D)) has g = 0.05 / 4, up to the update and the look
    assert best.params["alpha"] == pytest.approx(1.0, abs=0.05)
    assert best.params["g"] == pytest.approx(0.05 / 4, rel=0.05)
    printed = next(found for name, found in fits.items() if "alpha=0.25" in name)
    assert printed.objective > 5 * best.objective


def test_one_n_holds_gamma_at_zero_and_several_free_it(sweep: Sweep) -> None:
    assert all("gamma=0" in law.name for law in proposition_laws(curves_from_sweep(sweep())))
    several = proposition_laws(curves_from_sweep(sweep(n_train=(50, 100))))
    assert [law.name for law in several][:2] == ["max", "max[alpha=0.25, gamma=3]"]


def test_settings_that_do_not_share_a_curve_are_not_mixed(sweep: Sweep) -> None:
    frame = pd.concat([sweep(), sweep().assign(kappa=0.5)])
    with pytest.raises(InputError, match=r"varies kappa \(0.5, 1.0\).*--where kappa=0.5"):
        sweep_fits(frame, bootstrap=0)
    assert sweep_fits(frame.query("kappa == 1.0"), bootstrap=0)
