"""verdicts.json: verdicts with their evidence as plain data, written whole; `verdict_file` reads it."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from ntk1bit.claims import OUTCOMES, Claim, Evidence, Verdict
from ntk1bit.claims.evidence import kind_of, stored_measure
from ntk1bit.claims.verdict_file import FILE, FORMAT, read_verdicts
from ntk1bit.errors import InputError
from ntk1bit.experiments.store import versions
from ntk1bit.files import write_whole
from ntk1bit.processors import usable_processors


def claim_entry(claim: Claim, verdict: Verdict, evidence: Evidence) -> dict[str, Any]:
    """Return a claim with its verdict and evidence as plain data; its measures with their labels."""
    about = ("id", "title", "statement", "source", "assumptions", "refuted_by", "rule")
    return {name: getattr(claim, name) for name in about} | {
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "findings": [asdict(one) for one in verdict.findings],
        "context": [asdict(one) for one in verdict.context],
        "measures": [
            {"kind": kind_of(one), "id": one.id, "label": claim.label(one.id)} | asdict(one)
            for one in evidence.measures
        ],
        "tables": {name: _records(table) for name, table in evidence.tables.items()},
        "remarks": list(evidence.remarks),
    }


def document(preset: str, studies: dict[str, dict[str, Any]], claims: list[dict[str, Any]]) -> dict[str, Any]:
    """Put together what verdicts.json holds; its `seconds` are those of one core, over all studies."""
    return plain(
        {
            "format": FORMAT,
            "preset": preset,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(sum(float(one["seconds"]) for one in studies.values()), 1),
            "versions": versions(),
            "machine": {
                "processor": _processor(),
                "cores": usable_processors(),
                "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            },
            "studies": studies,
            "claims": sorted(claims, key=lambda entry: OUTCOMES.index(entry["outcome"])),
        }
    )


def write_results(results: dict[str, Any], folder: Path) -> Path:
    """Write verdicts.json: all of it or nothing."""
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
    return path


def read_results(folder: Path) -> dict[str, Any]:
    """Read and check the verdicts.json of a folder.

    Raises
    ------
    InputError
        If it is missing, damaged, or of another format.
    """
    return dict(read_verdicts(folder))


def evidence_of(entry: dict[str, Any]) -> Evidence:
    """Return the evidence of a claim's entry, so that a rule can be applied to it again; nulls become NaN."""
    made = tuple(map(stored_measure, entry["measures"]))
    return Evidence(made, {name: table(entry, name) for name in entry["tables"]}, tuple(entry["remarks"]))


def table(entry: dict[str, Any], name: str) -> pd.DataFrame:
    """Return a table of a claim's entry as a frame.

    Raises
    ------
    InputError
        If the claim has no table of this name.
    """
    if name not in entry["tables"]:
        raise InputError(f"claim {entry['id']} has no table {name!r}; it has: {', '.join(entry['tables']) or 'none'}")
    return pd.DataFrame(entry["tables"][name])


def measure(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a measure of a claim's entry.

    Raises
    ------
    InputError
        If the claim has no measure of this id.
    """
    for one in entry["measures"]:
        if one["id"] == name:
            return one
    raise InputError(f"claim {entry['id']} has no measure {name!r}")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def plain(value: Any) -> Any:
    """Turn NumPy numbers into Python's, round floats to six digits, and NaN and infinity into null."""
    if isinstance(value, dict):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
