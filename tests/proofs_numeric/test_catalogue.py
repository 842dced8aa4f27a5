from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec
from proofs_numeric.catalogue import MODULES, choose, proofs
from proofs_numeric.mean_field_studies import SETTINGS, SIX
from proofs_numeric.page import FIGURES, argument
from proofs_numeric.studies import PRESETS, studies

# Every row of the papers' claims that this library speaks about; a row that loses its proof shows here.
EXPECTED = {
    *("I.6", "D.7", "Eq.5", "G.5", "H.2", "I.3", "I.5", "I.2", "4.2", "4.3", "4.4", "5.1", "5.2"),
    *("D25-steps", "C1b-K", "C1-means", "C1-K-late", "C1-noise", "C6-energy-all"),
    *("C1-surrogates", "C1-surrogates-size", "RIVAL-spectrum", "RIVAL-flips", "RIVAL-inertia"),
    *("C0", "C1", "C1-H", "C1-K", "C1b", "C2", "C2-law", "C3", "C3-paired", "C3b", "C4"),
    *("C5", "C5-ratio", "C5-similar", "C6", "C6-stable", "C6-energy"),
    *("C7", "C7-table", "C7-trends", "C7-mul", "C7-norms", "C7-precise"),
    *("W23-law", "W23-gap", "W23-cost", "W23-table3", "W23-table4"),
    *("I.6-ball", "D.7-ball", "G.5-ball", "H.2-ball", "H.3-ball", "H.4-ball", "H.5-ball", "H.6-ball", "I.2-rate"),
    *("4.2-powers", "4.2-steps", "4.2-any", "4.3-branch", "4.3-decay", "4.3-data", "4.3-compute", "4.4-powers"),
    *("5.2-all", "5.2-negligible", "5.2-zero", "Fig.2", "Fig.3"),
    *("C8", "C8-one", "C8-kept"),
    *("C9", "C9-cost", "C9-int8", "C9-choices", "C9-ptq"),
    *("C10-table4", "C10-stable", "C10-absmax-rate", "C10-rate", "C10-rate-size", "C10-flips", "C10-further"),
    *(
        "C11",
        "C11-swing",
        "C11-late",
        "C11-gain",
        "C11-pair",
        "C11-frozen",
        "C11-floor",
        "C11-aged",
        "C11-spread",
        "C11-phases",
    ),
    *("C11-layers", "C11-averaged"),
    *("C12", "C12-batches", "C12-momentum", "C12-averages", "C12-remedies", "C12-test", "C12-language"),
    *("C12-language-cures", "C12-language-test"),
    *("C13", "C13-precision", "C13-steps"),
    *("T1", "T1-rate", "T2", "T3", "T3-lemmas", "T3-floor", "T4", "T5"),
}


def test_every_claim_has_a_proof():
    assert set(proofs()) == EXPECTED


@pytest.mark.parametrize("preset", PRESETS)
def test_every_study_that_a_claim_names_exists_and_none_is_idle(preset):
    there = studies(preset)
    named = {name for one in proofs().values() for name in one.studies}
    assert named == set(there)
    for study in there.values():
        assert study.specification.first_stage.experiments, study.name


def test_the_cited_presets_have_enough_seeds_and_the_widths_asked_for():
    for preset, widest in (("standard", 16384), ("thorough", 65536)):
        every = {name: one.specification for name, one in studies(preset).items()}
        for name in (
            "mid-training",
            *(f"limit-{setting.name}" for setting in SETTINGS),
            *(f"limit-fresh-{setting.name}" for setting in SIX),
        ):
            short = every.pop(name)  # of few steps, so that it can be wider
            assert isinstance(short, SweepSpec)
            assert len(short.seeds) >= 5
            assert max(short.widths) == 4 * widest
        sweeps = [spec for spec in every.values() if isinstance(spec, SweepSpec)]
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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("C1bb", "unknown claim 'C1bb' .did you mean 'C1b' or .*; ntk1bit verify --list lists all"),
        ("c11-flor", "did you mean 'C11-floor' or "),
        ("?!", "unknown claim '.!'; ntk1bit verify --list lists all"),
    ],
)
def test_an_unknown_claim_is_told_the_nearest_ones(given, message):
    with pytest.raises(InputError, match=message) as told:
        choose([given])
    named = [name for name in MODULES if repr(name) in str(told.value)]
    assert len(named) <= 3  # not all that there are


def test_a_claim_brings_in_its_own_module_only():
    """`verify C1` must not wait for the models of every other claim; a fresh interpreter has imported nothing yet."""
    code = (
        "import sys; from proofs_numeric.catalogue import choose; choose(['C1', 'C7-table']); "
        "print(*sorted(one.split('.')[1] for one in sys.modules if one.startswith('proofs_numeric.')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(found) & set(MODULES.values()) == {"c1_kernel", "c7_energy"}


def test_every_module_of_a_claim_is_in_the_catalogue_and_holds_no_other():
    for module in set(MODULES.values()):
        held = [one.claim.id for one in import_module(f"proofs_numeric.{module}").PROOFS]
        assert held == [name for name, place in MODULES.items() if place == module]
        assert all(choose([name])[name].module == f"proofs_numeric.{module}" for name in held)


def test_figures_belong_to_claims_that_exist():
    assert set(FIGURES) <= EXPECTED


def test_an_unknown_preset_is_told():
    with pytest.raises(InputError, match="preset"):
        studies("enormous")


def test_titles_are_short_enough_for_the_figure_of_verdicts():
    for name, proof in proofs().items():
        assert len(name) <= 18, name  # a longer id would push titles out of the figure of verdicts
        assert len(proof.claim.title) <= 52, name  # what its columns have room for; it would end a longer one in dots


def test_every_claim_says_where_the_numbers_of_its_rule_come_from():
    assert [name for name, proof in proofs().items() if not proof.claim.ranges] == []
