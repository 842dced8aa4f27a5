"""Write paper_repro.md from stored results: `python -m proofs_numeric.page`.

Every number on the page comes from verdicts.json; the prose around them is in `texts/` and in the proofs' own texts.
With `--check` nothing is written, and the exit code shows whether the page is current. `proofs_numeric.publish` writes
the figures as well.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ntk1bit.claims import STANDINGS
from ntk1bit.claims.results import (
    ClaimEntry,
    EstimateEntry,
    FindingEntry,
    MissingError,
    NumberEntry,
    Results,
    read_results,
    table,
    worst_first,
)
from ntk1bit.errors import InputError
from ntk1bit.files import write_whole
from proofs_numeric import rivals, what_changed
from proofs_numeric.catalogue import proofs
from proofs_numeric.changes import FILE as CHANGES
from proofs_numeric.changes import number_or_none, numbers
from proofs_numeric.in_short import in_short
from proofs_numeric.proof import Proof

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "standard"
PAGE = ROOT / "paper_repro.md"

# Which figure of docs/figures stands in which claim's section.
FIGURES = {
    "C0": "limits",
    "Eq.5": "flip-probability",
    "C1b": "terms",
    "C1": "drift",
    "C1-K": "convergence",
    "C11-swing": "oscillation",
    "C11-phases": "phases",
    "C12": "oscillation-deep",
    "C2": "floor",
    "C3": "gap",
    "C3b": "flip-noise",
    "C4": "scaling",
    "4.4": "feed-forward",
    "C5": "deep-scaling",
    "C5-similar": "deep-similarity",
    "C6": "bitnet",
    "C7": "energy",
    "C9": "bitnet-as-written",
    "C13": "transformer-kernels",
}

_LONGEST_TABLE = 42  # rows; longer tables are in verdicts.json only
_TEXTS = Path(__file__).parent / "texts"


def render(results: Results, changed: pd.DataFrame | None = None, earlier: Mapping[str, str] | None = None) -> str:
    """Return the page for these results.

    Parameters
    ----------
    results
        What verdicts.json holds.
    changed
        What judging anew changed, as `proofs_numeric.changes` writes it; None for no such section.
    earlier
        The outcomes of an earlier form of the page; see `what_changed`.

    Raises
    ------
    InputError
        If the results lack a claim of the catalogue.
    """
    catalogue = proofs()
    there = {entry.id for entry in results.claims}
    missing = [name for name in catalogue if name not in there]
    if missing:
        command = f"ntk1bit verify --preset {results.preset} --publish"
        raise MissingError(f"the results lack {', '.join(missing)}; run: {command}")
    order = worst_first(results.claims)
    parts = [_text("introduction"), "## In short\n", *[f"- {line}" for line in in_short(results)], ""]
    parts += [_conditions(results), _verdict_table(order, results)]
    parts.append("## Claim by claim\n")
    written: dict[str, ClaimEntry] = {}  # by the module of a derivation: the claim in whose section it stands
    for entry in order:
        proof = catalogue[entry.id]
        parts.append(_section(proof, entry, results, shared=written.get(proof.module)))
        written.setdefault(proof.module, entry)
    parts += [rivals.section(results, _link), _text("deviations"), _studies(results)]
    parts.append(what_changed.section(results, earlier or {}))
    if changed is not None:
        parts.append(_changes(changed))
    return "\n".join(parts)


def _text(name: str) -> str:
    return (_TEXTS / f"{name}.md").read_text(encoding="utf-8")


def _conditions(results: Results) -> str:
    machine = results.machine
    lists = {"function", "kind"}  # settings of studies that are lists of experiments, not networks trained one by one
    networks = sum(study.cells for study in results.studies.values() if not lists & study.settings.keys())
    minutes = (results.seconds or 0) / machine["cores"] / 60
    libraries = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return (
        f"**Hardware and time.** Preset `{results.preset}`: {networks:,} networks trained on {machine['cores']} "
        f"cores of {machine['processor']} with {machine['memory_gb']:.0f} GB, {minutes:.0f} minutes; "
        f"made {results.made[:10]} with {libraries}. On another processor the last bits differ, and late in "
        "training 1-bit networks amplify them: single losses differ, statistics over seeds do not.\n\n"
        f"    make setup && .venv/bin/ntk1bit verify --preset {results.preset}      # everything, resumable\n"
        "    .venv/bin/ntk1bit verify --list                          # claims and rules\n"
    )


def _verdict_table(order: list[ClaimEntry], results: Results) -> str:
    counts = Counter(entry.standing for entry in order)
    lines = [f"## Verdicts ({results.preset})\n", "| verdict | claims | of them at these sizes | what it means |"]
    lines += ["|---|---|---|---|"]
    for name, meaning in STANDINGS.items():
        here = sum(entry.standing == name and entry.here for entry in order)
        lines.append(f"| {name} | {counts[name]} | {here} | {meaning} |")
    lines += ["", _family(order), "![All verdicts](docs/figures/verdicts.png)\n"]
    lines += ["| claim | source | what | verdict | with all others | because |", "|---|---|---|---|---|---|"]
    for entry in order:
        beside = "the same" if entry.family_wise == entry.outcome else entry.family_wise
        cells = [
            _link(entry),
            _cell(entry.source),
            _cell(entry.title),
            f"**{entry.words}**",
            beside,
            _cell(entry.reason),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _family(order: list[ClaimEntry]) -> str:
    """Say what remains of the verdicts once all criteria are judged as one family."""
    decisive = [finding for entry in order for finding in entry.findings]
    tested = sum(finding.p is not None for finding in decisive)
    open_now = [_link(entry) for entry in order if entry.family_wise != entry.outcome]
    changed = f"{len(open_now)} verdicts then are inconclusive: {', '.join(open_now)}" if open_now else "none changes"
    return (
        f"**With all others.** {len(decisive)} criteria decide, {tested} of them with a statistical error; at 95 % "
        "each, some would go astray by chance. The column judges these as one family, by Holm's steps on their "
        f"p-values, so that the chance of any false finding is at most 5 %: {changed}. A p-value from few seeds cannot "
        "be small, so that a claim judged on five can hardly stand there.\n"
    )


def _section(proof: Proof, entry: ClaimEntry, results: Results, *, shared: ClaimEntry | None) -> str:
    """Return a claim's section; its derivation may stand in the section of a claim that shares it."""
    lines = [f'<a id="{anchor(entry)}"></a>\n', f"### {entry.id}: {entry.title}: {entry.words}\n"]
    lines.append(f"*{entry.source}.* {_prose(entry.statement)}\n")
    lines.append(f"Assumed: {_prose(entry.assumptions)} Refuted by: {_prose(entry.refuted_by)}.\n")
    lines += [f"The numbers of the rule: {_prose(entry.ranges)}.\n"] if entry.ranges else []
    lines += [f"What limits it: {_prose('; '.join(entry.limits))}.\n"] if entry.limits else []
    if entry.id in FIGURES:
        lines.append(f"![{entry.title}](docs/figures/{FIGURES[entry.id]}.png)\n")
    lines += ["| | criterion | found | | p, adjusted | what this design could tell |", "|---|---|---|---|---|---|"]
    for kind, findings in (("rule", entry.findings), ("context", entry.context)):
        lines += [
            f"| {kind} | {_cell(finding.rule)} | {_cell(finding.why)} | {finding.outcome} | {_p_values(finding)} "
            f"| {_cell(finding.power)} |"
            for finding in findings
        ]
    lines += ["", *[f"- {_prose(remark)}" for remark in entry.remarks], ""]
    lines += _fold("All measurements", _measures(entry))
    for name, rows in entry.tables.items():
        if len(rows) <= _LONGEST_TABLE:
            lines += _fold(f"Table: {name}", _table(table(entry, name)))
    if shared is None:
        lines += _fold(f"Derivation and experiment (<code>{proof.module}</code>)", [argument(proof)])
    else:
        lines.append(f"Derivation and experiment: see {_link(shared)}.\n")
    seconds = sum(results.studies[name].seconds or 0 for name in proof.studies)
    minutes = max(seconds / results.machine["cores"] / 60, 1)
    command = f".venv/bin/ntk1bit verify {entry.id} --preset {results.preset}"
    lines.append(f"Again: `{command}` (about {minutes:.0f} minutes on the machine above).\n")
    return "\n".join(lines)


