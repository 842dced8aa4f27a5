"""Run what claims need, judge them, and store verdicts with their evidence.

    FOLDER/studies/<name>/     a run each (docs/runs.md), resumable
    FOLDER/measured/<name>/    measurements, a file each
    FOLDER/verdicts.json       verdicts, estimates and small tables

A verification can be stopped at any time and run again: it goes on where it was. Asking for some claims keeps the
verdicts of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ntk1bit.claims.results import (
    FILE,
    Results,
    StudyEntry,
    claim_entry,
    document,
    read_results,
    study_entry,
    write_results,
)
from ntk1bit.errors import InputError
from ntk1bit.estimators.language import write_networks
from ntk1bit.experiments import Cell, Run, make_plan, run_measurements, run_sweep
from ntk1bit.experiments.language import LanguageRun, planned_seconds, run_language
from ntk1bit.files import left_by_others
from proofs_numeric.catalogue import Proof, proofs
from proofs_numeric.data import Data
from proofs_numeric.studies import Study, studies

OPERATIONS_A_SECOND = 3e10  # multiply-adds of a training cell, one thread: turns its cost into that of a measurement
CELL_SECONDS = 0.1  # what a cell costs besides its multiply-adds

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Work:
    """One study and its share of all the work, in rough seconds of one processor."""

    study: Study
    seconds: float


def plan_work(chosen: dict[str, Proof], preset: str, *, seeds: int | None = None) -> list[Work]:
    """List the studies that these claims need, in the order of the preset.

    Parameters
    ----------
    chosen
        Proofs by id.
    preset
        Name of the preset.
    seeds
        Networks a setting, in place of the preset's (not for measurements).

    Raises
    ------
    InputError
        For an unknown preset or a study that cannot run.
    """
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {seeds}")
    needed = {name for one in chosen.values() for name in one.studies}
    every = studies(preset)
    work = []
    for name, study in every.items():
        if name not in needed:
            continue
        if seeds is not None:
            study = _with_seeds(study, seeds)
        work.append(Work(study, _seconds(study)))
    return work


def verify(
    chosen: dict[str, Proof],
    work: list[Work],
    *,
    preset: str,
    folder: Path,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Results:
    """Run the studies that are not finished, judge the claims and write verdicts.json.

    Parameters
    ----------
    chosen, preset
        As in `plan_work`, which makes `work`.
    work
        The studies to run.
    folder
        Where the verification is kept; a stopped one goes on.
    jobs
        Local processes, when no executor is given.
    executor
        Any `concurrent.futures.Executor` whose workers see the folder, for example of a cluster (docs/runs.md).
    progress
        Called with what is being done and the share of all work that is done.

    Returns
    -------
    What verdicts.json holds.

    Raises
    ------
    InputError
        If the folder holds another verification, cannot be written, or networks failed.
    KeyboardInterrupt
        On Ctrl-C; finished networks stay.
    """
    earlier = _earlier(folder, preset)
    tell = progress or (lambda *_: None)
    total = sum(one.seconds for one in work) or 1.0
    done = 0.0
    measured: dict[str, pd.DataFrame] = {}
    about: dict[str, StudyEntry] = {}
    data = Data(folder, measured)
    for one in work:

        def share(part: float, one: Work = one, before: float = done) -> None:
            tell(one.study.name, (before + part * one.seconds) / total)

        name = one.study.name
        if one.study.language is not None:
            _run_language(one.study, folder / "studies" / name, jobs, executor, share)
            about[name] = _about_language(one.study, data.language(name))
        elif one.study.sweep is None:
            place = folder / "measured" / name
            measured[name] = run_measurements(
                one.study.measurements, place, jobs=jobs, executor=executor, progress=share
            )
            about[name] = _about_measurements(one.study, measured[name])
        else:
            _run_sweep(one.study, folder / "studies" / name, jobs, executor, share)
            about[name] = _about_sweep(one.study, data.run(name))
        done += one.seconds
    entries = []
    for identity, proof in chosen.items():
        tell(f"judging {identity}", done / total)
        evidence = proof.evidence(data)
        entries.append(claim_entry(proof.claim, proof.claim.judge(evidence), evidence))
    kept = [] if earlier is None else [entry for entry in earlier.claims if entry.id not in chosen]
    place = {name: k for k, name in enumerate(proofs())}  # claims that are no longer in the catalogue are dropped
    judged = sorted((one for one in (*entries, *kept) if one.id in place), key=lambda one: place[one.id])
    needed = studies(preset)
    before = {} if earlier is None else {name: one for name, one in earlier.studies.items() if name in needed}
    results = document(preset, before | about, judged)
    write_results(results, folder)
    return results


def _with_seeds(study: Study, seeds: int) -> Study:
    chosen = tuple(range(seeds))
    if study.sweep is not None:
        return replace(study, sweep=replace(study.sweep, seeds=chosen))
    if study.language is not None:
        return replace(study, language=replace(study.language, seeds=chosen))
    return study


def _seconds(study: Study) -> float:
    if study.sweep is not None:
        cells = make_plan(study.sweep).cells
        return sum(cell.operations / OPERATIONS_A_SECOND + CELL_SECONDS for cell in cells)
    if study.language is not None:
        return planned_seconds(study.language)
    return sum(one.cost for one in study.measurements)


def _run_sweep(
    study: Study, folder: Path, jobs: int, executor: Executor | None, share: Callable[[float], None]
) -> None:
    assert study.sweep is not None

    def report(_: Cell | None, part: float) -> None:
        share(part)

    outcome = run_sweep(study.sweep, folder, jobs=jobs, executor=executor, resume=True, progress=report)
    if outcome.failed:
        raise InputError(
            f"{outcome.failed} networks of study {study.name!r} failed (see {folder / 'failures.jsonl'}); "
            "run the same command again to try them once more"
        )


def _run_language(
    study: Study, folder: Path, jobs: int, executor: Executor | None, share: Callable[[float], None]
) -> None:
    assert study.language is not None
    run = run_language(
        study.language, folder, jobs=jobs, executor=executor, resume=True, progress=lambda _, part: share(part)
    )
    write_networks(run, folder)


def _about_language(study: Study, run: LanguageRun) -> StudyEntry:
    return study_entry(
        purpose=study.purpose, settings=run.spec.as_dict(), cells=run.count, seconds=round(run.seconds, 1)
    )


def _about_sweep(study: Study, run: Run) -> StudyEntry:
    seconds = sum(float(one["seconds"]) for one in run.about.values())
    settings = run.spec.as_dict()
    return study_entry(purpose=study.purpose, settings=settings, cells=len(run.about), seconds=round(seconds, 1))


def _about_measurements(study: Study, found: pd.DataFrame) -> StudyEntry:
    axes: dict[str, list[Any]] = {}
    for one in study.measurements:
        for name, value in one.settings:
            plain = list(value) if isinstance(value, tuple) else value
            if plain not in axes.setdefault(name, []):
                axes[name].append(plain)
    settings = {name: values[0] if len(values) == 1 else values for name, values in axes.items()}
    function = study.measurements[0].function
    return study_entry(
        purpose=study.purpose,
        settings={"function": function, **settings},
        cells=len(study.measurements),
        seconds=round(float(found["seconds"].to_numpy().sum()), 1),
    )


def _earlier(folder: Path, preset: str) -> Results | None:
    """Return the verdicts that the folder holds already, if any; they must be of this preset."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder; give another --out")
    if not (folder / FILE).exists():
        ours = ("studies", "measured")
        if folder.exists() and any(p.name not in ours and not left_by_others(p.name) for p in folder.iterdir()):
            raise InputError(f"{folder} exists and is not a verification; give another --out")
        return None
    found = read_results(folder)
    if found.preset != preset:
        raise InputError(f"{folder} holds a {found.preset} verification, not a {preset} one; give another --out")
    return found
