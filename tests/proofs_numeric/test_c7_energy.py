from __future__ import annotations

import pandas as pd
import pytest

from ntk1bit.claims import Count, Number
from ntk1bit.claims.results import claim_entry, evidence_of
from ntk1bit.energy.published import SIZES, measure_energy
from proofs_numeric import c7_energy
from proofs_numeric.data import Data


@pytest.fixture(scope="module")
def counted() -> pd.DataFrame:
    """What the study stores: every size, with its settings beside the rows."""
    frames = []
    for shape in SIZES.values():
        settings = {name: getattr(shape, name) for name in ("layers", "width", "tokens", "heads", "vocabulary")}
        frames.append(measure_energy(**settings).assign(**settings, seconds=0.1))
    return pd.concat(frames, ignore_index=True)


def data(tmp_path, frame):
    return Data(tmp_path, {"energy": frame})


def value(evidence, name):
    found = evidence.get(name)
    assert isinstance(found, Number)
    return found.value


def test_memory_and_energy_fall_as_counted(tmp_path, counted):
    evidence = c7_energy.evidence(data(tmp_path, counted))
    verdict = c7_energy.CLAIM.judge(evidence)
    assert verdict.outcome == "supported"
    # 1/32, and four bytes a matrix of at least 1024 x 1024
    assert 1 / 32 < value(evidence, "bytes of linear maps, 1-bit / float32, d >= 1024") < 1 / 32 + 1e-5
    assert value(evidence, "bytes packed matrices differ from those counted") == 0
    by_counting = [value(evidence, f"energy, BitNet / FP16{words}") for words in c7_energy._COUNTINGS.values()]
    assert by_counting == sorted(by_counting)
    assert {one.outcome for one in verdict.context} == {"supported", "refuted"}
    assert len(evidence.tables["energy"]) == 3 * len(SIZES)
    assert list(evidence.tables["memory"]["size"]) == list(SIZES)
    assert len(evidence.remarks) == len(by_counting)


def test_the_share_follows_the_derivation(tmp_path, counted):
    """E(FP16)/E(BitNet) = (6 d + T)/(0.084 d + T + 6.12) at 7 nm, up to one addition less a sum."""
    table = c7_energy.evidence(data(tmp_path, counted)).tables["energy"]
    joules = {(row["size"], row["arm"]): row["w23, 7nm (J)"] for row in table.to_dict("records")}
    for size, shape in SIZES.items():
        d, t = shape.width, shape.tokens
        law = (6 * d + t) / (0.084 * d + t + 6.12)
        # sums of n terms have n - 1 additions: at most 2/d of either energy, 0.3 %
        assert joules[size, "full16"] / joules[size, "bitnet"] == pytest.approx(law, rel=3e-3)


def test_the_claim_can_fail(tmp_path, counted):
    heavier = counted.copy()
    chosen = (heavier["arm"] == "bitnet") & (heavier["width"] == 768) & (heavier["node"] == "45nm")
    heavier.loc[chosen, ["mul", "add"]] *= 1.1
    assert c7_energy.CLAIM.judge(c7_energy.evidence(data(tmp_path, heavier))).outcome == "refuted"
    larger = counted.copy()
    larger.loc[larger["arm"] == "bitnet", "linear_bytes"] *= 2
    verdict = c7_energy.CLAIM.judge(c7_energy.evidence(data(tmp_path, larger)))
    assert [one.outcome for one in verdict.findings] == ["refuted", "supported", "supported"]


def test_the_table_is_not_reproduced_to_the_last_figure(tmp_path, counted):
    evidence = c7_energy.evidence_table(data(tmp_path, counted))
    verdict = c7_energy.CLAIM_TABLE.judge(evidence)
    assert verdict.outcome == "refuted"
    assert [one.why for one in verdict.context] == [
        "0 failures in 24",
        "2 failures in 12",
        "1 failures in 6",
        "1 failures in 42",
        "2 failures in 11",
    ]
    named = [remark for remark in evidence.remarks if remark.startswith("Not reproduced: ")]
    assert len(named) == 3
    for figure in ("6.7B bitnet 7nm add 0.04", "30B bitnet 7nm add 0.14", "30B reduction 38.8"):
        assert sum(figure in remark for remark in named) == 1
    for name, rows in (("figures", 42), ("implied costs", 11), ("readings", 32)):
        assert len(evidence.tables[name]) == rows


def test_the_table_is_judged_on_what_the_study_holds(tmp_path, counted):
    """Energies one per cent higher miss most figures: the verdict is not made from elsewhere."""
    off = counted.assign(mul=1.01 * counted["mul"], add=1.01 * counted["add"])
    found = c7_energy.evidence_table(data(tmp_path, off)).get("figures recomputed")
    assert isinstance(found, Count)
    assert found.failures > 15


def test_stored_evidence_gives_the_same_verdicts(tmp_path, counted):
    for claim, evidence in (
        (c7_energy.CLAIM, c7_energy.evidence),
        (c7_energy.CLAIM_TABLE, c7_energy.evidence_table),
    ):
        found = evidence(data(tmp_path, counted))
        entry = claim_entry(claim, claim.judge(found), found)
        assert claim.judge(evidence_of(entry)).outcome == entry.outcome
