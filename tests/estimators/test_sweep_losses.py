from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators.sweep_losses import losses_from_sweep, operations, require_one_setting

Sweep = Callable[..., pd.DataFrame]


def test_operations_count_two_products_an_update_and_a_look() -> None:
    one = np.ones(1)
    assert operations(7 * one, 3 * one, 5 * one, 0 * one)[0] == 2 * 7 * 3 * 5
    assert operations(7 * one, 3 * one, 5 * one, 2 * one)[0] == 2 * (4 * 5 * 3 * 7 + 2 * 7 * 3) + 2 * 7 * 3 * 5


def test_one_loss_a_cell_at_the_last_step_the_best_and_any(sweep: Sweep) -> None:
    frame = sweep()
    last = losses_from_sweep(frame).rows
    assert len(last) == 2 * 6 * 3
    assert set(last["step"]) == {256}
    assert {"N", "n", "C", "loss", "precision", "seed", "width"} <= set(last.columns)
    np.testing.assert_array_equal(last["N"], 10.0 * last["width"])
    at_four = losses_from_sweep(frame, at=4).rows
    assert set(at_four["step"]) == {4}
    assert np.all(at_four["C"] < last["C"])
    frame.loc[(frame["step"] == 32) & (frame["width"] == 64), "loss"] = 1e-6
    best = losses_from_sweep(frame, at="best").rows
    assert (best.loc[best["width"] == 64, "step"] == 32).all()
    assert (best.loc[best["width"] == 64, "loss"] == 1e-6).all()


def test_test_losses_are_known_at_checkpoints(sweep: Sweep) -> None:
    frame = sweep()
    assert set(losses_from_sweep(frame, loss="test", at="last").rows["step"]) == {256}
    assert set(losses_from_sweep(frame, loss="test", at=16).rows["step"]) == {16}
    with pytest.raises(InputError, match=r"no cell has a test loss at step 8; steps run 0\.\.256"):
        losses_from_sweep(frame, loss="test", at=8)


def test_diverged_and_exhausted_cells_are_left_out_and_counted(sweep: Sweep) -> None:
    frame = sweep()
    frame.loc[(frame["width"] == 64) & (frame["seed"] == 0), "diverged"] = True
    frame.loc[(frame["width"] == 128) & (frame["step"] == 256) & (frame["precision"] == "full"), "loss"] = 0.0
    table = losses_from_sweep(frame)
    assert len(table.rows) == 36 - 5
    assert table.left_out == (
        "2 of 36 cells (diverged): width 64 precision full seed 0; width 64 precision one_bit seed 0",
        "3 of 36 cells (a train loss that is not positive): width 128 precision full seed 0; width 128 precision full "
        "seed 1; width 128 precision full seed 2",
    )
    frame.loc[(frame["width"] == 256) & (frame["step"] == 8), "loss"] = np.nan
    at_eight = losses_from_sweep(frame, at=8)
    assert at_eight.left_out[1].startswith("6 of 36 cells (no train loss at step 8): ")
    assert len(at_eight.rows) == 36 - 8
    with pytest.raises(InputError, match="no cell is left"):
        losses_from_sweep(frame.assign(diverged=True))


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


def test_settings_that_do_not_share_a_curve_are_not_mixed(sweep: Sweep) -> None:
    frame = pd.concat([sweep(), sweep().assign(kappa=0.5)])
    with pytest.raises(InputError, match=r"varies kappa \(0.5, 1.0\).*--where kappa=0.5"):
        require_one_setting(frame)
    require_one_setting(frame.query("kappa == 1.0"))
    require_one_setting(frame, apart_from=["kappa"])


def test_losses_of_several_activities_are_not_mixed(sweep: Sweep) -> None:
    frame = sweep()
    frozen = frame.loc[frame["precision"] == "one_bit"].assign(activity="frozen", loss=lambda rows: 2 * rows["loss"])
    both = pd.concat([frame.assign(activity="straight_through"), frozen], ignore_index=True)
    rows = losses_from_sweep(both).rows
    assert len(rows) == 2 * 6 * 3 + 6 * 3
    with pytest.raises(InputError, match=r"varies activity .*--where activity=frozen"):
        require_one_setting(rows)
    require_one_setting(rows, apart_from=["activity"])
    usual = rows.loc[rows["activity"] == "straight_through"].reset_index(drop=True)
    pd.testing.assert_frame_equal(losses_from_sweep(frame).rows, usual)
    require_one_setting(frame)  # a frame from before there was a choice
