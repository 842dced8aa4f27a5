from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from ntk1bit.errors import InputError
from proofs_numeric.catalogue import choose, proofs
from proofs_numeric.page import FIGURES, argument
from proofs_numeric.studies import PRESETS, studies

# Every row of the papers' claims that this library speaks about; a row that loses its proof shows here.
EXPECTED = {
    *("I.6", "D.7", "Eq.5", "G.5", "H.2", "I.3", "I.5", "I.2", "4.2", "4.3", "4.4", "5.1", "5.2"),
    *("C0", "C1", "C1-H", "C1-K", "C1b", "C2", "C2-law", "C3", "C3-paired", "C3b", "C4"),
    *("C5", "C5-ratio", "C5-similar", "C6", "C6-stable", "C6-energy", "C7", "C7-table"),
}


def test_every_claim_has_a_proof():
    every = proofs()
    assert set(every) == EXPECTED
    for one in every.values():
        assert one.evidence is not None
        assert one.claim.criteria


@pytest.mark.parametrize("preset", PRESETS)
def test_every_study_that_a_claim_names_exists_and_none_is_idle(preset):
    there = studies(preset)
    named = {name for one in proofs().values() for name in one.studies}
    assert named == set(there)
    for study in there.values():
        assert [study.sweep is None, not study.measurements, study.language is None].count(False) == 1


def test_the_cited_presets_have_enough_seeds_and_the_widths_asked_for():
    for preset, widest in (("standard", 16384), ("thorough", 65536)):
        sweeps = [one.sweep for one in studies(preset).values() if one.sweep is not None]
        assert min(len(sweep.seeds) for sweep in sweeps) >= 5
        assert max(max(sweep.widths) for sweep in sweeps) == widest
        assert min(min(sweep.widths) for sweep in sweeps) == 64


def test_every_proof_reads_as_a_section():
    for name, one in proofs().items():
        text = argument(one)
        for part in ("**Experiment.**", "**"):
            assert part in text, name
        assert len(text) > 400, name
        claim = one.claim
        for field in (claim.statement, claim.source, claim.assumptions, claim.refuted_by):
            assert len(field) > 3, name
        assert inspect.getdoc(one.evidence), name


def test_claims_are_found_whatever_the_case_and_mistakes_are_told():
    assert list(choose(["c1B", "eq.5"])) == ["C1b", "Eq.5"]
    assert len(choose([])) == len(EXPECTED)
    with pytest.raises(InputError, match="did you mean 'C1b'"):
        choose(["C1bb"])


def test_figures_belong_to_claims_that_exist():
    assert set(FIGURES) <= EXPECTED
    for one in proofs().values():
        if one.module:
            assert import_module(one.module).__doc__


def test_an_unknown_preset_is_told():
    with pytest.raises(InputError, match="preset"):
        studies("enormous")
