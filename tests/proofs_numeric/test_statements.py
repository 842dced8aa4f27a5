from __future__ import annotations

import re
from pathlib import Path

import pytest

from ntk1bit.errors import InputError
from proofs_numeric.catalogue import MODULES
from proofs_numeric.statements import STATUSES, Statement, main, statements

ROOT = Path(__file__).parents[2]
# What each paper numbers: no statement, equation, figure or table may be missing.
NUMBERED = {
    "D25": [
        *(
            "Def. D.3",
            "Lemma F.3",
            "Def. G.1",
            "Def. E.1",
            "Eq. 5",
            "Lemma I.6",
            "Lemma D.7",
            "4.1",
            "G.5",
            "Claim H.2",
        ),
        *("Lemma H.3", "Lemma H.4", "Lemma H.5", "Lemma H.6", "I.3", "J.5", "I.5", "J.4", "Lemma I.2", "Theorem 4.2"),
        *("Proposition 4.3", "Proposition 4.4", "Lemma 5.1", "Theorem 5.2", "Fig. 1", "Fig. 2", "Fig. 3", "11", "12"),
    ],
    "W23": [
        *(f"Eq. {number}" for number in (1, 2, 3, 6, 7, 13, 14, 15, 16, 17, 18, 19)),
        *("Eqs. 4 and 5", "Eqs. 8 to 10", "Eqs. 11 and 12"),
        *(f"Table {number}" for number in range(1, 9)),
        *("Fig. 1", "Fig. 2a", "Fig. 2b", "Fig. 3, left", "Fig. 3, right", "Fig. 4", "Fig. 5a", "Fig. 5b", "Fig. 6"),
        *("Section 1", "Section 2", "Section 2.1", "Section 2.2", "Section 2.3", "Section 3.1", "Section 3.2"),
        *("Section 3.3", "Section 4.1", "Section 4.2", "Section 5"),
    ],
}


def test_no_numbered_statement_is_missing():
    for paper, numbers in NUMBERED.items():
        places = " ; ".join(one.place for one in statements() if one.paper == paper)
        missing = [number for number in numbers if not re.search(rf"(?<![\w.]){re.escape(number)}(?![\w.])", places)]
        assert not missing
    assert [sum(one.paper == paper for one in statements()) for paper in NUMBERED] == [42, 72]


def test_every_claim_on_a_paper_answers_a_statement_and_every_file_is_there():
    named = {claim for one in statements() for claim in one.claims}
    # about limits and laws that neither paper states, and about surrogates, which neither compares
    ours = {"C0", "C1-K", "C1-H", "C2-law", "C3b", "C1-surrogates", "C1-surrogates-size"}
    ours |= {"C1b-K", "C1-noise", "C1-means", "C1-K-late", "C6-energy-all", "D25-steps"}
    ours |= {
        "C11",
        "C11-swing",
        "C11-late",
        "C11-gain",
        "C11-pair",
        "C11-frozen",
    }  # the limit of straight-through training
    ours |= {"C11-floor", "C11-aged", "C11-spread", "C11-phases", "C11-layers", "C11-averaged"}  # what it predicts
    ours |= {
        "C12",
        "C12-batches",
        "C12-momentum",
        "C12-averages",
        "C12-remedies",
        "C12-test",
        "C12-language",
        "C12-language-cures",
        "C12-language-test",
        "C13",
        "C13-precision",
        "C13-steps",
    }  # deep networks of ours
    ours |= {"T1", "T1-rate", "T2", "T3", "T3-lemmas", "T3-floor", "T4", "T5"}  # theorems of our own (docs/theorems.md)
    ours |= {"RIVAL-spectrum", "RIVAL-flips", "RIVAL-inertia"}  # other theories, carried over to D25's network
    assert set(MODULES) - named <= ours
    for one in statements():
        for file in one.where:
            assert (ROOT / file).is_file(), one


def test_the_page_is_current(capsys):
    assert main(["--check"]) == 0
    assert "current" in capsys.readouterr().out


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "partly"}, "unknown status"),
        ({"status": "in part", "claims": ("C1",)}, "needs a reason"),
        ({"status": "as written"}, "needs the claims that judge it"),
        ({"status": "as written", "claims": ("C99",)}, "unknown claim"),
    ],
)
def test_a_statement_that_leads_nowhere_is_refused(fields, message):
    assert STATUSES[-1] == "not"
    with pytest.raises(InputError, match=message):
        Statement("W23", "Eq. 99", "nothing", **fields)
