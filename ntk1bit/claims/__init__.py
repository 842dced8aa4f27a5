"""Claims, the evidence for and against them, and verdicts by rules that are fixed before the data is seen."""

from typing import TYPE_CHECKING

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
from ntk1bit.claims.run_claim import RunClaim
from ntk1bit.claims.run_criteria import Exponent, FailureCount, Level, Ratio
from ntk1bit.claims.standing import STANDINGS, Reach
from ntk1bit.old_names import missing_name

__all__ = [
    "OUTCOMES",
    "STANDINGS",
    "AtMost",
    "Claim",
    "Count",
    "Criterion",
    "Evidence",
    "Exponent",
    "FailureCount",
    "FailureRateBelow",
    "Finding",
    "IntervalEstimate",
    "IntervalWithin",
    "Level",
    "NoFailures",
    "Number",
    "Outcome",
    "Ratio",
    "Reach",
    "RunClaim",
    "Verdict",
    "combine",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        raise missing_name(__name__, name)
