from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims import Number
from ntk1bit.claims.results import claim_entry, evidence_of
from ntk1bit.energy.counting import NODES, ForwardPass, count_operations, joules
from ntk1bit.energy.published import SIZES
from proofs_numeric import c7_trends
from proofs_numeric.data import Data

BY_ID = {proof.claim.id: proof for proof in c7_trends.PROOFS}


@pytest.fixture(scope="module")
def counted() -> pd.DataFrame:
    """Every size, part by part."""
    return c7_trends.counted_parts()


def evidence(monkeypatch, claim, frame):
    monkeypatch.setattr(c7_trends, "counted_parts", lambda: frame)
    return BY_ID[claim].evidence(Data(Path()))


def scaled(counted, factor, **chosen):
    """Return the counts with some of them, and their joules, multiplied; `chosen` are values of columns."""
    found = counted.copy()
    rows = np.ones(len(found), bool)
    for column, values in chosen.items():
        rows &= found[column].isin(values).to_numpy()
    assert rows.any()
    numbers = ["count", "joules_7nm", "joules_45nm"]
    found[numbers] = found[numbers].astype(float)
    found.loc[rows, numbers] *= factor
    return found


def test_verdicts_and_what_is_said_beside_them(monkeypatch, counted):
    outcomes = {name: proof.claim.judge(evidence(monkeypatch, name, counted)) for name, proof in BY_ID.items()}
    assert {name: one.outcome for name, one in outcomes.items()} == {
        "C7-trends": "supported",
        "C7-mul": "supported",
        "C7-norms": "supported",
        "C7-precise": "refuted",
    }
    assert {one.measure: one.outcome for one in outcomes["C7-trends"].context} == {
        "savings.exact.step": "supported",
        "savings.wide.step": "supported",
        "savings.printed.step": "supported",
        "attention.every": "refuted",
    }
    assert [one.outcome for one in outcomes["C7-mul"].context] == ["supported", "supported", "refuted"]
    precise = outcomes["C7-precise"]
    assert [one.outcome for one in precise.findings] == ["refuted", "refuted"]
    assert [one.outcome for one in precise.context] == [
        "supported", "refuted", "supported", "supported", "refuted",
    ]  # fmt: skip


def test_remarks_name_the_sizes(monkeypatch, counted):
    (trends,) = evidence(monkeypatch, "C7-trends", counted).remarks
    small = "125M, 350M, 760M, 1.3B, 2.7B, 6.7B"
    assert trends.endswith(f"at: {small}, 13B (7 nm), {small} (45 nm).")
    assert all(one.endswith("only at: 30B.") for one in evidence(monkeypatch, "C7-precise", counted).remarks)
    (mul,) = evidence(monkeypatch, "C7-mul", counted).remarks
    assert mul.endswith("only at: 2.7B, 6.7B, 13B, 30B.")


@pytest.mark.parametrize(
    ("claim", "measures", "factor", "chosen"),
    [
        # BitNet's energy at one size a fifth higher: the savings there do not rise from the size before by as much
        ("C7-trends", {"savings.step"}, 1.2, {"arm": ["bitnet"], "size": ["13B"], "counting": ["w23"]}),
        # attention's share falls to 0.80 and 0.73 at the last two steps: 1.4 times as much is a rise at the first
        (
            "C7-trends",
            {"attention.full16.step"},
            1.4,
            {"kind": c7_trends._ATTENTION, "arm": ["full16"], "size": ["13B", "30B"]},
        ),
        (
            "C7-trends",
            {"attention.bitnet.step", "savings.step"},
            1.4,
            {"kind": c7_trends._ATTENTION, "arm": ["bitnet"], "size": ["13B"]},
        ),
        # nine times attention in FP16, at all sizes: no step changes its direction, but 0.0119 becomes 0.107
        ("C7-trends", {"attention.largest"}, 9.0, {"kind": c7_trends._ATTENTION, "arm": ["full16"]}),
        # additions at three times their cost take more than half, of FP16 at 7 nm: 3 (0.16) > 0.34
        (
            "C7-mul",
            {"additions.full", "additions.saved"},
            3.0,
            {"operation": ["add"], "arm": ["full16"], "counting": ["w23"]},
        ),
        # multiplications take 0.062 J in BitNet, 5.2 J in FP16, additions 0.13 J and 2.5 J: 50 times as much is 3.1 J;
        # 150 times is more than in FP16, so that nothing is saved
        ("C7-mul", {"additions.saved"}, 50.0, {"operation": ["mul"], "arm": ["bitnet"], "size": ["30B"]}),
        ("C7-mul", {"additions.saved"}, 150.0, {"operation": ["mul"], "arm": ["bitnet"], "size": ["30B"]}),
        # 0.2 % at the smallest size: five times as much is 1 %
        (
            "C7-norms",
            {"norms.operations", "norms.energy"},
            5.0,
            {"kind": ["norms"], "arm": ["full16"], "size": ["125M"]},
        ),
    ],
)
def test_a_perturbed_count_refutes_its_criterion_and_no_other(monkeypatch, counted, claim, measures, factor, chosen):
    verdict = BY_ID[claim].claim.judge(evidence(monkeypatch, claim, scaled(counted, factor, **chosen)))
    assert {one.measure for one in verdict.findings if one.outcome == "refuted"} == measures


