"""A run folder read back: what it was asked for, what is there, what became of the rest, and its results as a frame."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.specification import Specification, Stage
from ntk1bit.experiments.store import (
    FOREIGN,
    DamagedCellError,
    StageIncompleteError,
    Store,
    UnreadableCellError,
    read_stored,
)
from ntk1bit.printing import MOST_COLUMNS, number, short_lines

State = Literal["finished", "diverged", "failed", "unfinished", "damaged"]
_MOST_NAMED = 3  # of the damaged files


@dataclass(frozen=True)
class Run:
    """A run read back from disk.

    Attributes
    ----------
    folder
        Where it is.
    spec
        What it was asked for.
    stages
        The experiments that it consists of, stage by stage, as far as they are known: later ones may depend on results
        that are not there yet.
    complete
        Whether all stages are known.
    about
        For every readable result, by key, what its file says: ``kind``, ``version``, ``settings``, ``diverged``,
        ``seconds``, ``versions``.
    failures
        Why experiments failed, by key.
    problems
        A sentence for each file that could not be trusted and was left out.
    """

    folder: Path
    spec: Specification
    stages: tuple[Stage, ...]
    complete: bool
    about: dict[str, dict[str, Any]]
    failures: dict[str, str]
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        """Say in at most ten lines where it is, what it was asked for, what is there, and what is not."""
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        settings = ", ".join(f"{name} {value}" for name, value in self.spec.summary.items() if value not in (None, ""))
        return short_lines(
            [
                f"Run of {self.spec.COMMAND} in {self.folder}",
                f"{len(self.states)} cells{'' if self.complete else ' or more'}: {counts or 'none'}; "
                f"{number(self.seconds)} s of one processor",
                *textwrap.wrap(settings, MOST_COLUMNS - 2)[:4],
                *self.left_out,
            ]
        )

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """All experiments that are known, each once."""
        return tuple(dict.fromkeys(one for stage in self.stages for one in stage.experiments))

    @cached_property
    def states(self) -> dict[Experiment, State]:
        """What became of every experiment that is known.

        ``"damaged"``: its file cannot be trusted; ``"failed"``: not there, and failures.jsonl says why;
        ``"unfinished"``: not there; ``"diverged"`` is a result.
        """
        store, found = Store(self.folder), dict[Experiment, State]()
        for one in self.experiments:
            if one.key in self.about:
                found[one] = "diverged" if self.about[one.key]["diverged"] else "finished"
            elif store.path(one.key).exists():
                found[one] = "damaged"
            else:
                found[one] = "failed" if one.key in self.failures else "unfinished"
        return found

    @property
    def counts(self) -> Counter[str]:
        """Number of experiments in each state."""
        return Counter(self.states.values())

    @property
    def seconds(self) -> float:
        """The time that its results took on one processor."""
        return float(sum(one["seconds"] for one in self.about.values()))

    @property
    def lacking(self) -> list[str]:
        """Say how many results are missing or diverged, a sentence for each reason; empty for a run that is whole."""
        states, counts, sentences = self.states, self.counts, []
        if counts["unfinished"] or not self.complete:
            several = f"{counts['unfinished']} of {len(states)}{'' if self.complete else ' or more'}"
            sentences.append(f"Unfinished cells: {several}; run the same command again to resume.")
        if counts["failed"]:
            sentences.append(f"Failed cells: {counts['failed']}, failures.jsonl says why.")
        if counts["diverged"]:
            labels = dict.fromkeys(one.label for one, state in states.items() if state == "diverged")
            sentences.append(f"Diverged cells: {counts['diverged']}; left out of estimates: {', '.join(labels)}.")
        return sentences

    @property
    def untrusted(self) -> list[str]:
        """Name the first of the files that were left out, because they are damaged or of no cell of this run."""
        more = len(self.problems) - _MOST_NAMED
        rest = [f"and {more} more files like these"] if more > 0 else []
        return [*self.problems[:_MOST_NAMED], *rest]

    @property
    def left_out(self) -> list[str]:
        """Say what a figure or a table made of this run lacks: `lacking` and `untrusted`."""
        return [*self.lacking, *self.untrusted]

    @property
    def absent(self) -> pd.DataFrame:
        """A row for each experiment without a readable result: its settings and its state."""
        states = self.states.items()
        return pd.DataFrame([{**one.as_dict(), "state": state} for one, state in states if one.key not in self.about])

    def frame(
        self,
        columns: Iterable[str] | None = None,
        *,
        checkpoints_only: bool = False,
        stage: str | None = None,
    ) -> pd.DataFrame:
        """Return what is there as one tidy frame; see `Store.frame`.

        Parameters
        ----------
        columns
            Which of the stored columns to read; all by default. Leaving out the long ones (outputs, curves) makes a
            large run much smaller.
        checkpoints_only
            Keep only the rows recorded in full.
        stage
            Only the experiments of this stage.
        """
        chosen = [one for part in self.stages if stage in (None, part.name) for one in part.experiments]
        there = [one for one in dict.fromkeys(chosen) if one.key in self.about]
        return Store(self.folder).frame(there, columns, checkpoints_only=checkpoints_only)

    def require_nothing_left_out(self) -> None:
        """Refuse a run that has anything in `left_out`, as `--strict` does.

        Raises
        ------
        InputError
            Saying what that is.
        """
        if found := self.left_out:
            raise InputError(f"{self.folder} is not whole, which --strict refuses: {' '.join(found)}")

    def require_whole(self) -> None:
        """Refuse a run that lacks results.

        Raises
        ------
        InputError
            If it is not finished, or some of it is damaged or failed.
        """
        missing = sum(state not in ("finished", "diverged") for state in self.states.values())
        if missing or not self.complete:
            damage = f" ({self.problems[0]})" if self.problems else ""
            raise InputError(
                f"{self.folder} is not finished: {missing or 'some'} of its results are missing{damage}; "
                f"run {self.spec.COMMAND} with the same settings again"
            )


def open_run(folder: Path | str) -> Run:
    """Open a run folder of any kind for reading; nothing in it is changed.

    Raises
    ------
    InputError
        If there is no run at that place, it was written by version 0.1.0, or its specification cannot be read.
    """
    folder = Path(folder)
    if not (folder / "spec.toml").is_file():
        if (folder / "studies").is_dir():
            raise InputError(f"{folder} is a verification; its studies are run folders: {folder / 'studies'}/NAME")
        raise InputError(f"{folder} is not a run folder (it has no spec.toml); make one with: ntk1bit sweep --out ...")
    spec, store = read_stored(folder), Store(folder)
    about: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    known: set[str] = set()
    found: list[Stage] = []
    complete = False
    try:
        for stage in spec.walk(lambda stage: store.reader(stage, lambda key: key in about)):
            found.append(stage)
            for one in stage.experiments:
                if one.key in known:
                    continue
                known.add(one.key)
                try:
                    if store.path(one.key).exists():
                        about[one.key] = store.read(one.key)[0]
                except (DamagedCellError, UnreadableCellError) as problem:
                    problems.append(
                        f"{one.key}.parquet left out: {problem}; run the same command again to set it right"
                    )
        complete = True
        problems += [f"{path.name} left out: {FOREIGN}" for path in store.foreign(known)]
    except StageIncompleteError:
        pass  # the stages that are known are shown
    return Run(folder, spec, tuple(found), complete, about, store.failures(), tuple(problems))
