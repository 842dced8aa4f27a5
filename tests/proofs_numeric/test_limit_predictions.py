"""The rules on what the limit predicts, on floors, outputs and losses that are a known multiple of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import limit_predictions as proof
from proofs_numeric.mean_field_studies import AGED, FLOORS, SPREAD_SETTINGS
from tests.proofs_numeric.planted import combinations, context, networks, outcomes, stored, sweep
from tests.proofs_numeric.values import value

COUNT, NOISE = 200, 0.1
ERROR = 3 * NOISE * (2 / COUNT) ** 0.5  # three standard errors of a ratio of two means
TIMES = (0.25, 0.5, 1.0)


def floors(settings, levels: dict[str, float], *, carried: dict[str, float] | None = None, rest: float = 1.0):
    """Levels of networks over that of the process, by the id of a measure without its first part; `rest` of others."""
    rng = np.random.default_rng(5)
    parts: list[dict[str, Any]] = []
    for place, one in enumerate(settings):
        level = 2.0 + place  # of the process
        about = {"n_train": one.n_train, "dim": one.dim, "eta_rel": one.eta_rel, "width": 4096}
        made = [(1.0, "process", 1.0, level)]
        if carried is not None:
            made.append((1.0, "carried", 1.9, level * carried.get(one.name, 1.0)))
        for share in TIMES:
            factor = levels.get(f"{one.name}.{share:g}" if carried is not None else one.name, rest)
            early = 7.0 if carried is None and share < 1 else factor  # read by nothing in frozen floors
            made.append((share, "networks", 1.0, level * early))
        for share, source, intensity, mean in made:
            noise = rng.standard_normal(COUNT)
            parts += [
                about
                | {
                    "source": source,
                    "seed": seed,
                    "share": share,
                    "intensity": intensity,
                    "level": mean * (1 + NOISE * noise[seed]),
                }
                for seed in range(COUNT)
            ]
    return pd.DataFrame(parts).sample(frac=1.0, random_state=0)


def test_floors_of_the_process_support_the_claim():
    found = proof.evidence_floor(stored({"floors-frozen": floors(FLOORS, {})}))
    assert set(outcomes(proof.CLAIM_FLOOR, found).values()) == {"supported"}
    for one in FLOORS:
        assert value(found, f"level.{one.name}") == pytest.approx(1.0, abs=ERROR)
    table = found.tables["floors"]
    assert len(table) == len(FLOORS) * 4  # networks at three times, and the process
    assert set(table["count"]) == {COUNT}


@pytest.mark.parametrize("off", [0.8, 1.2])
def test_a_floor_off_by_a_fifth_refutes_its_setting_alone(off):
    name = FLOORS[3].name
    found = proof.evidence_floor(stored({"floors-frozen": floors(FLOORS, {name: off})}))
    judged = outcomes(proof.CLAIM_FLOOR, found)
    assert {one for one, outcome in judged.items() if outcome != "supported"} == {f"level.{name}"}
    assert judged[f"level.{name}"] == "refuted"
    assert value(found, f"level.{name}") == pytest.approx(off, abs=off * ERROR)


def test_aged_floors_are_held_against_the_density_that_is_carried():
    frame = floors(AGED, {}, carried=dict.fromkeys((one.name for one in AGED), 1.5), rest=1.5)
    found = proof.evidence_aged(stored({"floors-aged": frame}))
    assert set(outcomes(proof.CLAIM_AGED, found).values()) == {"supported"}
    assert set(context(proof.CLAIM_AGED, found).values()) == {"refuted"}  # the process at the density of the start
    for one in AGED:
        assert value(found, f"density.{one.name}") == 1.9
        assert value(found, f"start.{one.name}") == pytest.approx(1.5, abs=1.5 * ERROR)


@pytest.mark.parametrize("share", TIMES)
def test_a_floor_that_is_too_high_at_one_time_refutes_that_time_alone(share):
    measure = f"{AGED[1].name}.{share:g}"
    found = proof.evidence_aged(stored({"floors-aged": floors(AGED, {measure: 1.4}, carried={})}))
    judged = outcomes(proof.CLAIM_AGED, found)
    assert {one for one, outcome in judged.items() if outcome != "supported"} == {f"level.{measure}"}
    assert value(found, f"level.{measure}") == pytest.approx(1.4, abs=1.4 * ERROR)


WIDTH, INPUTS, NETWORKS = 10_000, 40, 40
FLIPS, NEURONS, FULL, APART, OFFSET = 4.0, 9.0, 16.0, 21.0, 0.1
SPREAD = (FLIPS / 100 + NEURONS / WIDTH) ** 0.5
SPREAD_FULL = (FULL / WIDTH) ** 0.5
GAP = (OFFSET**2 + FLIPS / 100 + APART / WIDTH) ** 0.5


def outputs(spreads: dict[str, float], gaps: dict[str, float]):
    """Networks whose outputs scatter by a known amount and are a known one off full precision's, by setting.activity.

    Outputs of full precision have a scatter u of its own along one half of the inputs, 1-bit ones one along the other,
    and a constant beside them that makes up the gap.
    """
    rng = np.random.default_rng(8)
    frames, known = {}, []
    for setting in SPREAD_SETTINGS:
        axes: dict[str, Any] = {"task": setting.task, "dim": setting.dim, "n_train": setting.n_train}
        of = networks(
            **axes,
            width=WIDTH,
            seed=tuple(range(NETWORKS)),
            activity=("straight_through", "frozen"),
            n_test=INPUTS,
        )
        of = of.loc[(of["precision"] == "one_bit") | (of["activity"] == "straight_through")]
        draws = {seed: (rng.standard_normal(INPUTS // 2), rng.standard_normal(INPUTS // 2)) for seed in range(NETWORKS)}

        def law(frame, setting=setting, draws=draws):
            made = []
            for row in frame.to_dict("records"):
                own, other = draws[row["seed"]]
                half, size = np.zeros(INPUTS // 2), 2**0.5
                if row["precision"] == "full":
                    made.append(np.concatenate([3.0 + size * SPREAD_FULL * other, 3.0 + half]))
                    continue
                name = f"{setting.name}.{row['activity']}"
                spread = SPREAD * spreads.get(name, 1.0)
                offset = (GAP * gaps.get(name, 1.0)) ** 2 - spread**2 - SPREAD_FULL**2
                f = np.concatenate([half, size * spread * own]) + 3.0 + offset**0.5
                made.append(f + (row["step"] < 2) * 9.0)  # only the last step counts
            return made

        frames[f"spread-{setting.name}"] = sweep(of, 1.0, test_outputs=law)
        inputs = combinations(**axes, index=tuple(range(INPUTS)))
        known.append(
            inputs.assign(
                one_bit=OFFSET + inputs["index"],
                full=inputs["index"],
                error=0.0,
                flips=FLIPS,
                neurons=NEURONS,
                neurons_full=FULL,
                neurons_apart=APART,
            )
        )
    return stored({**frames, "spreads": pd.concat(known, ignore_index=True)})


OF_SPREAD = 3 / (2 * NETWORKS * INPUTS / 2) ** 0.5  # three relative standard errors of a standard deviation, all drawn


def test_outputs_that_scatter_as_predicted_support_the_claim():
    found = proof.evidence_spread(outputs({}, {}))
    assert set(outcomes(proof.CLAIM_SPREAD, found).values()) == {"supported"}
    assert set(context(proof.CLAIM_SPREAD, found).values()) == {"supported"}
    for setting in SPREAD_SETTINGS:
        assert value(found, f"spread.{setting.name}.frozen") == pytest.approx(1.0, abs=OF_SPREAD)
        assert value(found, f"spread.{setting.name}.full") == pytest.approx(1.0, abs=OF_SPREAD)
        # its scatter is that of the spread and a constant that has none
        assert value(found, f"gap.{setting.name}.straight_through") == pytest.approx(1.0, abs=OF_SPREAD)
        assert value(found, f"offset.{setting.name}") == pytest.approx((OFFSET / GAP) ** 2)
        relative = GAP / 3.0  # of outputs of size 3, but for their own scatter
        assert value(found, f"gap.relative.{setting.name}") == pytest.approx(relative, rel=2 * OF_SPREAD)


@pytest.mark.parametrize("activity", ["frozen", "straight_through"])
@pytest.mark.parametrize(("what", "factor"), [("spread", 0.75), ("gap", 1.3)])
def test_a_size_off_the_predicted_one_refutes_its_own_measure(what, factor, activity):
    name = f"{SPREAD_SETTINGS[1].name}.{activity}"
    changed = {name: factor}
    found = proof.evidence_spread(outputs(changed if what == "spread" else {}, changed if what == "gap" else {}))
    judged = outcomes(proof.CLAIM_SPREAD, found)
    assert {one for one, outcome in judged.items() if outcome != "supported"} == {f"{what}.{name}"}
    assert judged[f"{what}.{name}"] == "refuted"
    assert value(found, f"{what}.{name}") == pytest.approx(factor, abs=2 * OF_SPREAD)


def phases(*, factor=1.0, at=(), order=1):
    """Losses over n and d of which the alternating part falls with lambda_min/lambda_max; networks are `factor` off."""
    of = combinations(n_train=(16, 32, 64), dim=(8, 16, 32, 64), width=512, seed=tuple(range(5)))
    ratio = of["dim"] / of["n_train"] * (1 + 0.01 * of["noise"])
    limit = 0.5 * np.exp(-2.0 * order * ratio) * of["n_train"] / 2  # per input below 0.001 where d > 3 n
    chosen = np.isin(of["dim"], at) if at else np.ones(len(of), dtype=bool)
    network = limit * np.where(chosen, factor, 1.0) * np.exp(0.02 * np.sin(np.arange(len(of))))
    unseen = limit / of["n_train"] * 2 < 1e-3
    return of.assign(
        lambda_ratio=ratio,
        limit_loss=limit + 0.2,
        limit_averaged=0.2,
        loss=np.where(unseen, 50.0, network) + 0.3,
        averaged=0.3,
    ).sample(frac=1.0, random_state=1)


def test_what_alternates_as_in_the_limit_supports_the_claim():
    found = proof.evidence_phases(stored({"phases": phases()}))
    assert set(outcomes(proof.CLAIM_PHASES, found).values()) == {"supported"}
    assert 1.0 < value(found, "factor") < np.exp(0.02)
    assert value(found, "rank") < -0.95
    table = found.tables["alternating part"]
    assert len(table) == 12
    row = table.loc[(table["n_train"] == 32) & (table["dim"] == 16)]
    assert row["limit"].item() == pytest.approx(0.5 * np.exp(-1.0), rel=0.03)  # three of 0.01 x 1 in the exponent


@pytest.mark.parametrize("factor", [1 / 1.5, 1.5])
def test_networks_that_alternate_more_or_less_refute_it(factor):
    found = proof.evidence_phases(stored({"phases": phases(factor=factor)}))
    assert outcomes(proof.CLAIM_PHASES, found) == {"factor": "refuted", "rank": "supported"}
    assert value(found, "factor") == pytest.approx(1.5, rel=0.02)


def test_the_largest_factor_is_told_beside_the_typical_one():
    found = proof.evidence_phases(stored({"phases": phases(factor=2.0, at=(8,))}))
    assert value(found, "largest") == pytest.approx(2.0, rel=0.02)
    assert value(found, "factor") < 1.5


def test_an_order_that_has_nothing_to_do_with_lambdas_refutes_it():
    found = proof.evidence_phases(stored({"phases": phases(order=-1)}))
    assert outcomes(proof.CLAIM_PHASES, found)["rank"] == "refuted"
