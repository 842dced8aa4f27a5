"""Write paper_repro.md from stored results: `python -m proofs_numeric.page`.

Every number on the page comes from verdicts.json; the prose around them is in `texts/` and in the proofs' own texts.
With `--check` nothing is written, and the exit code says whether the page is current.
"""

from __future__ import annotations

import argparse
import inspect
import math
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ntk1bit.claims import OUTCOMES
from ntk1bit.claims.criteria import number
from ntk1bit.claims.results import read_results, table
from ntk1bit.errors import InputError
from proofs_numeric.catalogue import proofs
from proofs_numeric.in_short import in_short
from proofs_numeric.proof import Proof

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "standard"
PAGE = ROOT / "paper_repro.md"

# Which picture of docs/figures stands in which claim's section.
FIGURES = {
    "C0": "limits",
    "Eq.5": "flip-probability",
    "C1b": "terms",
    "C1": "drift",
    "C1-K": "convergence",
    "C2": "floor",
    "C3": "gap",
    "C3b": "flip-noise",
    "C4": "scaling",
    "4.4": "feed-forward",
    "C5": "deep-scaling",
    "C5-similar": "deep-similarity",
    "C6": "bitnet",
    "C7": "energy",
}

_LONGEST_TABLE = 42  # rows; longer tables are in verdicts.json only
_TEXTS = Path(__file__).parent / "texts"


def render(results: dict[str, Any]) -> str:
    """Return the page for these results.

    Raises
    ------
    InputError
        If the results lack a claim of the catalogue.
    """
    entries = {entry["id"]: entry for entry in results["claims"]}
    catalogue = proofs()
    missing = [name for name in catalogue if name not in entries]
    if missing:
        raise InputError(
            f"the results lack {', '.join(missing)}; run: ntk1bit verify --preset {results['preset']}, and copy its "
            "verdicts.json"
        )
    order = [entry for outcome in OUTCOMES for entry in entries.values() if entry["outcome"] == outcome]
    said = in_short({entry["id"]: entry["outcome"] for entry in order})
    parts = [_text("introduction"), "## In short\n", *[f"- {one}" for one in said], ""]
    parts += [_conditions(results), _verdict_table(order, results)]
    parts.append("## Claim by claim\n")
    parts += [_section(catalogue[entry["id"]], entry, results) for entry in order]
    parts += [_text("deviations"), _studies(results)]
    return "\n".join(parts)


def _text(name: str) -> str:
    return (_TEXTS / f"{name}.md").read_text(encoding="utf-8")


def _conditions(results: dict[str, Any]) -> str:
    machine, versions = results["machine"], results["versions"]
    networks = sum(one["cells"] for one in results["studies"].values() if not str(one["settings"].get("function", "")))
    minutes = results["seconds"] / machine["cores"] / 60
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"**Hardware and time.** Preset `{results['preset']}`: {networks:,} networks trained on {machine['cores']} "
        f"cores of {machine['processor']} with {machine['memory_gb']:.0f} GB, {minutes:.0f} minutes; "
        f"made {results['made'][:10]} with {libraries}. On another processor the last bits differ, and late in "
        "training 1-bit networks amplify them: single losses differ, statistics over seeds do not.\n\n"
        f"    make setup && .venv/bin/ntk1bit verify --preset {results['preset']}      # everything, resumable\n"
        "    .venv/bin/ntk1bit verify --list                          # claims and rules\n"
    )


def _verdict_table(order: list[dict[str, Any]], results: dict[str, Any]) -> str:
    counts = {name: sum(entry["outcome"] == name for entry in order) for name in OUTCOMES}
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    lines = [f"## Verdicts ({results['preset']}): {told}\n", "![All verdicts](docs/figures/verdicts.png)\n"]
    lines += ["| claim | source | what | verdict | because |", "|---|---|---|---|---|"]
    for entry in order:
        link = f"[{entry['id']}](#{anchor(entry)})"
        lines.append(
            f"| {link} | {_cell(entry['source'])} | {_cell(entry['title'])} | **{entry['outcome']}** | "
            f"{_cell(entry['reason'])} |"
        )
    return "\n".join(lines) + "\n"


