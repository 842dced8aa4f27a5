"""A claim with its rule, and the verdict the rule gives on evidence.

The rule is a list of criteria written in the claim itself. A claim is *refuted* when any criterion is, *supported* when
all are, and *inconclusive* otherwise: one open question leaves the whole open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ntk1bit.claims.criteria import Criterion, Finding, Outcome
from ntk1bit.claims.evidence import Evidence
from ntk1bit.errors import InputError


@dataclass(frozen=True)
class Claim:
    """A statement that numbers can contradict.

    Attributes
    ----------
    id
        Its short name: ``C1``, ``I.5``.
    title
        A few words.
    statement
        The claim, precisely, in the symbols of docs/model.md.
    source
        Where it is made: ``D25, Lemma G.5``; ``ours``.
    assumptions
        What the statement takes for granted, and how far the experiment meets it.
    refuted_by
        What would refute it, in words.
    criteria
        The rule: all must hold; at least one.
    context
        Criteria that are judged and shown but do not decide: a stronger or weaker reading of the claim.
    """

    id: str
    title: str
    statement: str
    source: str
    assumptions: str
    refuted_by: str
    criteria: tuple[Criterion, ...]
    context: tuple[Criterion, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a claim without a rule."""
        if not self.id.strip():
            raise InputError("a claim needs an id, such as C1")
        if not self.criteria:
            raise InputError(f"claim {self.id!r} has no criteria, so nothing could refute it; give a rule")

    @property
    def rule(self) -> str:
        """The rule in words."""
        return "; ".join(one.rule for one in self.criteria)

    def judge(self, evidence: Evidence) -> Verdict:
        """Apply the rule."""
        findings = tuple(one.judge(evidence) for one in self.criteria)
        return Verdict(
            self, combine(one.outcome for one in findings), findings, tuple(one.judge(evidence) for one in self.context)
        )


@dataclass(frozen=True)
class Verdict:
    """What the rule of a claim says of its evidence.

    Attributes
    ----------
    claim
        The claim.
    outcome
        ``"supported"``, ``"refuted"`` or ``"inconclusive"``.
    findings
        One for each criterion of the rule.
    context
        One for each criterion that does not decide.

    Raises
    ------
    InputError
        If the outcome is not that of the findings.
    """

    claim: Claim
    outcome: Outcome
    findings: tuple[Finding, ...]
    context: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an outcome that the findings do not give."""
        require_outcome(self.claim.id, self.outcome, [one.outcome for one in self.findings])

    @property
    def reason(self) -> str:
        """The findings that decided: those that refute, or are open, or all that support."""
        decisive = [one for one in self.findings if one.outcome == self.outcome]
        return "; ".join(f"{one.measure} {one.why}" for one in decisive)


def require_outcome(claim: str, outcome: str, findings: Iterable[Outcome]) -> None:
    """Refuse a verdict that the outcomes of its findings do not give.

    Raises
    ------
    InputError
        Naming the claim, and the outcome that they give.
    """
    given = combine(findings)
    if outcome != given:
        raise InputError(f"the verdict on claim {claim!r} is {outcome!r}, but its findings make it {given!r}")


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """Combine outcomes: refuted if any is, supported if all are and there is one, inconclusive otherwise."""
    found = set(outcomes)
    if "refuted" in found:
        return "refuted"
    return "supported" if found == {"supported"} else "inconclusive"
