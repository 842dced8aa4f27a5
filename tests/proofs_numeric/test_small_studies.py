"""The cheap studies: their names, cost, seeds, and what the claims on them need."""

from __future__ import annotations

import math

import pytest

from ntk1bit.experiments import ExperimentList, SweepSpec
from ntk1bit.experiments.input_pairs import InputPairs
from proofs_numeric import (
    c1_surrogates,
    effective_layers,
    fig_2_3,
    prop_4_3_laws,
    prop_4_4_powers,
    rival_flips,
    rival_spectrum,
    thm_4_2_powers,
    thm_5_2_inputs,
)
from proofs_numeric.small_studies import RATE_DELTA, RATE_EPS, small_studies

MODULES = (
    thm_4_2_powers,
    thm_5_2_inputs,
    prop_4_3_laws,
    prop_4_4_powers,
    fig_2_3,
    c1_surrogates,
    rival_spectrum,
    rival_flips,
    effective_layers,
)


@pytest.mark.parametrize("preset", ["quick", "standard", "thorough"])
def test_every_study_is_named_by_a_claim_and_has_experiments(preset):
    named = {name for module in MODULES for proof in module.PROOFS for name in proof.studies}
    there = {name: specification for name, _, specification in small_studies(preset)}
    assert set(there) == named
    assert all(one.first_stage.experiments for one in there.values())


def test_standard_has_five_seeds_that_others_do_not_use_and_takes_minutes():
    total = 0.0
    for _, _, specification in small_studies("standard"):
        total += specification.seconds
        if isinstance(specification, SweepSpec):
            assert len(specification.seeds) >= 5
            assert min(specification.seeds) >= 20
        if isinstance(specification, ExperimentList):
            assert all(len(one.seeds) >= 5 and min(one.seeds) >= 20 for one in specification.experiments)  # pyright: ignore[reportAttributeAccessIssue]
    assert total < 1200  # ten minutes of two cores


def test_the_networks_at_the_theorems_rate_are_those_that_the_claim_speaks_of():
    (spec,) = [one for name, _, one in small_studies("standard") if name == "pairs-rate"]
    (one,) = spec.first_stage.experiments
    assert isinstance(one, InputPairs)
    assert (one.delta, one.eps, one.eta_rel, one.angle) == (RATE_DELTA, RATE_EPS, 0.0, math.pi / 2)
    assert len(one.seeds) >= 36  # with no late network the interval then ends below delta: 1 - 0.025^(1/36) = 0.0974
