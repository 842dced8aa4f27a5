"""Numbers as people read them, and every result on at most ten short lines."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit import kernels, scaling, statistics
from ntk1bit.estimators import overview
from ntk1bit.estimators.run_overview import COLUMNS
from ntk1bit.experiments import SweepSpec, open_run, run_all
from ntk1bit.kernels.measure import NetworkSettings, measure
from ntk1bit.networks.two_layer.descent import train
from ntk1bit.networks.two_layer.initial_weights import init
from ntk1bit.printing import MOST_COLUMNS, MOST_LINES, interval, number, plain, record, short_lines

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 6)).astype(np.float32)
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # Unicode's names of what turns text around


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1024, "1024"),
        (1024.0, "1024"),
        (999_999, "999999"),
        (999_999.0, "999999"),
        (np.int64(491_520), "491520"),
        (1_000_000, "1e6"),
        (125e6, "1.25e8"),
        (1234.5, "1234"),  # halves go to the even number
        (123_456.7, "123457"),
        (0.57, "0.57"),
        (-3.14159, "-3.14"),
        (1e-4, "0.0001"),
        (9.9e-5, "9.9e-5"),
        (-0.0, "0"),
        (math.nan, "-"),
        (None, "-"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (10**400, "-"),
    ],
)
def test_numbers(value, shown):
    assert number(value) == shown


def test_measured_numbers_keep_zeros_and_counts_have_none():
    shown = [number(value, even=True) for value in (2.0, 23.04, 0.5, 1.5e9, 7)]
    assert shown == ["2.00", "23.0", "0.500", "1.50e9", "7"]


def test_no_number_is_off_by_more_than_half_a_unit_of_its_last_digit():
    """Half a unit in the third digit is a relative error of at most 0.5 %."""
    for power in range(-30, 31):
        for head in (1.0, 1.005, 2.5, 9.994, 9.999):
            assert float(number(head * 10.0**power)) == pytest.approx(head * 10.0**power, rel=5.01e-3)


def test_intervals():
    assert interval(0.5, 1024.0) == "[0.5, 1024]"
    assert interval(math.nan, math.nan) == "[?]"
    assert interval(math.nan, 2.0) == "[-, 2]"


def test_long_texts_are_cut_and_it_is_seen():
    lines = short_lines([f"{i}" * 200 for i in range(15)]).splitlines()
    assert len(lines) == MOST_LINES
    assert max(map(len, lines)) == MOST_COLUMNS
    assert lines[-1] == "... and 6 lines more"
    assert lines[0].endswith("...")


def of_laws() -> list[Any]:
    sizes = np.geomspace(1e6, 1e9, 10)
    n, d = (each.ravel() for each in np.meshgrid(sizes, 100 * sizes))
    losses = (1.7 + 400 * n**-0.34 + 400 * d**-0.28) * np.exp(0.01 * RNG.standard_normal(len(n)))
    frame = pd.DataFrame({"N": n, "D": d, "loss": losses, "arm": np.arange(len(n)) % 2})
    request = scaling.FitRequest(
        scaling.get_law("chinchilla"), bootstrap=40, holdout=0.3, frontier=True, rivals=("kaplan",), cluster=()
    )
    one = scaling.fit(frame, bootstrap=40, law="chinchilla", cluster=())
    kaplan = scaling.get_law("kaplan").fix(alpha_N=0.1)
    held = scaling.analyse(frame, scaling.FitRequest(kaplan, group="arm", bootstrap=0))
    wide = scaling.fit(frame, "broken2", x="N", bootstrap=0)  # nine parameters
    report = scaling.analyse(frame, request)
    proposal = scaling.propose(frame)
    return [
        one, held, wide, report, proposal, request, proposal.law, *report.frontiers, one.observations, one.starts,
        one.interval("alpha"), scaling.get_law("broken2"),
    ]  # fmt: skip


def of_kernels() -> list[Any]:
    weights = init(64, 6, seed=0)
    h = kernels.empirical_ntk(X, weights)
    y = np.ones(12)
    return [
        weights, kernels.spectrum(h), kernels.spectrum(h).decay(), kernels.limit_ntk(X, samples=1000),
        kernels.certified_lambda_min(h), kernels.predict(h, y, eta=0.1, steps=5), kernels.kernel_regression(h, y),
        measure(X, y, NetworkSettings(width=64, samples=1000), limit=True, effective=True, with_spectrum=True),
        train(X, y, weights, steps=5), kernels.spectrum(np.zeros((3, 3))),
        kernels.mean_field(X, y, steps=5, particles=1000), kernels.opposite_inputs(X[0] - X[0].mean(), samples=1000),
    ]  # fmt: skip


def of_statistics() -> list[Any]:
    x = np.array([64.0, 128, 256, 512, 1024, 2048])
    samples = [
        statistics.Samples(m, tuple(range(5)), statistics.MeanOf(m**-0.5 * np.exp(0.1 * RNG.standard_normal(5))))
        for m in x
    ]
    found = statistics.leave_one_out(samples)
    curves = np.exp(-np.linspace(0, 5, 200))[None] * np.exp(0.1 * RNG.standard_normal((5, 1)))
    return [
        samples[0], samples[0].statistic, found, statistics.fit_power(x, found), statistics.judge_plateau(curves),
        statistics.fit_power_with_floor(x, found), statistics.fit_power(x[:2], found.at(slice(2))),
    ]  # fmt: skip


def of_runs(folder: Path) -> list[Any]:
    spec = SweepSpec.from_dict({"widths": (16, 32, 64), "seeds": (0, 1), "steps": 10, "n_train": (8,), "n_test": 4})
    run_all(spec, folder, jobs=1)
    run = open_run(folder)
    found = overview(run.frame(COLUMNS))
    return [run, found, *found.quantities, *found.needed]


@pytest.mark.parametrize("made", [of_laws, of_kernels, of_statistics, of_runs], ids=lambda made: made.__name__)
@pytest.mark.filterwarnings("ignore::ntk1bit.scaling.IdentificationWarning")
def test_every_result_prints_in_at_most_ten_short_lines(made: Callable[..., list[Any]], tmp_path: Path):
    for one in made(tmp_path / "run") if made is of_runs else made():
        lines = repr(one).splitlines()
        print(repr(one), end="\n\n")
        assert 1 <= len(lines) <= MOST_LINES, type(one)
        assert max(map(len, lines)) <= MOST_COLUMNS, type(one)
        assert any(letter.isdigit() or letter == "k" for letter in repr(one)), type(one)
        for name in ("_repr_html_", "_repr_markdown_"):
            if hasattr(one, name):
                assert len(getattr(one, name)()) > len("<table></table>"), type(one)


def test_a_record_describes_what_is_long():
    words = record(init(64, 6, seed=0))
    assert words.startswith("Weights(w=<float32 (64, 6), -")
    words = record(statistics.MeanOf(np.array([math.nan, 2.0, 4.0])))
    assert words == "MeanOf(values=<float64 (3,), 2 to 4>, signed=False)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("loss 1.5, é ∂ 漢字 العربية", "loss 1.5, é ∂ 漢字 العربية"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\x9b2Jb\x07\x08\x7f\0", r"a\x9b2Jb\x07\x08\x7f\x00"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("evil\u202etxt.exe\u2066\u200f", r"evil\u202etxt.exe\u2066\u200f"),
        ("a\u2028b\u2029\u0085", r"a\u2028b\u2029\x85"),
        ("\ud800\ufeff\U000e0041", r"\ud800\ufeff\U000e0041"),
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
        ("می\u200cخواهم \U0001f469\u200d\U0001f4bb", "می\u200cخواهم \U0001f469\u200d\U0001f4bb"),
        ("", ""),
    ],
)
def test_what_steers_a_terminal_is_escaped(text, shown):
    assert plain(text) == shown
    assert plain(plain(text)) == shown


def test_no_letter_of_unicode_steers_a_terminal():
    every = "".join(map(chr, range(0x110000)))
    shown = plain(every, keep="\n")
    steering = {letter for letter in every if unicodedata.bidirectional(letter) in BIDI or ord(letter) < 32}
    assert steering & {*shown} == {"\n"}
    assert not {*map(chr, range(0x7F, 0xA0))} & {*shown}
    assert shown.encode()  # no halves of characters, which no encoding has
