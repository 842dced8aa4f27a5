"""What `ntk1bit verify` shows: the claims, the progress, the verdict table."""

from __future__ import annotations

import importlib.util
import shutil
import textwrap
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ntk1bit.cli import verifying_files
from ntk1bit.cli.lists import read_seeds
from ntk1bit.cli.options import Running
from ntk1bit.cli.planning import forecast, print_forecast
from ntk1bit.cli.progress import clock, progress_bar, resumable
from ntk1bit.cli.running import workers_of
from ntk1bit.cli.tables import print_paths, print_table, say
from ntk1bit.errors import InputError

if TYPE_CHECKING:
    from ntk1bit.claims.results import ClaimEntry

_PRESET = "quick"
_NARROWEST = 40  # columns for the words of a table, however narrow the terminal
_PIPED = 160  # columns when nobody watches


def print_claims(names: list[str]) -> int:
    """List claims with statement and rule."""
    files, _, _ = words = verifying_files.split_words(names)
    if files:
        verifying_files.require_claims(words)
        return verifying_files.print_claims(files)
    for one in _catalogue().choose(names).values():
        claim = one.claim
        print(f"{claim.id}: {claim.title} ({claim.source})")
        for part in (claim.statement, f"rule: {claim.rule}"):
            print(textwrap.fill(part, width=_columns(), initial_indent="    ", subsequent_indent="    "))
    return 0


def run(
    names: list[str],
    *,
    preset: str | None,
    out: Path | None,
    seeds: str | None,
    running: Running,
    dry_run: bool,
    as_json: bool = False,
    publish: bool = False,
) -> int:
    """Verify and print the verdict table; return the exit code."""
    words = verifying_files.split_words(names)
    if words[0] or words[1]:
        return verifying_files.run(
            words,
            preset=preset,
            out=out,
            seeds=seeds,
            running=running,
            dry_run=dry_run,
            as_json=as_json,
            publish=publish,
        )
    preset = preset or _PRESET
    catalogue = _catalogue()
    from proofs_numeric import verification

    chosen = catalogue.choose(names)
    if publish:
        _require_publishable(names, preset, seeds)
    folder = out or Path("runs") / f"verify-{preset}"
    work = verification.plan_work(chosen, preset, seeds=() if seeds is None else read_seeds(seeds))
    workers = workers_of(running)
    jobs = workers.places
    if dry_run:
        runs = [(one.study.specification, folder / "studies" / one.study.name) for one in work]
        found = forecast(runs, jobs=jobs)
        times = [clock(found.seconds(run, jobs)) for run in found.runs]
        rows = [[one.study.name, time, one.study.purpose] for one, time in zip(work, times, strict=True)]
        print_table(["study", "time", "purpose"], rows)
        print()
        print_forecast(found, jobs=jobs, folder=folder)
        return 0
    with resumable(folder), progress_bar() as bar, workers.opened(note=say) as executor:
        results = verification.verify(
            chosen, work, preset=preset, folder=folder, executor=executor, memory=workers.memory, progress=bar, note=say
        )
    judged = [entry for entry in results.claims if entry.id in chosen]
    if as_json:
        verifying_files.print_json(judged)
    else:
        print_verdicts(judged)
        print(
            f"\n{preset}: {len(results.studies)} studies in {folder}; verdicts and evidence: {folder / 'verdicts.json'}"
        )
    if preset == "quick":
        say("quick has short ranges: it is a smoke test; the documents cite --preset standard")
    if publish:
        from proofs_numeric.publish import publish as write

        written, left_out = write(folder)
        print_paths(*written)
        say(*left_out)
    return 0


def _require_publishable(names: list[str], preset: str, seeds: str | None) -> None:
    from proofs_numeric.publish import PRESET, require_source_tree

    if names or preset != PRESET or seeds is not None:
        raise InputError(
            f"--publish needs all claims with the preset's seeds: ntk1bit verify --preset {PRESET} --publish"
        )
    require_source_tree()


def print_verdicts(entries: list[ClaimEntry]) -> None:
    """Print a table of verdicts, in the order given, its long column wrapped to the terminal."""
    sizes = [max(len(getattr(entry, name)) for entry in entries) for name in ("id", "words", "title")]
    room = max(_columns() - sum(sizes) - 6, _NARROWEST)
    rows = []
    for entry in entries:
        lines = textwrap.wrap(entry.reason, room) or [""]
        rows.append([entry.id, entry.words, entry.title, lines[0]])
        rows += [["", "", "", line] for line in lines[1:]]
    print_table(["claim", "verdict", "what", "because"], rows)


def _columns() -> int:
    return shutil.get_terminal_size((_PIPED, 24)).columns


def _catalogue() -> ModuleType:
    if importlib.util.find_spec("proofs_numeric") is None:
        raise InputError("the numeric proofs are not installed; run this from a checkout installed with pip -e")
    from proofs_numeric import catalogue

    return catalogue
