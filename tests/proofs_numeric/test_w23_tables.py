"""The claims on W23's tables: orderings are counted, and rules can hold and fail on made-up tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ntk1bit.claims.results import claim_entry, evidence_of
from ntk1bit.estimators.published_results import scores
from proofs_numeric import w23_tables
from proofs_numeric.data import Data


def judged(which: str) -> Any:
    proof = next(one for one in w23_tables.PROOFS if one.claim.id == which)
    evidence = proof.evidence(Data(Path()))
    verdict = proof.claim.judge(evidence)
    assert {one.id for one in evidence.measures} == set(proof.claim.labels)
    entry = claim_entry(proof.claim, verdict, evidence)
    assert proof.claim.judge(evidence_of(entry)).outcome == verdict.outcome
    return verdict, evidence


@pytest.fixture
def flawless():
    """Table 3 with a BitNet that is best at everything and a GPTQ of 4 bits that is second."""
    table = {name: dict(score) for name, score in scores("Table 3").items()}
    for name, better in ((("BitNet", 1), 2.0), (("GPTQ", 4), 1.0)):
        table[name] = {what: 1 / better if what == "perplexity" else 90 + better for what in table[name]}
    return table


def test_orderings_can_hold_and_a_tie_fails(monkeypatch, flawless):
    monkeypatch.setattr(w23_tables, "scores", lambda _: flawless)
    verdict, evidence = judged("W23-table3")
    assert verdict.outcome == "supported"
    assert [evidence.get(f"order.{kind}").trials for kind in ("perplexity", "mean", "tasks")] == [9, 9, 36]
    flawless["QuIP", 2]["mean"] = flawless["BitNet", 1]["mean"]
    verdict, evidence = judged("W23-table3")
    assert verdict.outcome == "refuted"
    assert any(remark.startswith("BitNet 1 bit is not better than QuIP 2 bits by mean") for remark in evidence.remarks)


def test_without_a_pair_at_equal_rates_the_choice_of_quantiser_is_open():
    verdict, evidence = judged("W23-table4")
    assert evidence.get("elastic.equal_rate").seeds == 0
    open_ones = [one for one in verdict.findings if one.measure == "elastic.equal_rate"]
    assert [one.outcome for one in open_ones] == ["inconclusive"]
    assert "the rates are Elastic+Pre-LN 0.0001, Absmax+Pre-LN 0.0008" in open_ones[0].why


def test_a_pair_at_equal_rates_would_be_measured(monkeypatch):
    given = w23_tables.rates("Table 4")
    monkeypatch.setattr(w23_tables, "rates", lambda _: given | {"Elastic+Pre-LN": given["Absmax+Pre-LN"]})
    _, evidence = judged("W23-table4")
    found = evidence.get("elastic.equal_rate")
    assert found.seeds == 1
    assert found.value == evidence.get("elastic.difference").value > 0  # one pair: a number, no interval


def test_a_norm_that_is_worse_refutes(monkeypatch):
    table = {name: dict(score) for name, score in scores("Table 4").items()}
    table["BitNet", 1]["few-mean"] = 40.0
    monkeypatch.setattr(w23_tables, "scores", lambda _: table)
    verdict, evidence = judged("W23-table4")
    assert verdict.outcome == "refuted"
    assert evidence.get("norm").failures == 2
