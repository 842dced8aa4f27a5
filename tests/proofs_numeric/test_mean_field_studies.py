"""The studies of the mean field: their names, settings, steps and seeds, and that claims find what they read."""

from __future__ import annotations

from typing import TypeVar

import pytest

from ntk1bit.experiments import Experiment, ExperimentList, MeanFieldOnTask, OppositeNetworks, SweepSpec
from proofs_numeric import mean_field_limit
from proofs_numeric.mean_field_studies import ETA_REL, LONG, RATES, SECOND, SETTINGS, mean_field_studies
from proofs_numeric.studies import PRESETS, studies

Kind = TypeVar("Kind", bound=Experiment)
OF_SETTINGS = [f"limit-{setting.name}" for setting in SETTINGS]
OF_RATES = {f"limit-rate-{rate:g}": rate for rate in RATES if rate != ETA_REL}


def made(preset):
    return {name: specification for name, _, specification in mean_field_studies(preset)}


def networks(preset, name):
    spec = made(preset)[name]
    assert isinstance(spec, SweepSpec)
    return spec


def experiments(preset: str, name: str, kind: type[Kind]) -> list[Kind]:
    spec = made(preset)[name]
    assert isinstance(spec, ExperimentList)
    found = [one for one in spec.experiments if isinstance(one, kind)]
    assert len(found) == len(spec.experiments)
    return found


def test_settings_are_told_apart_by_their_names_and_by_what_the_limit_is_found_by():
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    assert len({(setting.task, setting.dim, setting.n_train) for setting in SETTINGS}) == len(SETTINGS)
    assert LONG in SETTINGS


@pytest.mark.parametrize("preset", PRESETS)
def test_names_are_unique_and_those_that_claims_read_and_all_studies_have(preset):
    names = [name for name, _, _ in mean_field_studies(preset)]
    assert len(set(names)) == len(names)
    assert set(names) == {*OF_SETTINGS, *OF_RATES, "mean-fields", "opposite-inputs"}
    assert set(names) == {name for one in mean_field_limit.PROOFS for name in one.studies}
    there = studies(preset)
    assert all(there[name].specification == specification for name, specification in made(preset).items())
    assert all(specification.first_stage.experiments for specification in made(preset).values())


@pytest.mark.parametrize("preset", PRESETS)
def test_networks_have_the_setting_both_activities_and_outputs_at_all_steps(preset):
    for setting in SETTINGS:
        spec = networks(preset, f"limit-{setting.name}")
        assert (spec.tasks, spec.n_train, spec.inits) == ((setting.task,), (setting.n_train,), ("paired",))
        assert spec.dims == ((setting.dim,) if setting.dim else ())
        assert (spec.precisions, spec.eta_rel) == (("one_bit",), ETA_REL)
        assert set(spec.activities) == {"straight_through", "frozen"}
        assert len(spec.widths) >= 4
        assert len(spec.seeds) >= 5
    for name in (*OF_SETTINGS, *OF_RATES):
        spec = networks(preset, name)
        assert spec.checkpoints == spec.steps + 1


@pytest.mark.parametrize("preset", PRESETS)
def test_steps_reach_the_windows_that_losses_are_taken_over(preset):
    for name in OF_SETTINGS:
        assert networks(preset, name).steps >= mean_field_limit._window(ETA_REL)[1]
    assert networks(preset, f"limit-{LONG.name}").steps >= mean_field_limit._LATE[1]
    for name, rate in OF_RATES.items():
        spec = networks(preset, name)
        assert spec.eta_rel == rate
        assert spec.steps >= mean_field_limit._window(rate)[1]


@pytest.mark.parametrize("preset", PRESETS)
def test_networks_at_other_rates_are_of_a_width_and_seeds_that_the_long_setting_has(preset):
    long = networks(preset, f"limit-{LONG.name}")
    for name in OF_RATES:
        spec = networks(preset, name)
        assert (spec.tasks, spec.dims, spec.n_train) == (long.tasks, long.dims, long.n_train)
        assert len(spec.widths) == 1
        assert set(spec.widths) <= set(long.widths)
        assert spec.seeds == long.seeds
    assert max(RATES) >= 4 * min(RATES)  # a shorter range has no exponent
    assert len(RATES) >= 3


@pytest.mark.parametrize("preset", PRESETS)
def test_the_limit_is_computed_once_for_what_networks_are_held_against(preset):
    every = experiments(preset, "mean-fields", MeanFieldOnTask)
    assert len({one.key for one in every}) == len(every)
    for setting in SETTINGS:
        spec = networks(preset, f"limit-{setting.name}")
        for activity in spec.activities:
            found = [
                one
                for one in every
                if (one.task, one.dim, one.n_train) == (setting.task, setting.dim, setting.n_train)
                and (one.activity, one.eta_rel) == (activity, spec.eta_rel)
            ]
            assert [one.steps for one in found] == [spec.steps]
            assert all(one.replicates >= 5 for one in found)  # an interval over them needs five


@pytest.mark.parametrize("preset", PRESETS)
def test_opposite_inputs_have_every_dimension_and_rate_that_is_judged(preset):
    every = experiments(preset, "opposite-inputs", OppositeNetworks)
    assert len({one.key for one in every}) == len(every)
    widest = max(one.width for one in every)
    judged = {criterion.measure for criterion in mean_field_limit.CLAIM_PAIR.criteria} - {"recursion.off"}
    assert judged == {f"amplitude.d{one.dim}.{one.eta_rel:g}" for one in every if one.width == widest}
    assert all(len(one.seeds) >= 5 and one.second == SECOND != 1 for one in every)
    assert all(one.steps > 4 * 10 for one in every)  # a captured step has ten steps on both sides


def test_widths_grow_from_preset_to_preset_and_cited_ones_are_wide():
    widest = [max(networks(preset, OF_SETTINGS[0]).widths) for preset in PRESETS]
    assert widest == sorted(set(widest))
    assert min(networks("standard", OF_SETTINGS[0]).widths) >= 1024
    assert max(networks("standard", OF_SETTINGS[0]).widths) == 65536


def test_seeds_are_not_those_of_other_studies():
    ours = made("standard")
    seeds = {seed for one in ours.values() if isinstance(one, SweepSpec) for seed in one.seeds}
    others = [one.specification for name, one in studies("standard").items() if name not in ours]
    assert not seeds & {seed for one in others if isinstance(one, SweepSpec) for seed in one.seeds}
