"""Reading verdicts.json: every field that a page shows is checked, and what is wrong is told in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from ntk1bit.claims import OUTCOMES, Evidence
from ntk1bit.claims.claim import require_outcome
from ntk1bit.claims.evidence import stored_measure
from ntk1bit.errors import InputError
from ntk1bit.files import read_text

FILE = "verdicts.json"
FORMAT = 2
_AGAIN = "make it again with: ntk1bit verify"

Number = int | float | None


class FindingEntry(TypedDict):
    """A criterion and what it says."""

    outcome: str
    measure: str
    label: str
    rule: str
    why: str


class MeasureEntry(TypedDict, total=False):
    """An estimate, a count or a number; which fields it has follows from its kind."""

    kind: Literal["estimate", "count", "number"]
    id: str
    label: str
    meaning: str
    value: Number
    low: Number
    high: Number
    seeds: int
    failures: int
    trials: int
    span: str
    study: str
    note: str


class ClaimEntry(TypedDict):
    """A claim with its verdict and evidence."""

    id: str
    title: str
    statement: str
    source: str
    assumptions: str
    refuted_by: str
    rule: str
    outcome: str
    reason: str
    findings: list[FindingEntry]
    context: list[FindingEntry]
    measures: list[MeasureEntry]
    tables: dict[str, list[dict[str, Any]]]
    remarks: list[str]


class StudyEntry(TypedDict):
    """A study behind the evidence."""

    purpose: str
    settings: dict[str, Any]
    cells: int
    seconds: Number


class Verdicts(TypedDict):
    """What verdicts.json holds."""

    format: int
    preset: str
    made: str
    seconds: Number
    versions: dict[str, Any]
    machine: dict[str, Any]
    studies: dict[str, StudyEntry]
    claims: list[ClaimEntry]


def read_verdicts(folder: Path) -> Verdicts:
    """Read and check the verdicts.json of a verification folder.

    Raises
    ------
    InputError
        If it is missing, damaged or of another format, or lacks something; the message names the place.
    """
    path = folder / FILE
    if not path.exists():
        raise InputError(f"{folder} has no {FILE}; make it with: ntk1bit verify --out {folder}")
    try:
        found = json.loads(read_text(path))
    except InputError as problem:
        raise InputError(f"{problem}, or {_AGAIN}") from None
    except (ValueError, RecursionError) as problem:  # not JSON, or a number of thousands of digits
        reason = " ".join(str(problem).split())[:120]
        raise InputError(f"{path} is damaged ({reason}); {_AGAIN}") from None
    if not isinstance(found, dict) or "format" not in found:
        raise InputError(f"{path} does not hold verdicts (it has no format); {_AGAIN}")
    if found["format"] != FORMAT:
        raise InputError(f"{path} has format {str(found['format'])[:40]}, this version reads {FORMAT}; {_AGAIN}")
    try:
        _check(found, _VERDICTS, "")
        _require_one_of_each(found["claims"])
        for claim in found["claims"]:
            _require_evidence(claim)
    except InputError as problem:
        raise InputError(f"{path} is damaged: {problem}; {_AGAIN}") from None
    return cast(Verdicts, found)


# A shape says what a value has to be: a check of its own, a dict of fields, a list of one shape, or one of the two
# classes below. Fields that are not named may be there and are not looked at.
_Check = Callable[[object], str]  # what is wanted instead, or nothing


@dataclass(frozen=True)
class _Each:
    """A dict whose keys are names and whose values have one shape."""

    shape: object


@dataclass(frozen=True)
class _ByKind:
    """A dict whose field ``kind`` says which other fields it has."""

    kinds: dict[str, dict[str, _Check]]


def _word(value: object) -> str:
    return "" if isinstance(value, str) else "text"


def _count(value: object) -> str:
    return "" if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else "a whole number from 0"


def _number(value: object) -> str:
    sound = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return "" if sound else "a number or null"


def _outcome(value: object) -> str:
    return "" if value in OUTCOMES else f"one of {', '.join(OUTCOMES)}"


def _anything(value: object) -> str:  # noqa: ARG001 - a check that never objects
    return ""


_FINDING = {"outcome": _outcome, "measure": _word, "label": _word, "rule": _word, "why": _word}
_ANY_MEASURE = {"id": _word, "label": _word, "meaning": _word, "span": _word, "study": _word}
_MEASURE = _ByKind(
    {
        "estimate": _ANY_MEASURE | {"value": _number, "low": _number, "high": _number, "seeds": _count, "note": _word},
        "count": _ANY_MEASURE | {"failures": _count, "trials": _count, "note": _word},
        "number": _ANY_MEASURE | {"value": _number},
    }
)
_WORDS = ("id", "title", "statement", "source", "assumptions", "refuted_by", "rule", "reason")
_CLAIM: dict[str, object] = {
    **dict.fromkeys(_WORDS, _word),
    "outcome": _outcome,
    "findings": [_FINDING],
    "context": [_FINDING],
    "measures": [_MEASURE],
    "tables": _Each([_Each(_anything)]),
    "remarks": [_word],
}
_STUDY = {"purpose": _word, "settings": _Each(_anything), "cells": _count, "seconds": _number}
_VERDICTS: dict[str, object] = {
    "preset": _word,
    "made": _word,
    "seconds": _number,
    "versions": _Each(_anything),
    "machine": _Each(_anything),
    "studies": _Each(_STUDY),
    "claims": [_CLAIM],
}


def _check(value: object, shape: object, where: str) -> None:
    """Raise `InputError` at the first place where a value does not have its shape."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise InputError(f"{where or 'it'} is not a list")
        for i, entry in enumerate(value):
            _check(entry, shape[0], f"{where}[{i}]")
    elif isinstance(shape, dict | _Each | _ByKind):
        if not isinstance(value, dict):
            raise InputError(f"{where or 'it'} is not an object with named fields")
        if isinstance(shape, _ByKind):
            kind = value.get("kind")
            if not isinstance(kind, str) or kind not in shape.kinds:
                raise InputError(f"{where}.kind is not one of {', '.join(shape.kinds)}")
            shape = shape.kinds[kind]
        fields = dict.fromkeys(value, shape.shape) if isinstance(shape, _Each) else shape
        for name, field in fields.items():
            short = " ".join(str(name).split())[:60]  # names of studies and tables are free
            place = f"{where}.{short}" if where else short
            if name not in value:
                raise InputError(f"{place} is missing")
            _check(value[name], field, place)
    else:
        wanted = cast(_Check, shape)(value)
        if wanted:
            raise InputError(f"{where} is not {wanted}")


def _require_one_of_each(claims: list[dict[str, Any]]) -> None:
    ids = [claim["id"] for claim in claims]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise InputError(f"claim {' '.join(twice[0].split())[:60]} is there twice")


def _require_evidence(claim: dict[str, Any]) -> None:
    """Refuse measures that are none, and an outcome that the claim's own findings do not give."""
    try:
        Evidence(tuple(map(stored_measure, claim["measures"])))
        require_outcome(claim["id"], claim["outcome"], [one["outcome"] for one in claim["findings"]])
    except InputError as problem:
        name, why = (" ".join(words.split()) for words in (claim["id"], str(problem)))
        raise InputError(f"claim {name[:60]}: {why[:200]}") from None
