"""The claims on W23's Fig. 3 on made-up points, so that each rule is seen to hold and to fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims.results import claim_entry, evidence_of
from ntk1bit.energy.published import SIZES
from ntk1bit.estimators.published_results import SHARED
from proofs_numeric import w23_fig3
from proofs_numeric.data import Data


def full(n: float) -> float:
    return 3.7 + 0.45 * n**-0.4


def closing(n: float) -> float:
    return 3.72 + 0.65 * n**-0.4


def made_up(bitnet: Callable[[float], float] = closing, *, share: float = 0.05, noise: float = 1e-3) -> pd.DataFrame:
    """Return points of both arms: losses by formulas of billions, with noise; BitNet at `share` of FP16's energy."""
    rng, rows = np.random.default_rng(0), []
    for arm, law, joules in (("bitnet", bitnet, share), ("full", full, 1.0)):
        for size in SIZES if arm == "bitnet" else SHARED:
            n = SIZES[size].parameters
            loss = law(n / 1e9) * np.exp(noise * rng.standard_normal())
            rows.append((arm, size, n, n / 1e9, loss, 0.3 * joules * n / 1e9))
    return pd.DataFrame(rows, columns=pd.Index(["arm", "size", "parameters", "billions", "loss", "joules"]))


def judged(monkeypatch: pytest.MonkeyPatch, points: pd.DataFrame, which: str) -> Any:
    monkeypatch.setattr(w23_fig3, "losses", lambda: points)
    proof = next(one for one in w23_fig3.PROOFS if one.claim.id == which)
    evidence = proof.evidence(Data(Path()))
    verdict = proof.claim.judge(evidence)
    assert {one.id for one in evidence.measures} == set(proof.claim.labels)
    entry = claim_entry(proof.claim, verdict, evidence)
    assert proof.claim.judge(evidence_of(entry)).outcome == verdict.outcome
    return verdict, evidence


def test_a_law_that_predicts_supports_and_its_parameters_are_found(monkeypatch):
    verdict, evidence = judged(monkeypatch, made_up(), "W23-law")
    assert verdict.outcome == "supported"
    for name, truth in (("b.bitnet", -0.4), ("b.full", -0.4), ("c.bitnet", 3.72), ("c.full", 3.7)):
        found = evidence.get(f"law.{name}")
        assert found.low <= truth <= found.high
    assert evidence.get("difference.b").low <= 0 <= evidence.get("difference.b").high
    assert evidence.get("missed.over_power").value < 1
    assert list(evidence.tables["laws"]["N"]).count("as the size is called") == 2
    assert any("too few points" in remark for remark in evidence.remarks)


def test_large_sizes_off_the_curve_refute(monkeypatch):
    """A fall that ends at 6.7B: 13B is missed by less than 2 % of its loss, and by far more than it fell."""
    level = closing(SIZES["6.7B"].parameters / 1e9)
    verdict, evidence = judged(monkeypatch, made_up(lambda n: max(closing(n), level - 0.01)), "W23-law")
    assert verdict.outcome == "refuted"
    assert evidence.get("missed.13b").value < 0.02
    assert evidence.get("missed.13b.fall").high < -0.5
    verdict, _ = judged(monkeypatch, made_up(lambda n: closing(n) * (1.05 if n > 20 else 1.0)), "W23-law")
    assert "error of the predicted loss at 30B 0.0" in verdict.reason


def test_a_gap_that_grows_refutes_and_one_rise_does_not(monkeypatch):
    verdict, evidence = judged(monkeypatch, made_up(), "W23-gap")
    assert verdict.outcome == "supported"
    # laws with one exponent: gap = .02 + .2 n^-.4, whose exponent lies between -.4 and 0
    assert -0.4 < evidence.get("gap.size").value < -0.2
    verdict, evidence = judged(monkeypatch, made_up(lambda n: closing(n) + (0.05 if 2 < n < 3 else 0.0)), "W23-gap")
    assert evidence.get("gap.rises").failures == 1
    assert any("From 1.3B to 2.7B the gap rises" in remark for remark in evidence.remarks)
    assert verdict.findings[0].outcome != "refuted"
    verdict, _ = judged(monkeypatch, made_up(lambda n: full(n) + 0.1 * n**0.3), "W23-gap")
    assert verdict.outcome == "refuted"


def test_a_dear_bitnet_refutes(monkeypatch):
    verdict, evidence = judged(monkeypatch, made_up(noise=0.0), "W23-cost")
    assert verdict.outcome == "supported"
    # (.45/.65)^(1/.4) = .4 of the weights count while the offset is far away: at most 6.4 bits
    assert 3 < evidence.get("bits.smallest").value < 6.4
    assert evidence.get("bits.largest").value < evidence.get("bits.smallest").value
    assert evidence.get("bits.size").high < 0
    assert evidence.get("equal_loss.parameters").value > 1
    verdict, _ = judged(monkeypatch, made_up(share=2.0), "W23-cost")
    assert [one.outcome for one in verdict.findings] == ["refuted", "refuted"]
