from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ntk1bit.claims import Count, Number
from ntk1bit.claims.results import claim_entry, evidence_of
from ntk1bit.energy.published import SIZES
from proofs_numeric import c7_energy
from proofs_numeric.data import Data


@pytest.fixture(scope="module")
def counted() -> pd.DataFrame:
    """Every size, with its settings beside the rows."""
    return c7_energy.counted_sizes()


def data(monkeypatch, frame):
    monkeypatch.setattr(c7_energy, "counted_sizes", lambda: frame)
    return Data(Path())


def value(evidence, name):
    found = evidence.get(name)
    assert isinstance(found, Number)
    return found.value


def test_memory_and_energy_fall_as_counted(monkeypatch, counted):
    evidence = c7_energy.evidence(data(monkeypatch, counted))
    verdict = c7_energy.CLAIM.judge(evidence)
    assert verdict.outcome == "supported"
    # 1/32, and four bytes a matrix of at least 1024 x 1024
    assert 1 / 32 < value(evidence, "bytes.linear") < 1 / 32 + 1e-5
    assert value(evidence, "bytes.packed") == 0
    by_counting = [value(evidence, f"energy.{one}") for one in ("w23", "exact", "exact-wide")]
    assert by_counting == sorted(by_counting)
    assert {one.outcome for one in verdict.context} == {"supported", "refuted"}
    assert len(evidence.tables["energy"]) == 3 * len(SIZES)
    assert list(evidence.tables["memory"]["size"]) == list(SIZES)
    assert len(evidence.remarks) == len(by_counting)


def test_the_share_follows_the_derivation(monkeypatch, counted):
    """E(FP16)/E(BitNet) = (6 d + T)/(0.084 d + T + 6.12) at 7 nm, up to one addition less a sum."""
    table = c7_energy.evidence(data(monkeypatch, counted)).tables["energy"]
    joules = {(row["size"], row["arm"]): row["w23, 7nm (J)"] for row in table.to_dict("records")}
    for size, shape in SIZES.items():
        d, t = shape.width, shape.tokens
        law = (6 * d + t) / (0.084 * d + t + 6.12)
        # sums of n terms have n - 1 additions: at most 2/d of either energy, 0.3 %
        assert joules[size, "full16"] / joules[size, "bitnet"] == pytest.approx(law, rel=3e-3)


def test_the_claim_can_fail(monkeypatch, counted):
    heavier = counted.copy()
    chosen = (heavier["arm"] == "bitnet") & (heavier["width"] == 768) & (heavier["node"] == "45nm")
    heavier.loc[chosen, ["mul", "add"]] *= 1.1
    assert c7_energy.CLAIM.judge(c7_energy.evidence(data(monkeypatch, heavier))).outcome == "refuted"
    larger = counted.copy()
    larger.loc[larger["arm"] == "bitnet", "linear_bytes"] *= 2
    verdict = c7_energy.CLAIM.judge(c7_energy.evidence(data(monkeypatch, larger)))
    assert [one.outcome for one in verdict.findings] == ["refuted", "supported", "supported"]


def test_the_table_is_not_reproduced_to_the_last_figure(monkeypatch, counted):
    evidence = c7_energy.evidence_table(data(monkeypatch, counted))
    verdict = c7_energy.CLAIM_TABLE.judge(evidence)
    assert verdict.outcome == "refuted"
    assert [one.why for one in verdict.context] == [
        "0 failures in 24",
        "2 failures in 12",
        "1 failures in 8",
        "1 failures in 44",
        "2 failures in 11",
    ]
    named = [remark for remark in evidence.remarks if remark.startswith("Not reproduced: ")]
    assert len(named) == 3
    for figure in ("6.7B bitnet 7nm add 0.04", "30B bitnet 7nm add 0.14", "30B reduction 38.8"):
        assert sum(figure in remark for remark in named) == 1
    for name, rows in (("figures", 44), ("implied costs", 11), ("readings", 32)):
        assert len(evidence.tables[name]) == rows


def test_the_table_is_judged_on_what_the_study_holds(monkeypatch, counted):
    """Energies one per cent higher miss most figures: the verdict is not made from elsewhere."""
    off = counted.assign(mul=1.01 * counted["mul"], add=1.01 * counted["add"])
    found = c7_energy.evidence_table(data(monkeypatch, off)).get("figures.all")
    assert isinstance(found, Count)
    assert found.failures > 15


def test_stored_evidence_gives_the_same_verdicts(monkeypatch, counted):
    for claim, evidence in (
        (c7_energy.CLAIM, c7_energy.evidence),
        (c7_energy.CLAIM_TABLE, c7_energy.evidence_table),
    ):
        found = evidence(data(monkeypatch, counted))
        entry = claim_entry(claim, claim.judge(found), found)
        assert claim.judge(evidence_of(entry)).outcome == entry.outcome
