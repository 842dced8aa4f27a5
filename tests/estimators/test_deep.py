from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.data.cubes_and_curves import GRID, curve_targets
from ntk1bit.estimators.deep import (
    at_best_rate,
    ends_table,
    epochs_table,
    functions_table,
    losses_table,
    rates_table,
    summary,
)
from ntk1bit.plots.deep import draw_frame, scaling_figure, short


def grid(*axes: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    yield from itertools.product(*axes)


def fig_1(sizes=(256, 512, 1024), seeds=3) -> pd.DataFrame:
    """Losses that are powers of N, with a factor 2 between one seed and the next."""
    rows = [
        {"task": task, "depth": depth, "precision": precision, "parameters": size, "seed": seed}
        | {"least_loss": 2.0**seed / size * (1 if precision == "full" else 3), "test_loss": 0.1}
        | {"rate": 0.01, "diverged_at": -1}
        for task, depth, precision, size, seed in grid(("f1", "f6"), (3, 5), ("one_bit", "full"), sizes, range(seeds))
    ]
    return pd.DataFrame(rows)


def fig_3(sizes=(162, 500), epochs=24, seeds=3) -> pd.DataFrame:
    x = np.linspace(-np.pi, np.pi, GRID)
    rows = []
    for task, size, seed, epoch in grid(("bessel", "log-sine"), sizes, range(seeds), range(epochs + 1)):
        value = 2.0**seed / size / (epoch + 1) * (1 if task == "bessel" else 4)
        columns = ("loss_one_bit", "loss_full", "test_loss_one_bit", "test_loss_full", "apart_train", "apart_test")
        outputs = curve_targets(task, x) if epoch == epochs else np.empty(0)
        row = dict.fromkeys(columns, value) | {"grid_one_bit": outputs + seed, "grid_full": outputs - seed}
        rows.append({"task": task, "N": size, "seed": seed, "epoch": epoch} | row)
    return pd.DataFrame(rows)


def test_means_are_geometric_with_intervals_of_logarithms():
    found = summary([1.0, 2.0, 4.0])
    assert found["value"] == pytest.approx(2)
    # ln 2 apart: t_{0.975}(2) = 4.303, standard error ln 2/sqrt 3
    assert np.log(found["high"] / 2) == pytest.approx(4.303 * np.log(2) / np.sqrt(3), rel=1e-3)
    assert found["low"] * found["high"] == pytest.approx(4)
    assert np.isnan(summary([3.0])["low"])
    zero = summary([0.0, 1.0])
    assert zero["value"] == 0
    assert np.isnan(zero["high"])


def test_losses_have_a_row_a_setting():
    table = losses_table(fig_1())
    assert len(table) == 2 * 2 * 2 * 3
    row = table.loc[(table["task"] == "f6") & (table["precision"] == "one_bit") & (table["N"] == 512)].iloc[0]
    assert row["value"] == pytest.approx(2 * 3 / 512)
    assert (row["seeds"], row["test"]) == (3, pytest.approx(0.1))


def test_the_best_rate_is_chosen_by_depth_precision_and_size():
    frame = fig_1()
    better = frame.assign(rate=0.003, least_loss=frame["least_loss"] * np.where(frame["parameters"] > 300, 0.5, 2.0))
    diverged = frame.assign(rate=0.1, least_loss=1e-9, diverged_at=np.where(frame["seed"] == 1, 7, -1))
    every = pd.concat([frame, better, diverged], ignore_index=True)
    found = at_best_rate(every)
    assert len(found) == len(frame)
    assert set(found.loc[found["parameters"] < 300, "rate"]) == {0.01}
    assert set(found.loc[found["parameters"] > 300, "rate"]) == {0.003}
    table = losses_table(every)
    row = table.loc[(table["task"] == "f1") & (table["precision"] == "full") & (table["N"] == 512)].iloc[0]
    assert row["value"] == pytest.approx(2 / 512 / 2)
    assert row["rate"] == 0.003
    rates = rates_table(every)
    assert len(rates) == 2 * 2 * 3 * 3
    assert set(rates.loc[rates["best"] & (rates["N"] == 256), "rate"]) == {0.01}
    one = rates.loc[(rates["depth"] == 5) & (rates["precision"] == "one_bit") & (rates["N"] == 256)].set_index("rate")
    assert one.loc[0.01, "value"] == pytest.approx(2 * 3 / 256)
    assert one.loc[0.003, "value"] == pytest.approx(2 * 2 * 3 / 256)


def test_epochs_are_thinned_and_keep_both_ends():
    table = epochs_table(fig_3())
    assert sorted(set(table["epoch"])) == list(range(0, 25, 2))
    one = table.loc[(table["task"] == "bessel") & (table["N"] == 500) & (table["what"] == "test difference")]
    assert one.sort_values("epoch")["value"].to_numpy() == pytest.approx(2 / 500 / (np.arange(0, 25, 2) + 1))
    assert sorted(set(epochs_table(fig_3(epochs=3))["epoch"])) == [0, 1, 2, 3]


def test_the_last_difference_is_that_of_each_function_and_of_all():
    table = ends_table(fig_3())
    at = table.loc[(table["N"] == 162) & (table["points"] == "train")].set_index("task")["value"]
    assert at["bessel"] == pytest.approx(2 / 162 / 25)
    assert at["all"] == pytest.approx(2 * at["bessel"])  # the geometric mean of factors 1 and 4


def test_functions_are_of_the_first_seed_at_the_largest_size():
    table = functions_table(fig_3(), every=2)
    assert len(table) == 2 * 151
    assert set(table["N"]) == {500}
    assert np.array_equal(table["one_bit"], table["target"])
    part = table.loc[table["task"] == "log-sine"]
    assert part["x"].iloc[0] == -np.pi
    assert part["x"].iloc[-1] == np.pi


@pytest.mark.parametrize("which", [1, 2, 3])
def test_every_figure_is_drawn(which, tmp_path):
    path = draw_frame(fig_1() if which == 1 else fig_3(), which, tmp_path / "one.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


def test_a_panel_a_function_with_its_points_and_the_band_of_rounding():
    table = losses_table(fig_1())
    figure = scaling_figure(table)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left") or ax.get_title()]
    assert len(panels) == 2
    line = next(one for one in panels[1].lines if one.get_label() == "1-bit, depth 5")
    drawn = np.asarray(line.get_ydata(), dtype=np.float64)
    assert drawn == pytest.approx(6 / np.array([256, 512, 1024]))
    assert not panels[0].texts
    low = scaling_figure(table.assign(value=table["value"] * 1e-12, low=np.nan, high=np.nan))
    assert low.axes[0].texts[0].get_text() == "rounding"


def test_sizes_are_written_as_in_the_paper():
    assert [short(size) for size in (162.0, 2410.0, 204_100.0, 20_041_000.0)] == ["162", "2.4K", "204K", "20M"]
