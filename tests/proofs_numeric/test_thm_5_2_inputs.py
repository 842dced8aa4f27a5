"""The rules of 5.2-all, 5.2-negligible and 5.2-zero on outputs whose difference is known."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import thm_5_2_inputs as thm
from proofs_numeric.data import Data
from tests.proofs_numeric.values import value

WIDTHS = (256, 1024, 4096)


def outputs(gap, *, tasks=("sphere-linear",), dims=(8, 32, 128), seeds=9, late=0.0):
    """Full precision has outputs of size 1; 1-bit ones differ by gap(m, d, points) in the middle of training."""
    rng = np.random.default_rng(0)
    rows = []
    for task, dim, width, seed in itertools.product(tasks, dims, WIDTHS, range(seeds)):
        signs = {points: rng.choice([-1.0, 1.0], 8).astype(np.float32) for points in ("train", "test")}
        for precision, step in itertools.product(("one_bit", "full"), (0, 1, 2)):
            row = {"task": task, "dim": dim, "n_train": 8, "init": "iid", "kappa": 1.0, "width": width, "seed": seed}
            row |= {"precision": precision, "step": step, "radius": 0.5, "drift": 0.0, "key": "key"}
            for points, column in (("train", "outputs"), ("test", "test_outputs")):
                size = gap(width, dim, points) * (1 + 0.02 * rng.standard_normal())
                apart = size * (1.0 if step == 1 else late) if precision == "one_bit" else 0.0
                row[column] = signs[points] * (1 + apart)
            rows.append(row)
    return pd.DataFrame(rows)


def refuted(judged):
    return [one.measure for one in judged.findings if one.outcome == "refuted"]


def test_small_differences_support_the_theorem_and_large_ones_in_mid_training_refute_it():
    frame = outputs(lambda m, d, points: 0.5)
    found = thm.all_evidence_of(frame)
    assert thm.ALL.judge(found).outcome == "supported"
    bound = np.sqrt(np.log(256 / 0.05)) * 8 * (np.sqrt(np.log(256 * 8 / 0.05)) + 0.5)
    assert value(found, "largest.train") == pytest.approx(0.5 / bound, rel=0.1)  # 2 % of noise, the largest of 9
    # half of the pairs are beyond at d = 8, on training inputs only
    judged = thm.ALL.judge(thm.all_evidence_of(outputs(lambda m, d, p: 300.0 if p == "train" and d == 8 else 0.5)))
    assert refuted(judged) == ["beyond.train"]


@pytest.mark.parametrize(
    ("gap", "measures"),
    [
        (lambda m, d, p: 1e-3 * m**0.5 if p == "test" else 1e-3, ["shape.m.test"]),
        (lambda m, d, p: 1e-3 * d**1.5, ["shape.d.train", "shape.d.test"]),
    ],
)
def test_a_difference_that_outgrows_the_bound_refutes_it(gap, measures):
    assert refuted(thm.ALL.judge(thm.all_evidence_of(outputs(gap)))) == measures


def sized(gap):
    frame = outputs(gap, tasks=thm._TASKS, dims=(32,), late=1.0)
    return thm.gap_evidence(Data(Path("nowhere"), frames={"gap-sizes": frame}))


def test_a_falling_difference_tends_to_zero_and_a_flat_one_does_not():
    falling = sized(lambda m, d, p: m**-0.5)
    assert thm.ZERO.judge(falling).outcome == "supported"
    assert thm.NEGLIGIBLE.judge(falling).outcome == "supported"
    assert value(falling, "gap.widest.digits") == pytest.approx(1 / 64, rel=0.05)
    flat = sized(lambda m, d, p: 0.05)
    assert thm.ZERO.judge(flat).outcome == "refuted"
    assert thm.NEGLIGIBLE.judge(flat).outcome == "supported"  # a twentieth, which does not grow
    assert thm.NEGLIGIBLE.judge(sized(lambda m, d, p: 0.5)).outcome == "refuted"
    growing = thm.NEGLIGIBLE.judge(sized(lambda m, d, p: 1e-3 * m**0.3))
    assert refuted(growing) == [f"gap.m.{task}" for task in thm._TASKS]
