"""The evidence of C6 on made-up losses whose laws are known, so that each rule is seen to hold and to fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.experiments.language_spec import LanguageSpec
from proofs_numeric import c6_bitnet
from proofs_numeric.data import Data

SPEC = LanguageSpec(arms=("full", "bitnet", "int8-absmax", "sign-ptq"), stability=(4.0, 16.0, 64.0), windows=4)
RATES = {(arm, size): 0.004 if arm == "bitnet" else 0.002 for arm in ("full", "bitnet") for size in SPEC.sizes}


def full(n: float) -> float:
    return 1.0 + 30 * n**-0.35


def closing(n: float) -> float:
    return full(n) + 5 * n**-0.3


def made_up(
    bitnet: Callable[[float], float] = closing,
    *,
    full_loss: Callable[[float], float] = full,
    excess: dict[str, float] | None = None,
    trigram: float = 2.5,
) -> Data:
    """Return the data of a run whose losses are given by formulas, with a little noise over seeds."""
    rng = np.random.default_rng(0)
    laws = {
        "full": full_loss,
        "bitnet": bitnet,
        "int8-absmax": lambda n: full_loss(n) + 1e-3,
        "sign-ptq": lambda _: 4.0,
    }
    rows: list[dict[str, Any]] = []

    def add(stage: str, arm: str, size: str, rate: float, seed: int, loss: float, tokens: int) -> None:
        layers, width = map(int, size.split("x"))
        windows = loss + np.array([-0.1, 0.1, -0.05, 0.05])
        about = {"stage": stage, "evaluated": arm, "arm": arm if arm in ("full", "bitnet") else "full", "size": size}
        numbers = {"parameters": 12 * layers * width**2, "rate": rate, "seed": seed, "tokens": tokens, "seconds": 1.0}
        losses = {"loss": loss, "loss_error": 0.01, "bits": loss / np.log(2), "bits_error": 0.014, "train_loss": loss}
        rows.append(about | numbers | losses | {"diverged": False, "window_losses": windows.tolist()})

    for shape, size in zip(SPEC.shapes, SPEC.sizes, strict=True):
        for seed in SPEC.seeds:
            common = 1e-3 * rng.standard_normal()
            for arm, law in laws.items():
                own = 1e-4 * rng.standard_normal()
                rate = RATES["bitnet" if arm == "bitnet" else "full", size]
                add("seeds", arm, size, rate, seed, law(shape.parameters) + common + own, SPEC.tokens)
        for arm in ("full", "bitnet"):
            for times in (0.5, 1.0, 2.0):
                loss = laws[arm](shape.parameters) + (0.0 if times == 1 else 0.1)
                add("search", arm, size, times * RATES[arm, size], 0, loss, SPEC.tokens)
    for arm, steep in (excess or {"full": 0.05, "bitnet": 0.01}).items():
        for times in (1.0, *SPEC.stability):
            for seed in SPEC.seeds:
                loss = 2.0 + steep * (times - 1) + 1e-3 * rng.standard_normal()
                add("stability", arm, "3x64", times * 0.002, seed, loss, SPEC.tokens // 4)
    run = LanguageRun(SPEC, pd.DataFrame(rows), RATES, {"loss": trigram})
    return Data(Path("nowhere"), languages={"language": run})


def judged(data: Data, which: str = "") -> Any:
    claim = {"": c6_bitnet.CLAIM, "stable": c6_bitnet.CLAIM_STABLE, "energy": c6_bitnet.CLAIM_ENERGY}[which]
    evidence = {
        "": c6_bitnet.evidence,
        "stable": c6_bitnet.evidence_stable,
        "energy": c6_bitnet.evidence_energy,
    }[which](data)
    return claim.judge(evidence), evidence


def test_a_closing_gap_supports_and_its_exponent_is_found():
    verdict, evidence = judged(made_up())
    assert verdict.outcome == "supported"
    gap = evidence.get("gap.size")
    assert gap.low < -0.3 < gap.high
    assert gap.high - gap.low < 0.02  # noise of 1e-4 on gaps of 0.1 and more
    for arm in ("full", "bitnet"):
        assert evidence.get(f"held_out.{arm}").value < 0.005
    b = evidence.get("law.b.full")
    assert b.low < -0.35 < b.high
    told = {one.measure: one.outcome for one in verdict.context}
    plain = {name for name in told if name.startswith("held_out.power.")}  # a law without the floor that is there
    assert {told[name] for name in plain} == {"refuted"}
    assert {told[name] for name in told.keys() - plain} == {"supported"}
    assert len(evidence.tables["losses"]) == 4 * 5
    assert set(evidence.tables["laws"]["arm"]) == {"full", "bitnet"}


def test_a_growing_gap_refutes():
    verdict, _ = judged(made_up(lambda n: full(n) + 0.01 * n**0.2))
    assert verdict.outcome == "refuted"
    assert "exponent of the gap in N" in verdict.reason


def test_a_largest_size_off_the_curve_refutes():
    largest = SPEC.shapes[-1].parameters
    verdict, _ = judged(made_up(full_loss=lambda n: full(n) * (1.1 if n == largest else 1.0), bitnet=closing))
    assert verdict.outcome == "refuted"
    assert "largest size, full" in verdict.reason


def test_the_trigram_and_signs_after_training_are_context():
    verdict, _ = judged(made_up(trigram=1.0))
    assert verdict.outcome == "supported"
    assert {one.measure for one in verdict.context if one.outcome == "refuted"} == {
        "trigram_minus_bitnet.smallest",
        "trigram_minus_bitnet.largest",
        "held_out.power.full",
        "held_out.power.bitnet",
    }


def test_an_edge_of_the_search_is_told():
    data = made_up()
    run = data.language("language")
    frame = run.frame.loc[~((run.frame["stage"] == "search") & (run.frame["rate"] > 0.004))]
    data._languages["language"] = LanguageRun(SPEC, pd.DataFrame(frame), run.rates, run.trigram)
    _, evidence = judged(data)
    assert any("bitnet at 3x64 ended at its edge" in remark for remark in evidence.remarks)


@pytest.mark.parametrize(
    ("excess", "outcome"), [({"full": 0.05, "bitnet": 0.01}, "supported"), ({"full": 0.01, "bitnet": 0.05}, "refuted")]
)
def test_stability_compares_each_arm_with_itself(excess, outcome):
    verdict, evidence = judged(made_up(excess=excess), "stable")
    assert verdict.outcome == outcome
    expected = 15 * (excess["full"] - excess["bitnet"])
    found = evidence.get("excess.times16")
    assert found.value == pytest.approx(expected, abs=5e-3)  # five seeds of noise 1e-3, four values each
    apart = evidence.get("bitnet_minus_full.times16")
    assert apart.value == pytest.approx(-expected, abs=5e-3)  # both arms start at 2.0
    assert evidence.get("rate.log2").value == pytest.approx(1.0)


@pytest.mark.parametrize(("offset", "outcome"), [(0.0, "supported"), (1.0, "refuted")])
def test_energy_compares_at_equal_energy(offset, outcome):
    verdict, evidence = judged(made_up(lambda n: closing(n) + offset), "energy")
    assert verdict.outcome == outcome
    table = evidence.tables["loss against energy"].set_index(["arm", "size"])["joules"]
    spent = evidence.tables["at equal energy"]
    low, high = table.loc["bitnet", "2x32"], table.loc["bitnet", "4x128"]
    for row in spent.loc[spent["counting"] == "w23"].to_dict("records"):
        assert low <= row["joules"] <= high
        assert row["joules"] == pytest.approx(table.loc["full", row["size"]])
