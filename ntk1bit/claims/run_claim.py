"""A claim about a sweep: criteria on its measures, and the verdict that a run gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ntk1bit.claims.claim import Claim, Verdict
from ntk1bit.claims.evidence import Evidence
from ntk1bit.claims.run_criterion import RunCriterion
from ntk1bit.errors import InputError
from ntk1bit.experiments import Run, SweepSpec

CRITERIA_TABLE = "criteria"  # of the evidence: a row for each criterion, from which its panel is drawn


@dataclass(frozen=True)
class RunClaim:
    """A claim whose criteria say themselves how they are measured on a run of `ntk1bit sweep`.

    Attributes
    ----------
    id
        Its short name.
    title
        A few words.
    statement
        The claim, precisely.
    criteria
        The rule: all must hold, and there is at least one; see `claims.run_criteria`.
    source
        Where it is made.
    assumptions
        What it takes for granted; the settings of the sweep if empty.
    refuted_by
        What would refute it, in words; made from the criteria if empty.

    Raises
    ------
    InputError
        Without an id or criteria, or for criteria of another kind.
    """

    id: str
    title: str
    statement: str
    criteria: tuple[RunCriterion, ...]
    source: str = ""
    assumptions: str = ""
    refuted_by: str = ""

    def __post_init__(self) -> None:
        """Refuse a claim without a rule; one criterion alone becomes a tuple of one."""
        for name in ("id", "title", "statement", "source", "assumptions", "refuted_by"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise InputError(f"{name} of a claim must be text, got {str(repr(value))[:60]}")
        if not self.id.strip() or "\n" in self.id:
            raise InputError("a claim needs an id of one line, such as id = 'mine'")
        criteria = tuple(self.criteria) if isinstance(self.criteria, tuple | list) else (self.criteria,)
        object.__setattr__(self, "criteria", criteria)
        if not criteria:
            raise InputError(f"claim {self.id!r} has no criteria, so nothing could refute it; give a rule")
        for one in criteria:
            if not isinstance(one, RunCriterion):
                raise InputError(
                    f"a RunClaim takes Exponent, Level, Ratio and FailureCount, got {type(one).__name__}; "
                    "other criteria go into a Claim, with a function evidence(frame)"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The id of what each criterion measures; those that would be the same are numbered."""
        seen: Counter[str] = Counter()
        names = []
        for one in self.criteria:
            seen[one.name] += 1
            names.append(one.name if seen[one.name] == 1 else f"{one.name}.{seen[one.name]}")
        return tuple(names)

    @property
    def columns(self) -> list[str]:
        """The stored columns that it reads besides those of every run."""
        return sorted({name for one in self.criteria for name in one.definition.columns})

    def require_answerable(self, spec: object) -> SweepSpec:
        """Return the specification of a run if it would answer every criterion.

        Raises
        ------
        InputError
            Saying what is missing and how to get it.
        """
        if not isinstance(spec, SweepSpec):
            kind = getattr(spec, "COMMAND", "another command")
            raise InputError(f"the measures are those of runs of ntk1bit sweep, and this is a run of {kind}")
        for place, one in enumerate(self.criteria, start=1):
            try:
                one.require_answerable(spec)
            except InputError as problem:
                raise InputError(f"criterion {place}: {problem}") from None
        return spec

    def short_of(self, spec: SweepSpec) -> list[str]:
        """Say what a finding needs and a sweep with these settings lacks, a phrase each."""
        return list(dict.fromkeys(phrase for one in self.criteria for phrase in one.short_of(spec)))

    def on(self, spec: SweepSpec | None) -> Claim:
        """Return the claim with its rule for a sweep with these settings; None if they are not known yet."""
        criteria = tuple(one.criterion(name, spec) for one, name in zip(self.criteria, self.names, strict=True))
        return Claim(
            id=self.id,
            title=self.title,
            statement=self.statement,
            source=self.source,
            assumptions=self.assumptions or ("" if spec is None else _settings_in_words(spec)),
            refuted_by=self.refuted_by or "; ".join(dict.fromkeys(one.refuted_by for one in self.criteria)),
            criteria=criteria,
            labels={name: one.sentence for one, name in zip(self.criteria, self.names, strict=True)},
        )

    def evidence(self, frame: pd.DataFrame, spec: SweepSpec, study: str) -> Evidence:
        """Measure every criterion on the frame of a whole run.

        Parameters
        ----------
        frame
            From `Run.frame`, with `columns`.
        spec
            What the run was asked for.
        study
            What the run is called.
        """
        measures, remarks, tables, rows = [], [], {}, []
        for one, name in zip(self.criteria, self.names, strict=True):
            answer = one.answer(frame, name, study, spec)
            measures += [] if answer.measure is None else [answer.measure]
            remarks += [f"{one.sentence}: {remark}" for remark in answer.remarks]
            tables[name] = answer.table
            about: Mapping[str, Any] = {
                "criterion": name,
                "kind": one.KIND,
                "measure": one.measure,
                "what": one.what,
                "precision": answer.precision,
                "signed": one.definition.signed,
            }
            rows.append({**about, **one.bounds, **answer.law})
        return Evidence(tuple(measures), {CRITERIA_TABLE: pd.DataFrame(rows), **tables}, tuple(dict.fromkeys(remarks)))

    def judge(self, run: Run) -> Verdict:
        """Judge the claim on a run.

        Raises
        ------
        InputError
            If the run is not finished, or cannot answer it.
        """
        run.require_whole()
        spec = self.require_answerable(run.spec)
        return self.on(spec).judge(self.evidence(run.frame(self.columns), spec, str(run.folder)))


def _settings_in_words(spec: SweepSpec) -> str:
    """Write what a sweep was asked for in a line."""

    def listed(values: tuple[Any, ...]) -> str:
        return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)

    widths = sorted(spec.widths)
    span = f"{widths[0]}..{widths[-1]}" if len(widths) > 1 else str(widths[0])
    return (
        f"{listed(spec.tasks)}; n = {listed(spec.n_train)}; init {listed(spec.inits)}; kappa = {listed(spec.kappas)}; "
        f"m = {span}; {spec.steps} steps at eta_rel = {spec.eta_rel:g}; {len(spec.seeds)} seeds"
    )
