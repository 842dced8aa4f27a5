"""Claim files: a claim of one's own in TOML or Python, with the run or the sweep it is about.

A TOML file has a table [claim], a table [[criterion]] for each criterion (`claims.run_criteria`), and may name a `run`
or ask for a [sweep]. A Python file defines CLAIM, a `RunClaim`, or a `Claim` with a function `evidence(frame)` that
measures; and may define RUN or SWEEP. What goes wrong in a file is told in one line that names the file and, in Python,
the line.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from ntk1bit.claims.claim import Claim
from ntk1bit.claims.criteria import FailureRateBelow, IntervalWithin
from ntk1bit.claims.evidence import Evidence
from ntk1bit.claims.results import ClaimEntry, claim_entry
from ntk1bit.claims.run_claim import RunClaim
from ntk1bit.claims.run_criteria import KINDS
from ntk1bit.claims.run_criterion import RunCriterion
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments import Run, Specification, SweepSpec
from ntk1bit.files import read_text, read_toml

ENDINGS = (".toml", ".py")
_TABLES = ("claim", "criterion", "run", "sweep")
_CLAIM = (*(one.name for one in fields(RunClaim) if one.name != "criteria"), "run")
_NO_CLAIM = (
    "it needs CLAIM = RunClaim(id=..., title=..., statement=..., criteria=(Exponent(...),)), or a Claim with a "
    "function evidence(frame)"
)


@dataclass(frozen=True)
class ClaimFile:
    """A claim file that has been read.

    Attributes
    ----------
    path
        Where it is.
    claim
        The claim.
    measure
        What makes its evidence from a run's frame; None for a `RunClaim`, which does so itself.
    run
        The folder of the run that it is about, if it names one.
    sweep
        What it asks to be run, if it does.
    """

    path: Path
    claim: RunClaim | Claim
    measure: Callable[[pd.DataFrame], Evidence] | None = None
    run: Path | None = None
    sweep: Specification | None = None

    def rule_on(self, spec: Specification | None) -> str:
        """Return the rule in words for a run with these settings, on which the number of trials depends."""
        if isinstance(self.claim, Claim):
            return self.claim.rule
        return self.claim.on(spec if isinstance(spec, SweepSpec) else None).rule

    def short_of(self, spec: Specification) -> list[str]:
        """Refuse what would not answer the claim; say what a finding needs and these settings lack, a phrase each.

        Raises
        ------
        InputError
            Naming the file.
        """
        if isinstance(self.claim, RunClaim):
            with self._named():
                return self.claim.short_of(self.claim.require_answerable(spec))
        seeds = getattr(spec, "seeds", ())
        needs = [one.seeds for one in self.claim.criteria if isinstance(one, IntervalWithin)]
        if needs and 0 < len(seeds) < max(needs):
            return [f"{len(seeds)} seed{'s' * (len(seeds) > 1)}, and a finding needs {max(needs)}"]
        trials = [one.trials_needed for one in self.claim.criteria if isinstance(one, FailureRateBelow)]
        if trials and 0 < len(seeds) < max(trials):
            return [f"{len(seeds)} seeds, and a rate so small needs {max(trials)} trials without a failure"]
        return []

    def judge(self, run: Run, study: str) -> ClaimEntry:
        """Judge the claim on a whole run, as it is stored in verdicts.json.

        Raises
        ------
        InputError
            If the run is not finished or cannot answer it, or a function of the file fails.
        """
        run.require_whole()
        if isinstance(self.claim, RunClaim):
            with self._named():
                spec = self.claim.require_answerable(run.spec)
                claim = self.claim.on(spec)
                evidence = self.claim.evidence(run.frame(self.claim.columns), spec, study)
        else:
            assert self.measure is not None  # reading the file refuses a Claim without it
            claim, frame = self.claim, run.frame()
            with _blamed_on(self.path):
                evidence = self.measure(frame)
            if not isinstance(evidence, Evidence):
                raise InputError(f"{self.path}: evidence(frame) must return an Evidence, got {type(evidence).__name__}")
        return claim_entry(claim, claim.judge(evidence), evidence)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except InputError as problem:
            raise InputError(f"{self.path}: {problem}") from None


def read_claim_file(path: Path | str) -> ClaimFile:
    """Read a claim file in TOML or Python; a Python file is executed.

    Raises
    ------
    InputError
        If it cannot be read, or is no claim file; the message names the file, what is wrong, and what is allowed.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path} is not a claim file; its name must end in .toml or .py")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a claim file")
    return _of_toml(path) if path.suffix.lower() == ".toml" else _of_python(path)


