"""The benchmark's own arithmetic, on a race whose outcome is known."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import Contest, Pair, Shape, measure, plot_ratios, table
from benchmarks.catalogue import PAIRS
from benchmarks.report import write_csv


def sleeper(_shape: Shape, _rng: np.random.Generator) -> Contest:
    rivals = {"slow": lambda: time.sleep(0.016), "slower": lambda: time.sleep(0.03)}
    return Contest(lambda: time.sleep(0.004), rivals, ours_bytes=1, rival_bytes=32)


@pytest.fixture
def _clock(monkeypatch):
    """A clock that only sleeping moves: the race has one outcome, however busy the machine is."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))


@pytest.mark.usefixtures("_clock")
def test_the_fastest_rival_counts(tmp_path):
    result = measure(Pair("sleep", Shape(1, 2, 3), sleeper, goal=100), threads=1, rounds=3)
    assert result.rival == "slow"
    assert result.ratio == pytest.approx(4)  # 16 ms against 4 ms
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
    assert len({(pair.product, pair.shape) for pair in PAIRS}) == len(PAIRS)
    small = Shape(20, 12, 70)
    for prepare in {pair.prepare for pair in PAIRS}:
        contest = prepare(small, np.random.default_rng(0))
        contest.ours()
        assert contest.rivals
