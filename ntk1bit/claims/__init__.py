"""Claims, the evidence for and against them, and verdicts by rules that are fixed before the data is seen."""

from ntk1bit.claims.claim import Claim, Verdict, combine
from ntk1bit.claims.criteria import OUTCOMES, Criterion, Exact, Finding, Inside, Never, Outcome, Rarely
from ntk1bit.claims.evidence import Count, Estimate, Evidence, Number

__all__ = [
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
