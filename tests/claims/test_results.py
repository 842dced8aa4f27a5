from __future__ import annotations

import copy
import json

import msgspec
import pytest

from ntk1bit.claims.results import MissingError, measure, read_results, table, write_results
from ntk1bit.errors import InputError

from ..reports.documents import as_stored, claim, document, estimate, verification


def complaint(folder) -> str:
    with pytest.raises(InputError) as told:
        read_results(folder)
    message = str(told.value)
    assert "\n" not in message
    assert len(message) < 600 + len(str(folder))
    return message


def test_what_is_whole_is_read_as_it_is(tmp_path):
    assert json.loads(msgspec.json.encode(read_results(verification(tmp_path)))) == document()


def test_what_is_read_is_written_as_it_was(tmp_path):
    verification(tmp_path)
    found = read_results(tmp_path)
    written = write_results(found, tmp_path / "again").read_text()
    assert json.loads(written) == json.loads(as_stored(document()))
    assert read_results(tmp_path / "again") == found


def test_a_number_that_was_edited_is_noticed(tmp_path):
    path = verification(tmp_path) / "verdicts.json"
    whole = path.read_text()
    assert "-0.25" not in whole
    for edited in (whole.replace("-0.2,", "-0.25,"), whole.replace('"digest": "', '"digest": "0')):
        path.write_text(edited)
        assert "has been altered" in complaint(tmp_path)
    content = json.loads(whole)
    del content["digest"]
    path.write_text(json.dumps(content))
    assert "has been altered" in complaint(tmp_path)


def test_measures_are_found_by_id(tmp_path):
    measures = [estimate("the x", id="x"), estimate("y")]
    found = read_results(verification(tmp_path, claim("A", "supported", measures=measures))).claims[0]
    assert [measure(found, name).label for name in ("x", "y")] == ["the x", "y"]
    with pytest.raises(MissingError, match="claim A has no measure 'z'"):
        measure(found, "z")
    with pytest.raises(MissingError, match="claim A has no table 't'; it has: none"):
        table(found, "t")


def test_fields_of_later_versions_are_passed_over(tmp_path):
    folder = verification(tmp_path, claim("A", "supported", later=1), later={"a": []})
    assert read_results(folder).claims[0].id == "A"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"format": 3',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"format": ' + b"9" * 5000 + b"}",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"format": 1}',
        b'{"format": 2}',
        b'{"format": "1"}',
        b'{"format": [1]}',
        b'{"format": 3}',
        b'{"format": 4}',
    ],
)
def test_damaged_files(tmp_path, content):
    (tmp_path / "verdicts.json").write_bytes(content)
    assert "ntk1bit verify" in complaint(tmp_path)


def test_a_missing_file_and_one_that_cannot_be_read(tmp_path):
    assert "has no verdicts.json" in complaint(tmp_path)
    (tmp_path / "verdicts.json").mkdir()
    assert "cannot read" in complaint(tmp_path)


