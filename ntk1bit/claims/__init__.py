"""Claims, the evidence for and against them, and verdicts by rules that are fixed before the data is seen."""

from ntk1bit.claims.claim import Claim, Verdict, combine
from ntk1bit.claims.criteria import (
    OUTCOMES,
    AtMost,
    Criterion,
    FailureRateBelow,
    Finding,
    IntervalWithin,
    NoFailures,
    Outcome,
)
from ntk1bit.claims.evidence import Count, Evidence, IntervalEstimate, Number

__all__ = [
    "OUTCOMES",
    "AtMost",
    "Claim",
    "Count",
    "Criterion",
    "Evidence",
    "FailureRateBelow",
    "Finding",
    "IntervalEstimate",
    "IntervalWithin",
    "NoFailures",
    "Number",
    "Outcome",
    "Verdict",
    "combine",
]
