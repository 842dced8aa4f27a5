"""What a verdict is worth: an identity, a bound that holds with room, a theorem whose premise no network here meets.

Outcomes compare numbers with a rule. That a rule is met can still mean little: nothing could have failed, the bound is
loose, or the statement asks for networks that were not run. A claim says so in its `Reach`, and its verdict then has a
*standing* of its own, by which tables count it, and sentences with the numbers that show it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ntk1bit.claims.criteria import Outcome, number
from ntk1bit.claims.evidence import Evidence, IntervalEstimate, Number

Standing = Literal[
    "refuted", "inconclusive", "assumptions unmet", "vacuous here", "holds, not sharp", "identity", "supported"
]
STANDINGS: dict[Standing, str] = {  # in the order of tables, bad news first, with what each means
    "refuted": "a criterion's whole interval lies outside its range",
    "inconclusive": "neither: an interval reaches both sides, or too little was measured",
    "assumptions unmet": "the conclusion holds where what the statement assumes does not",
    "vacuous here": "the conclusion holds, at widths below what the statement asks for",
    "holds, not sharp": "a bound holds, by a factor of two or more",
    "identity": "holds by algebra, checked to rounding: it cannot fail",
    "supported": "every criterion's whole interval lies in its range",
}
SHARP = 2.0  # a bound less loose than this is called sharp: a constant "up to a factor" allows as much
AT_THESE_SIZES = "at these sizes"


@dataclass(frozen=True)
class Reach:
    """What limits the worth of a verdict on a claim; all empty for a finding like any other.

    Attributes
    ----------
    identity
        Whether the claim is one of algebra, which only rounding or a wrong program could break.
    looseness
        Id of the measure that holds bound over measured value.
    growth
        By the symbol of a variable, m, d or n, the id of the exponent with which measured over bound goes in it.
    width
        Id of the `Number` that holds log10 of the width that the statement asks for, over the widest that was run: the
        vacuity ratio, with the statement's constants set to 1.
    unmet
        Which assumption of the statement no experiment here meets, in words.
    sizes
        How far the experiment falls short of what the statement is about, in words: its verdict then is one *at these
        sizes*, whatever the outcome.
    """

    identity: bool = False
    looseness: str = ""
    growth: Mapping[str, str] = field(default_factory=dict)
    width: str = ""
    unmet: str = ""
    sizes: str = ""

    def judge(self, outcome: Outcome, evidence: Evidence) -> tuple[Standing, tuple[str, ...]]:
        """Return the standing of a verdict with this outcome on this evidence, and what limits it, a phrase each."""
        asked, loose = (_value(evidence, name) for name in (self.width, self.looseness))
        standing: Standing = outcome
        if outcome == "supported":
            if self.identity:
                standing = "identity"
            elif self.unmet:
                standing = "assumptions unmet"
            elif asked > 0:
                standing = "vacuous here"
            elif loose >= SHARP:
                standing = "holds, not sharp"
        limits = []
        if self.sizes:
            limits.append(f"{AT_THESE_SIZES}: {self.sizes}")
        if self.unmet:
            limits.append(f"unmet: {self.unmet}")
        if asked > 0:
            limits.append(f"asks for 10^{asked:.1f} times the widest network here, with constants of 1")
        if math.isfinite(loose):
            powers = [
                f"{symbol}^{power}" for symbol, name in self.growth.items() if (power := _exponent(evidence, name))
            ]
            grows = f"; measured over bound goes as {', '.join(powers)}" if powers else ""
            limits.append(f"loose by a factor of {number(loose)}{grows}")
        return standing, tuple(limits)


def outcome_of(standing: str) -> str:
    """Return the outcome that a verdict of this standing has."""
    return standing if standing in ("refuted", "inconclusive") else "supported"


def in_words(standing: str, limits: tuple[str, ...] | list[str]) -> str:
    """Return a verdict in words: its standing, *at these sizes* where that is so."""
    return f"{standing} {AT_THESE_SIZES}" if any(one.startswith(AT_THESE_SIZES) for one in limits) else standing


def _value(evidence: Evidence, name: str) -> float:
    found = evidence.get(name) if name else None
    return float(found.value) if isinstance(found, Number | IntervalEstimate) else math.nan


def _exponent(evidence: Evidence, name: str) -> str:
    found = evidence.get(name)
    if not isinstance(found, IntervalEstimate) or math.isnan(found.value):
        return ""
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"
