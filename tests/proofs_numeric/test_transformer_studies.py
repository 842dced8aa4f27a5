"""The study of Transformers' kernels: arms, widths and starts, and what it costs."""

from __future__ import annotations

import pytest

from ntk1bit.experiments import ExperimentList, TransformerKernels
from proofs_numeric.deep_oscillation_studies import ARMS
from proofs_numeric.studies import PRESETS, studies
from proofs_numeric.transformer_studies import transformer_studies


def experiments(preset: str) -> list[TransformerKernels]:
    ((name, _, specification),) = transformer_studies(preset)
    assert studies(preset)[name].specification == specification
    assert isinstance(specification, ExperimentList)
    found = [one for one in specification.experiments if isinstance(one, TransformerKernels)]
    assert len(found) == len(specification.experiments) == len(set(found))
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_all_arms_have_the_same_widths_starts_and_steps(preset):
    every = experiments(preset)
    by_arm = {arm: {(one.width, one.seeds, one.at) for one in every if one.arm == arm} for arm in ARMS}
    assert len({frozenset(one) for one in by_arm.values()}) == 1
    assert len(every) == len(ARMS) * len(by_arm["full"])
    assert all(len(one.seeds) >= 5 and not {900, 901, 902} & set(one.seeds) for one in every)
    if preset != "quick":
        assert len({one.width for one in every}) >= 5


def test_standard_takes_at_most_half_an_hour_of_two_cores():
    assert sum(one.cost for one in experiments("standard")) < 3600