def test_cheap_parts_would_support_what_is_refuted(monkeypatch, counted):
    """Attention at a tenth of its cost, norms and residuals at a third, are within both bounds."""
    for measure, kinds, factor in (
        ("attention.bitnet", c7_trends._ATTENTION, 0.1),
        ("norms.bitnet", c7_trends._NORMS, 1 / 3),
    ):
        frame = scaled(counted, factor, kind=kinds, arm=["bitnet"])
        verdict = BY_ID["C7-precise"].claim.judge(evidence(monkeypatch, "C7-precise", frame))
        assert {one.measure: one.outcome for one in verdict.findings}[measure] == "supported"


def test_shares_are_those_of_the_derivation(monkeypatch, counted):
    """The formulas at the top of the module, up to one addition less a sum: at most 2/d of a share, 0.3 %."""
    trends = evidence(monkeypatch, "C7-trends", counted).tables["trends"]
    norms = evidence(monkeypatch, "C7-norms", counted).tables["norms and residuals, share of FP16"]
    for row, of_norms, shape in zip(trends.to_dict("records"), norms.to_dict("records"), SIZES.values(), strict=True):
        d, t = shape.width, shape.tokens
        assert row["attention / linear maps, operations"] == pytest.approx(t / (6 * d), rel=3e-3)
        in_bitnet = t / (0.084 * d + t + 6.12)
        assert row["attention, share of BitNet's energy, 7nm"] == pytest.approx(in_bitnet, rel=3e-3)
        # softmax, rotation and activation, which the formula leaves out, are 7 % of the smallest model's attention
        assert of_norms["of operations"] == pytest.approx(22 / (12 * d + 2 * t), rel=0.02)


def test_shares_are_those_of_a_plain_count(monkeypatch, counted):
    """Against loops over the rows of one size, without frames of all: equal up to the rounding of sums."""
    table = evidence(monkeypatch, "C7-precise", counted).tables["share of BitNet's energy"].set_index("size")
    for size in ("125M", "30B"):
        shape = SIZES[size]
        bodies = ForwardPass(shape.layers, shape.width, shape.tokens, heads=shape.heads)  # without the head
        spent = {"attention": 0.0, "norms": 0.0, "bit": 0.0}
        exact = count_operations(bodies, "bitnet", model="exact")
        for kind, operation, form, count in exact.itertuples(index=False):
            cost = {"fp16": {"add": 0.4, "mul": 1.1}, "int8": {"add": 0.03, "mul": 0.2}}[form][operation]
            if kind in ("norms", "residuals"):
                spent["norms"] += count * cost * 1e-12
            if kind in ("qkv", "attention output", "ff up", "ff down", "scales"):
                spent["bit"] += count * cost * 1e-12
        whole = joules(exact, "45nm").total
        assert table.at[size, "norms and residuals, 45nm"] == pytest.approx(spent["norms"] / whole, rel=1e-12)
        assert table.at[size, "all that is precise, 45nm"] == pytest.approx(1 - spent["bit"] / whole, rel=1e-12)
        for node, fp16, int8 in zip(NODES, (0.5, 1.5), (0.077, 0.23), strict=True):
            whole = joules(count_operations(bodies, "bitnet"), node).total
            precise = 2 * shape.layers * shape.tokens**2 * shape.width * fp16 * 1e-12
            cheap = precise * int8 / fp16
            # a product of n terms has n - 1 additions: at most 1/512 of the additions, which are a third of the energy
            assert table.at[size, f"attention, {node}"] == pytest.approx(precise / whole, rel=1e-3)
            assert table.at[size, f"attention, were it in 8 bits, {node}"] == pytest.approx(
                cheap / (whole - precise + cheap), rel=1e-2
            )


def test_the_document_has_the_table_that_is_counted(monkeypatch, counted):
    columns = []
    for claim, table, column, digits in (
        ("C7-trends", "trends", "FP16 / BitNet, 7nm", 1),
        ("C7-mul", "share of multiplications in energy", "FP16, 7nm", 3),
        ("C7-trends", "trends", "attention / linear maps, operations", 3),
        ("C7-precise", "share of BitNet's energy", "attention, 7nm", 3),
        ("C7-norms", "norms and residuals, share of FP16", "of energy, 7nm", 5),
        ("C7-precise", "share of BitNet's energy", "norms and residuals, 7nm", 4),
    ):
        values = evidence(monkeypatch, claim, counted).tables[table][column]
        columns.append([f"{value:.{digits}f}" for value in values])
    rows = [[size, *cells] for size, *cells in zip(SIZES, *columns, strict=True)]
    text = (Path(__file__).parents[2] / "docs" / "energy.md").read_text(encoding="utf-8")
    section = text.partition("## Where the energy goes")[2].partition("\n## ")[0]
    assert [line.split() for line in section.splitlines() if line.split()[:1] and line.split()[0] in SIZES] == rows


@pytest.mark.parametrize("name", BY_ID)
def test_stored_evidence_gives_the_same_verdict(monkeypatch, counted, name):
    claim, found = BY_ID[name].claim, evidence(monkeypatch, name, counted)
    entry = claim_entry(claim, claim.judge(found), found)
    assert claim.judge(evidence_of(entry)).outcome == entry.outcome
    asked = {one.measure for one in (*claim.criteria, *claim.context)}
    assert asked == {one.id for one in found.measures} == set(claim.labels)
    assert all(isinstance(one, Number) for one in found.measures)
