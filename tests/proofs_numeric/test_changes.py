from __future__ import annotations

import msgspec
import pytest

from ntk1bit.claims.results import read_results
from proofs_numeric.changes import changes, main
from proofs_numeric.page import RESULTS


@pytest.fixture(scope="module")
def stored():
    return read_results(RESULTS)


def test_what_is_the_same_is_not_a_change(stored):
    assert changes(stored, stored).empty


def test_a_verdict_a_finding_and_a_measure_that_differ_are_named(stored):
    entry = stored.claim("C1b")
    measure = next(one for one in entry.measures if one.id == "c3.widest")
    finding = next(one for one in entry.findings if one.measure == "c3.widest")
    other = msgspec.structs.replace(
        entry,
        outcome="inconclusive",
        standing="inconclusive",
        measures=[msgspec.structs.replace(one, low=0.0) if one is measure else one for one in entry.measures],
        findings=[
            msgspec.structs.replace(one, outcome="inconclusive") if one is finding else one for one in entry.findings
        ],
    )
    now = msgspec.structs.replace(stored, claims=[other if one is entry else one for one in stored.claims])
    found = changes(stored, now)
    assert found["what"].tolist() == ["verdict", "rule on c3.widest", f"c3.widest ({measure.label})"]
    assert found["before"].tolist()[:2] == ["refuted", "refuted"]
    assert found["now"].tolist()[:2] == ["inconclusive", "inconclusive"]
    assert found["now"].iloc[2].endswith(f"[0, {measure.high:.3g}]")
    # what is not measured any more is said, and what was not before
    gone = msgspec.structs.replace(entry, measures=[one for one in entry.measures if one is not measure])
    lost = changes(stored, msgspec.structs.replace(stored, claims=[gone]))
    assert lost["now"].tolist() == ["not measured"]
    assert changes(msgspec.structs.replace(stored, claims=[gone]), stored)["before"].tolist() == ["not measured"]


def test_the_command_refuses_a_folder_without_verdicts(tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path)]) == 2
    assert "has no verdicts.json" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
