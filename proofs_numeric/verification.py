"""Run what claims need, judge them, and store verdicts with their evidence.

    FOLDER/studies/<name>/     a run folder each (docs/runs.md)
    FOLDER/verdicts.json       verdicts, estimates and small tables

A stopped verification is resumed by running it again. Asking for some claims keeps the evidence of the others, which is
judged by the rules of today.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from ntk1bit.claims.results import (
    ClaimEntry,
    Results,
    StudyEntry,
    claim_entry,
    document,
    evidence_of,
    write_results,
)
from ntk1bit.claims.verification import StudyRuns, described, earlier_results, with_seeds
from ntk1bit.experiments.language_spec import LanguageSpec
from ntk1bit.experiments.runner import Progress
from proofs_numeric.catalogue import MODULES, choose
from proofs_numeric.data import Data
from proofs_numeric.proof import Proof
from proofs_numeric.studies import Study, studies


@dataclass(frozen=True)
class Work:
    """One study and its share of all the work, in rough seconds of one processor."""

    study: Study
    seconds: float


def plan_work(chosen: dict[str, Proof], preset: str, *, seeds: tuple[int, ...] = ()) -> list[Work]:
    """List the studies that these claims need, in the order of the preset.

    Parameters
    ----------
    chosen
        Proofs by id.
    preset
        Name of the preset.
    seeds
        In place of the preset's (not for lists of experiments).

    Raises
    ------
    InputError
        For an unknown preset or a study that cannot run.
    """
    needed = {name for one in chosen.values() for name in one.studies}
    every = studies(preset)
    work = []
    for name, study in every.items():
        if name not in needed:
            continue
        study = replace(study, specification=with_seeds(study.specification, seeds))
        work.append(Work(study, study.specification.seconds))
    return work


def verify(
    chosen: dict[str, Proof],
    work: list[Work],
    *,
    preset: str,
    folder: Path | str,
    jobs: int = 1,
    executor: Executor | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Results:
    """Run the studies that are not finished, judge the claims and write verdicts.json.

    Parameters
    ----------
    chosen, preset
        As in `plan_work`, which makes `work`.
    work
        The studies to run.
    folder
        Where the verification is kept; a stopped one is resumed.
    jobs
        Local processes, when no executor is given.
    executor
        Any `concurrent.futures.Executor` whose workers see the folder, for example of a cluster (docs/runs.md).
    memory
        As in `run_all`.
    progress
        Called with what is being done and the share of all work that is done.
    note
        Called with each remark on the data and files of the studies.

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
    folder = Path(folder)
    earlier = earlier_results(folder, preset)
    runs = StudyRuns(
        sum(one.seconds for one in work), jobs=jobs, executor=executor, memory=memory, progress=progress, note=note
    )
    about: dict[str, StudyEntry] = {}
    data = Data(folder)
    for study, seconds in ((one.study, one.seconds) for one in work):
        runs.run(study.name, study.specification, folder / "studies" / study.name, seconds)
        about[study.name] = _described(study, data)
    entries = []
    for identity, proof in chosen.items():
        runs.tell(f"judging {identity}")
        entries.append(judge(proof, data))
    place = {name: k for k, name in enumerate(MODULES)}  # claims that are no longer in the catalogue are dropped
    kept = [] if earlier is None else [one for one in earlier.claims if one.id not in chosen and one.id in place]
    judged = sorted((*entries, *map(judge_again, kept)), key=lambda one: place[one.id])
    needed = studies(preset)
    before = {} if earlier is None else {name: one for name, one in earlier.studies.items() if name in needed}
    results = document(preset, before | about, judged)
    write_results(results, folder)
    return results


def judge(proof: Proof, data: Data) -> ClaimEntry:
    """Make the evidence of a claim and judge what is stored of it: six digits, from which nothing else can follow."""
    evidence = proof.evidence(data)
    return judge_again(claim_entry(proof.claim, proof.claim.judge(evidence), evidence))


def judge_again(entry: ClaimEntry) -> ClaimEntry:
    """Apply today's rule and words of a claim of the catalogue to the evidence that is stored for it."""
    claim, evidence = choose([entry.id])[entry.id].claim, evidence_of(entry)
    return claim_entry(claim, claim.judge(evidence), evidence)


def _described(study: Study, data: Data) -> StudyEntry:
    """Return what verdicts.json says about a study; of language models, store the table of their networks."""
    run = data.run(study.name)
    if isinstance(run.spec, LanguageSpec):
        from ntk1bit.estimators.language import write_networks  # needs the fits, which other studies do not

        write_networks(data.language(study.name), run.folder)  # which the documents store beside the verdicts
    return described(run, study.purpose)
