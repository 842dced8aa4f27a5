"""The page is what its command writes, and the stored verdicts are what today's rules make of the stored evidence."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import asdict

import pytest
from msgspec import to_builtins

from ntk1bit.claims import STANDINGS
from ntk1bit.claims.results import EstimateEntry, evidence_of, judge_together, read_results
from proofs_numeric.catalogue import proofs
from proofs_numeric.in_short import SENTENCES, claims_of, in_short, outcomes_of, standing_sentences
from proofs_numeric.page import FIGURES, PAGE, RESULTS, ROOT, argument, main, render
from proofs_numeric.what_changed import read_earlier, read_points, section


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
        for field in ("title", "statement", "source", "assumptions", "refuted_by", "rule", "ranges"):
            assert getattr(entry, field) == getattr(claim, field), f"{entry.id}: {field} has changed; verify it again"
        verdict = claim.judge(evidence_of(entry))
        assert verdict.outcome == entry.outcome, entry.id
        assert (verdict.standing, list(verdict.limits)) == (entry.standing, entry.limits)
        found = [asdict(one) for one in (*verdict.findings, *verdict.context)]
        stored = to_builtins([*entry.findings, *entry.context])
        for one in stored:
            del one["adjusted"]  # which depends on all findings; see below
        for one in found:  # stored numbers have six digits
            one["p"] = None if one["p"] is None else float(f"{one['p']:.6g}")
        assert found == stored
        assert verdict.reason == entry.reason


def test_stored_findings_are_adjusted_for_all_others(results):
    again = judge_together(deepcopy(results.claims))
    assert [one.id for one in again] == [one.id for one in results.claims]
    for one, stored in zip(again, results.claims, strict=True):
        assert [finding.adjusted for finding in one.findings] == [finding.adjusted for finding in stored.findings]
        assert all(finding.adjusted is None for finding in stored.context)


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
        if proof.draws:  # its numbers are constants of its own module
            continue
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


def measures_of(claim):
    return {one.measure for one in (*claim.criteria, *claim.context)}


def test_a_sentence_is_said_only_while_its_verdicts_stand(results):
    outcomes = outcomes_of(results)
    for needed, sentence in SENTENCES:
        for name in needed:
            claim, _, measure = name.partition("/")
            assert not measure or measure in measures_of(proofs()[claim].claim), name
        stands = outcomes | needed == outcomes
        assert ((needed, sentence) in standing_sentences(outcomes)) == stands
        assert (sentence in PAGE.read_text(encoding="utf-8")) == stands
        for name in needed:
            other = "supported" if needed[name] == "inconclusive" else "inconclusive"
            assert (needed, sentence) not in standing_sentences(outcomes | needed | {name: other})


# Words that say more than an outcome, and what a sentence with them has to rest on.
STRONG = {
    r"\bK_eff predicts": ("supported",),
    r"without a fitted constant": ("supported",),
    r"does not (shrink|fall) with": ("refuted", "supported"),
    r"\bhold with room\b": ("supported",),
}
# Words of verdicts, and those of which a sentence that rests on one must have some.
MODEST = {
    "vacuous here": r"far below",
    "inconclusive": r"settle|cannot|not (shown|on)|takes more|is open",
    "holds, not sharp": r"with room|bound",
}


def test_no_sentence_says_more_than_its_verdicts(results):
    """Each is printed with its verdicts; strong words need findings of their own, weak verdicts modest words."""
    entries = {entry.id: entry for entry in results.claims}
    said = in_short(results)
    assert len(said) == len(standing_sentences(outcomes_of(results)))
    for (needed, sentence), line in zip(standing_sentences(outcomes_of(results)), said, strict=True):
        tail = line.removeprefix(sentence)
        for claim in claims_of(needed):
            assert f"{claim}: {entries[claim].words}" in tail
            weaker = entries[claim].family_wise
            assert (f"with all others {weaker}" in tail) or weaker == entries[claim].outcome
            for words, pattern in MODEST.items():
                if entries[claim].standing == words and len(claims_of(needed)) == 1:
                    assert re.search(pattern, sentence), (sentence, words)
        for pattern, outcomes in STRONG.items():
            if re.search(pattern, sentence):
                assert set(needed.values()) & set(outcomes), sentence
                precise = any("/" in name for name in needed) or set(needed.values()) != {"refuted"}
                assert precise, f"{sentence!r} rests on claims that are refuted, which say less"


def test_no_word_of_a_verdict_is_on_the_page_that_the_results_do_not_hold(results):
    text = render(results)
    table = text.partition("| claim | source | what | verdict |")[2].partition("\n\n")[0]
    printed = dict(re.findall(r"^\| \[([^\]]+)\].*?\| \*\*([^*]+)\*\* \|", table, re.MULTILINE))
    assert printed == {entry.id: entry.words for entry in results.claims}
    first = text.partition("## Verdicts")[2].partition("**With all others.**")[0]
    counts = dict(re.findall(r"^\| ([a-z, ]+) \| (\d+) \| \d+ \|", first, re.MULTILINE))
    assert {name: int(count) for name, count in counts.items()} == {
        name: sum(entry.standing == name for entry in results.claims) for name in STANDINGS
    }


def test_every_point_of_what_changed_has_a_line(results):
    text = section(results, read_earlier(RESULTS))
    items = [str(point["item"]) for point in read_points()]
    assert items == [*(f"A{k}" for k in range(1, 11)), *(f"B{k}" for k in range(11, 17)), "C"]
    for point in read_points():
        assert f"| {point['item']} |" in text
        assert set(point["claims"]) <= set(proofs())
    now = {entry.id: entry.words for entry in results.claims}
    assert f"C3-paired: supported, now {now['C3-paired']}" in text
    assert f"C1b-K: new, now {now['C1b-K']}" in text


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


def test_sizes_that_verdicts_name_are_those_of_their_networks(results):
    """Seen: two million parameters for networks of 204,100, and 2.5 million for 786,432."""
    for name in ("Fig.2", "Fig.3"):
        entry = results.claim(name)
        (size,) = set(re.findall(r"N = (\d+,\d+)", " ".join(one.span for one in entry.measures)))
        assert entry.limits[0].startswith(f"at these sizes: {size} parameters")
    for name in ("C6", "C9", "C10-rate-size"):
        entry = results.claim(name)
        spans = " ".join(one.span for one in entry.measures).replace(",", "")
        largest = max(int(one) for one in re.findall(r"N = \d+\.\.(\d+)", spans))
        assert entry.limits[0].startswith(f"at these sizes: {largest / 1e6:.1g} million parameters at most")
