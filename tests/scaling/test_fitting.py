from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators.published_results import SHARED, arm_points, fit_law, losses
from ntk1bit.scaling import Fit, IdentificationWarning, fit, fitting, get_law, law_names
from ntk1bit.scaling.bootstrap import percentile_interval
from ntk1bit.scaling.solver import Stopping

from .synthetic import BESIROGLU, chinchilla_design, draw_losses, width_design

pytestmark = pytest.mark.filterwarnings("ignore::ntk1bit.scaling.IdentificationWarning")

TRUTH = {
    "power": {"A": 3.0, "alpha": 0.7},
    "power+floor": {"E": 0.02, "A": 3.0, "alpha": 0.8},
    "kaplan": {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13},
    "chinchilla": BESIROGLU,
    "max": {"A": 40.0, "alpha": 0.25, "gamma": 0.1, "F": 3.0, "g": 5e-21},
    "broken": {"E": 0.01, "A": 5.0, "alpha": 0.2, "x_1": 1e3, "delta_1": 0.6, "f_1": 0.3},
}


def _design(name: str) -> pd.DataFrame:
    if get_law(name).variables == ("x",):
        return pd.DataFrame({"x": np.geomspace(10, 1e6, 60)})
    return chinchilla_design(120, seed=2)


@pytest.mark.parametrize("name", TRUTH)
def test_exact_data_give_back_the_truth(name: str) -> None:
    found = fit(draw_losses(_design(name), name, TRUTH[name]), name, bootstrap=0)
    # The objective's valley ends in rounding of the losses, 1e-16 relative, magnified by at most 1e10 along its
    # flattest direction (sharpness of a break against its place).
    assert found.params == pytest.approx(TRUTH[name], rel=1e-5)
    assert found.objective < 1e-12


def test_closed_form_of_two_points() -> None:
    found = fit(pd.DataFrame({"x": [1.0, 100.0], "loss": [2.0, 0.02]}), "power", bootstrap=0)
    assert found.params == pytest.approx({"A": 2.0, "alpha": 1.0}, rel=1e-9)


def test_a_wide_huber_loss_is_least_squares() -> None:
    frame = draw_losses(width_design(), "power", TRUTH["power"], noise=0.2, seed=0)
    found = fit(frame, "power", bootstrap=0, delta=100.0)
    slope, offset = np.polyfit(np.log(frame["x"]), np.log(frame["loss"]), 1)
    # The solver stops at a gradient of 1e-9 in these units.
    assert found.params == pytest.approx({"A": np.exp(offset), "alpha": -slope}, rel=1e-6)


def test_a_tilted_loss_follows_an_envelope() -> None:
    frame = draw_losses(width_design(seeds=40), "power", {"A": 1.0, "alpha": 0.5}, noise=0.3, seed=0)
    low = fit(frame, "power", bootstrap=0, tilt=0.1)
    below = float(np.mean(low.log_residuals < 0))
    # A tilted absolute loss is a quantile regression: a share 0.1 lies below, up to the 2 points it passes through.
    assert below == pytest.approx(0.1, abs=2 / len(frame))


