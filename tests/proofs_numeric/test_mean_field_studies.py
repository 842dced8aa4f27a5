"""The studies of the mean field: their names, settings, steps and seeds, and that claims find what they read."""

from __future__ import annotations

from typing import TypeVar

import pytest

from ntk1bit.experiments import (
    Experiment,
    ExperimentList,
    FloorOnTask,
    MeanFieldOnTask,
    OppositeNetworks,
    OscillationOnTask,
    SpreadOnTask,
    SweepSpec,
)
from proofs_numeric import averaged_outputs, limit_predictions, mean_field_limit
from proofs_numeric.mean_field_studies import (
    AGED,
    ETA_REL,
    FLOORS,
    LONG,
    RATES,
    SECOND,
    SETTINGS,
    SIX,
    SPREAD_SETTINGS,
    mean_field_studies,
)
from proofs_numeric.studies import PRESETS, studies

Kind = TypeVar("Kind", bound=Experiment)
OF_SETTINGS = [f"limit-{setting.name}" for setting in SETTINGS]
OF_SIX = {f"limit-fresh-{setting.name}": setting for setting in SIX}
OF_SPREADS = [f"spread-{setting.name}" for setting in SPREAD_SETTINGS]
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
    assert len({setting.name for setting in SIX}) == len(SIX)
    assert len({(setting.task, setting.dim, setting.n_train) for setting in SIX}) == len(SIX)
    assert LONG in SETTINGS


@pytest.mark.parametrize("preset", PRESETS)
def test_names_are_unique_and_those_that_claims_read_and_all_studies_have(preset):
    names = [name for name, _, _ in mean_field_studies(preset)]
    assert len(set(names)) == len(names)
    of_predictions = {"floors-frozen", "floors-aged", *OF_SPREADS, "spreads", "phases", "averaged-digits"}
    of_predictions |= {"alternating-gains"}
    assert set(names) == {*OF_SETTINGS, *OF_SIX, *OF_RATES, "mean-fields", "opposite-inputs", *of_predictions}
    claims = (*mean_field_limit.PROOFS, *limit_predictions.PROOFS, *averaged_outputs.PROOFS)
    assert set(names) == {name for one in claims for name in one.studies}
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
    for name in (*OF_SETTINGS, *OF_SIX, *OF_RATES):
        spec = networks(preset, name)
        assert spec.checkpoints == spec.steps + 1


@pytest.mark.parametrize("preset", PRESETS)
def test_the_networks_that_the_limit_is_judged_by_are_others(preset):
    first = {seed for name in OF_SETTINGS for seed in networks(preset, name).seeds}
    for name, setting in OF_SIX.items():
        spec = networks(preset, name)
        assert (spec.tasks, spec.n_train, spec.eta_rel) == ((setting.task,), (setting.n_train,), setting.eta_rel)
        assert spec.dims == ((setting.dim,) if setting.dim else ())
        assert spec.activities == ("straight_through",)
        assert len(spec.seeds) >= 5
        assert not first & set(spec.seeds)
        assert len(spec.widths) >= 4
        assert spec.steps >= max(100, mean_field_limit._window(setting.eta_rel)[1])


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
    for name, setting in OF_SIX.items():
        here = [
            one for one in every if (one.task, one.dim, one.n_train) == (setting.task, setting.dim, setting.n_train)
        ]
        (found,) = (one for one in here if (one.activity, one.eta_rel) == ("straight_through", setting.eta_rel))
        assert found.steps >= networks(preset, name).steps


@pytest.mark.parametrize("preset", PRESETS)
def test_opposite_inputs_have_every_dimension_and_rate_that_is_judged(preset):
    every = experiments(preset, "opposite-inputs", OppositeNetworks)
    assert len({one.key for one in every}) == len(every)
    widest = max(one.width for one in every)
    judged = {criterion.measure for criterion in mean_field_limit.CLAIM_PAIR.criteria} - {"recursion.off"}
    assert judged == {f"amplitude.d{one.dim}.{one.eta_rel:g}" for one in every if one.width == widest}
    assert all(len(one.seeds) >= 5 and one.second == SECOND != 1 for one in every)
    assert all(one.steps > 4 * 20 for one in every)  # a captured network alternates for twenty


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


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("study", "settings", "activity"), [
    ("floors-frozen", FLOORS, "frozen"), ("floors-aged", AGED, "straight_through"),
])  # fmt: skip
def test_floors_have_every_setting_that_is_judged_and_enough_networks(preset, study, settings, activity):
    every = experiments(preset, study, FloorOnTask)
    assert [(one.n_train, one.dim, one.eta_rel) for one in every] == [
        (one.n_train, one.dim, one.eta_rel) for one in settings
    ]
    assert {one.activity for one in every} == {activity}
    assert all(len(one.seeds) >= 5 and one.replicates >= 5 for one in every)
    assert all((one.settling > 0) == (activity == "straight_through") for one in every)
    seen = {seed for one in every if not one.process_seed for seed in one.seeds}
    for one, setting in zip(every, settings, strict=True):
        assert bool(one.process_seed) == (setting.afresh > 0 and activity == "frozen")
        if one.process_seed:
            assert not seen & set(one.seeds)
            assert len(one.seeds) == setting.afresh * len(every[0].seeds)
            assert one.replicates == setting.afresh * every[0].replicates


@pytest.mark.parametrize("preset", PRESETS)
def test_spreads_are_predicted_for_the_inputs_that_networks_are_tested_on(preset):
    predicted = experiments(preset, "spreads", SpreadOnTask)
    for setting, known in zip(SPREAD_SETTINGS, predicted, strict=True):
        spec = networks(preset, f"spread-{setting.name}")
        assert (spec.tasks, spec.dims, spec.n_train) == ((known.task,), (known.dim,), (known.n_train,))
        assert spec.n_test == known.n_test
        assert spec.data_seed == 0  # that of the prediction
        assert spec.inits == ("paired",)
        assert set(spec.activities) == {"straight_through", "frozen"}
        assert set(spec.precisions) == {"one_bit", "full"}
        assert setting.dim >= 64  # where straight-through training's oscillation has passed


@pytest.mark.parametrize("preset", PRESETS)
def test_phases_are_a_grid_over_the_window_of_mid_training(preset):
    every = experiments(preset, "phases", OscillationOnTask)
    first, last = mean_field_limit._window(ETA_REL)
    points, dims = ({getattr(one, name) for one in every} for name in ("n_train", "dim"))
    assert len(every) == len(points) * len(dims) >= 4
    assert {(one.first, one.steps, one.eta_rel) for one in every} == {(first, last, ETA_REL)}
    assert all(len(one.data_seeds) >= 5 for one in every)
