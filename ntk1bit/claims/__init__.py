"""Claims, the evidence for and against them, and verdicts by rules that are fixed before the data is seen."""

from typing import TYPE_CHECKING

from ntk1bit.claims.claim import NOT_TESTED, Claim, Verdict, combine
from ntk1bit.claims.criteria import OUTCOMES, Criterion, Exact, Finding, Inside, Never, Outcome, Rarely
from ntk1bit.claims.evidence import Count, Estimate, Evidence, Number
from ntk1bit.old_names import missing_name

__all__ = [
    "NOT_TESTED",
    "OUTCOMES",
    "Claim",
    "Count",
    "Criterion",
    "Estimate",
    "Evidence",
    "Exact",
    "Finding",
    "Inside",
    "Never",
    "Number",
    "Outcome",
    "Rarely",
    "Verdict",
    "combine",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        raise missing_name(__name__, name)
