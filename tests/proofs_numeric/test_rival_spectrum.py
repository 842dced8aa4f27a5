"""The rule of RIVAL-spectrum on spectra that are known."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from proofs_numeric.data import Data
from proofs_numeric.rival_spectrum import CLAIM, SETTINGS, evidence, gain, held_out_error, last_rank, slope, tail
from tests.proofs_numeric.values import value

RANKS = np.arange(1.0, 257)
TASKS = {"sphere3": ("sphere-linear", 3), "sphere4": ("sphere-linear", 4), "digits": ("digits", 0)}


def power(exponent):
    return lambda: RANKS**exponent


def exponential(rate, root=1.0):
    return lambda: np.exp(-rate * RANKS ** (1 / root))


def spectra(one_bit, *, full=None, rounded=None, only="", seeds=8, rounding=1e-15):
    """Spectra of all kernels, every eigenvalue off by 2 %; only one setting has that of `one_bit` where named."""
    rng = np.random.default_rng(0)
    rows = []
    others = {"full": full or power(-1.5), "rounded": rounded or exponential(0.1)}
    for setting, kernel, seed in itertools.product(SETTINGS, ("one_bit", "full", "rounded"), range(seeds)):
        law = others.get(kernel, one_bit if only in ("", setting) else exponential(0.1))
        values = np.sort(law() * np.exp(0.02 * rng.standard_normal(256)))[::-1]
        task, dim = TASKS[setting]
        about = {"task": task, "dim": dim, "n_train": 256, "width": 1024, "seed": seed, "data_seed": seed}
        rows.append(about | {"kernel": kernel, "rounding": rounding, "eigenvalues": values / values.sum()})
    return Data(Path("nowhere"), frames={"spectra": pd.DataFrame(rows)})


def test_exponentials_support_and_powers_refute():
    found = evidence(spectra(exponential(0.1)))
    assert CLAIM.judge(found).outcome == "supported"
    assert [one.outcome for one in CLAIM.judge(found).context] == ["supported"] * 9
    found = evidence(spectra(power(-2.0)))
    judged = CLAIM.judge(found)
    assert [one.outcome for one in judged.findings] == ["refuted"] * 3
    for setting in SETTINGS:
        assert value(found, f"slope.one_bit.{setting}") == pytest.approx(-2, abs=0.01)
        # k^-2 over k^-1.5, ranks 65 to 128, each over its sum
        sums = math.log((RANKS**-1.5).sum() / (RANKS**-2.0).sum())
        expected = -0.5 * np.log(RANKS[64:128]).mean() + sums
        assert value(found, f"tail.{setting}") == pytest.approx(expected, abs=0.02)


def test_exponential_in_the_degree_counts_on_the_sphere_and_not_elsewhere():
    for setting, root in (("sphere3", 2.0), ("sphere4", 3.0)):
        judged = CLAIM.judge(evidence(spectra(exponential(2.0, root), only=setting)))
        assert judged.outcome == "supported"
    values = exponential(2.0, 2.0)()
    assert gain(values, 0.0, 3) < -10  # exact but for rounding
    assert gain(values, 0.0, 4) > gain(values, 0.0, 3) + 10


def test_one_kind_of_data_refutes_and_is_named():
    judged = CLAIM.judge(evidence(spectra(power(-1.2), only="digits")))
    assert judged.outcome == "refuted"
    assert [one.measure for one in judged.findings if one.outcome == "refuted"] == ["gain.one_bit.digits"]


def test_context_notices_a_control_that_is_no_exponential_and_a_larger_tail():
    found = CLAIM.judge(evidence(spectra(power(-1.2), rounded=power(-1.5))))
    by_measure = {one.measure: one.outcome for one in found.context}
    assert by_measure["gain.rounded.sphere3"] == "refuted"
    assert by_measure["tail.sphere3"] == "refuted"


def test_eigenvalues_that_rounding_made_are_left_out():
    values = exponential(0.5)()
    assert last_rank(values, 1e-15) == 69  # exp(-34.5) = 1.04e-15
    noisy = np.maximum(values, 1e-16)
    assert gain(noisy, 1e-15, 0) < -10
    assert slope(noisy, 1e-15) == pytest.approx(slope(values[:138], 0.0))  # twice as many, of which half are used
    assert last_rank(RANKS**-1.0, 0.0) == 128
    assert math.isnan(gain(exponential(5.0)(), 1e-15, 0))  # six ranks
    assert math.isnan(slope(exponential(5.0)(), 1e-15))


def test_the_lower_half_predicts_the_upper_one():
    at = np.arange(8.0)
    line = 3 - 2 * at
    assert held_out_error(at, line) == pytest.approx(0, abs=1e-12)
    bent = line + np.array([9.0, 0, 0, 0, 1, -1, 1, -1])  # the first rank decides nothing
    assert held_out_error(at, bent) == pytest.approx(1)
    assert tail(np.full(8, 2.0), np.full(8, 1.0)) == pytest.approx(math.log(2))


def test_a_seed_is_a_data_set_and_four_are_too_few():
    found = evidence(spectra(exponential(0.1), seeds=4))
    assert CLAIM.judge(found).outcome == "inconclusive"
    assert found.measures[0].units == "data sets, each with its networks"  # pyright: ignore[reportAttributeAccessIssue]
    table = found.tables["eigenvalues"]
    assert len(table) == 3 * 3 * 4
