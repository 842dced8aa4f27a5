from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import Fit, FitRequest, fit, get_law
from ntk1bit.scaling.comparison import compare_laws, difference_test, fit_groups, parameter_differences

from .synthetic import draw_losses, width_design


def by_precision(bootstrap: int, cluster: str | None = None) -> FitRequest:
    return FitRequest(get_law("power"), group="precision", bootstrap=bootstrap, cluster=cluster)


def _groups(first: float, second: float, *, shared: float = 0.0, seeds: int = 20) -> pd.DataFrame:
    design = width_design(seeds=seeds)
    tables = [
        draw_losses(design, "power", {"A": a, "alpha": alpha}, noise=0.05, seed=seed).assign(precision=name)
        for name, a, alpha, seed in (("full", 1.0, first, 1), ("one_bit", 2.0, second, 2))
    ]
    frame = pd.concat(tables, ignore_index=True)
    common = shared * np.random.default_rng(0).standard_normal(seeds)
    return frame.assign(loss=frame["loss"] * np.exp(common[frame["seed"]] * np.log(frame["x"]) / 8))


def test_the_true_law_ranks_first(floored: Fit, widths: pd.DataFrame) -> None:
    table = compare_laws([fit(widths, "power", bootstrap=0), floored, fit(widths, "broken", bootstrap=0)])
    assert table["law"].iloc[0] == "power+floor"
    assert table["delta_aicc"].iloc[0] == 0
    assert np.sum(table["weight"]) == pytest.approx(1.0)
    assert table.set_index("law").loc["power", "weight"] < 1e-6  # pyright: ignore[reportOperatorIssue]


def test_only_fits_of_the_same_losses_are_ranked(floored: Fit, widths: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="same losses"):
        compare_laws([floored, fit(widths.iloc[:40], "power", bootstrap=0)])
    with pytest.raises(InputError, match="same losses"):
        compare_laws([floored, fit(widths, "power", bootstrap=0, delta=0.1)])
    with pytest.raises(InputError, match="at least one"):
        compare_laws([])


def test_differences_are_found_where_they_are() -> None:
    fits = fit_groups(_groups(0.5, 0.6), by_precision(200))
    assert list(fits) == ["full", "one_bit"]
    table = parameter_differences(fits["full"], fits["one_bit"])
    assert table.loc["alpha", "low"] < -0.1 < table.loc["alpha", "high"] < 0  # pyright: ignore[reportOperatorIssue]
    assert table.loc["alpha", "p_value"] == pytest.approx(2 / 201)  # no replicate on the other side
    same = fit_groups(_groups(0.5, 0.5), by_precision(200))
    again = parameter_differences(same["full"], same["one_bit"])
    assert again.loc["alpha", "low"] < 0 < again.loc["alpha", "high"]  # pyright: ignore[reportOperatorIssue]
    assert again.loc["A", "p_value"] < 0.02  # pyright: ignore[reportOperatorIssue]


def test_shared_seeds_are_drawn_together_and_cancel() -> None:
    frame = _groups(0.5, 0.5, shared=0.5)
    paired = fit_groups(frame, by_precision(200, cluster="seed"))
    apart = {
        name: fit(part, "power", bootstrap=200, cluster="seed", seed=i)
        for i, (name, part) in enumerate(frame.groupby("precision"))
    }
    spread = [
        float(np.diff(parameter_differences(fits["full"], fits["one_bit"]).loc["alpha", ["low", "high"]])[0])
        for fits in (paired, apart)
    ]
    # The shared slopes dominate each fit and cancel in the paired difference.
    assert spread[0] < 0.5 * spread[1]


def test_a_group_may_lack_some_clusters() -> None:
    frame = _groups(0.5, 0.6)
    frame = frame.loc[(frame["precision"] == "full") | (frame["seed"] < 12)]
    fits = fit_groups(frame, by_precision(50, cluster="seed"))
    assert fits["one_bit"].observations.clusters == 12
    assert parameter_differences(fits["full"], fits["one_bit"]).notna().all(axis=None)


def test_group_errors(floored: Fit, widths: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no column 'precision'"):
        fit_groups(widths, by_precision(20))
    with pytest.raises(InputError, match="different parameters"):
        parameter_differences(floored, fit(widths, "power", bootstrap=20))
    with pytest.raises(InputError, match="bootstrap=1000"):
        difference_test(floored, fit(widths, "power+floor", bootstrap=0), "alpha")
    with pytest.raises(InputError, match="did you mean 'alpha'"):
        difference_test(floored, floored, "alph")
