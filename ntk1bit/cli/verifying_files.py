"""`ntk1bit verify` on claim files: what runs, three lines for each verdict, and the page."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ntk1bit.claims.claim import verdict_text
from ntk1bit.claims.claim_files import ENDINGS, ClaimFile, read_claim_file
from ntk1bit.claims.results import FILE, ClaimEntry, Results
from ntk1bit.claims.verification import OWN, ClaimStudy, earlier_results, plan_files, verify_files
from ntk1bit.cli.lists import read_seeds
from ntk1bit.cli.options import Running
from ntk1bit.cli.planning import forecast, print_forecast
from ntk1bit.cli.progress import clock, progress_bar, resumable
from ntk1bit.cli.running import workers_of
from ntk1bit.cli.tables import print_table, say
from ntk1bit.errors import InputError
from ntk1bit.printing import plain
from ntk1bit.reports import write_report

_COLUMNS = 100  # of what is printed


def split_words(words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Tell the words of a command line apart: claim files, run folders, and everything else: names of claims."""
    files, runs, names = [], [], []
    for word in words:
        path = Path(word)
        if path.suffix.lower() in ENDINGS or path.is_file():
            files.append(word)
        elif (path / "spec.toml").is_file() or (path.is_dir() and len(path.parts) > 1):
            runs.append(word)
        else:
            names.append(word)
    return files, runs, names


def print_claims(files: Sequence[str]) -> int:
    """List the claims of files with their rules."""
    for one in map(read_claim_file, files):
        print(plain(f"{one.claim.id}: {one.claim.title} ({one.path})"))
        for part in (one.claim.statement, f"rule: {one.rule_on(one.sweep)}"):
            print(textwrap.fill(plain(part), width=_COLUMNS, initial_indent="    ", subsequent_indent="    "))
    return 0


def run(
    words: tuple[list[str], list[str], list[str]],
    *,
    preset: str | None,
    out: Path | None,
    seeds: str | None,
    running: Running,
    dry_run: bool,
    as_json: bool,
    publish: bool,
) -> int:
    """Judge the claims of files, store the verdicts and write the page; return the exit code."""
    files, runs, _ = words
    require_claims(words)
    for given, option in ((preset, "--preset"), (publish, "--publish")):
        if given:
            raise InputError(
                f"{option} is for the claims of the documents; a claim file says itself what it is judged on"
            )
    claims = [read_claim_file(one) for one in files]
    folder = out or Path("runs") / f"verify-{'+'.join(dict.fromkeys(one.path.stem for one in claims))}"
    studies, remarks = plan_files(
        claims, folder, run=runs[0] if runs else None, seeds=() if seeds is None else read_seeds(seeds)
    )
    earlier_results(folder, OWN)  # refuses a folder that holds something else, before anything is said
    workers = workers_of(running)
    say(*remarks)
    if dry_run:
        _print_plan(studies, folder, workers.places)
        return 0
    with resumable(folder), progress_bar() as bar, workers.opened(note=say) as executor:
        results = verify_files(studies, folder, executor=executor, memory=workers.memory, progress=bar, note=say)
    page = write_report(folder)
    entries = _judged(results, claims)
    if as_json:
        print_json(entries)
        return 0
    for entry in entries:
        print(plain(verdict_text(msgspec.to_builtins(entry)), keep="\n"), end="\n\n")
    print(plain(f"page: {page}\nverdicts and evidence: {folder / FILE}", keep="\n"))
    return 0


def print_json(entries: Sequence[ClaimEntry]) -> None:
    """Print verdicts with their evidence as JSON."""
    print(json.dumps([msgspec.to_builtins(one) for one in entries], indent=1, allow_nan=False))


def _judged(results: Results, claims: Sequence[ClaimFile]) -> list[ClaimEntry]:
    """Return the entries of these claims, in the order of their files."""
    return [results.claim(one.claim.id) for one in claims]


def require_claims(words: tuple[list[str], list[str], list[str]]) -> None:
    """Refuse words that do not go together; see `split_words`."""
    files, runs, names = words
    if not files:
        raise InputError(f"{runs[0]} is a run; name the claim as well, as in: ntk1bit verify my_claim.toml {runs[0]}")
    if names:
        word = names[0]
        raise InputError(
            f"{word!r} is no claim file (it would end in .toml or .py) and no run folder; "
            "claims of the documents, such as C1, are verified by a command of their own"
        )
    if len(runs) > 1:
        raise InputError(f"claims are judged on one run, got {len(runs)}: {', '.join(runs)}; give one of them")


def _print_plan(studies: Sequence[ClaimStudy], folder: Path, jobs: int) -> None:
    found = forecast([(one.specification, one.folder) for one in studies if one.to_run], jobs=jobs)
    times = iter([clock(found.seconds(run, jobs)) for run in found.runs])
    rows = []
    for one in studies:
        who = ", ".join(file.claim.id for file in one.files)
        rows.append([one.name, next(times) if one.to_run else "is read", who])
    print_table(["run", "time", "claims"], rows)
    for one in studies:
        for file in one.files:
            said = f"\n{file.claim.id}: {file.claim.title}\n    rule: {file.rule_on(one.specification)}"
            print(plain(said, keep="\n"))
    print()
    print_forecast(found, jobs=jobs, folder=folder)
