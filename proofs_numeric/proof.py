"""What a claim's module offers: the claim, the studies it needs, and how its evidence is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ntk1bit.claims import Claim, Evidence
from proofs_numeric.data import Data


@dataclass(frozen=True)
class Proof:
    """A claim, what it needs and how its evidence is made.

    Attributes
    ----------
    claim
        The claim with its rule.
    studies
        Names of the studies it needs.
    evidence
        Makes the evidence of stored studies.
    draws
        Whether it draws or trains networks itself: then `recount` takes it as it is stored.
    """

    claim: Claim
    studies: tuple[str, ...]
    evidence: Callable[[Data], Evidence]
    draws: bool = False

    @property
    def module(self) -> str:
        """The module in which the derivation is written; claims that share one share its text."""
        return self.evidence.__module__
