"""verdicts.json: verdicts with their evidence, read with every field checked and written whole.

Its `digest` is that of all the rest: a number that somebody or something has changed is not taken for a result.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pandas as pd
import psutil
from msgspec import Meta, Struct

from ntk1bit.claims.claim import Claim, Verdict, combine, require_outcome, require_standing
from ntk1bit.claims.criteria import TAIL, Outcome
from ntk1bit.claims.evidence import Evidence, Measure, kind_of, stored_measure
from ntk1bit.claims.standing import STANDINGS, Standing, in_words
from ntk1bit.errors import InputError
from ntk1bit.experiments.store import versions
from ntk1bit.files import read_text, write_whole
from ntk1bit.processors import usable_processors
from ntk1bit.statistics import holm
from ntk1bit.statistics.jackknife import NETWORKS

FILE = "verdicts.json"
FORMAT = 4
_AGAIN = "make it again with: ntk1bit verify"
_LONGEST = 300  # characters of a complaint about a file, which may hold anything

Stored = int | float | None  # a number; null where there is none
Whole = Annotated[int, Meta(ge=0)]


class MissingError(InputError):
    """The results lack a claim, a table or a measure that somebody needs."""


class FindingEntry(Struct):
    """A criterion and what it says; `p` and `adjusted` as in `Finding` and `judge_together`."""

    outcome: Outcome
    measure: str
    label: str
    rule: str
    why: str
    power: str = ""
    p: Stored = None
    adjusted: Stored = None

    @property
    def family_wise(self) -> Outcome:
        """The outcome, if it still stands among all decisive criteria of its verdicts."""
        return self.outcome if self.adjusted is None or self.adjusted <= TAIL else "inconclusive"


class MeasureEntry(Struct, kw_only=True, tag_field="kind"):
    """A measure with its id, and the label that stands for it on a page."""

    id: str
    label: str

    def __post_init__(self) -> None:
        """Refuse numbers that are no measure of this kind."""
        self.measure()

    def measure(self) -> Measure:
        """Return it as evidence; nulls become NaN."""
        return stored_measure(msgspec.to_builtins(self))


class EstimateEntry(MeasureEntry, kw_only=True, tag="estimate"):
    """A stored `IntervalEstimate`."""

    meaning: str
    value: Stored
    low: Stored
    high: Stored
    seeds: Whole
    span: str
    study: str
    note: str
    units: str = NETWORKS


class CountEntry(MeasureEntry, kw_only=True, tag="count"):
    """A stored `Count`."""

    meaning: str
    failures: Whole
    trials: Whole
    span: str
    study: str
    note: str
    settings: list[tuple[Whole, Whole]] = []


class NumberEntry(MeasureEntry, kw_only=True, tag="number"):
    """A stored `Number`."""

    meaning: str
    value: Stored
    span: str
    study: str


class ClaimEntry(Struct, kw_only=True):
    """A claim with its verdict and evidence; its tables are lists of rows."""

    id: str
    title: str
    statement: str
    source: str
    assumptions: str
    refuted_by: str
    rule: str
    ranges: str
    outcome: Outcome
    standing: Standing
    limits: list[str]
    reason: str
    findings: list[FindingEntry]
    context: list[FindingEntry]
    measures: list[EstimateEntry | CountEntry | NumberEntry]
    tables: dict[str, list[dict[str, Any]]]
    remarks: list[str]

    def __post_init__(self) -> None:
        """Refuse an outcome that the claim's own findings do not give, and two measures of one id."""
        require_outcome(self.id, self.outcome, [finding.outcome for finding in self.findings])
        require_standing(self.id, self.standing, self.outcome)
        Evidence(tuple(entry.measure() for entry in self.measures))

    @property
    def words(self) -> str:
        """The verdict in words: its standing, *at these sizes* where that is so."""
        return in_words(self.standing, self.limits)

    @property
    def here(self) -> bool:
        """Whether the verdict is one *at these sizes*."""
        return self.words != self.standing

    @property
    def family_wise(self) -> Outcome:
        """The outcome of the rule with findings that still stand among all decisive criteria of these verdicts."""
        return combine(finding.family_wise for finding in self.findings)


class StudyEntry(Struct, kw_only=True):
    """A study behind the evidence; `seconds` of one processor."""

    purpose: str
    settings: dict[str, Any]
    cells: Whole
    seconds: Stored


class Results(Struct, kw_only=True):
    """What verdicts.json holds; `seconds` are those of one processor, over all studies."""

    format: int
    preset: str
    made: str
    seconds: Stored
    versions: dict[str, Any]
    machine: dict[str, Any]
    studies: dict[str, StudyEntry]
    claims: list[ClaimEntry]

    def __post_init__(self) -> None:
        """Refuse a claim that is there twice."""
        ids = [claim.id for claim in self.claims]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"claim {twice} is there twice")

    def claim(self, name: str) -> ClaimEntry:
        """Return the entry of a claim.

        Raises
        ------
        MissingError
            If the results lack it.
        """
        for entry in self.claims:
            if entry.id == name:
                return entry
        raise MissingError(f"the results lack claim {name}; run: ntk1bit verify {name}")


