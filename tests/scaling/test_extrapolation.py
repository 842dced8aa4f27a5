from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import FitRequest, get_law
from ntk1bit.scaling.extrapolation import extrapolate, extrapolation_error, split_by_size

from .synthetic import draw_losses, width_design


def asked(law: str = "power", *, holdout: float = 0.3, rivals: tuple[str, ...] = ()) -> FitRequest:
    return FitRequest(get_law(law), holdout=holdout, rivals=rivals)


def test_the_large_are_held_out_whole(widths: pd.DataFrame) -> None:
    small, size, label = split_by_size(widths, asked())
    assert label == "x"
    assert size[small].max() < size[~small].min()
    assert small.sum() == 30  # 6 of 9 widths: a share of a third is the first not below 0.3


def test_error_against_distance_in_decades(widths: pd.DataFrame) -> None:
    table = extrapolate(widths, asked(rivals=("power+floor",)))
    assert len(table) == 2 * 15
    first = table.loc[table["law"] == "power"]
    np.testing.assert_allclose(np.unique(first["decades"]), np.log10([2, 4, 8]), rtol=1e-12)
    np.testing.assert_allclose(table["log_error"], np.log(table["predicted"] / table["loss"]), rtol=1e-9, atol=1e-12)
    summary = extrapolation_error(table, bins=3).set_index(["law", "decades_from"])["rms_log_error"]
    assert np.max(summary["power+floor"]) < 0.25  # noise 0.05 and the fit's own error at 0.9 decades
    assert list(summary["power"])[-1] > 0.4  # a power law without the floor runs away
    assert list(summary["power"]) == sorted(summary["power"])


def test_exact_data_extrapolate_exactly() -> None:
    frame = draw_losses(width_design(seeds=1), "power", {"A": 3.0, "alpha": 0.7})
    assert np.max(np.abs(extrapolate(frame, asked())["log_error"])) < 1e-8  # the solver's tolerance


@pytest.mark.parametrize("holdout", [0.0, 1.0, 30.0, float("nan")])
def test_shares_out_of_range_are_refused(holdout: float) -> None:
    with pytest.raises(InputError, match="share between 0 and 1"):
        asked(holdout=holdout)


def test_what_cannot_be_split_or_fitted_is_refused(widths: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="nothing larger"):
        extrapolate(widths.assign(x=5.0), asked())
    with pytest.raises(InputError, match=r"distinct|one value"):
        extrapolate(widths, asked(holdout=0.95))


def test_joint_laws_are_ordered_by_the_product_or_a_column(runs: pd.DataFrame) -> None:
    assert "N * D" in extrapolate(runs, asked("chinchilla"))
    by_size = extrapolate(runs, asked("chinchilla"), by="N")
    assert np.min(by_size["N"]) > np.quantile(runs["N"], 0.65)
