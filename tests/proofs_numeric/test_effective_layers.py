"""The rule of C11-layers on layers whose ratio is a known multiple of what is expected."""

from __future__ import annotations

import pytest

from proofs_numeric import effective_layers as proof
from tests.proofs_numeric.planted import Law, combinations, outcomes, stored, where
from tests.proofs_numeric.values import value

NOISE, SEEDS = 0.02, tuple(range(12))
ERROR = 3 * NOISE / len(SEEDS) ** 0.5


def ratios(share: Law = 1.0):
    of = combinations(quantiser=("std", "absmean", "bitnet", "b158"), width=(64, 256), layer=(1, 2, 3), seed=SEEDS)
    of = of.assign(expected=0.5 + 0.1 * of["layer"])
    at_the_widest = where(share, 0.5, width=256)  # narrow ones are off, and do not count
    return of.assign(ratio=at_the_widest(of) * of["expected"] * (1 + NOISE * of["noise"]))


def test_layers_that_learn_as_expected_support_it():
    found = proof.evidence(stored({"layer-ratios": ratios()}))
    judged = outcomes(proof.CLAIM, found)
    assert len(judged) == 12
    assert set(judged.values()) == {"supported"}
    assert value(found, "c.bitnet.2") == pytest.approx(1.0, abs=ERROR)
    assert value(found, "measured.b158") == pytest.approx(0.7, abs=0.7 * ERROR)  # the mean of 0.6, 0.7 and 0.8


@pytest.mark.parametrize("share", [0.8, 1.25])
@pytest.mark.parametrize(("quantiser", "layer"), [("std", 1), ("b158", 3)])
def test_one_layer_that_does_not_refutes_it_by_itself(quantiser, layer, share):
    law = where(where(share, 1.0, layer=layer), 1.0, quantiser=quantiser)
    found = proof.evidence(stored({"layer-ratios": ratios(law)}))
    judged = outcomes(proof.CLAIM, found)
    assert {one: outcome for one, outcome in judged.items() if outcome != "supported"} == {
        f"c.{quantiser}.{layer}": "refuted"
    }
    assert value(found, f"c.{quantiser}.{layer}") == pytest.approx(share, abs=share * ERROR)