def read_results(folder: Path | str) -> Results:
    """Read and check the verdicts.json of a folder.

    Raises
    ------
    InputError
        If it is missing, damaged, altered, or of another format; the message names the file and the place in it.
    """
    path = Path(folder) / FILE
    if not path.exists():
        raise InputError(f"{folder} has no {FILE}; make it with: ntk1bit verify --out {folder}")
    try:
        content = json.loads(read_text(path))
    except InputError as problem:
        raise InputError(f"{problem}, or {_AGAIN}") from None
    except (ValueError, RecursionError) as problem:  # not JSON, or a number of thousands of digits
        raise InputError(f"{path} is damaged ({_short(problem)}); {_AGAIN}") from None
    if not isinstance(content, dict) or "format" not in content:
        raise InputError(f"{path} does not hold verdicts (it has no format); {_AGAIN}")
    if content["format"] != FORMAT:
        raise InputError(f"{path} has format {str(content['format'])[:40]}, this version reads {FORMAT}; {_AGAIN}")
    digest = content.pop("digest", None)
    try:
        results = msgspec.convert(content, Results)
    except msgspec.ValidationError as problem:
        raise InputError(f"{path} is damaged: {_short(problem)}; {_AGAIN}") from None
    if digest != digest_of(content):
        raise InputError(f"{path} has been altered: its contents do not match their digest; {_AGAIN}")
    return results


def write_results(results: Results, folder: Path | str) -> Path:
    """Write verdicts.json: all of it or nothing."""
    folder = Path(folder)
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    content = msgspec.to_builtins(results)
    content["digest"] = digest_of(content)
    write_whole(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    return path


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what verdicts.json holds, but for the digest in it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def claim_entry(claim: Claim, verdict: Verdict, evidence: Evidence) -> ClaimEntry:
    """Return a claim with its verdict and evidence as they are stored: measures have labels, numbers six digits."""
    entry = verdict.as_dict() | {
        "measures": [
            {"kind": kind_of(measure), "label": claim.label(measure.id)} | asdict(measure)
            for measure in evidence.measures
        ],
        "tables": {name: frame.to_dict("records") for name, frame in evidence.tables.items()},
        "remarks": evidence.remarks,
    }
    return msgspec.convert(_plain(entry), ClaimEntry)


def document(preset: str, studies: Mapping[str, StudyEntry], claims: list[ClaimEntry]) -> Results:
    """Put together what verdicts.json holds; claims are judged together and sorted, refuted ones first."""
    return Results(
        format=FORMAT,
        preset=preset,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(sum(float(study.seconds or 0) for study in studies.values()), 1),
        versions=versions(),
        machine={
            "processor": _processor(),
            "cores": usable_processors(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        },
        studies=dict(studies),
        claims=judge_together(claims),
    )


def judge_together(claims: Iterable[ClaimEntry]) -> list[ClaimEntry]:
    """Return claims with their findings adjusted for being many, sorted by standing, refuted ones first.

    The family is all decisive criteria with a statistical error. Each has one p-value, of the direction that it found:
    of the two hypotheses of a criterion, that the value lies inside and that it lies outside, one is true, so that as
    many are true as there are criteria, and Holm's steps (1979) over these p-values keep the chance of any false
    finding at most the level (Shaffer 1986, on hypotheses of which some exclude others).
    """
    claims = list(claims)
    family = [finding for entry in claims for finding in entry.findings if finding.p is not None]
    adjusted = holm([float(finding.p or 0.0) for finding in family])
    for finding, p in zip(family, adjusted, strict=True):
        finding.adjusted = float(f"{p:.6g}")
    return worst_first(claims)


def worst_first(claims: Iterable[ClaimEntry]) -> list[ClaimEntry]:
    """Return claims in the order of `STANDINGS`: refuted ones first."""
    order = list(STANDINGS)
    return sorted(claims, key=lambda entry: order.index(entry.standing))


def study_entry(**fields: Any) -> StudyEntry:
    """Return a study as it is stored, from its fields with numbers of NumPy or Python."""
    return msgspec.convert(_plain(fields), StudyEntry)


def evidence_of(entry: ClaimEntry) -> Evidence:
    """Return the evidence of a claim's entry, so that a rule can be applied to it again; nulls become NaN."""
    tables = {name: table(entry, name) for name in entry.tables}
    return Evidence(tuple(measure.measure() for measure in entry.measures), tables, tuple(entry.remarks))


def table(entry: ClaimEntry, name: str) -> pd.DataFrame:
    """Return a table of a claim's entry as a frame.

    Raises
    ------
    MissingError
        If the claim has no table of this name.
    """
    if name not in entry.tables:
        raise MissingError(f"claim {entry.id} has no table {name!r}; it has: {', '.join(entry.tables) or 'none'}")
    return pd.DataFrame(entry.tables[name])


def measure(entry: ClaimEntry, name: str) -> EstimateEntry | CountEntry | NumberEntry:
    """Return the measure of a claim's entry with this id.

    Raises
    ------
    MissingError
        If the claim has no such measure.
    """
    for stored in entry.measures:
        if stored.id == name:
            return stored
    raise MissingError(f"claim {entry.id} has no measure {name!r}")


def _plain(value: Any) -> Any:
    """Turn NumPy numbers into Python's, round floats to six digits, and NaN and infinity into null."""
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _short(problem: Exception) -> str:
    """Return what is wrong on one line of limited length, with the place written as in JSON: claims[0].outcome."""
    return " ".join(str(problem).replace("`$.", "`").split())[:_LONGEST]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