def _section(proof: Proof, entry: dict[str, Any], results: dict[str, Any]) -> str:
    lines = [f'<a id="{anchor(entry)}"></a>\n', f"### {entry['id']}: {entry['title']}: {entry['outcome']}\n"]
    lines.append(f"*{entry['source']}.* {_prose(entry['statement'])}\n")
    assumed, refuted = _prose(entry["assumptions"]), _prose(entry["refuted_by"])
    lines.append(f"Assumed: {assumed} Refuted by: {refuted}.\n")
    if entry["id"] in FIGURES:
        name = FIGURES[entry["id"]]
        lines.append(f"![{entry['title']}](docs/figures/{name}.png)\n")
    lines += ["| | criterion | found | |", "|---|---|---|---|"]
    for kind, findings in (("rule", entry["findings"]), ("context", entry["context"])):
        lines += [f"| {kind} | {_cell(one['rule'])} | {_cell(one['why'])} | {one['outcome']} |" for one in findings]
    lines += ["", *[f"- {_prose(remark)}" for remark in entry["remarks"]], ""]
    lines += ["<details><summary>All measurements</summary>\n", *_measures(entry), "\n</details>\n"]
    for name in entry["tables"]:
        if len(entry["tables"][name]) <= _LONGEST_TABLE:
            lines += [f"<details><summary>Table: {name}</summary>\n", *_table(table(entry, name)), "\n</details>\n"]
    lines += [f"<details><summary>Derivation and experiment (<code>{proof.module}</code>)</summary>\n"]
    lines += [argument(proof), "\n</details>\n"]
    minutes = sum(results["studies"][name]["seconds"] for name in proof.studies) / results["machine"]["cores"] / 60
    command = f".venv/bin/ntk1bit verify {entry['id']} --preset {results['preset']}"
    lines.append(f"Again: `{command}` (about {max(minutes, 1):.0f} minutes on the machine above).\n")
    return "\n".join(lines)


def _measures(entry: dict[str, Any]) -> list[str]:
    lines = ["| measure | value | range | seeds | study |", "|---|---|---|---|---|"]
    for one in entry["measures"]:
        if one["kind"] == "count":
            value, seeds = f"{one['failures']:,} of {one['trials']:,}", ""
        elif one["kind"] == "number":
            value, seeds = _number(one["value"]), ""
        else:
            value = f"{_number(one['value'])} [{_number(one['low'])}, {_number(one['high'])}]"
            seeds = str(one["seeds"])
        note = f" ({one['note']})" if one.get("note") else ""
        meaning = f"{one['label']}: {one['meaning']}{note}"
        lines.append(f"| {_cell(meaning)} | {value} | {_cell(one['span'])} | {seeds} | {one['study']} |")
    return lines


def _table(frame: pd.DataFrame) -> list[str]:
    lines = [f"| {' | '.join(frame.columns)} |", "|---" * len(frame.columns) + "|"]
    for row in frame.itertuples(index=False):
        cells = [_number(one) if isinstance(one, float) else _cell(str(one)) for one in row]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _studies(results: dict[str, Any]) -> str:
    lines = [
        "## The studies\n",
        "| study | purpose | networks or measurements | seconds of one core |",
        "|---|---|---|---|",
    ]
    for name, one in results["studies"].items():
        lines.append(f"| {name} | {_cell(one['purpose'])} | {one['cells']:,} | {one['seconds']:,.0f} |")
    lines.append(
        "\nTheir settings are in `proofs_numeric/studies.py` and, as run, in `results/standard/verdicts.json`.\n"
    )
    return "\n".join(lines)


def argument(proof: Proof) -> str:
    """Return what the proof's module says: its text without the title."""
    text = inspect.cleandoc(import_module(proof.module).__doc__ or "")
    lines = text.partition("\n")[2].strip().splitlines()
    return "\n".join(line if line.startswith("    ") else _prose(line) for line in lines)


def anchor(entry: dict[str, Any]) -> str:
    """Return the name that links to a claim's section."""
    return "claim-" + "".join(c if c.isalnum() else "-" for c in entry["id"].lower())


def _prose(text: str) -> str:
    """Keep a reader from taking `<x, y>` for a tag, outside of code."""
    return "`".join(part if k % 2 else part.replace("<", "&lt;") for k, part in enumerate(text.split("`")))


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|").replace("\n", " ")


def _number(value: float | None) -> str:
    return "none" if value is None or not math.isfinite(value) else number(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proofs_numeric.page", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of verdicts.json")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    given = parser.parse_args(arguments)
    try:
        page = render(read_results(given.results))
    except InputError as problem:
        print(f"proofs_numeric.page: {problem}", file=sys.stderr)
        return 2
    current = given.out.read_text(encoding="utf-8") if given.out.exists() else ""
    if given.check:
        if page != current:
            print(f"{given.out} is out of date; write it with: python -m proofs_numeric.page", file=sys.stderr)
        return int(page != current)
    given.out.write_text(page, encoding="utf-8")
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
