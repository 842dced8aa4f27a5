"""The evidence of C9-int8 and C9-ptq on made-up networks, so that each rule is seen to hold and to fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntk1bit.estimators import language as summary
from proofs_numeric import c9_post_training
from proofs_numeric.c9_post_training import METHODS_OF, best_methods
from proofs_numeric.data import Data

from .made_up_bitnet import LOST, NOISE, SPEC, closing, floats, made_up

SMALL = SPEC.shapes[0].parameters
TOLERANCE = 4 * NOISE  # a mean of differences over seeds and sizes: two networks of this noise, five of each or more


def judged(data: Data, which: str) -> Any:
    """Return verdict and evidence of a claim."""
    proof = next(one for one in c9_post_training.PROOFS if one.claim.id == which)
    evidence = proof.evidence(data)
    return proof.claim.judge(evidence), evidence


def refuted(verdict: Any) -> set[str]:
    """Return the measures that speak against the claim."""
    return {one.measure for one in verdict.findings if one.outcome == "refuted"}


def test_the_methods_of_a_number_of_bits_are_those_of_w23():
    assert METHODS_OF == {
        8: ("absmax-w8a8", "smoothquant-w8a8"),
        4: ("absmax-w4a4", "smoothquant-w4a4", "gptq-w4"),
        2: ("gptq-w2", "quip-w2"),
        1: ("absmax-w1a8", "smoothquant-w1a8"),
    }


def test_the_best_method_has_the_least_mean_and_none_without_a_loss():
    losses = {
        "a": np.array([[1.0, 2.0], [1.0, np.inf], [np.inf, np.inf]]),
        "b": np.array([[1.2, 1.2], [3.0, 3.0], [np.inf, 1.0]]),
    }
    assert best_methods(losses, ("a", "b")) == ["b", "b", "a"]  # the last are equals


@pytest.mark.parametrize(("behind", "outcome"), [(0.0, "supported"), (0.8, "refuted")])
def test_8_bits_at_equal_energy(behind, outcome):
    verdict, evidence = judged(made_up(lambda n: floats(n) + 0.01 + behind), "C9-int8")
    assert verdict.outcome == outcome
    assert set(evidence.tables["better 8-bit method"]["method"]) == {"smoothquant-w8a8"}
    assert evidence.get("equal_size.nats").value == pytest.approx(behind, abs=TOLERANCE)
    accuracy = evidence.get("equal_size.accuracy.0").value
    assert accuracy == pytest.approx(0.05 * LOST["smoothquant-w8a8"], abs=TOLERANCE)


def test_the_rival_of_each_size_is_the_better_one_there():
    data = made_up(lost={"absmax-w8a8": 0.012})
    run = data.language("bitnet")
    better = run.frame["evaluated"].eq("absmax-w8a8") & run.frame["size"].eq("1x24")
    run.frame.loc[better, "loss"] -= 0.1
    _, evidence = judged(data, "C9-int8")
    table = evidence.tables["better 8-bit method"].set_index("size")["method"]
    assert table["1x24"] == "absmax-w8a8"
    assert table.drop("1x24").eq("smoothquant-w8a8").all()
    found = summary.at_equal_energy(run, against="absmax-w8a8")
    expected = found.loc[found["size"] == "1x24", "difference"].mean()
    row = evidence.tables["at equal energy"].set_index("size").loc["1x24"]
    assert row["difference"] == pytest.approx(expected, rel=1e-12)


def test_the_order_of_w23_supports():
    verdict, evidence = judged(made_up(), "C9-ptq")
    assert verdict.outcome == "supported", verdict.reason
    assert all(one.outcome == "supported" for one in verdict.context)
    for name, value in (
        ("weights_only.4", 0.6 - 0.9),
        ("best.8_to_4", 0.6 - 0.01),
        ("best.4_to_2", 1.2 - 0.6),
        ("best.2_to_1", 2.5 - 1.2),
        ("absmax.4_to_1", 3.0 - 0.9),
        ("gptq_minus_absmax.4", 0.6 - 0.9),
        ("absmean_minus_absmax.1", 2.0 - 3.0),
    ):
        assert evidence.get(name).value == pytest.approx(value, abs=TOLERANCE)
    least = evidence.get("ptq_minus_bitnet.4.least")
    assert least.span == "size 1x16"  # where the gap of bitnet is widest
    assert least.value == pytest.approx(0.6 - 5 * SMALL**-0.3, abs=TOLERANCE)
    assert len(evidence.tables["best method minus bitnet"]) == 4 * len(SPEC.sizes)


@pytest.mark.parametrize(
    ("lost", "measures"),
    [
        ({"gptq-w4": 0.05}, {"ptq_minus_bitnet.4", "ptq_minus_bitnet.4.least"}),
        ({"gptq-w4": 0.3}, {"ptq_minus_bitnet.4.least"}),  # better than bitnet at the smallest size alone
        ({"quip-w2": 0.05}, {"ptq_minus_bitnet.2", "ptq_minus_bitnet.2.least", "best.4_to_2"}),
        ({"smoothquant-w1a8": 0.05}, {"ptq_minus_bitnet.1", "ptq_minus_bitnet.1.least", "best.2_to_1"}),
        ({"absmax-w4a4": 0.59}, {"weights_only.4"}),
        ({"absmax-w4a4": 3.5}, {"absmax.4_to_1"}),
        ({"absmax-w8a8": 0.95}, {"absmax.8_to_4"}),
        ({"absmax-w8a8": 0.65, "smoothquant-w8a8": 0.7}, {"best.8_to_4"}),
    ],
)
def test_each_rule_can_fail(lost, measures):
    verdict, _ = judged(made_up(lost=lost), "C9-ptq")
    assert refuted(verdict) == measures


def test_a_network_without_a_loss_is_worse_than_any():
    verdict, evidence = judged(made_up(missing=(("gptq-w4", "2x48", 1),)), "C9-ptq")
    table = evidence.tables["best method minus bitnet"].set_index(["bits", "size"])["method"]
    assert table[4, "2x48"] == "absmax-w4a4"
    weights_only = next(one for one in verdict.findings if one.measure == "weights_only.4")
    assert weights_only.outcome == "inconclusive"
    assert "1 of 5 seeds" in evidence.get("weights_only.4").note
    assert any("1 networks" in remark for remark in evidence.remarks)


def test_bitnet_without_a_loss_decides_nothing():
    verdict, evidence = judged(made_up(closing, missing=(("bitnet", "3x96", 0),)), "C9-ptq")
    assert verdict.outcome == "inconclusive"
    assert evidence.get("ptq_minus_bitnet.1.least").span == "size 3x96"