def _of_toml(path: Path) -> ClaimFile:
    document = read_toml(path)
    try:
        for name in document:
            require_choice("part of a claim file", name, _TABLES)
        about = _table(document, "claim", "[claim]")
        entries = document.get("criterion", [])
        if not isinstance(entries, list) or not all(isinstance(one, Mapping) for one in entries):
            raise InputError("a criterion is a table of its own; write it under a line [[criterion]]")
        if not entries:
            raise InputError("there is no criterion, so nothing could refute the claim; add one under [[criterion]]")
        criteria = tuple(_criterion(entry, place) for place, entry in enumerate(entries, start=1))
        for name in about:
            require_choice("setting of [claim]", name, _CLAIM)
        for name in ("id", "title", "statement"):
            if name not in about:
                raise InputError(f"[claim] needs {name} = '...'")
        claim = RunClaim(criteria=criteria, **{name: value for name, value in about.items() if name != "run"})
        if "run" in document and "run" in about:
            raise InputError("the run is named twice; keep one")
        sweep = _sweep(_table(document, "sweep", "[sweep]")) if "sweep" in document else None
        return _made(path, claim, None, document.get("run", about.get("run")), sweep)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None


def _criterion(entry: Mapping[str, Any], place: int) -> RunCriterion:
    try:
        if "kind" not in entry:
            raise InputError(f"it needs a kind, one of: {', '.join(KINDS)}")
        kind = KINDS[require_choice("kind", entry["kind"], KINDS)]
        return kind.from_dict({name: value for name, value in entry.items() if name != "kind"})
    except InputError as problem:
        raise InputError(f"criterion {place}: {problem}") from None


def _sweep(settings: Mapping[str, Any]) -> SweepSpec:
    try:
        return SweepSpec.from_dict(settings)
    except InputError as problem:
        raise InputError(f"[sweep]: {problem}") from None


def _table(document: Mapping[str, Any], name: str, shown: str) -> Mapping[str, Any]:
    found = document.get(name)
    if not isinstance(found, Mapping):
        raise InputError(f"there is no table {shown}; begin with a line {shown}, and its settings below it")
    return found


def _of_python(path: Path) -> ClaimFile:
    text = read_text(path)
    module = ModuleType(f"claim_file_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up the types of their fields
    sys.path.insert(0, str(path.parent.resolve()))  # as for a script: modules beside it can be imported
    try:
        with _blamed_on(path):
            exec(compile(text, str(path), "exec", dont_inherit=True), vars(module))
    finally:
        sys.path.pop(0)
    names = vars(module)
    claim, measure = names.get("CLAIM"), names.get("evidence")
    if claim is None:
        raise InputError(f"{path} defines no CLAIM; {_NO_CLAIM}")
    if not isinstance(claim, RunClaim | Claim):
        raise InputError(f"{path}: CLAIM is a {type(claim).__name__}; {_NO_CLAIM}")
    if isinstance(claim, Claim) and not callable(measure):
        raise InputError(f"{path}: a Claim needs a function evidence(frame) that returns an Evidence")
    if isinstance(claim, RunClaim) and measure is not None:
        raise InputError(f"{path}: a RunClaim measures itself; leave out evidence(frame), or make CLAIM a Claim")
    sweep = names.get("SWEEP")
    if sweep is not None and not isinstance(sweep, Specification):
        raise InputError(f"{path}: SWEEP must be a SweepSpec, got {type(sweep).__name__}")
    try:
        return _made(path, claim, measure, names.get("RUN"), sweep)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None


def _made(path: Path, claim: RunClaim | Claim, measure: Any, run: object, sweep: Specification | None) -> ClaimFile:
    if run is not None and not (isinstance(run, str | Path) and str(run).strip()):
        raise InputError(f"run must be the folder of a run, such as 'runs/mine', got {str(repr(run))[:60]}")
    if run is not None and sweep is not None:
        raise InputError("it names a run and asks for a sweep; keep one of them")
    return ClaimFile(path, claim, measure, None if run is None else Path(str(run)), sweep)


@contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong in a user's file into a line that names the file and its line."""
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:
        if isinstance(problem, SyntaxError) and problem.filename == str(path):
            line, said = problem.lineno, f"{type(problem).__name__}: {problem.msg}"
        else:
            lines = [one.lineno for one in traceback.extract_tb(problem.__traceback__) if one.filename == str(path)]
            line = lines[-1] if lines else None
            words = " ".join(str(problem).split())
            said = words if isinstance(problem, InputError) else f"{type(problem).__name__}: {words}".rstrip(": ")
        raise InputError(f"{path}{'' if line is None else f', line {line}'}: {said}") from None
