"""Running what claims need and storing verdicts: what verifications of claim files and of the catalogue share.

    FOLDER/studies/<name>/     a run folder for each sweep that a claim file asks for (docs/runs.md)
    FOLDER/verdicts.json       verdicts, estimates and small tables

A stopped verification is resumed by running it again. A run that a claim is judged on is only read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ntk1bit.claims.claim_files import ClaimFile
from ntk1bit.claims.results import (
    FILE,
    Results,
    StudyEntry,
    document,
    read_results,
    study_entry,
    write_results,
)
from ntk1bit.errors import InputError
from ntk1bit.experiments import Run, Specification, open_run, run_all
from ntk1bit.experiments.runner import Progress
from ntk1bit.experiments.store import Store
from ntk1bit.files import left_by_others

S = TypeVar("S", bound=Specification)
OWN = "own"  # in place of a preset, in the verdicts of claim files


@dataclass(frozen=True)
class ClaimStudy:
    """The run that claims of some files are judged on.

    Attributes
    ----------
    name
        What it is called in verdicts.json: the folder of a run that is there, or the first claim that asks for a sweep.
    specification
        What it was, or will be, asked for.
    files
        The claim files.
    folder
        Where the run is.
    to_run
        Whether it is run, or only read.
    """

    name: str
    specification: Specification
    files: tuple[ClaimFile, ...]
    folder: Path
    to_run: bool

    @property
    def seconds(self) -> float:
        """What it costs to run, in rough seconds of one processor."""
        return self.specification.seconds if self.to_run else 0.0


def plan_files(
    files: Sequence[ClaimFile], folder: Path | str, *, run: Path | str | None = None, seeds: tuple[int, ...] = ()
) -> tuple[list[ClaimStudy], list[str]]:
    """Find the runs that claims are judged on, and refuse what could not answer them; nothing is run.

    Parameters
    ----------
    files
        The claim files.
    folder
        Of the verification; sweeps that are asked for are run in it.
    run
        A run that all claims are judged on, in place of those they name.
    seeds
        In place of those of the sweeps that claims ask for.

    Returns
    -------
    studies, remarks
        The runs, and a sentence for each claim that cannot be supported: what a finding needs and its run lacks.

    Raises
    ------
    InputError
        For claims of one id, a claim without a run, a run that is not finished, and a run or sweep without what a
        criterion needs.
    """
    folder = Path(folder)
    ids = [one.claim.id for one in files]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        where = " and ".join(str(one.path) for one in files if one.claim.id == twice)
        raise InputError(f"{where} have claims of one id, {twice!r}; give each its own")
    studies: dict[object, ClaimStudy] = {}
    remarks = []
    for one in files:
        given = run if run is not None else one.run
        if given is not None:
            if seeds:
                raise InputError(f"--seeds is for a sweep that a claim asks for; the seeds of {given} are those it has")
            if run is not None and one.sweep is not None:
                remarks.append(f"{one.claim.id} is judged on {run}; the sweep that {one.path} asks for is not run")
            key: object = Path(given).resolve()
            found = studies.get(key) or _given(given)
        elif one.sweep is not None:
            key = one.sweep
            found = studies.get(key) or _asked(one, folder, seeds, {study.name for study in studies.values()})
        else:
            raise InputError(
                f"{one.path} names no run; give one, as in: ntk1bit verify {one.path} runs/NAME, "
                "or add run = 'runs/NAME' or a table [sweep]"
            )
        studies[key] = replace(found, files=(*found.files, one))
        what = "the sweep" if found.to_run else str(given)
        lacking = one.short_of(found.specification)
        remarks += [f"{one.claim.id} cannot be supported: {what} has {phrase}" for phrase in lacking]
    return list(studies.values()), remarks


def _given(run: Path | str) -> ClaimStudy:
    """Return a run that is there, and has to be whole."""
    opened = open_run(run)
    opened.require_whole()
    return ClaimStudy(str(run), opened.spec, (), Path(run), to_run=False)


def _asked(file: ClaimFile, folder: Path, seeds: tuple[int, ...], taken: set[str]) -> ClaimStudy:
    """Return the sweep that a claim file asks for, united with what is there of it already."""
    specification = file.sweep
    assert specification is not None
    specification = with_seeds(specification, seeds)
    name = _folder_name(file.claim.id, taken)
    place = folder / "studies" / name
    return ClaimStudy(name, Store(place).check(specification), (), place, to_run=True)


def verify_files(
    studies: Sequence[ClaimStudy],
    folder: Path | str,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Results:
    """Run the sweeps that are not finished, judge the claims and write verdicts.json.

    Parameters
    ----------
    studies
        From `plan_files`.
    folder
        Where the verification is kept. Verdicts on other claims that are there stay.
    jobs
        Local processes, when no executor is given.
    executor
        Any `concurrent.futures.Executor` whose workers see the folder.
    memory
        As in `run_all`.
    progress
        Called with what is being done and the share of all work that is done.
    note
        Called with each remark on the data and files of the runs.

    Returns
    -------
    What verdicts.json holds; claims that were judged now and before.

    Raises
    ------
    InputError
        If the folder holds something else or cannot be written, networks failed, or a claim cannot be judged.
    KeyboardInterrupt
        On Ctrl-C; finished networks stay.
    """
    folder = Path(folder)
    earlier = earlier_results(folder, OWN)
    runs = StudyRuns(
        sum(one.seconds for one in studies), jobs=jobs, executor=executor, memory=memory, progress=progress, note=note
    )
    about: dict[str, StudyEntry] = {}
    entries = []
    for one in studies:
        if one.to_run:
            runs.run(one.name, one.specification, one.folder, one.seconds)
        opened = open_run(one.folder)
        who = ", ".join(file.claim.id for file in one.files)
        about[one.name] = described(opened, f"{'asked for' if one.to_run else 'read'} by {who}")
        for file in one.files:
            runs.tell(f"judging {file.claim.id}")
            entries.append(file.judge(opened, one.name))
    new = {one.id for one in entries}
    kept = [] if earlier is None else [one for one in earlier.claims if one.id not in new]
    used = {measure.study for one in kept for measure in one.measures}
    before = {} if earlier is None else {name: one for name, one in earlier.studies.items() if name in used}
    if kept and note is not None:
        note(f"{folder / FILE} also keeps the verdicts on {', '.join(one.id for one in kept)}, made earlier")
    results = document(OWN, before | about, [*entries, *kept])
    write_results(results, folder)
    return results


class StudyRuns:
    """Runs studies one after the other as one piece of work, whose progress and remarks are passed on.

    Parameters
    ----------
    seconds
        What all of them cost, in rough seconds of one processor.
    jobs, executor, memory
        As in `run_all`.
    progress
        Called with what is being done and the share of all work that is done.
    note
        Called with each remark on the data and files of the studies.
    """

    def __init__(
        self,
        seconds: float,
        *,
        jobs: int,
        executor: Executor | None,
        memory: int | None,
        progress: Progress | None,
        note: Callable[[str], None] | None,
    ) -> None:
        self._total, self._done = seconds or 1.0, 0.0
        self._run_all = functools.partial(run_all, jobs=jobs, executor=executor, memory=memory)
        self._progress, self._note = progress, note

    def run(self, name: str, specification: Specification, folder: Path | str, seconds: float) -> None:
        """Run what a study lacks; see `run_all`.

        Raises
        ------
        InputError
            As `run_all`, and if networks failed: a verdict on part of the evidence would be none.
        """

        def share(_: str, part: float) -> None:
            self.tell(name, part * seconds)

        folder = Path(folder)
        outcome = self._run_all(specification, folder, progress=share)
        if outcome.failed:
            raise InputError(
                f"{outcome.failed} experiments of study {folder.name!r} failed (see {folder / 'failures.jsonl'}); "
                "run the same command again to try them once more"
            )
        if self._note is not None:
            for remark in outcome.notes:
                self._note(f"{name}: {remark}")
        self._done += seconds

    def tell(self, what: str, more: float = 0.0) -> None:
        """Report what is being done; `more` seconds are done beside the studies that have ended."""
        if self._progress is not None:
            self._progress(what, (self._done + more) / self._total)


def with_seeds(specification: S, seeds: tuple[int, ...]) -> S:
    """Return a specification with these seeds, if there are any and it has such an axis."""
    if not seeds or "seeds" not in specification.AXES:
        return specification
    return replace(specification, seeds=seeds)  # pyright: ignore[reportCallIssue] - a field of every class with the axis


def described(run: Run, purpose: str) -> StudyEntry:
    """Return what verdicts.json says about a study."""
    settings, seconds = run.spec.summary, round(run.seconds, 1)
    return study_entry(purpose=purpose, settings=settings, cells=len(run.about), seconds=seconds)


def earlier_results(folder: Path | str, preset: str) -> Results | None:
    """Return the verdicts that a folder holds already, if any.

    Raises
    ------
    InputError
        If they are of another preset, or the folder holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder; give another --out")
    if (folder / "measured").is_dir():
        raise InputError(f"{folder} holds a verification of ntk1bit 0.1.0, which cannot be resumed; give another --out")
    if not (folder / FILE).exists():
        if folder.exists() and any(p.name != "studies" and not left_by_others(p.name) for p in folder.iterdir()):
            raise InputError(f"{folder} exists and is not a verification; give another --out")
        return None
    found = read_results(folder)
    if found.preset != preset:
        here, there = (_in_words(one) for one in (found.preset, preset))
        raise InputError(f"{folder} holds {here}, not {there}; give another --out")
    return found


def _in_words(preset: str) -> str:
    return "verdicts on claim files" if preset == OWN else f"a {preset} verification"


def _folder_name(claim: str, taken: set[str]) -> str:
    """Return a name of a folder for the sweep of a claim, whose id may hold anything."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", claim).strip("-.")[:60] or "sweep"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name
