"""Stored results are what is counted and judged today, without training."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from ntk1bit.claims.results import read_results
from ntk1bit.experiments import LanguageSpec
from proofs_numeric.page import RESULTS
from proofs_numeric.recount import NETWORKS, main, recount
from proofs_numeric.studies import studies

PUBLISHED = ("W23-law", "W23-gap", "W23-cost", "W23-table3", "W23-table4")
COUNTED = ("C6", "C6-energy", "C7", "C7-table", "C7-trends", "C7-mul", "C7-norms", "C7-precise", *PUBLISHED)


@pytest.fixture(scope="module")
def networks():
    return pd.read_csv(RESULTS / NETWORKS)


def alike(found, stored):
    """Compare two entries: numbers as they are stored, with six digits, whose last one another libm may round off."""
    if isinstance(found, dict):
        return found.keys() == stored.keys() and all(alike(found[name], stored[name]) for name in found)
    if isinstance(found, list):
        return len(found) == len(stored) and all(map(alike, found, stored))
    return found == (pytest.approx(stored, rel=2e-5) if isinstance(stored, float) else stored)


def test_stored_counts_are_those_of_today(networks):
    results = read_results(RESULTS)
    found = recount(results, networks)
    for entry, stored in zip(found.claims, results.claims, strict=True):
        if entry.id in COUNTED:
            assert alike(to_builtins(entry), to_builtins(stored)), (
                f"{entry.id}: run python -m proofs_numeric.recount, figures and page"
            )
        else:
            assert to_builtins(entry) == to_builtins(stored), f"{entry.id}: run python -m proofs_numeric.recount"
    assert replace(found, claims=[]) == replace(results, claims=[])


def test_stored_energies_and_losses_that_are_wrong_are_made_anew(networks):
    results = read_results(RESULTS)
    rows = results.claim("C6-energy").tables["loss against energy"]
    for row in rows:
        row["joules_exact"] *= 2
    rows[0]["loss"] = 1.25
    found = recount(results, networks)
    rows, before = (one.claim("C6-energy").tables["loss against energy"] for one in (found, read_results(RESULTS)))
    assert rows[0]["loss"] == pytest.approx(before[0]["loss"], rel=2e-5)
    assert [row["joules_exact"] for row in rows] == pytest.approx([row["joules_exact"] for row in before], rel=2e-5)


def test_claims_that_need_no_study_are_added_in_their_place_and_others_are_not_made_up(networks):
    results = read_results(RESULTS)
    kept = [entry for entry in results.claims if entry.id not in (*PUBLISHED, "C1")]
    found = recount(replace(results, claims=kept), networks)
    assert [entry.id for entry in found.claims] == [entry.id for entry in results.claims if entry.id != "C1"]


def test_the_stored_networks_are_those_of_the_preset(networks):
    """What is told of a study is what was trained: the same settings, and characters in whole steps."""
    stored = LanguageSpec.from_dict(read_results(RESULTS).studies["language"].settings)
    assert stored == studies("standard")["language"].specification
    assert set(networks["tokens"]) == {stored.trained_tokens} == {stored.tokens}


def test_the_command_writes_the_folder_it_is_given(tmp_path, capsys):
    assert main(["--results", str(tmp_path)]) == 2
    assert "no language.csv" in capsys.readouterr().err
    for name in (NETWORKS, "verdicts.json"):
        shutil.copy(RESULTS / name, tmp_path)
    before = read_results(tmp_path)
    assert main(["--results", str(tmp_path)]) == 0
    assert alike(to_builtins(read_results(tmp_path)), to_builtins(before))
    (tmp_path / NETWORKS).write_text((RESULTS / NETWORKS).read_text().replace("4x128", "4x130"))
    assert main(["--results", str(tmp_path)]) == 2
    assert "not of the same networks" in capsys.readouterr().err
