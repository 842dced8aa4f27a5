"""All claims, in the order the argument goes: the start, one step, training, outputs, scaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from ntk1bit.claims import Claim, Evidence
from ntk1bit.errors import require_choice
from proofs_numeric import (
    c0_limit,
    c1_dynamics,
    c1_kernel,
    c1b_terms,
    c2_floor,
    c3_gap,
    c3b_spread,
    c4_power_law,
    c5_deep,
    c6_bitnet,
    c7_energy,
    claim_h2,
    claim_i5,
    eq_5,
    lemma_5_1,
    lemma_d7,
    lemma_g5,
    lemma_i2,
    lemma_i3,
    lemma_i6,
    prop_4_3,
    prop_4_4,
    thm_4_2,
    thm_5_2,
)
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
    module
        Where the derivation is written.
    """

    claim: Claim
    studies: tuple[str, ...]
    evidence: Callable[[Data], Evidence]
    module: str


def _single(module: ModuleType) -> Proof:
    return Proof(module.CLAIM, module.STUDIES, module.evidence, module.__name__)


_PROOFS = (
    _single(c0_limit),
    _single(lemma_i6),
    _single(lemma_d7),
    _single(eq_5),
    _single(lemma_i3),
    _single(lemma_5_1),
    _single(claim_h2),
    _single(c1b_terms),
    _single(lemma_i2),
    _single(claim_i5),
    _single(lemma_g5),
    _single(c1_kernel),
    Proof(c1_dynamics.CLAIM_H, c1_dynamics.STUDIES, c1_dynamics.evidence_h, c1_dynamics.__name__),
    Proof(c1_dynamics.CLAIM_K, c1_dynamics.STUDIES, c1_dynamics.evidence_k, c1_dynamics.__name__),
    _single(thm_4_2),
    _single(c2_floor),
    Proof(c2_floor.CLAIM_LAW, c2_floor.STUDIES_LAW, c2_floor.evidence_law, c2_floor.__name__),
    _single(thm_5_2),
    Proof(c3_gap.CLAIM_IID, c3_gap.STUDIES, c3_gap.evidence_iid, c3_gap.__name__),
    Proof(c3_gap.CLAIM_PAIRED, c3_gap.STUDIES, c3_gap.evidence_paired, c3_gap.__name__),
    _single(c3b_spread),
    _single(prop_4_3),
    _single(c4_power_law),
    _single(prop_4_4),
    _single(c5_deep),
    Proof(c5_deep.CLAIM_RATIO, c5_deep.STUDIES, c5_deep.evidence_ratio, c5_deep.__name__),
    Proof(c5_deep.CLAIM_SIMILAR, c5_deep.STUDIES_SIMILAR, c5_deep.evidence_similar, c5_deep.__name__),
    _single(c6_bitnet),
    Proof(c6_bitnet.CLAIM_STABLE, c6_bitnet.STUDIES, c6_bitnet.evidence_stable, c6_bitnet.__name__),
    Proof(c6_bitnet.CLAIM_ENERGY, c6_bitnet.STUDIES, c6_bitnet.evidence_energy, c6_bitnet.__name__),
    _single(c7_energy),
    Proof(c7_energy.CLAIM_TABLE, c7_energy.STUDIES, c7_energy.evidence_table, c7_energy.__name__),
)


def proofs() -> dict[str, Proof]:
    """Return every proof by the id of its claim."""
    return {one.claim.id: one for one in _PROOFS}


def choose(names: list[str]) -> dict[str, Proof]:
    """Return the proofs of the claims named, all of them for no name; case does not matter.

    Raises
    ------
    InputError
        For an unknown name.
    """
    every = proofs()
    if not names:
        return every
    by_lower = {name.lower(): name for name in every}
    chosen = {}
    for given in names:
        key = by_lower.get(given.lower())
        if key is None:
            require_choice("claim", given, every)
        else:
            chosen[key] = every[key]
    return chosen
