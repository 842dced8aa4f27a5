"""The evidence of the claims on learning rates on made-up networks, so that each rule is seen to hold and to fail."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.experiments.language_spec import LanguageSpec
from ntk1bit.experiments.run import Run
from ntk1bit.networks.transformer_shape import parse_size
from proofs_numeric import c10_rates
from proofs_numeric.data import Data

PROOFS = {one.claim.id: one for one in c10_rates.PROOFS}
SIZES = ("1x32", "2x48", "3x64")
EIGHT = ("1x16", "1x24", "1x32", "2x32", "2x48", "3x48", "3x64", "3x96")
SEEDS = range(5)
LOWEST, MOST = -2, 9
VOCABULARY = 50


def judged(name: str, data: Data) -> Any:
    evidence = PROOFS[name].evidence(data)
    return PROOFS[name].claim.judge(evidence), evidence


@pytest.fixture
def stable(monkeypatch):
    """Return what makes the data of a study of stability of a made-up table."""

    def made(table: pd.DataFrame) -> Data:
        monkeypatch.setattr(c10_rates, "stability_table", lambda _: table)
        monkeypatch.setattr(c10_rates.texts, "load", lambda _: SimpleNamespace(vocabulary=VOCABULARY))
        data = Data(Path("nowhere"))
        data._runs["bitnet-stability"] = cast(Run, SimpleNamespace(spec=SimpleNamespace(text="sotu")))
        return data

    return made


def networks(
    first: dict[str, int], *, spread: int = 0, best: dict[str, int] | None = None, steep: float = 0.05
) -> pd.DataFrame:
    """Return a table of stability: arms that diverge from 0.004 2^first on, one seed `spread` octaves later.

    Losses are 2 + steep (k - best)^2 at 0.004 2^k; beyond `MOST` nothing is tried.
    """
    rng = np.random.default_rng(0)
    rows = []
    for arm, octave in first.items():
        for size in SIZES:
            for seed in SEEDS:
                mine = octave + (spread if seed == 2 else 0)
                for k in range(LOWEST, min(octave + max(spread, 0), MOST) + 1):
                    loss = 2 + steep * (k - (best or {}).get(arm, 0)) ** 2 + 1e-3 * rng.standard_normal()
                    about = {"arm": arm, "size": size, "parameters": parse_size(size).parameters, "seed": seed}
                    lost = k >= mine
                    numbers = {"rate": float(f"{0.004 * 2.0**k:.6g}"), "lost": lost}
                    loss = math.nan if lost else loss
                    rows.append(about | numbers | {"loss": loss, "train_loss": loss})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("claim", "other", "measure"),
    [
        ("C10-stable", "fp16-preln", "rate.bitnet_over_fp16"),
        ("C10-absmax-rate", "elastic", "rate.bitnet_over_elastic"),
    ],
)
@pytest.mark.parametrize(("octaves", "outcome"), [(2, "supported"), (0, "refuted"), (-1, "refuted")])
def test_the_rates_from_which_on_two_arms_diverge_are_compared(stable, claim, other, measure, octaves, outcome):
    first = {"bitnet": 3 + octaves, "fp16-preln": 9, "elastic": 9} | {other: 3}
    verdict, evidence = judged(claim, stable(networks(first)))
    assert verdict.outcome == outcome
    found = evidence.get(measure)
    assert (found.low, found.value, found.high) == (octaves, octaves, octaves)  # each seed and size has this ratio
    assert [one.outcome for one in verdict.context] == [outcome] * 3
    assert set(evidence.tables["rates from which on networks diverge"]["arm"]) == {"bitnet", other}
    assert not evidence.remarks


def test_seeds_that_differ_give_an_interval(stable):
    first = {"bitnet": 3, "fp16-preln": 3}
    table = networks(first, spread=1)
    table.loc[(table["arm"] == "fp16-preln") & (table["rate"] >= 0.03), "lost"] = True  # all at 0.004 2^3 = 0.032
    verdict, evidence = judged("C10-stable", stable(table))
    found = evidence.get("rate.bitnet_over_fp16")
    assert found.value == pytest.approx(0.2)  # one seed of five by an octave, at every size
    assert found.low < 0 < found.high
    assert verdict.outcome == "inconclusive"


def test_networks_that_never_diverge_count_at_the_next_rate(stable):
    table = networks({"bitnet": MOST + 5, "fp16-preln": 4})
    verdict, evidence = judged("C10-stable", stable(table))
    assert verdict.outcome == "supported"
    assert evidence.get("rate.bitnet_over_fp16").value == pytest.approx(MOST + 1 - 4, abs=1e-5)  # rates have six digits
    assert evidence.get("censored.bitnet").value == 15
    assert evidence.get("censored.fp16").value == 0
    assert not evidence.remarks


def test_full_precision_that_never_diverges_is_reported_and_counts_against(stable):
    table = networks({"bitnet": 4, "fp16-preln": MOST + 5})
    verdict, evidence = judged("C10-stable", stable(table))
    assert verdict.outcome == "refuted"
    assert evidence.remarks == ("15 networks of fp16-preln diverged at no rate: their rates are lower bounds as well.",)


def test_two_arms_that_never_diverge_cannot_be_compared(stable):
    verdict, evidence = judged("C10-stable", stable(networks({"bitnet": MOST + 5, "fp16-preln": MOST + 5})))
    assert verdict.outcome == "inconclusive"
    assert "neither arm diverged" in evidence.remarks[1]


@pytest.mark.parametrize(("octaves", "outcome"), [(1, "supported"), (-1, "refuted")])
def test_1_bit_gains_from_twice_the_rate_or_loses(stable, octaves, outcome):
    table = networks({"bitnet": 5, "fp16-preln": 4}, best={"bitnet": octaves, "fp16-preln": 0})
    verdict, evidence = judged("C10-rate", stable(table))
    assert verdict.outcome == outcome
    expected = 0.05 * ((1 - octaves) ** 2 - octaves**2)
    # mean of 15 differences of two losses with noise 1e-3: standard error 4e-4; the tolerance is five of these
    assert evidence.get("gain.bitnet").value == pytest.approx(expected, abs=2e-3)
    assert evidence.get("gain.fp16").value == pytest.approx(0.05, abs=2e-3)
    assert verdict.context[0].outcome == "supported"
    assert [evidence.get(f"best.{size}").value for size in SIZES] == pytest.approx([octaves] * 3)
    assert len(evidence.tables["gains"]) == 2 * 3 * 5


def test_a_1_bit_network_without_a_loss_counts_as_guessing(stable):
    """Full precision is best at 0.004; 1-bit networks have diverged at 0.004, so that 0.008 was not even tried."""
    table = networks({"bitnet": 0, "fp16-preln": 4})
    _, evidence = judged("C10-rate", stable(table))
    assert evidence.get("gain.bitnet").value == 0.0  # ln V at both rates
    table = networks({"bitnet": 1, "fp16-preln": 4})
    verdict, evidence = judged("C10-rate", stable(table))
    assert evidence.get("gain.bitnet").value == pytest.approx(math.log(VOCABULARY) - 2, abs=2e-3)  # as above
    assert verdict.outcome == "refuted"


def searches(exponent: float, *, edge: bool = False) -> Data:
    """Return the data of searches whose best rates are a power of N, to the next power of two."""
    arms = ("fp16-preln", "bitnet")
    spec = LanguageSpec(sizes=EIGHT, arms=arms)
    rates, rows = {}, []
    for arm in arms:
        for shape in spec.shapes:
            wished = 0.004 * (shape.parameters / spec.shapes[0].parameters) ** exponent
            rate = 0.004 * 2.0 ** round(math.log2(wished / 0.004))
            rates[arm, str(shape)] = rate
            for times in (0.5, 1.0) if edge and str(shape) == "1x16" else (0.5, 1.0, 2.0):
                about = {"stage": "search", "evaluated": arm, "arm": arm, "size": str(shape)}
                numbers = {"parameters": shape.parameters, "rate": times * rate, "train_loss": 2.0 + abs(times - 1)}
                rows.append(about | numbers)
    run = LanguageRun(spec, pd.DataFrame(rows), rates, {"loss": 2.0})
    return Data(Path("nowhere"), languages={"bitnet": run})


@pytest.mark.parametrize(
    ("exponent", "outcome"), [(-0.5, "supported"), (0.5, "refuted"), (0.0, "refuted"), (-0.02, "refuted")]
)
def test_best_rates_are_fitted_against_size(exponent, outcome):
    """An exponent of -0.02 is 0.14 octaves over these sizes: on a grid of octaves all rates are equal."""
    verdict, evidence = judged("C10-rate-size", searches(exponent))
    assert verdict.outcome == outcome
    found = evidence.get("slope.bitnet")
    # rates are rounded by up to half an octave, over 7.2 octaves of N
    assert found.value == pytest.approx(exponent, abs=1 / 7.2)
    assert found.seeds == 8
    assert evidence.get("edges.bitnet").value == 0
    assert len(evidence.tables["best rates"]) == 16


def test_the_slope_is_that_of_least_squares():
    data = searches(-0.4)
    _, evidence = judged("C10-rate-size", data)
    run = data.language("bitnet")
    n = [math.log2(shape.parameters) for shape in run.spec.shapes]
    rates = [math.log2(run.rates["bitnet", str(shape)]) for shape in run.spec.shapes]
    # the same sums in another order, in doubles
    assert evidence.get("slope.bitnet").value == pytest.approx(float(np.polyfit(n, rates, 1)[0]), rel=1e-9)


def test_searches_that_ended_at_an_edge_are_counted():
    _, evidence = judged("C10-rate-size", searches(-0.5, edge=True))
    assert evidence.get("edges.bitnet").value == 1
    assert evidence.get("edges.fp16").value == 1


def test_every_measure_has_a_sentence(stable):
    table = networks({"bitnet": 5, "fp16-preln": 3, "elastic": 4})
    for name, data in (
        ("C10-stable", stable(table)),
        ("C10-absmax-rate", stable(table)),
        ("C10-rate", stable(table)),
        ("C10-rate-size", searches(-0.5)),
    ):
        evidence = PROOFS[name].evidence(data)
        assert all(PROOFS[name].claim.label(one.id) != one.id for one in evidence.measures), name