def test_weights_count_points(floored: Fit, widths: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    count = rng.integers(1, 4, len(widths))
    weighted = fit(widths.assign(w=count), "power+floor", weight="w", bootstrap=0)
    repeated = fit(widths.loc[np.repeat(widths.index.to_numpy(), count)], "power+floor", bootstrap=0)
    assert weighted.params == pytest.approx(repeated.params, rel=1e-6)  # two orders of summation of one objective
    assert weighted.params != floored.params


def test_five_percent_of_outliers_move_exponents_little() -> None:
    truth = TRUTH["power+floor"]
    clean = draw_losses(width_design(seeds=20), "power+floor", truth, noise=0.05, seed=4)
    dirty = draw_losses(
        width_design(seeds=20), "power+floor", truth, noise=0.05, outliers=0.05, outlier_factor=10.0, seed=4
    )
    first, second = fit(clean, "power+floor", bootstrap=200), fit(dirty, "power+floor", bootstrap=0)
    error = float(np.sqrt(first.covariance.loc["alpha", "alpha"]))  # pyright: ignore[reportArgumentType]
    # 5 % of one-sided outliers shift a median-like estimate by at most about 0.06 noise sd: well under one error.
    assert abs(first.params["alpha"] - second.params["alpha"]) < error
    squares = fit(dirty, "power+floor", bootstrap=0, delta=100.0)
    assert abs(squares.params["E"] - truth["E"]) > 3 * abs(second.params["E"] - truth["E"])


def test_same_seed_same_result_on_any_number_of_threads(widths: pd.DataFrame) -> None:
    one, two = (fit(widths, "power+floor", bootstrap=50, seed=7, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.replicates, two.replicates)
    assert one.params == two.params
    other = fit(widths, "power+floor", bootstrap=50, seed=8)
    assert not np.array_equal(one.replicates, other.replicates)


def test_order_of_rows_does_not_matter(widths: pd.DataFrame) -> None:
    shuffled = widths.sample(frac=1.0, random_state=0)
    first, second = (fit(table, "power+floor", bootstrap=0) for table in (widths, shuffled))
    assert first.params == pytest.approx(second.params, rel=1e-6)  # sums in another order


def test_contract_of_a_fit(chinchilla: Fit, runs: pd.DataFrame) -> None:
    assert set(chinchilla.params) == {"E", "A", "B", "alpha", "beta"}
    assert chinchilla.starts.tried >= 500
    assert chinchilla.starts.reached_best > 100
    assert chinchilla.gradient < 1e-7
    table = chinchilla.interval(0.9)
    assert list(table.columns) == ["estimate", "low", "high"]
    assert np.all((table["low"] < table["estimate"]) & (table["estimate"] < table["high"]))
    assert np.all(chinchilla.interval(0.99)["low"] <= table["low"])
    frame = chinchilla.to_frame()
    assert frame["points"].tolist() == [240] * 5
    assert {"N_min", "N_max", "D_min", "D_max", "low", "high", "bca_low", "bca_high"} <= set(frame.columns)
    predicted = chinchilla.predict(runs)
    band = chinchilla.band(runs)
    np.testing.assert_array_equal(predicted, band["loss"])
    assert np.mean((band["low"] <= predicted) & (predicted <= band["high"])) > 0.99
    assert np.median(np.abs(np.log(predicted / runs["loss"]))) < 0.01  # the noise has median 0.0067
    assert {pair[:2] for pair in chinchilla.flat_directions} == {("A", "alpha"), ("B", "beta")}


def test_truth_lies_in_the_intervals_of_one_table(chinchilla: Fit) -> None:
    table = chinchilla.interval(0.999)
    truth = np.array([BESIROGLU[name] for name in table.index])
    assert np.all((table["low"] < truth) & (truth < table["high"]))


def test_columns_by_default_have_the_laws_names(runs: pd.DataFrame, chinchilla: Fit) -> None:
    renamed = runs.rename(columns={"N": "params", "D": "tokens", "loss": "L"})
    found = fit(renamed, "chinchilla", x={"D": "tokens", "N": "params"}, loss="L", bootstrap=0)
    assert found.params == chinchilla.params


def test_fit_without_replicates_says_what_it_lacks(widths: pd.DataFrame) -> None:
    found = fit(widths, "power+floor", bootstrap=0)
    for ask in (found.interval, lambda: found.covariance, lambda: found.band(widths)):
        with pytest.raises(InputError, match="bootstrap=1000"):
            ask()
    assert "low" not in found.to_frame()
    assert found.flat_directions == []


def test_one_parameter_has_plain_numbers(floored: Fit) -> None:
    for method, level in (("percentile", 0.95), ("bca", 0.9)):
        one, table = floored.interval("alpha", method, level=level), floored.interval(method=method, level=level)
        assert [*map(type, one)] == [float] * 3
        assert list(one) == table.loc["alpha"].tolist()
        assert (one.value, one.low, one.high) == tuple(one)
    assert floored.interval(0.9).equals(floored.interval(level=0.9))
    assert floored.interval("alpha") == floored.interval("alpha", level=0.95)


def test_intervals_refuse_nonsense(floored: Fit) -> None:
    with pytest.raises(InputError, match=r"unknown parameter of law 'power\+floor' 'alfa'.*did you mean 'alpha'"):
        floored.interval("alfa")
    with pytest.raises(InputError, match="two levels are given"):
        floored.interval(0.9, level=0.8)
    with pytest.raises(InputError, match="between 0 and 1"):
        floored.interval(95.0)
    with pytest.raises(InputError, match="choose one of: percentile, bca"):
        floored.interval(method="BCA")


def test_clusters_widen_intervals_when_noise_is_shared() -> None:
    design = width_design(seeds=30)
    frame = draw_losses(design, "power", TRUTH["power"], noise=0.01, cluster="seed", cluster_noise=0.2, seed=1)
    points = fit(frame, "power", bootstrap=200, cluster=())
    clusters = fit(frame, "power", bootstrap=200, cluster="seed")
    middle = pd.DataFrame({"x": [1024.0]})
    widths = [
        np.log(band["high"].to_numpy() / band["low"].to_numpy()).item()
        for band in (points.band(middle), clusters.band(middle))
    ]
    # 9 points share each draw: in the middle of x, taking them as independent is too narrow by about sqrt(9).
    assert widths[1] / widths[0] == pytest.approx(3.0, rel=0.35)  # two widths from 200 replicates and 30 clusters


def test_warnings_are_raised_and_kept() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "loss": [1.0, 0.6, 0.5]})
    with pytest.warns(IdentificationWarning, match="under one"):
        found = fit(frame, "power", bootstrap=0)
    assert any("too few points" in line for line in found.warnings)


