"""Which rows are resampled together when nobody says so, and intervals of few clusters."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ntk1bit.scaling import FitRequest, IdentificationWarning, fit, get_law
from ntk1bit.scaling.allocation import Frontier, disagreement
from ntk1bit.scaling.analysis import analyse
from ntk1bit.scaling.bootstrap import stretch, widening
from ntk1bit.scaling.comparison import difference_test, fit_groups, parameter_differences
from ntk1bit.scaling.frontier import envelope_frontier, isoflop_frontier, parametric_frontier
from ntk1bit.scaling.observations import observe
from ntk1bit.statistics import student_interval

from .arms import isoflops, two_arms
from .synthetic import BESIROGLU, chinchilla_design, draw_losses, width_design

pytestmark = pytest.mark.filterwarnings("ignore::ntk1bit.scaling.IdentificationWarning")

POWER = get_law("power")
TABLE = pd.DataFrame({"x": np.geomspace(1, 1e4, 12), "loss": np.geomspace(1, 0.1, 12)})
THREE, FOUR = [0, 1, 2] * 4, list("aabbccddaabb")


@pytest.mark.parametrize(
    ("columns", "asked", "found"),
    [
        ({"seed": THREE}, {}, "seed"),
        ({"seed": THREE, "run": FOUR}, {}, "run"),
        ({"Seed": THREE}, {}, "Seed"),
        ({"RUN": FOUR}, {}, "RUN"),
        ({"seed": THREE, "run": range(12)}, {}, "seed"),  # every row a run of its own
        ({"seed": [7] * 12}, {}, None),
        ({"seed": range(12)}, {}, None),
        ({"seed": [None, *THREE[1:]]}, {}, None),
        ({"seed": [1, "1", *THREE[2:]]}, {}, None),
        ({"random_seed": THREE}, {}, None),
        ({"seed": THREE}, {"cluster": ()}, None),
        ({"seed": THREE, "text": FOUR}, {"cluster": "text"}, None),  # what is named is not overridden
        ({"run": FOUR, "seed": THREE}, {"run": "run"}, "seed"),  # the ends of runs are fitted
        ({"seed": THREE}, {"group": "seed"}, None),
        ({"seed": [1, 2, 3] * 4}, {"weight": "seed"}, None),
        ({"seed": [1, 2, 3] * 4}, {"x": "seed"}, None),
        ({"seed": [1, 2, 3] * 4}, {"loss": "seed"}, None),
    ],
)
def test_columns_of_runs_and_seeds_are_found(columns: dict, asked: dict[str, Any], found: str | None) -> None:
    data = observe(TABLE.assign(**columns), FitRequest(POWER, **asked))
    assert data.found == found
    assert (data.cluster is not None) == (found is not None or bool(asked.get("cluster")))


def test_a_cluster_that_is_found_is_that_which_would_be_named(widths: pd.DataFrame) -> None:
    found, named, apart = (fit(widths, "power", bootstrap=50, cluster=each) for each in (None, "seed", ()))
    np.testing.assert_array_equal(found.latent_replicates, named.latent_replicates)
    pd.testing.assert_frame_equal(found.to_frame(), named.to_frame(), check_exact=True)
    told = "rows of one seed are resampled together (5 clusters); to resample them one by one: --cluster none"
    assert found.warnings[0].startswith(told)
    assert found.warnings[1:] == named.warnings
    assert found.summary()["cluster"] == "seed"
    assert apart.summary()["cluster"] is None
    assert not any("cluster" in line for line in apart.warnings)
    assert apart.observations.cluster is None
    with pytest.warns(IdentificationWarning, match="resampled together"):
        fit(widths, "power", bootstrap=50)
    assert not any("cluster" in line for line in fit(widths, "power", bootstrap=0).warnings)  # nothing is resampled


def test_groups_that_share_what_is_found_are_pairs_and_others_are_apart() -> None:
    design = width_design(seeds=6)
    arms = [draw_losses(design, "power", {"A": 1.0, "alpha": 0.5}, noise=0.1, seed=i).assign(arm=i) for i in (0, 1)]
    shared, request = pd.concat(arms), FitRequest(POWER, group="arm", bootstrap=30, seed=4)
    found, named = fit_groups(shared, request), fit_groups(shared, replace(request, cluster="seed"))
    for arm in (0, 1):
        np.testing.assert_array_equal(found[arm].replicates, named[arm].replicates)
        assert found[arm].request.seed == 4
        assert any("rows of one seed" in line for line in found[arm].warnings)
    nested = pd.concat([arms[0], arms[1].assign(seed=arms[1]["seed"] + 6)])
    for cluster in (None, "seed"):  # half of the clusters drawn would be the other arm's
        own = fit_groups(nested, replace(request, cluster=cluster))
        for i, arm in enumerate(arms):
            alone = fit(arm, "power", bootstrap=30, seed=4 + i, cluster="seed")
            np.testing.assert_array_equal(own[i].replicates, alone.replicates)


def test_groups_find_their_clusters_each() -> None:
    table = draw_losses(width_design(seeds=4), "power", {"A": 1.0, "alpha": 0.5}, noise=0.1)
    both = pd.concat([table.assign(arm="a"), table.loc[table["seed"] == 0].assign(arm="b")])
    fits = fit_groups(both, FitRequest(POWER, group="arm", bootstrap=30))
    assert [each.observations.found for each in fits.values()] == ["seed", None]


def test_ends_of_runs_are_resampled_by_seed_in_every_part_of_a_report() -> None:
    asked = FitRequest(
        get_law("chinchilla").fix(E=1.69, beta=0.28), {"N": "N", "D": "D"}, group="arm", bootstrap=20, frontier=True,
        run="run",
    )  # fmt: skip
    found, named = (analyse(two_arms(), replace(asked, cluster=each)).as_dict() for each in (None, "seed"))
    assert {each["cluster"] for each in found["fits"].values()} == {"seed"}
    assert {each["points"] for each in found["fits"].values()} == {21}
    for part in ("frontier", "frontier_disagreement", "differences"):
        assert found[part] == named[part]


CHINCHILLA = get_law("chinchilla").fix(E=BESIROGLU["E"], beta=BESIROGLU["beta"])


def checkpoints() -> pd.DataFrame:
    ends = chinchilla_design(10)
    rows = pd.concat([ends.assign(which=range(10), D=ends["D"] * share) for share in 2.0 ** -np.arange(5)])
    return draw_losses(rows.reset_index(drop=True), "chinchilla", BESIROGLU, noise=0.01)


@pytest.mark.parametrize(
    ("table", "asked", "told"),
    [
        (checkpoints(), {}, True),
        (checkpoints(), {"cluster": ()}, False),
        (checkpoints(), {"cluster": "which"}, False),
        (checkpoints(), {"run": "which"}, False),
        (checkpoints(), {"bootstrap": 0}, False),
        (checkpoints().assign(seed=lambda table: table["which"]), {}, False),
        (checkpoints().iloc[:20], {}, False),  # two rows a run
        (draw_losses(chinchilla_design(50), "chinchilla", BESIROGLU, noise=0.01), {}, False),
        (checkpoints(), {"law": POWER, "x": "N"}, False),  # widths with several seeds look the same
    ],
    ids=["none", "declined", "named", "ends", "no replicates", "found", "two rows", "distinct", "one variable"],
)
def test_checkpoints_without_the_name_of_their_run_are_told(table: pd.DataFrame, asked: dict, told: bool) -> None:
    report = analyse(table, FitRequest(**{"law": CHINCHILLA, "bootstrap": 20, **asked}))
    lines = [line for line in report.fits["all"].warnings if "share their N with others" in line]
    assert len(lines) == told
    assert all("--cluster" in line and "cluster=()" in line and "\n" not in line for line in lines)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("k", [2, 3, 5, 10, 29])
def test_normal_ends_of_a_mean_become_those_of_student(k: int, level: float) -> None:
    values = np.random.default_rng(k).normal(3.0, 2.0, size=k)
    spread = values.std() / math.sqrt(k)  # of bootstrap replicates of the mean
    ends = values.mean() + spread * stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    expected = student_interval(values, level=level)
    found = stretch(values[:1] * 0 + values.mean(), ends, widening(k - 1.0, level))
    np.testing.assert_allclose(found, expected[1:], rtol=1e-9)  # two routines for quantiles of t


def test_points_and_levels_at_the_edge_stretch_nothing() -> None:
    ends = np.array([0.1, 0.7])
    assert widening(math.inf, 0.95) == 1.0
    assert stretch(np.array([0.3]), ends, 1.0) is ends
    assert [widening(4.0, level) for level in (1e-300, 1 - 1e-16)] == [1.0, 1.0]
    assert widening(1e6, 0.95) == pytest.approx(1.0, abs=1e-5)  # 1 + (z^2 + 3)/(4 f) for f degrees of freedom


def slopes_of_clusters(k: int, spread: float = 0.05) -> tuple[pd.DataFrame, np.ndarray]:
    """Exact power laws whose exponents lie evenly over a normal distribution, one for each of k clusters."""
    exponents = 0.7 + spread * stats.norm.ppf((np.arange(k) + 0.5) / k)
    design = width_design(seeds=k)
    loss = 3.0 * (design["x"] / 1024) ** -exponents[design["seed"]]
    return design.assign(loss=loss), exponents


@pytest.mark.parametrize("k", [5, 10])
def test_a_linear_statistic_has_students_interval_of_its_clusters(k: int) -> None:
    table, exponents = slopes_of_clusters(k)
    found = fit(table, "power", bootstrap=20_000, delta=100.0)  # least squares: alpha is the mean of the exponents
    mean, low, high = student_interval(exponents)
    half, own = high - mean, found.interval().loc["alpha"]
    assert own["estimate"] == pytest.approx(mean, rel=1e-9)
    error = math.sqrt(float(found.covariance.loc["alpha", "alpha"]))  # pyright: ignore[reportArgumentType]
    # Replicates know their standard deviation to 1/sqrt(2 * 20,000) = 0.5 %, and a percentile to 1 %.
    assert error == pytest.approx(exponents.std(ddof=1) / math.sqrt(k), rel=4 * 0.005)
    # Beside 4 % of chance, some percent: the mean of k draws from k values is only about normal.
    for method in ("percentile", "bca"):
        ends = found.interval(method=method).loc["alpha", ["low", "high"]].to_numpy(dtype=float)
        np.testing.assert_allclose(ends, [low, high], atol=0.07 * half)
    plain = np.quantile(found.replicates[:, 1], [0.025, 0.975])
    assert np.ptp(plain) < 0.87 * (high - low)  # what is not widened is far from it


def test_everything_is_widened_about_the_estimate() -> None:
    table, _ = slopes_of_clusters(4)
    found = fit(table, "power", bootstrap=200)
    factor = widening(3.0, 0.9)
    assert found.freedom == 3
    raw = np.quantile(found.latent_replicates, [0.05, 0.95], axis=0)
    expected = np.exp(found.latent + factor * (raw - found.latent))
    np.testing.assert_allclose(found.interval(0.9)[["low", "high"]].to_numpy().T[:, 0], expected[:, 0], rtol=1e-12)
    grid = pd.DataFrame({"x": [64.0, 1e5]})
    curves = found.law.log_predict(found.latent_replicates, [grid["x"].to_numpy()])
    middle, (low, high) = np.log(found.predict(grid)), np.quantile(curves, [0.05, 0.95], axis=0)
    band = found.band(grid, 0.9)
    np.testing.assert_allclose(np.log(band["low"]), middle + factor * (low - middle), rtol=1e-12)
    np.testing.assert_allclose(np.log(band["high"]), middle + factor * (high - middle), rtol=1e-12)


def test_floors_are_widened_as_they_are_and_stop_at_zero() -> None:
    truth = {"E": 0.02, "A": 3.0, "alpha": 0.8}
    table = draw_losses(width_design(seeds=3), "power+floor", truth, noise=0.1, seed=1)
    found = fit(table, "power+floor", bootstrap=200)
    own, factor = found.interval().loc["E"], widening(2.0, 0.95)
    low, high = np.quantile(found.replicates[:, 0], [0.025, 0.975])
    assert own["high"] == pytest.approx(own["estimate"] + factor * (high - own["estimate"]), rel=1e-9)
    assert own["low"] == max(0.0, own["estimate"] + factor * (low - own["estimate"]))


def test_p_values_of_few_clusters_are_those_of_their_intervals() -> None:
    first, second = slopes_of_clusters(5)[0], slopes_of_clusters(5, spread=0.08)[0]
    second["loss"] *= (second["x"] / 1024) ** -0.03
    own = FitRequest(POWER, group="arm", bootstrap=999, delta=100.0)  # least squares: replicates do not jump
    fits = fit_groups(pd.concat([first.assign(arm="a"), second.assign(arm="b")]), own)
    p = difference_test(fits["a"], fits["b"], "alpha")
    assert 0.01 < p < 0.3
    for level, holds in ((1 - p - 0.004, False), (1 - p + 0.004, True)):  # two steps of 2/1000
        low, high = parameter_differences(fits["a"], fits["b"], level).loc["alpha", ["low", "high"]].to_numpy()
        assert (low <= 0 <= high) == holds
    unpaired = 2 * (1 + np.sum(fits["a"].replicates[:, 1] - fits["b"].replicates[:, 1] >= 0)) / 1000
    assert p > unpaired  # of points, percentiles alone


def test_frontiers_are_widened_by_what_was_drawn() -> None:
    ends = isoflops(406.4, sizes=6).assign(seed=lambda table: np.arange(len(table)) % 4)
    ends["loss"] *= np.exp(0.002 * np.random.default_rng(0).standard_normal(len(ends)))
    asked = FitRequest(get_law("chinchilla").fix(E=1.69, beta=0.28), bootstrap=100, run="run")
    fitted = fit(ends, asked.law, bootstrap=20, cluster="seed")
    by_law = parametric_frontier(fitted, [1e18, 1e19])
    assert (by_law.freedom, by_law.slope_freedom) == (3, 3)
    apart, together = (isoflop_frontier(ends, replace(asked, cluster=each)) for each in ((), "seed"))
    np.testing.assert_array_equal(apart.freedom, 3.0)  # six runs a budget, three coefficients
    assert apart.slope_freedom == 3 * len(apart.budgets)
    np.testing.assert_array_equal(together.freedom, 3.0)
    assert together.slope_freedom == 3
    steps = two_arms().query("arm == 'a'")
    by_run, by_seed = (
        envelope_frontier(steps, np.geomspace(1e18, 1e20, 6), replace(asked, cluster=each)) for each in (None, "seed")
    )
    assert (by_run.slope_freedom, by_seed.slope_freedom) == (20, 4)
    np.testing.assert_array_equal(by_seed.freedom, 4.0)


def test_intervals_of_frontiers_are_widened_about_the_estimate() -> None:
    rng = np.random.default_rng(0)
    rows = np.array([0.1, 0.3]) + np.vstack([np.zeros((1, 2)), rng.normal(size=(200, 2))])
    c = np.array([1e18, 1e20])
    each = Frontier("isoflop", c, rows, rows, 6.0, freedom=np.array([2.0, math.inf]), slope_freedom=5.0)
    low = np.quantile(rows[1:], 0.025, axis=0)
    table, factor = each.table(), widening(2.0, 0.95)
    expected = [0.1 + factor * (low[0] - 0.1), low[1]]
    np.testing.assert_allclose(np.log(table["N_opt_low"]), expected, rtol=1e-12)
    np.testing.assert_allclose(np.log(table["L_min_low"]), expected, rtol=1e-12)
    d = np.log(c / 6.0)
    np.testing.assert_allclose(np.log(table["D_opt_high"]), d - expected, rtol=1e-12)
    slope, *slopes = each.slopes()
    end = slope + widening(5.0, 0.95) * (np.quantile(slopes, 0.025) - slope)
    assert each.exponents()["low"].iloc[0] == pytest.approx(end)
    other = replace(each, route="envelope", log_n=rows[::-1], slope_freedom=3.0)
    gap = each.slopes() - other.slopes()
    end = gap[0] + widening(3.0, 0.95) * (np.quantile(gap[1:], 0.025) - gap[0])
    assert disagreement([each, other])["low"].iloc[0] == pytest.approx(end)


def test_few_clusters_are_told_below_thirty() -> None:
    for seeds, told in ((29, True), (30, False)):
        table = draw_losses(width_design(seeds=seeds), "power", {"A": 1.0, "alpha": 0.5}, noise=0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IdentificationWarning)
            lines = fit(table, "power", bootstrap=20, cluster="seed").warnings
        few = "only 29 clusters are resampled (under 30): intervals are widened by Student's t of 28 degrees of freedom"
        assert lines == ((few,) if told else ())
