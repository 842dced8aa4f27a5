"""Intervals over many data sets drawn from a known law: how often they hold the truth, and whether fits are biased."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.scaling import IdentificationWarning, fit, get_law

from .synthetic import BESIROGLU, chinchilla_design, draw_losses, width_design

SETS = 300
FLOOR = {"E": 0.02, "A": 3.0, "alpha": 0.8}


def _study(
    law: str, truth: Mapping[str, float], design: pd.DataFrame, sets: int = SETS, **options: Any
) -> pd.DataFrame:
    """Return, by parameter: coverage of both intervals, and the bias in standard errors of its own mean."""
    names = get_law(law).parameter_names
    target = np.array([truth[name] for name in names])
    held = {method: np.zeros(len(names)) for method in ("percentile", "bca")}
    estimates = []
    near = {name: (value,) for name, value in truth.items()}
    drawn = ("cluster_noise", "cluster_tilt", "outliers", "noise")
    draw: dict[str, Any] = {key: options.pop(key) for key in drawn if key in options} | {
        "cluster": options.get("cluster") or None
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentificationWarning)
        for seed in range(sets):
            frame = draw_losses(design, law, truth, seed=seed, **draw)
            found = fit(frame, law, bootstrap=400, seed=seed, starts=near, **options)
            estimates.append(found.latent)
            for method, count in held.items():
                table = found.interval(method=method)
                count += (table["low"].to_numpy() <= target) & (target <= table["high"].to_numpy())
    every = np.array(estimates) - get_law(law).latent(target)
    error = every.std(axis=0) / np.sqrt(sets)
    return pd.DataFrame(
        {**{m: c / sets for m, c in held.items()}, "bias": every.mean(axis=0) / error}, index=list(names)
    )


# 92-98 % is the promise. Counts over 300 sets have a standard error of 1.3 %: a true coverage of 95 % stays inside in
# 98 % of studies, and the seeds are fixed.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "truth", "design", "options"),
    [
        ("power", {"A": 3.0, "alpha": 0.7}, width_design(seeds=20), {"noise": 0.05}),
        ("power", {"A": 3.0, "alpha": 0.7}, width_design(seeds=20), {"noise": 0.05, "outliers": 0.05}),
        ("power+floor", FLOOR, width_design(), {"noise": 0.05}),
        ("chinchilla", BESIROGLU, chinchilla_design(240), {"noise": 0.01}),
        ("chinchilla", BESIROGLU, chinchilla_design(240), {"noise": 0.01, "outliers": 0.05}),
        (
            "power",
            {"A": 3.0, "alpha": 0.7},
            width_design(seeds=40),
            {"noise": 0.05, "cluster_noise": 0.1, "cluster": "seed"},
        ),
    ],
    ids=["power", "power with outliers", "power+floor", "chinchilla", "chinchilla with outliers", "power by cluster"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(
    law: str, truth: dict, design: pd.DataFrame, options: dict
) -> None:
    table = _study(law, truth, design, sets=200 if law == "chinchilla" else SETS, **options)
    print(table.round(3).to_string())
    exponents = [each.name for each in get_law(law).exponents]
    for method in ("percentile", "bca"):
        assert table[method].between(0.92, 0.98).all(), f"\n{table}"
    if "outliers" not in options:  # one-sided outliers move a median by design
        assert (table.loc[exponents, "bias"].abs() < 3.5).all(), f"\n{table}"  # 3.5 standard errors


# Exponents that differ by cluster are averaged, and few clusters' intervals are those of Student's t. Of noise that
# clusters share, a fit with so small a delta takes the middle one: replicates jump between clusters more than estimates
# do, and intervals hold the truth too often (up to 100 %) rather than too seldom.
@pytest.mark.slow
@pytest.mark.parametrize("clusters", [3, 5, 10])
@pytest.mark.parametrize(
    ("drawn", "most"),
    [
        ({"cluster_tilt": 0.05}, 0.985),
        ({"cluster_noise": 0.1}, 1.0),
    ],
    ids=["exponents differ", "noise is shared"],
)
def test_intervals_of_few_clusters_hold_the_truth(clusters: int, drawn: dict, most: float) -> None:
    options = {"noise": 0.05, **drawn, "cluster": "seed"}
    table = _study("power", {"A": 3.0, "alpha": 0.7}, width_design(seeds=clusters), sets=500, **options)
    print(table.round(3).to_string())
    # 500 sets have a standard error of 1 %, and of many numbers some are two of them off (where exponents differ over
    # ten clusters: 96.3 and 94.7 % of 1200 sets). Percentiles of the 27 draws of three clusters are coarse.
    for method in ("percentile", "bca"):
        assert table[method].between(0.92 if clusters < 5 else 0.93, most).all(), f"\n{table}"


@pytest.mark.slow
def test_checkpoints_of_runs_are_clusters_that_are_found() -> None:
    runs = chinchilla_design(40, seed=3).assign(run=range(40))
    rows = [runs.assign(D=runs["D"] * share) for share in 2.0 ** -np.arange(6)]
    design = pd.concat(rows, ignore_index=True)
    held = {}
    for cluster in (None, ()):
        covered = 0
        for seed in range(200):
            frame = draw_losses(
                design, "chinchilla", BESIROGLU, noise=0.004, cluster="run", cluster_noise=0.012, seed=seed
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", IdentificationWarning)
                near = {name: (value,) for name, value in BESIROGLU.items()}
                found = fit(frame, "chinchilla", bootstrap=200, seed=seed, starts=near, cluster=cluster)
            low, high = found.interval().loc["alpha", ["low", "high"]]
            covered += low <= BESIROGLU["alpha"] <= high
        held[cluster] = covered / 200
    print(held)
    assert held[None] >= 0.93  # 200 sets have a standard error of 1.5 %
    assert held[()] < 0.85  # what taking checkpoints as independent costs


@pytest.mark.slow
def test_outliers_bias_exponents_by_less_than_a_third_of_their_error() -> None:
    table = _study("power+floor", FLOOR, width_design(seeds=20), noise=0.05, outliers=0.05)
    assert abs(table.loc["alpha", "bias"]) < np.sqrt(SETS) / 3  # pyright: ignore[reportArgumentType]