def _p_values(finding: FindingEntry) -> str:
    """Write the p-value of a finding, and the one that it has among all decisive ones."""
    if finding.p is None:
        return ""
    own = f"{finding.p:.2g}"
    return own if finding.adjusted is None else f"{own}, {finding.adjusted:.2g}"


def _fold(summary: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>\n", *lines, "\n</details>\n"]


def _measures(entry: ClaimEntry) -> list[str]:
    lines = ["| measure | value | range | over | study |", "|---|---|---|---|---|"]
    for measure in entry.measures:
        note = "" if isinstance(measure, NumberEntry) else measure.note
        seeds = f"{measure.seeds} {measure.units}" if isinstance(measure, EstimateEntry) else ""
        meaning = _cell(f"{measure.label}: {measure.meaning}" + (f" ({note})" if note else ""))
        lines.append(f"| {meaning} | {numbers(measure)} | {_cell(measure.span)} | {seeds} | {measure.study} |")
    return lines


def _table(frame: pd.DataFrame) -> list[str]:
    lines = [f"| {' | '.join(frame.columns)} |", "|---" * len(frame.columns) + "|"]
    for row in frame.itertuples(index=False):
        cells = [number_or_none(value) if isinstance(value, float) else _cell(str(value)) for value in row]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _studies(results: Results) -> str:
    lines = [
        "## The studies\n",
        "| study | purpose | networks or measurements | seconds of one core |",
        "|---|---|---|---|",
    ]
    for name, study in results.studies.items():
        lines.append(f"| {name} | {_cell(study.purpose)} | {study.cells:,} | {study.seconds or 0:,.0f} |")
    lines.append(
        "\nTheir settings are in `proofs_numeric/studies.py` and, as run, in `results/standard/verdicts.json`.\n"
    )
    return "\n".join(lines)


def _changes(changed: pd.DataFrame) -> str:
    verdicts = int(np.sum(changed["what"].to_numpy() == "verdict"))
    lines = [
        "## What judging anew changed\n",
        _text("changes"),
        *_fold(f"{verdicts} verdicts and {len(changed) - verdicts} findings and measures", _table(changed)),
    ]
    return "\n".join(lines)


def read_changes(folder: Path) -> pd.DataFrame | None:
    """Return the changes stored beside the verdicts of a folder, if any."""
    path = folder / CHANGES
    return pd.read_csv(path, keep_default_na=False) if path.is_file() else None


def argument(proof: Proof) -> str:
    """Return the derivation and the experiment that the proof's module describes: its text without the title."""
    text = inspect.cleandoc(getattr(inspect.getmodule(proof.evidence), "__doc__", None) or "")
    lines = text.partition("\n")[2].strip().splitlines()
    return "\n".join(line if line.startswith("    ") else _prose(line) for line in lines)


def anchor(entry: ClaimEntry) -> str:
    """Return the name that links to a claim's section."""
    return "claim-" + "".join(c if c.isalnum() else "-" for c in entry.id.lower())


def _link(entry: ClaimEntry) -> str:
    return f"[{entry.id}](#{anchor(entry)})"


def _prose(text: str) -> str:
    """Keep a reader from taking `<x, y>` for a tag, outside of code."""
    return "`".join(part if k % 2 else part.replace("<", "&lt;") for k, part in enumerate(text.split("`")))


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|").replace("\n", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proofs_numeric.page", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of verdicts.json")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    given = parser.parse_args(arguments)
    try:
        page = render(
            read_results(given.results), read_changes(given.results), what_changed.read_earlier(given.results)
        )
    except InputError as problem:
        print(f"proofs_numeric.page: {problem}", file=sys.stderr)
        return 2
    current = given.out.read_text(encoding="utf-8") if given.out.exists() else ""
    if given.check:
        if page != current:
            print(f"{given.out} is out of date; write it with: python -m proofs_numeric.page", file=sys.stderr)
        return int(page != current)
    write_whole(given.out, page.encode())
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
