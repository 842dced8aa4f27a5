from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin, Verdict


def verdict(value: float = -0.7, *, words: str = "a few words", criteria: int = 1) -> Verdict:
    names = [f"x.{place}" for place in range(criteria)]
    claim = Claim(
        id="mine",
        title=words,
        statement=words,
        source="",
        assumptions="",
        refuted_by=words,
        criteria=tuple(IntervalWithin(name, high=-0.6) for name in names),
    )
    measures = [IntervalEstimate(name, "", value, value - 0.1, value + 0.05, 5, "m = 64", "run") for name in names]
    return claim.judge(Evidence(tuple(measures)))


def test_a_verdict_prints_as_outcome_numbers_and_rule():
    assert str(verdict()).splitlines() == [
        "mine: SUPPORTED: a few words",
        "measured: x.0 -0.7 [-0.8, -0.65]",
        "rule: x.0 is at most -0.6; refuted by a few words",
    ]
    assert repr(verdict()) == str(verdict())


@pytest.mark.parametrize("criteria", [1, 4, 40])
def test_however_much_there_is_to_say_it_takes_ten_lines_at_most(criteria):
    lines = str(verdict(words="many words " * 60, criteria=criteria)).splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("mine: SUPPORTED")


def test_a_long_rule_is_worth_more_than_what_would_refute_it():
    text = str(verdict(words="many words " * 60))
    assert "rule: x.0 is at most -0.6" in text
    assert "refuted by" not in text


def test_notebooks_show_the_three_lines_and_no_markup_of_the_claims_own():
    class Words(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []
            self.text = ""

        def handle_starttag(self, tag, attrs):  # noqa: ARG002 - of HTMLParser
            self.tags.append(tag)

        def handle_data(self, data):
            self.text += data

    made = verdict(words="<script>alert(1)</script> & 'x'")
    page = Words()
    page.feed(made._repr_html_())
    assert set(page.tags) == {"p", "b", "br"}
    assert page.text == "".join(made.lines)


def test_its_json_has_every_finding():
    made = verdict(-0.4, criteria=2)
    found = json.loads(made.to_json())
    assert found == made.as_dict()
    assert found["outcome"] == "refuted"
    assert [one["outcome"] for one in found["findings"]] == ["refuted", "refuted"]
    assert found["rule"] == made.claim.rule
