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
    """Losses by arm, energy and seed; `full` takes 1, 2, 4, 8, 16 units of energy, the others a share of them.

    Bytes are the squares of these, and an accuracy falls by 0.1 for each nat.
    """
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
    table = pd.DataFrame(rows).assign(accuracy_4=lambda found: 1 - 0.1 * found["loss"])
    monkeypatch.setattr(summary, "networks", lambda run: table)
    monkeypatch.setattr(summary, "memory", lambda run, size, arm, whole=True: spent[arm, size] ** 2 if whole else 1.0)
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


def test_other_columns_and_costs_are_compared_likewise(monkeypatch, run):
    made(monkeypatch, line)
    found = summary.at_equal_energy(run, column="accuracy_4")
    np.testing.assert_allclose(found["difference"], -0.01, rtol=1e-12)  # of 0.1 nats; float64
    with pytest.raises(InputError, match="a comparison of 'accuracy_0' needs the column 'accuracy_0'"):
        summary.at_equal_energy(run, column="accuracy_0")
    found = summary.at_equal_memory(run)
    assert list(found["size"].unique()) == ["2x32", "2x48"]
    assert set(found["bytes"]) == {1.0, 4.0}
    np.testing.assert_allclose(found["difference"], 0.1, rtol=1e-12)  # a logarithm and its double are alike
    assert len(summary.at_equal_memory(run, whole=False)) == 15  # one cost for all


def test_means_are_of_sizes_with_every_seed():
    found = pd.DataFrame(
        {
            "size": ["1x16"] * 2 + ["1x24"] * 2 + ["1x32"] * 2 + ["2x32"],
            "seed": [0, 1, 0, 1, 0, 1, 0],
            "value": [1.0, 2.0, 3.0, 6.0, 5.0, np.nan, 9.0],
        }
    )
    means, kept = summary.mean_over_sizes(found, "value", (0, 1))
    assert kept == ("1x16", "1x24")
    assert dict(means) == {0: 2.0, 1: 4.0}
    means, kept = summary.mean_over_sizes(found.iloc[:0], "value", (0, 1))
    assert (len(means), kept) == (0, ())


def tabled(law, arms=("full", "bitnet"), **columns):
    """A run whose losses are given by a law in N, the same at every seed, with one search for rates."""
    rows = [
        {"stage": stage, "evaluated": arm, "arm": arm, "size": size, "parameters": shape.parameters, "seed": seed}
        | {"rate": 0.004, "tokens": 1, "loss": law(arm, shape.parameters), "loss_error": 0.0, "bits": 0.0}
        | {"bits_error": 0.0, "train_loss": 0.0, "diverged": False, "seconds": 1.0}
        | {name: value(shape.parameters, seed) for name, value in columns.items()}
        for arm in arms
        for shape, size in zip(SPEC.shapes, SPEC.sizes, strict=True)
        for stage, seeds in (("seeds", SPEC.seeds), ("search", (0,)))
        for seed in seeds
    ]
    rates = {(arm, size): 0.004 for arm in arms for size in SPEC.sizes}
    spec = LanguageSpec(arms=arms, seeds=SPEC.seeds, windows=4)
    return LanguageRun(spec, pd.DataFrame(rows), rates, {"loss": 2.0})


def test_a_law_is_held_against_the_sizes_left_out():
    largest = SPEC.shapes[-1].parameters
    run = tabled(lambda arm, n: (1 + 30 * n**-0.35) * (1.1 if n == largest else 1.0))
    second, last = summary.held_out_errors(run, "full", held_out=2)
    assert second < 1e-4  # the fit's stopping rule
    assert last == pytest.approx(1 - 1 / 1.1, abs=1e-4)
    assert summary.held_out_error(run, "full") == pytest.approx(last, abs=1e-4)
    assert np.isnan(summary.held_out_errors(run, "full", held_out=3)).all()  # two sizes are no law


def test_accuracies_are_there_where_they_were_asked_for():
    run = tabled(lambda arm, n: 2.0)
    assert summary.accuracies(run).empty
    assert not {"accuracy_0", "accuracy_4"} & set(summary.networks(run))
    run = tabled(lambda arm, n: 2.0, accuracy_4=lambda n, seed: 0.3 + 0.01 * seed)
    assert list(summary.networks(run).columns[-2:]) == ["seconds", "accuracy_4"]
    found = summary.accuracies(run)
    assert len(found) == 2 * 5
    assert set(found["examples"]) == {4}
    np.testing.assert_allclose(found["accuracy"], 0.31, rtol=1e-12)
    # Student's t of two degrees of freedom at 97.5 % is 4.3027; the standard error of the three values 0.01/sqrt(3)
    np.testing.assert_allclose(found["high"] - found["accuracy"], 4.302653 * 0.01 / 3**0.5, rtol=1e-6)


def test_arms_are_counted_by_what_they_compute(run):
    energies = {arm: summary.joules(run, "3x64", arm) for arm in ("full", "fp16-preln", "bitnet", "absmax-w8a8")}
    assert energies["full"] == energies["fp16-preln"] > energies["absmax-w8a8"] > energies["bitnet"]
    assert energies["absmax-w8a8"] == summary.joules(run, "3x64", "smoothquant-w8a8")
    assert np.isnan(summary.joules(run, "3x64", "gptq-w4"))  # W23 has no costs of 4 bits
    assert np.isnan(summary.memory(run, "3x64", "gptq-w4"))
    signs, floats = (summary.memory(run, "3x64", arm, whole=False) for arm in ("bitnet", "fp16-preln"))
    n = 12 * 3 * 64**2  # all sides are multiples of 32: no padding
    assert (signs, floats) == (n / 8 + 4 * 6 * 3, 2 * n)  # six scales of 4 bytes in a layer
    rest = [summary.memory(run, "3x64", arm) - linear for arm, linear in (("bitnet", signs), ("fp16-preln", floats))]
    assert rest[0] == rest[1] > 0
