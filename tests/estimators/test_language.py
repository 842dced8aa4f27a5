"""Arms compared at equal energy and at equal loss, on made-up losses that are linear in the logarithm of the energy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators import language as summary
from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.experiments.language_spec import LanguageSpec

SPEC = LanguageSpec(arms=("full", "bitnet", "int8-absmax"), seeds=(0, 1, 2), windows=4)


@pytest.fixture
def run():
    """A run of no networks: what they reached is given by `spent` and `made`."""
    return LanguageRun(SPEC, pd.DataFrame(), {}, {"loss": 2.0})


def made(monkeypatch, loss, *, cheaper=8.0, lost=()):
    """Losses by arm, energy and seed; `full` takes 1, 2, 4, 8, 16 units of energy, the others a share of them."""
    spent = {
        (arm, size): 2.0**place / (1.0 if arm == "full" else cheaper)
        for arm in SPEC.arms
        for place, size in enumerate(SPEC.sizes)
    }
    rows = [
        {"arm": arm, "size": size, "seed": seed, "loss": np.nan if (arm, size, seed) in lost else loss(arm, e, seed)}
        for (arm, size), e in spent.items()
        for seed in SPEC.seeds
    ]
    monkeypatch.setattr(summary, "networks", lambda run: pd.DataFrame(rows))
    monkeypatch.setattr(summary, "joules", lambda run, size, arm, model="w23": spent[arm, size])


def line(arm, joules, seed):
    """Losses of bitnet lie 0.1 above those of full at equal energy, whatever the seed."""
    return 3.0 - 0.25 * np.log2(joules) + 0.01 * seed + {"full": 0.0, "bitnet": 0.1, "int8-absmax": -0.2}[arm]


def test_equal_energy(monkeypatch, run):
    made(monkeypatch, line)
    found = summary.at_equal_energy(run)
    assert list(found["size"].unique()) == ["2x32", "2x48"]  # bitnet reaches 2 units
    assert list(found.loc[found["size"] == "2x32", "seed"]) == [0, 1, 2]
    np.testing.assert_allclose(found["difference"], 0.1, rtol=1e-12)  # float64
    found = summary.at_equal_energy(run, against="int8-absmax")
    assert len(found) == 15  # equal ranges: every size
    np.testing.assert_allclose(found["difference"], 0.3, rtol=1e-12)
    with pytest.raises(InputError, match="no arm 'b158'"):
        summary.at_equal_energy(run, against="b158")


def test_cost_at_equal_loss(monkeypatch, run):
    made(monkeypatch, line, cheaper=2.0)
    found = summary.cost_at_equal_loss(run)
    assert len(found) == 15
    known = found["share"].notna()
    # 0.1 nats are 0.4 doublings of energy; the largest of full reaches what no bitnet does
    np.testing.assert_allclose(found.loc[known, "share"], 2**0.4, rtol=1e-12)
    assert set(found.loc[~known, "size"]) == {"3x96", "4x128"}


def test_a_larger_network_reaches_what_a_smaller_one_does(monkeypatch, run):
    def loss(arm, joules, seed):
        if arm == "full":
            return 2.5
        return {0.5: 3.0, 1.0: 2.6, 2.0: 2.8, 4.0: 2.4, 8.0: 2.45}[joules]

    made(monkeypatch, loss, cheaper=2.0)
    found = summary.cost_at_equal_loss(run)
    at = 2.0 ** (0 + 2 * 0.5)  # half way from 2.6, reached at 1 unit, to 2.4 at 4
    expected = at / 2.0 ** np.repeat(np.arange(5), 3)
    np.testing.assert_allclose(np.sort(found["share"]), np.sort(expected), rtol=1e-12)


def test_networks_without_a_loss_are_no_points_of_comparison(monkeypatch, run):
    made(monkeypatch, line, cheaper=1.0, lost={("bitnet", "2x32", 0), ("full", "4x128", 1)})
    found = summary.at_equal_energy(run)
    assert set(found.loc[found["seed"] == 0, "size"]) == set(SPEC.sizes[1:])
    assert set(found.loc[found["seed"] == 1, "size"]) == set(SPEC.sizes[:-1])
    assert len(summary.cost_at_equal_loss(run)) == 14
