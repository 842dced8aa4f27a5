"""The study of deep networks: what is in it, which seeds it has, and what it costs."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from ntk1bit.experiments import DeepOscillation, ExperimentList, LanguageOscillation
from proofs_numeric.deep_oscillation_studies import (
    ARMS,
    KINDS,
    LANGUAGE_RATES,
    LANGUAGE_REMEDIES,
    deep_oscillation_studies,
)
from proofs_numeric.studies import PRESETS, studies

TRIALS = {900, 901, 902}


def experiments(preset: str) -> list[DeepOscillation]:
    ((name, _, specification),) = (one for one in deep_oscillation_studies(preset) if one[0] == "oscillation-deep")
    assert studies(preset)[name].specification == specification
    assert isinstance(specification, ExperimentList)
    found = [one for one in specification.experiments if isinstance(one, DeepOscillation)]
    assert len(found) == len(specification.experiments) == len(set(found))
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_every_kind_has_three_widths_two_rates_and_five_seeds_of_its_own(preset):
    made = experiments(preset)
    for kind in KINDS:
        plain = [
            one for one in made
            if (one.optimiser, one.batch, one.remedy, one.levels) == (kind.optimiser, kind.batch, "none", "signs")
        ]  # fmt: skip
        assert {one.rate for one in plain} == set(kind.rates)
        assert len({one.width for one in plain}) >= 3
        assert len(plain) == len(kind.rates) * len({one.width for one in plain})
        remedied = {one.remedy for one in made if (one.optimiser, one.batch) == (kind.optimiser, kind.batch)} - {"none"}
        assert remedied == set(kind.remedies)
    for one in made:
        assert len(one.seeds) >= 5
        assert not TRIALS & set(one.seeds)
    assert len({one.seeds for one in made}) == 1  # remedies are held against networks of the same starts


def test_remedies_have_the_width_rate_and_steps_of_networks_without():
    made = experiments("standard")
    plain = {(one.optimiser, one.batch, one.rate, one.width, one.steps) for one in made if one.remedy == "none"}
    for one in made:
        assert (one.optimiser, one.batch, one.rate, one.width, one.steps) in plain
        assert one.width == 1024 or one.remedy == "none"


def test_standard_takes_at_most_eight_minutes_of_two_cores():
    assert sum(one.cost for one in experiments("standard")) < 960


@pytest.mark.parametrize("preset", PRESETS)
def test_transformers_have_all_arms_optimisers_and_widths_with_seeds_of_their_own(preset):
    (specification,) = (one for name, _, one in deep_oscillation_studies(preset) if name == "oscillation-language")
    assert isinstance(specification, ExperimentList)
    every = [one for one in specification.experiments if isinstance(one, LanguageOscillation)]
    assert len(every) == len(specification.experiments) == len(set(every))
    made = [one for one in every if one.remedy == "none"]
    remedied = [one for one in every if one.remedy != "none"]
    tried = sorted((one.arm, one.optimiser, one.remedy) for one in remedied)
    assert tried == sorted(
        (arm, optimiser, one)
        for arm, remedies in LANGUAGE_REMEDIES.items()
        for one, optimiser in itertools.product(remedies, LANGUAGE_RATES)
    )
    assert {one.width for one in remedied} == {sorted({one.width for one in made})[1]}
    for one in remedied:  # of the same starts and steps as those without, and perhaps more of them
        (plain,) = {two for two in made if dataclasses.replace(one, remedy="none", seeds=two.seeds) == two}
        assert one.seeds[: len(plain.seeds)] == plain.seeds
    assert len({one.seeds for one in remedied}) == 1
    widths = {one.width for one in made}
    assert len(widths) >= 3
    assert len(made) == len(ARMS) * len(LANGUAGE_RATES) * len(widths)
    assert {(one.optimiser, one.rate) for one in made} == set(LANGUAGE_RATES.items())
    for one in every:
        assert len(one.seeds) >= 5
        assert not TRIALS & set(one.seeds)
        assert one.window <= one.steps
    if preset == "standard":
        assert sum(one.cost for one in made) < 1500
        assert sum(one.cost for one in remedied) < 1440  # twelve minutes of two cores
