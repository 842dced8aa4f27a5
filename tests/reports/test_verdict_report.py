from __future__ import annotations

import re

from matplotlib.figure import Figure

from ntk1bit.claims import OUTCOMES
from ntk1bit.claims.results import Results
from ntk1bit.errors import InputError
from ntk1bit.plots.recipes import Drawn
from ntk1bit.reports import verdict_report

from .documents import (
    NASTY,
    Reader,
    assert_complete_in_itself,
    claim,
    document,
    estimate,
    made_dirty,
    verification,
)


def no_figures(_: Results) -> list[Drawn]:
    """Which figures there are is not what most tests are about."""
    return []


def three_figures(results: Results) -> list[Drawn]:
    if results.preset == "unfit":
        raise InputError("study 'digits' was not run")
    made = []
    for name, claims in (("one", ("R1", "S1")), ("two", ("absent", "I1")), ("three", ("absent",))):
        figure = Figure()
        figure.subplots().plot([1, 2])
        made.append(Drawn(name, claims, f"caption of {name}: m^-1/2 <b>", figure))
    return made


def verdict_page(folder, *, draw=no_figures) -> str:
    return verdict_report.verdict_page(folder, draw=draw)


def section(page: str, claim_id: str) -> str:
    """Return the markup of a claim's section; sections of claims hold no sections."""
    found = re.search(rf'<section id="claim-{claim_id}">.*?</section>', page, re.DOTALL)
    assert found is not None
    return found[0]


def test_everything_of_a_claim_is_on_the_page(tmp_path):
    page = verdict_page(verification(tmp_path))
    assert_complete_in_itself(page)
    read = Reader(page)
    entry = document()["claims"][1]
    for name in ("id", "title", "source", "assumptions", "refuted_by", "rule", "reason"):
        assert entry[name] in read.text
    for one in [*entry["findings"], *entry["context"]]:
        assert one["rule"] in read.text
        assert one["why"] in read.text
    for one in entry["measures"]:
        assert one["label"] in read.text
        assert one["meaning"] in read.text
    for words in (
        "The kernel drift falls as m−1/2.",
        "A remark to read.",
        "−0.200 [−0.300, −0.100]",
        "3 failures of 12,345",
        "1.5×10⁻¹²",
        "too few widths",
        "drift (2 rows)",
        "nothing (0 rows)",
        "digits against width",
        "64, 128",
        "2.9.9",
        "a processor",
        "21 min",
        "7.8",
        "2030-01-02",
    ):
        assert words in read.text


def test_bad_news_comes_first_and_is_counted(tmp_path):
    page = verdict_page(verification(tmp_path))
    assert re.findall(r'<section id="claim-(\w+)">', page) == ["R1", "I1", "S1"]
    table = page[page.index('class="verdicts wide"') : page.index('<section id="claim-R1">')]
    assert re.findall(r'href="#claim-(\w+)"', table) == ["R1", "I1", "S1"]
    counts = page[page.index('class="counts"') : page.index("</ul>", page.index('class="counts"'))]
    assert counts.count("<b>1</b>") == 3


def test_badges_say_their_outcome_in_words_once(tmp_path):
    """A sign and a colour are for eyes only: what is read aloud is the word."""
    page = verdict_page(verification(tmp_path))
    badges = re.findall(r'<span class="badge (\w+)">(.*?</span>)</span>', page)
    assert {outcome for outcome, _ in badges} == set(OUTCOMES)
    for outcome, badge in badges:
        assert re.sub(r'<span aria-hidden="true">.*?</span>|<[^>]+>', "", badge) == outcome


def test_numbers_that_are_none_show_as_gaps(tmp_path):
    infinite = {
        "kind": "number",
        "id": "y",
        "label": "y",
        "meaning": "",
        "value": float("inf"),
        "span": "",
        "study": "",
    }
    one = claim("A", "inconclusive", measures=[estimate("x", value=float("nan"), low=None, high=None), infinite])
    page = verdict_page(verification(tmp_path, one, seconds=None))
    read = Reader(page)
    for word in ("nan", "NaN", "inf ", "None", "null"):
        assert word not in read.text
    assert "–" in read.text
    assert "an unknown time" in read.text


