"""All claims, in the order the argument goes: D25 from the start to scaling, then BitNet, then other theories.

A claim's module is imported when the claim is chosen: it brings in the networks and estimators that its evidence needs.
"""

from __future__ import annotations

import difflib
from importlib import import_module

from ntk1bit.errors import InputError
from proofs_numeric.proof import Proof

MODULES = {  # id of a claim -> the module that holds it, in whose PROOFS it is
    "C0": "c0_limit",
    "I.6": "lemma_i6",
    "D.7": "lemma_d7",
    "Eq.5": "eq_5",
    "I.3": "lemma_i3",
    "5.1": "lemma_5_1",
    "I.6-ball": "weights_in_ball",
    "D.7-ball": "weights_in_ball",
    "H.2": "claim_h2",
    "H.2-ball": "step_in_ball",
    "H.3-ball": "step_in_ball",
    "H.4-ball": "step_in_ball",
    "H.5-ball": "step_in_ball",
    "H.6-ball": "step_in_ball",
    "D25-steps": "proof_steps",
    "C1b": "c1b_terms",
    "C1b-K": "c1b_terms",
    "I.2": "lemma_i2",
    "I.2-rate": "rate_in_ball",
    "I.5": "claim_i5",
    "G.5": "lemma_g5",
    "G.5-ball": "kernel_in_ball",
    "C1": "c1_kernel",
    "C1-noise": "c1_kernel",
    "C1-surrogates": "c1_surrogates",
    "C1-surrogates-size": "c1_surrogates",
    "C1-H": "c1_dynamics",
    "C1-K": "c1_dynamics",
    "C1-means": "c1_dynamics",
    "C1-K-late": "c1_dynamics",
    "C11": "mean_field_limit",
    "C11-swing": "mean_field_limit",
    "C11-late": "mean_field_limit",
    "C11-gain": "mean_field_limit",
    "C11-pair": "mean_field_limit",
    "C11-frozen": "mean_field_limit",
    "C11-averaged": "averaged_outputs",
    "C11-floor": "limit_predictions",
    "C11-aged": "limit_predictions",
    "C11-spread": "limit_predictions",
    "C11-phases": "limit_predictions",
    "C11-layers": "effective_layers",
    "C12": "deep_oscillation",
    "C12-batches": "deep_oscillation",
    "C12-momentum": "deep_oscillation",
    "C12-averages": "deep_oscillation",
    "C12-remedies": "deep_oscillation",
    "C12-test": "deep_oscillation",
    "C12-language": "deep_oscillation",
    "C12-language-cures": "language_remedies",
    "C12-language-test": "language_remedies",
    "C13": "transformer_kernels",
    "C13-precision": "transformer_kernels",
    "C13-steps": "transformer_kernels",
    "T1": "one_step",
    "T1-rate": "one_step",
    "T2": "coupled_limit",
    "T3": "frozen_activity",
    "T3-lemmas": "frozen_activity",
    "T3-floor": "frozen_activity",
    "T4": "lasting_cycle",
    "T5": "gap_limit",
    "4.2": "thm_4_2",
    "4.2-powers": "thm_4_2_powers",
    "4.2-steps": "thm_4_2_powers",
    "4.2-any": "thm_4_2_powers",
    "C2": "c2_floor",
    "C2-law": "c2_floor",
    "5.2": "thm_5_2",
    "5.2-all": "thm_5_2_inputs",
    "5.2-negligible": "thm_5_2_inputs",
    "5.2-zero": "thm_5_2_inputs",
    "C3": "c3_gap",
    "C3-paired": "c3_gap",
    "C3b": "c3b_spread",
    "4.3": "prop_4_3",
    "4.3-branch": "prop_4_3_laws",
    "4.3-decay": "prop_4_3_laws",
    "4.3-data": "prop_4_3_laws",
    "4.3-compute": "prop_4_3_laws",
    "C4": "c4_power_law",
    "4.4": "prop_4_4",
    "4.4-powers": "prop_4_4_powers",
    "C5": "c5_deep",
    "C5-ratio": "c5_deep",
    "C5-similar": "c5_deep",
    "Fig.2": "fig_2_3",
    "Fig.3": "fig_2_3",
    "C6": "c6_bitnet",
    "C6-stable": "c6_bitnet",
    "C6-energy": "c6_bitnet",
    "C6-energy-all": "c6_bitnet",
    "C7": "c7_energy",
    "C7-table": "c7_energy",
    "C7-trends": "c7_trends",
    "C7-mul": "c7_trends",
    "C7-norms": "c7_trends",
    "C7-precise": "c7_trends",
    "W23-law": "w23_fig3",
    "W23-gap": "w23_fig3",
    "W23-cost": "w23_fig3",
    "W23-table3": "w23_tables",
    "W23-table4": "w23_tables",
    "C8": "c8_variance",
    "C8-one": "c8_variance",
    "C8-kept": "c8_variance",
    "C9": "c9_as_written",
    "C9-cost": "c9_as_written",
    "C9-int8": "c9_post_training",
    "C9-choices": "c9_as_written",
    "C9-ptq": "c9_post_training",
    "C10-table4": "c10_ablation",
    "C10-stable": "c10_rates",
    "C10-absmax-rate": "c10_rates",
    "C10-rate": "c10_rates",
    "C10-rate-size": "c10_rates",
    "C10-flips": "c10_flips",
    "C10-further": "c10_ablation",
    "RIVAL-spectrum": "rival_spectrum",
    "RIVAL-flips": "rival_flips",
    "RIVAL-inertia": "rival_flips",
}
_NEAR = 3  # claims that are named in place of one that there is not


def proofs() -> dict[str, Proof]:
    """Return every proof by the id of its claim."""
    return choose([])


def choose(names: list[str]) -> dict[str, Proof]:
    """Return the proofs of the claims named, all of them for no name; case does not matter.

    Raises
    ------
    InputError
        For an unknown name.
    """
    by_lower = {name.lower(): name for name in MODULES}
    chosen = {}
    for given in names or MODULES:
        name = by_lower.get(given.lower())
        if name is None:
            near = [by_lower[one] for one in difflib.get_close_matches(given.lower(), by_lower, n=_NEAR, cutoff=0.4)]
            hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
            raise InputError(f"unknown claim {given!r}{hint}; ntk1bit verify --list lists all {len(MODULES)}")
        module = import_module(f"proofs_numeric.{MODULES[name]}")
        chosen[name] = next(one for one in module.PROOFS if one.claim.id == name)
    return chosen
