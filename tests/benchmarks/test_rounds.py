"""The benchmark's own arithmetic, on a race whose outcome is known."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import Contest, Pair, Sizes, measure, plot_ratios, table
from benchmarks.catalogue import PAIRS
from benchmarks.report import write_csv
from ntk1bit import cores


class Clock:
    """Shows how long the contestants say that they take."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_the_fastest_rival_counts(tmp_path):
    clock = Clock()

    def prepare(_sizes: Sizes, _rng: np.random.Generator) -> Contest:
        rivals = {"slow": lambda: clock.spend(0.016), "slower": lambda: clock.spend(0.03)}
        return Contest(lambda: clock.spend(0.004), rivals, ours_bytes=1, rival_bytes=32)

    pair = Pair("sleep", Sizes(1, 2, 3), prepare, goals={(cores.settings().backend, 1): 100})
    result = measure(pair, threads=1, rounds=3, clock=clock)
    assert result.rival == "slow"
    assert result.ratio == pytest.approx(4, rel=1e-9)  # sums of a few hundred floats
    text = table([result])
    assert "MISSED" in text
    assert "1/32.0" in text
    write_csv([result], tmp_path / "ratios.csv", machine="here")
    with (tmp_path / "ratios.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (line["n"], line["d"], line["m"], line["rival"], line["machine"]) == ("1", "2", "3", "slow", "here")
    ax = plot_ratios([result], ax=Figure().add_subplot())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sleep  1, 2, 3"]


def test_every_race_is_declared_once_and_its_contestants_agree():
    assert len({(pair.product, pair.sizes) for pair in PAIRS}) == len(PAIRS)
    small = Sizes(20, 12, 70)
    for prepare in {pair.prepare for pair in PAIRS}:
        contest = prepare(small, np.random.default_rng(0))
        contest.ours()
        assert contest.rivals