def places(value, path=()):
    """Return the path of every field in a document."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield (*path, name)
            yield from places(entry, (*path, name))
    elif isinstance(value, list):
        for i, entry in enumerate(value):
            yield from places(entry, (*path, i))


def changed(place, change):
    made = copy.deepcopy(document())
    entry = made
    for step in place[:-1]:
        entry = entry[step]
    change(entry, place[-1])
    return made


def below(place, name: str, depth: int) -> bool:
    """Say whether a place is at least `depth` levels below the field `name`."""
    return name in place and len(place) - 1 - place.index(name) >= depth


def may_be_anything(place) -> bool:
    """Settings of a study, versions and cells of tables; and a list of objects is what a table is."""
    chosen = any(below(place, name, 1) for name in ("versions", "machine", "tables"))
    return chosen or (place[0] == "studies" and below(place, "settings", 1))


def may_be_missing(place) -> bool:
    """Names that a verification chooses, and fields that verdicts of earlier versions lack."""
    later = place[-1] in ("power", "units", "p", "adjusted") or (place[0] == "claims" and place[-1] == "settings")
    return may_be_anything(place) or later or (below(place, "studies", 1) and len(place) == 2)


PLACES = list(places(document()))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_a_missing_field_is_named(tmp_path, place):
    made = changed(place, lambda entry, name: entry.pop(name))
    (tmp_path / "verdicts.json").write_text(as_stored(made))
    if may_be_missing(place):
        read_results(tmp_path)
    else:
        assert str(place[-1]) in complaint(tmp_path)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_a_value_of_another_kind_is_named(tmp_path, place):
    """An object in a list, of a kind that no field has."""
    made = changed(place, lambda entry, name: entry.update({name: [{"x": [None]}]}))
    (tmp_path / "verdicts.json").write_text(as_stored(made))
    if may_be_anything(place):
        read_results(tmp_path)
    else:  # a study has a name of the user's choice, which may be long: it is written as studies[...]
        assert str(place[0] if len(place) == 2 else place[-1]) in complaint(tmp_path)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (claim("A", "proved"), "Invalid enum value 'proved' - at `claims[0].outcome`"),
        (claim("A", "supported", findings=[{"outcome": "proved"}]), "claims[0].findings[0].outcome"),
        (
            claim("A", "supported", measures=[{"kind": "guess"}]),
            "Invalid value 'guess' - at `claims[0].measures[0].kind`",
        ),
        (
            claim("A", "supported", measures=[estimate("x", seeds=-1)]),
            "Expected `int` >= 0 - at `claims[0].measures[0].seeds`",
        ),
        (
            claim("A", "supported", measures=[estimate("x", value=True)]),
            "got `bool` - at `claims[0].measures[0].value`",
        ),
        (claim("A", "supported", tables={"t": [3]}), "Expected `object`, got `int` - at `claims[0].tables[...][0]`"),
        (claim("A", "supported", tables={"a\nb" * 999: 3}), "Expected `array`, got `int`"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, entry, words):
    assert words in complaint(verification(tmp_path, entry))


def test_a_claim_that_is_there_twice(tmp_path):
    assert "claim A b is there twice" in complaint(verification(tmp_path, *[claim("A\nb", "supported")] * 2))
    assert "claim A is there twice" in complaint(verification(tmp_path, *[claim("A", "supported")] * 2))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (estimate("x", low=-0.1, high=-0.3), "low <= value <= high"),
        (estimate("x", value=0.5), "low <= value <= high"),
        (estimate("x", value=None), "low <= value <= high"),
        (estimate("x", low=None), "low <= value <= high"),
        (estimate("x", high=float("inf")), "finite"),
        (estimate("x", seeds=0), "at least one seed"),
        ({"kind": "count", "failures": 0, "trials": 0}, "at least one trial"),
        ({"kind": "count", "failures": 2, "trials": 1}, "failures <= trials"),
        ({"kind": "count", "failures": 1, "trials": 9, "settings": [[1, 4], [0, 4]]}, "sum of its 2 settings"),
        ({"kind": "count", "failures": 1, "trials": 9, "settings": [[2, 4], [-1, 5]]}, "Expected `int` >= 0"),
    ],
)
def test_stored_evidence_is_held_to_what_evidence_must_be(tmp_path, measure, message):
    words = {"id": "x", "label": "x", "meaning": "", "span": "", "study": "", "note": ""}
    folder = verification(tmp_path, claim("A", "supported", measures=[words | measure]))
    assert message in complaint(folder)


@pytest.mark.parametrize(
    ("outcome", "findings"), [("supported", []), ("supported", ["refuted"]), ("refuted", ["supported", "inconclusive"])]
)
def test_a_stored_outcome_must_follow_from_its_findings(tmp_path, outcome, findings):
    entries = [{"outcome": one, "measure": "x", "label": "x", "rule": "", "why": ""} for one in findings]
    assert "its findings make it" in complaint(verification(tmp_path, claim("A", outcome, findings=entries)))
