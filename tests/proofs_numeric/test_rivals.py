from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from ntk1bit.claims.results import CountEntry, MissingError, claim_entry, read_results
from proofs_numeric import rival_flips, rival_spectrum, rivals
from proofs_numeric.page import RESULTS
from tests.proofs_numeric.test_rival_flips import trainings
from tests.proofs_numeric.test_rival_spectrum import power, spectra


@pytest.fixture(scope="module")
def results():
    """The stored verdicts, with claims on other theories of made-up studies in place of any that are there."""
    data = {rival_spectrum: spectra(power(-2.0)), rival_flips: trainings()}
    made = []
    for module, frames in data.items():
        for proof in module.PROOFS:
            evidence = proof.evidence(frames)
            made.append(claim_entry(proof.claim, proof.claim.judge(evidence), evidence))
    stored = read_results(RESULTS)
    kept = [entry for entry in stored.claims if entry.id not in {one.id for one in made}]
    return replace(stored, claims=[*kept, *made])


def link(entry):
    return f"[{entry.id}](#there)"


def test_every_place_is_filled_and_every_theory_has_its_source(results):
    text = rivals.section(results, link)
    assert "{" not in text
    assert "none" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 5
    for row in rows:
        assert row.count(" | ") == 3, row
        assert re.search(r"arXiv \d{4}\.\d{5}", row), row
        assert "(abstract" in row, row  # what of it was read
    assert "[RIVAL-spectrum](#there) is refuted" in text
    assert "[RIVAL-flips](#there) is supported" in text


def test_numbers_are_those_of_the_results(results):
    text = rivals.section(results, link)
    for claim, measure in (("RIVAL-flips", "end.sphere16"), ("C3b", "spread.m.sphere.one_bit")):
        one = next(one for one in results.claim(claim).measures if one.id == measure)
        assert f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}]" in text


def test_a_claim_or_measure_that_is_not_there_is_told(results):
    few = replace(results, claims=[entry for entry in results.claims if entry.id != "C3b"])
    with pytest.raises(MissingError, match="C3b"):
        rivals.section(few, link)
    with pytest.raises(MissingError, match=r"claim C3b lack spread\.n; run: ntk1bit verify C3b"):
        rivals.section(results, link, "{{C3b:spread.n}}")


def with_c3b(results, outcome):
    """Return the results with every criterion of C3b judged so."""
    claims = [
        replace(
            one,
            outcome=outcome,
            standing=outcome,
            findings=[replace(each, outcome=outcome) for each in one.findings],
        )
        if one.id == "C3b"
        else one
        for one in results.claims
    ]
    return replace(results, claims=claims)


def test_sentences_are_said_only_while_their_verdicts_stand(results):
    text = "It is so. [[C3b=supported: Networks agree.]] [[C3b=refuted: They do not.]] End"
    supported, refuted = (with_c3b(results, outcome) for outcome in ("supported", "refuted"))
    assert rivals.section(supported, link, text) == "It is so. Networks agree. End"
    assert rivals.section(refuted, link, text) == "It is so. They do not. End"
    assert rivals.section(with_c3b(results, "inconclusive"), link, text) == "It is so. End"
    whole = (rivals.section(one, link) for one in (supported, refuted))
    assert ["Networks agree as they widen" in one for one in whole] == [True, False]


def test_counts_and_plain_numbers_are_written_too(results):
    entry = results.claim("I.5")
    count = next(one for one in entry.measures if isinstance(one, CountEntry))
    assert rivals.told(entry, count.id) == f"{count.failures:,} of {count.trials:,}"
    assert float(rivals.section(results, link, "{{C0:limit.error}}")) > 0
