from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from ntk1bit.errors import InputError
from ntk1bit.scaling import FitRequest, bootstrap, fit, get_law
from ntk1bit.scaling.bootstrap import (
    bca_interval,
    blocks,
    drawn_counts,
    left_out,
    percentile_interval,
)
from ntk1bit.scaling.observations import observe

FRAME = pd.DataFrame(
    {"x": np.geomspace(1, 1e4, 12), "loss": np.geomspace(1, 0.1, 12), "w": np.arange(1.0, 13), "seed": [0, 1, 2] * 4}
)


def test_replicates_draw_every_point_once_on_average() -> None:
    counts = drawn_counts(12, 4000, seed=0)
    np.testing.assert_array_equal(counts.sum(axis=1), 12)
    # Counts have variance 11/12: means over 4000 replicates lie within 5 standard errors of 1.
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=5 * np.sqrt(11 / 12 / 4000))


def test_replicates_drawn_in_blocks_are_those_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn_counts(30, 50, seed=1)
    np.testing.assert_array_equal(whole, np.random.default_rng(1).multinomial(30, np.full(30, 1 / 30), size=50))
    monkeypatch.setattr(bootstrap, "_BLOCK", 7 * 30)
    assert [rows.stop - rows.start for rows in blocks(50, 30)] == [7] * 7 + [1]
    np.testing.assert_array_equal(drawn_counts(30, 50, seed=1), whole)


def test_fits_in_blocks_are_those_at_once(widths: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(widths, "power+floor", bootstrap=30, cluster="seed", weight="x")
    table = whole.to_frame()
    monkeypatch.setattr(bootstrap, "_BLOCK", 4 * len(widths))
    pd.testing.assert_frame_equal(
        fit(widths, "power+floor", bootstrap=30, cluster="seed", weight="x").to_frame(), table, check_exact=True
    )


def test_more_replicates_than_memory_holds_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit into memory"):
        drawn_counts(10**6, 10**12, seed=0)


def test_clusters_are_drawn_whole_and_weights_kept() -> None:
    data = observe(FRAME, FitRequest(get_law("power"), cluster="seed", weight="w"))
    counts = data.point_weights(drawn_counts(3, 50, seed=0)) / FRAME["w"].to_numpy()
    np.testing.assert_allclose(counts[:, :3], counts[:, 3:6])
    np.testing.assert_allclose(counts[:, :3].sum(axis=1), 3)


def test_jackknife_leaves_each_unit_out_once() -> None:
    every = slice(0, 12)
    np.testing.assert_array_equal(left_out(12, seed=0)[every], 1 - np.eye(12))
    data = observe(FRAME, FitRequest(get_law("power"), cluster="seed"))
    by_seed = data.point_weights(left_out(data.clusters, seed=0)[every])
    assert by_seed.shape == (3, 12)
    np.testing.assert_array_equal(by_seed[1] == 0, FRAME["seed"] == 1)


@pytest.mark.parametrize("units", [2001, 5000])
def test_many_units_are_left_out_in_equal_random_parts(units: int) -> None:
    rows = left_out(units, seed=3)
    assert len(rows) == 1000
    out = 1 - np.vstack([rows[block] for block in (slice(0, 400), slice(400, 1000))])
    np.testing.assert_array_equal(out.sum(axis=0), 1)
    assert set(out.sum(axis=1)) <= {units // 1000, units // 1000 + 1}
    assert not np.array_equal(out[:, :1000], np.eye(1000))  # rows of a sorted table must not go out together
    np.testing.assert_array_equal(rows, left_out(units, seed=3))
    assert not np.array_equal(rows, left_out(units, seed=4))


def test_parts_give_the_acceleration_of_single_points() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(size=40_000)
    out, n = ~left_out(len(values), seed=0), len(values)
    sums, sizes = out @ values, out.sum(axis=1)
    means = (values.sum() - sums) / (n - sizes)  # the mean without each part
    pull = means.mean() - means
    found = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    exact = 2.0 / (6 * np.sqrt(n))  # the skewness of an exponential variable is 2
    # sums of 40 are nearly normal: a random error of sqrt(15)/6 over the number of parts
    assert found == pytest.approx(exact, abs=4 * np.sqrt(15) / 6 / 1000)


def test_memory_grows_with_the_points_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "JACKKNIFE_PARTS", 60)
    monkeypatch.setattr(bootstrap, "_BLOCK", 2**18)
    rng = np.random.default_rng(0)
    peaks = []
    for n in (20_000, 40_000):
        x = np.exp(rng.uniform(0, 5, n))
        frame = pd.DataFrame({"x": x, "loss": 3 * x**-0.5 * np.exp(0.02 * rng.standard_normal(n))})
        found = fit(frame, "power", bootstrap=20)
        tracemalloc.start()
        table = found.interval(method="bca")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        percentile = found.interval()
        assert found.jackknife_parts == 60
        assert found.summary()["jackknife_parts"] == 60
        # 20 replicates: ends move by a few replicates, hardly more than the interval's own width
        width = percentile["high"] - percentile["low"]
        assert np.all(np.abs(table[["low", "high"]] - percentile[["low", "high"]]).max(axis=1) < width)
    assert peaks[1] < 60e6  # all points left out one by one would take 12.8 GB at 40,000
    assert peaks[1] < 3 * peaks[0]


def test_percentiles_of_known_replicates() -> None:
    low, high = percentile_interval(np.arange(101.0)[:, None], 0.9)
    assert (low[0], high[0]) == pytest.approx((5.0, 95.0))


def test_bca_without_bias_or_skew_is_the_percentile_interval() -> None:
    replicates = np.linspace(-1, 1, 2001)[:, None]
    even = np.array([[-1.0], [1.0]])
    expected = percentile_interval(replicates, 0.95)
    np.testing.assert_allclose(bca_interval(np.zeros(1), replicates, even, 0.95), expected, atol=1e-9)


def test_bca_follows_its_formula() -> None:
    rng = np.random.default_rng(0)
    replicates, jackknife = rng.exponential(size=(999, 1)), rng.exponential(size=(15, 1))
    estimate = np.array([0.8])
    z0 = norm.ppf(np.mean(replicates < 0.8))
    pull = jackknife.mean() - jackknife
    a = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    shares = [norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in norm.ppf([0.025, 0.975])]
    low, high = bca_interval(estimate, replicates, jackknife, 0.95)
    np.testing.assert_allclose([low[0], high[0]], np.quantile(replicates, shares), rtol=1e-12)


def test_without_smoothness_the_bias_correction_is_the_acceleration() -> None:
    rng = np.random.default_rng(0)
    replicates, jackknife = rng.exponential(size=(999, 1)), rng.exponential(size=(15, 1))
    pull = jackknife.mean() - jackknife
    a = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    shares = [norm.cdf(a + (a + z) / (1 - a * (a + z))) for z in norm.ppf([0.025, 0.975])]
    for estimate in (0.1, 5.0):  # where the estimate lies does not matter
        low, high = bca_interval(np.array([estimate]), replicates, jackknife, 0.95, smooth=False)
        np.testing.assert_allclose([low[0], high[0]], np.quantile(replicates, shares), rtol=1e-12)


def test_bca_survives_an_estimate_beyond_all_replicates() -> None:
    low, high = bca_interval(np.array([9.0]), np.linspace(0, 1, 50)[:, None], np.ones((5, 1)), 0.95)
    assert np.isfinite([low[0], high[0]]).all()