def test_progress_names_both_stages(widths: pd.DataFrame) -> None:
    seen: dict[str, float] = {}
    fit(widths, "power+floor", bootstrap=30, threads=1, progress=lambda *call: seen.update([call]))
    assert seen == {"starts": 1.0, "bootstrap": 1.0}


def test_every_law_fits_its_own_noisy_data() -> None:
    for name in law_names():
        if name in TRUTH:
            frame = draw_losses(_design(name), name, TRUTH[name], noise=0.02, seed=1)
            found = fit(frame, name, bootstrap=0)
            # Half of the points lie within the median deviation, 0.67 sd; 25 % more is far beyond chance.
            assert np.median(np.abs(found.log_residuals)) < 0.67 * 0.02 * 1.25


def test_replicates_find_a_floor_where_the_data_have_none() -> None:
    truth = {"A": 1.0, "alpha": 0.5}
    tables = (draw_losses(width_design(), "power", truth, noise=0.05, seed=seed) for seed in range(20))
    found = next(
        each for each in (fit(table, "power+floor", bootstrap=200) for table in tables) if not each.params["E"]
    )
    floors = found.replicates[:, 0]
    # The truth is on the boundary: about half of all tables, and of all replicates, have their minimum beside it.
    assert 0.1 < np.mean(floors == 0) < 0.98
    assert found.interval().loc["E", "low"] == 0
    assert found.interval().loc["alpha", "high"] > found.params["alpha"]  # pyright: ignore[reportOperatorIssue]


def test_replicates_are_followed_to_their_minima(monkeypatch: pytest.MonkeyPatch) -> None:
    """W23's six points of full precision leave a long ravine.

    Replicates that stop within it end too near the estimate, and elsewhere on another processor.
    """
    table = arm_points(losses(), "full", SHARED)
    usual = fit_law(table)
    monkeypatch.setattr(fitting, "_REPLICATE", Stopping(tolerance=1e-9, least=1e-12, limit=50_000))
    to_the_end = fit_law(table)
    ends, exact = (percentile_interval(one.replicates, 0.95) for one in (usual, to_the_end))
    # replicates stop within 1 % of a standard error of their minima, and an end of an interval is one or two of them
    assert (np.abs(np.subtract(ends, exact)) < 0.01 * np.std(to_the_end.replicates, axis=0)).all()
    assert exact[0][0] < 0.1  # the floor may be 0