def test_nothing_that_a_document_says_becomes_markup(tmp_path):
    pages = [
        verdict_page(verification(tmp_path / name, **made))
        for name, made in (("clean", document()), ("dirty", made_dirty(document())))
    ]
    clean, dirty = map(Reader, pages)
    assert dirty.tags == clean.tags
    assert [(tag, name) for tag, name, _ in dirty.attributes] == [(tag, name) for tag, name, _ in clean.attributes]
    assert dirty.text.count("<script>alert(1)</script> \"a\" 'b' & <!-- ") > 50
    assert_complete_in_itself(pages[1])


def test_nor_do_names_that_a_verification_chooses(tmp_path):
    one = claim(NASTY, "supported", tables={NASTY: [{NASTY: 1}]}, measures=[estimate(NASTY, study=NASTY)])
    studies = {NASTY: {"purpose": "", "settings": {NASTY: 1}, "cells": 1, "seconds": None}}
    page = verdict_page(verification(tmp_path, one, studies=studies, versions={NASTY: "1"}, machine={NASTY: 1}))
    assert_complete_in_itself(page)


def test_ids_of_all_kinds_are_linked(tmp_path):
    names = ["I.5", "C1-K", "a b", "<x>", "%20", "é", "x" * 300]
    studies = {name: document()["studies"]["digits"] for name in names}
    claims = [claim(name, "supported", measures=[estimate("x", study=name)]) for name in names]
    page = verdict_page(verification(tmp_path, *claims, studies=studies))
    assert_complete_in_itself(page)
    assert page.count('href="#study-') == len(names)


def test_no_claims_and_no_studies(tmp_path):
    page = verdict_page(verification(tmp_path, claims=[], studies={}, versions={}, machine={}))
    assert_complete_in_itself(page)
    assert "Verdicts on 0 claims" in Reader(page).text


def test_a_quick_verification_says_what_it_is_worth(tmp_path):
    assert "short ranges" in verdict_page(verification(tmp_path / "a", preset="quick"))
    assert "short ranges" not in verdict_page(verification(tmp_path / "b"))


def test_many_measures_are_folded(tmp_path):
    one = claim("A", "supported", measures=[estimate(f"x{i}") for i in range(40)])
    assert "<summary>40 measures</summary>" in verdict_page(verification(tmp_path, one))


def test_without_figures_a_line_says_so(tmp_path):
    page = verdict_page(verification(tmp_path))
    assert "<img" not in page
    assert "There are no figures for these claims." in page


def test_each_figure_is_in_the_section_of_the_first_claim_that_is_there(tmp_path):
    page = verdict_page(verification(tmp_path / "run"), draw=three_figures)
    assert_complete_in_itself(page)
    assert "There are no figures" not in page
    assert page.count("<img") == 3
    assert 'id="figure-one"' in section(page, "R1")
    assert 'id="figure-two"' in section(page, "I1")
    assert 'id="figure-three"' in page[page.index('<section id="more-figures">') :]
    assert 'See also figure <a href="#figure-one">one</a>.</p>' in section(page, "S1")
    assert "See also" not in section(page, "I1")
    assert "caption of one: m<sup>−1/2</sup> &lt;b&gt;" in page
    assert "Figure one: caption of one: m^-1/2 <b>" in Reader(page).values("alt")


def test_figures_that_cannot_be_drawn_do_not_cost_the_page(tmp_path):
    page = verdict_page(verification(tmp_path / "run", preset="unfit"), draw=three_figures)
    assert "Figures are left out: study 'digits' was not run." in Reader(page).text


def test_figures_are_those_of_the_recipes(tmp_path):
    page = verdict_report.verdict_page(verification(tmp_path / "run"))
    assert Reader(page).values("id").count("figure-verdicts") == 1


def test_the_same_verdicts_give_the_same_page(tmp_path):
    folder = verification(tmp_path)
    assert verdict_page(folder, draw=three_figures) == verdict_page(folder, draw=three_figures)
