"""The rule of G.5-ball on made-up kernels."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims import Number
from proofs_numeric import kernel_in_ball
from proofs_numeric.ball_experiments import KERNEL_MULTIPLES
from proofs_numeric.data import Data


def kernels(*, most=1.0, power=1.0, reached=0.5, share=1.0):
    """A hundred networks per setting whose kernels can move by `most` times 8 n R^power (R in units of the lemma)."""
    rng = np.random.default_rng(0)
    found = []
    for dim, width, multiple, seed in itertools.product((8, 32), (256, 1024), KERNEL_MULTIPLES, range(100)):
        radius = 1e-8 * multiple
        moved = most * 8 * 1e-8 * multiple**power * (1 + 0.1 * rng.random())
        found.append(
            {
                "dim": dim,
                "width": width,
                "n_train": 8,
                "multiple": multiple,
                "seed": seed,
                "radius": radius,
                "lambda_min": 0.2,
                "claimed": 5.0,
                "most": moved,
                "reached": reached * moved,
                "lambda_reached": 0.2 * share,
                "random": 0.1 * moved,
                "share": 0.1,
                "undecided": 0.0,
            }
        )
    return Data(Path("nowhere"), frames={"ball-kernels": pd.DataFrame(found)})


def judged(data):
    (proof,) = kernel_in_ball.PROOFS
    evidence = proof.evidence(data)
    return {one.measure: one.outcome for one in proof.claim.judge(evidence).findings}, evidence


def test_small_changes_support_and_the_ratio_to_the_premise_is_told():
    found, evidence = judged(kernels())
    assert set(found.values()) == {"supported"}
    ratio = evidence.get("premise.ratio")
    assert isinstance(ratio, Number)
    assert ratio.value == pytest.approx(5.0 / (64 * 1e-8))


def test_kernels_that_can_move_by_more_than_the_bound_refute():
    found, _ = judged(kernels(most=1e8))
    assert found["frobenius"] == "refuted"
    assert found["lambda"] == "refuted"
    assert found["mean"] == "refuted"


def test_a_change_that_does_not_vanish_with_the_radius_refutes():
    assert judged(kernels(power=0.2))[0]["radius"] == "refuted"


def test_a_move_that_changes_more_than_the_bound_for_all_moves_refutes():
    assert judged(kernels(reached=1.5))[0]["excluded"] == "refuted"
