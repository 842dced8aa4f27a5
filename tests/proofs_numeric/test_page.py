"""The page is what its command writes, and the stored verdicts are what today's rules make of the stored evidence."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest
from msgspec import to_builtins

from ntk1bit.claims.results import EstimateEntry, evidence_of, read_results
from proofs_numeric.catalogue import proofs
from proofs_numeric.in_short import SENTENCES, in_short
from proofs_numeric.page import FIGURES, PAGE, RESULTS, ROOT, argument, main, render


@pytest.fixture(scope="module")
def results():
    return read_results(RESULTS)


def test_the_page_is_current():
    assert main(["--check"]) == 0, "write it with: python -m proofs_numeric.page"


def test_the_check_notices_a_changed_page(tmp_path, capsys):
    changed = tmp_path / "page.md"
    changed.write_text(PAGE.read_text(encoding="utf-8").replace("supported", "proved", 1))
    assert main(["--check", "--out", str(changed)]) == 1
    assert "out of date" in capsys.readouterr().err


def test_stored_verdicts_follow_from_stored_evidence_by_the_rules_of_today(results):
    catalogue = proofs()
    for entry in results.claims:
        claim = catalogue[entry.id].claim
        for field in ("title", "statement", "source", "assumptions", "refuted_by", "rule"):
            assert getattr(entry, field) == getattr(claim, field), f"{entry.id}: {field} has changed; verify it again"
        verdict = claim.judge(evidence_of(entry))
        assert verdict.outcome == entry.outcome, entry.id
        found = [asdict(one) for one in (*verdict.findings, *verdict.context)]
        assert found == to_builtins([*entry.findings, *entry.context])
        assert verdict.reason == entry.reason


def test_measures_have_short_ids_and_the_labels_of_their_claims(results):
    catalogue = proofs()
    for entry in results.claims:
        labels = catalogue[entry.id].claim.labels
        assert {one.id: one.label for one in entry.measures} == dict(labels), entry.id
        assert len(entry.measures) == len(labels) == len(set(labels.values())), entry.id
        for one in labels:
            assert re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", one), one


def numbers(settings):
    """Yield every number in settings."""
    if isinstance(settings, dict | list):
        for one in settings.values() if isinstance(settings, dict) else settings:
            yield from numbers(one)
    elif isinstance(settings, int | float):
        yield settings


def test_numbers_of_a_derivation_are_those_of_the_studies_that_were_run(results):
    """Seen: 3000 steps in a derivation whose studies had run 10,000 and 4000."""
    found = 0
    for name, proof in proofs().items():
        studies = {study for one in proofs().values() if one.module == proof.module for study in one.studies}
        words = " ".join((argument(proof), proof.claim.statement, proof.claim.assumptions)).replace(",000", "000")
        known = set(numbers([results.studies[study].settings for study in studies]))
        for number, what in re.findall(r"\b(\d+)\s+(steps|seeds|epochs|points|neurons|networks|windows)\b", words):
            assert int(number) in known, f"{name}: {number} {what}, which no setting of its studies says"
            found += 1
    assert found  # there is something to hold


def test_the_results_are_standard_and_have_enough_seeds(results):
    assert results.preset == "standard"
    assert {entry.id for entry in results.claims} == set(proofs())
    for entry in results.claims:
        for one in entry.measures:
            if isinstance(one, EstimateEntry) and one.value is not None:
                few_decide_nothing = "are left out" in one.note and entry.outcome == "inconclusive"
                assert one.seeds >= 5 or few_decide_nothing, (entry.id, one.id)


def test_a_sentence_is_said_only_while_its_verdicts_stand(results):
    outcomes = {entry.id: entry.outcome for entry in results.claims}
    for needed, sentence in SENTENCES:
        assert set(needed) <= set(proofs())
        assert (sentence in in_short(outcomes)) == (outcomes | needed == outcomes)
        assert (sentence in PAGE.read_text(encoding="utf-8")) == (sentence in in_short(outcomes))
        for claim in needed:
            other = "supported" if needed[claim] == "inconclusive" else "inconclusive"
            assert sentence not in in_short(outcomes | needed | {claim: other})


def test_links_and_pictures_of_the_page_exist():
    text = PAGE.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"\]\(#([^)]+)\)", text):
        assert f'<a id="{target}">' in text, target
    for name in FIGURES.values():
        assert f"docs/figures/{name}.png" in text


def test_every_claim_has_a_line_and_a_command(results):
    text = render(results)
    for entry in results.claims:
        assert f"| {entry.title} |".replace("|", "") in text.replace("|", "")
        assert f"verify {entry.id} --preset standard" in text


def test_a_derivation_is_printed_once_and_the_claims_that_share_it_point_to_it(results):
    text = render(results)
    for module in {one.module for one in proofs().values()}:
        assert text.count(f"<code>{module}</code>") == 1
    shared = [one.claim.id for one in proofs().values() if one.module == "proofs_numeric.c5_deep"]
    assert len(shared) == 3
    assert text.count("Derivation and experiment: see [C5](#claim-c5)") == len(shared) - 1
