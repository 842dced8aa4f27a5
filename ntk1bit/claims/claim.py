"""A claim with its rule, and the verdict the rule gives on evidence.

The rule is a list of criteria written in the claim itself. A claim is *refuted* when any criterion is, *supported* when
all are, and *inconclusive* otherwise: one open question leaves the whole open.
"""

from __future__ import annotations

import functools
import html
import json
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ntk1bit.claims.criteria import Criterion, Finding, Outcome
from ntk1bit.claims.evidence import Evidence
from ntk1bit.claims.standing import STANDINGS, Reach, Standing, in_words, outcome_of
from ntk1bit.errors import InputError

_COLUMNS, _MOST_LINES = 100, 3  # of each of the three parts of a verdict in print
_COLOURS = {"refuted": "#D55E00", "inconclusive": "#595959", "supported": "#0072B2"}
# of a claim, in its JSON
_WORDS = ("id", "title", "statement", "source", "assumptions", "refuted_by", "rule", "ranges")


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
        The rule: all must hold, and there is at least one.
    context
        Criteria that are judged and shown but do not decide: a stronger or weaker reading of the claim.
    labels
        The sentence that stands for each measure, by its id; a measure without one is called by its id.
    reach
        What limits the worth of a verdict: an identity, a loose bound, a premise out of reach.
    ranges
        Where the numbers of the rule come from: a theory, the source, a trial run.

    Raises
    ------
    InputError
        Without an id, or without criteria: nothing could refute it.
    """

    id: str
    title: str
    statement: str
    source: str
    assumptions: str
    refuted_by: str
    criteria: tuple[Criterion, ...]
    context: tuple[Criterion, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    reach: Reach = field(default_factory=Reach)
    ranges: str = ""

    def __post_init__(self) -> None:
        """Refuse a claim without a rule."""
        if not self.id.strip():
            raise InputError("a claim needs an id, such as C1")
        if not self.criteria:
            raise InputError(f"claim {self.id!r} has no criteria, so nothing could refute it; give a rule")

    def label(self, measure: str) -> str:
        """Return the sentence that stands for a measure."""
        return self.labels.get(measure, measure)

    @property
    def rule(self) -> str:
        """The rule in words."""
        return "; ".join(one.rule(self.label(one.measure)) for one in self.criteria)

    def judge(self, evidence: Evidence) -> Verdict:
        """Apply the rule."""
        findings, context = (
            tuple(one.judge(evidence, self.label(one.measure)) for one in criteria)
            for criteria in (self.criteria, self.context)
        )
        outcome = combine(one.outcome for one in findings)
        standing, limits = self.reach.judge(outcome, evidence)
        return Verdict(self, outcome, findings, context, standing, limits)


@dataclass(frozen=True, repr=False)
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
    standing
        What the outcome is worth: one of `standing.STANDINGS`; the outcome itself if not given.
    limits
        What limits it, a sentence each.

    Raises
    ------
    InputError
        If the outcome is not that of the findings, or the standing is not one of that outcome.
    """

    claim: Claim
    outcome: Outcome
    findings: tuple[Finding, ...]
    context: tuple[Finding, ...] = ()
    standing: Standing | None = None
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an outcome that the findings do not give."""
        require_outcome(self.claim.id, self.outcome, [one.outcome for one in self.findings])
        if self.standing is None:
            object.__setattr__(self, "standing", self.outcome)
        require_standing(self.claim.id, str(self.standing), self.outcome)

    @property
    def words(self) -> str:
        """The verdict in words: `holds, not sharp`, `refuted at these sizes`."""
        return in_words(str(self.standing), self.limits)

    @property
    def reason(self) -> str:
        """The findings that decided: those that refute, or are open, or all that support."""
        decisive = [one for one in self.findings if one.outcome == self.outcome]
        return "; ".join(f"{one.label} {one.why}" for one in decisive)

    @property
    def lines(self) -> tuple[str, str, str]:
        """The claim with its outcome, the numbers that decided, and the rule with what would refute it."""
        return verdict_lines(self.as_dict())

    def __str__(self) -> str:
        """Return the three lines; see `verdict_text`."""
        return verdict_text(self.as_dict())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the three lines for a notebook."""
        first, *others = map(html.escape, self.lines)
        colour = _COLOURS[self.outcome]
        rest = "".join(f"<br>{line}" for line in others)
        return f'<p style="border-left: 4px solid {colour}; padding-left: 0.7em"><b>{first}</b>{rest}</p>'

    def as_dict(self) -> dict[str, Any]:
        """Return the claim, the outcome, what decided and every finding as plain values, for JSON."""
        return {name: getattr(self.claim, name) for name in _WORDS} | {
            "outcome": self.outcome,
            "standing": self.standing,
            "limits": list(self.limits),
            "reason": self.reason,
            "findings": [asdict(one) for one in self.findings],
            "context": [asdict(one) for one in self.context],
        }

    def to_json(self) -> str:
        """Return `as_dict` as JSON."""
        return json.dumps(self.as_dict(), indent=1, allow_nan=False)


def verdict_lines(about: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return a verdict in three lines: the outcome, the numbers that decided, and the rule with what would refute it.

    Parameters
    ----------
    about
        From `Verdict.as_dict`, or the same fields of verdicts.json.
    """
    against = f"; refuted by {about['refuted_by']}" if about["refuted_by"] else ""
    verdict = in_words(about["standing"], about["limits"]).upper()
    return (
        f"{about['id']}: {verdict}: {about['title'] or about['statement']}",
        f"measured: {'; '.join((about['reason'], *about['limits']))}",
        f"rule: {about['rule']}{against}",
    )


def verdict_text(about: Mapping[str, Any]) -> str:
    """Return `verdict_lines` for a terminal: each wrapped, and cut where it would take more than three of its lines.

    A rule that takes as many is given without what would refute it.
    """
    fold = functools.partial(textwrap.fill, width=_COLUMNS, subsequent_indent="    ", break_on_hyphens=False)
    *others, rule = verdict_lines(about)
    if fold(rule).count("\n") >= _MOST_LINES:
        *others, rule = verdict_lines({**about, "refuted_by": ""})
    return "\n".join(fold(line, max_lines=_MOST_LINES, placeholder=" ...") for line in (*others, rule))


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


def require_standing(claim: str, standing: str, outcome: str) -> None:
    """Refuse a standing that no verdict of this outcome has.

    Raises
    ------
    InputError
        Naming the claim.
    """
    if standing not in STANDINGS or outcome_of(standing) != outcome:
        raise InputError(f"the verdict on claim {claim!r} is {outcome}, so its standing cannot be {standing!r}")


def combine(outcomes: Iterable[Outcome]) -> Outcome:
    """Combine outcomes: refuted if any is, supported if all are and there is one, inconclusive otherwise."""
    found = set(outcomes)
    if "refuted" in found:
        return "refuted"
    return "supported" if found == {"supported"} else "inconclusive"
