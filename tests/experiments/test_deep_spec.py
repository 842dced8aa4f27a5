from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ntk1bit.data.cubes_and_curves import CUBES, CURVES
from ntk1bit.errors import InputError
from ntk1bit.experiments.deep_spec import (
    DEPTHS,
    PILOT_RATES,
    PILOT_SEEDS,
    RATES,
    SCALING_PRESETS,
    SIMILARITY_PRESETS,
    DeepScalingSpec,
    DeepSimilaritySpec,
    deep_specification,
    pilot_rates,
)

SPECS = [*SCALING_PRESETS.values(), *SIMILARITY_PRESETS.values()]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.NAME)
def test_every_setting_has_all_its_seeds_once_and_pilots_used_none_of_them(spec):
    experiments = spec.first_stage.experiments
    assert len({one.key for one in experiments}) == len(experiments)
    assert all(one.cost > 0 for one in experiments)
    found: dict[tuple, list[int]] = {}
    for one in experiments:
        settings = one.as_dict()
        used = settings.pop("seeds")
        found.setdefault(tuple(settings.items()), []).extend(used)
    assert all(sorted(used) == list(spec.seeds) for used in found.values())
    sizes = spec.parameters if isinstance(spec, DeepScalingSpec) else spec.sizes
    per_size = sum(map(len, RATES.values())) * len(spec.tasks) if isinstance(spec, DeepScalingSpec) else len(CURVES)
    assert len(found) == len(sizes) * per_size
    assert len(spec.seeds) >= 5
    assert not set(PILOT_SEEDS) & set(spec.seeds)


def test_sizes_are_those_of_the_paper_where_they_claim_to_be():
    scaling, similarity = SCALING_PRESETS["thorough"], SIMILARITY_PRESETS["thorough"]
    assert scaling.parameters[0] == 2**17
    assert scaling.parameters[-1] == 2**21
    assert scaling.steps == 100_000
    assert {10, 100, 1000} <= set(similarity.sizes)
    assert all(set(SCALING_PRESETS[name].tasks) == set(CUBES) for name in ("quick", "standard", "thorough"))
    assert all(len(SCALING_PRESETS[name].parameters) >= 6 for name in ("quick", "standard"))


def test_both_figures_of_curves_share_their_networks():
    assert deep_specification(2, "quick") == deep_specification(3, "quick") == SIMILARITY_PRESETS["quick"]
    assert deep_specification(1, "quick") == SCALING_PRESETS["quick"]


def test_a_specification_comes_back_from_its_fields():
    for spec in SPECS:
        assert type(spec).from_dict(spec.as_dict()) == spec


def test_the_pilot_search_finds_the_best_rate():
    found = pilot_rates(tasks=("f3",), seeds=(1000,), parameters=60, steps=40, rates=(1e-5, 1e-2))
    assert len(found) == 2 * len(DEPTHS) * 2
    assert np.count_nonzero(found["best"]) == 4
    # a thousandth of the rate in as many steps hardly moves the weights
    assert set(found.loc[found["best"], "rate"]) == {1e-2}
    assert np.isfinite(found["least_loss"]).all()
    assert set(RATES) == {(str(p), int(d)) for p, d in found[["precision", "depth"]].to_numpy()}
    assert {rate for rates in RATES.values() for rate in rates} <= set(PILOT_RATES)


def test_a_plan_does_not_import_jax():
    code = (
        "import sys; from ntk1bit.experiments.deep_spec import deep_specification; "
        "deep_specification(1, 'quick').first_stage; print('jax' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_mistakes_are_told():
    with pytest.raises(InputError, match="unknown preset 'huge'"):
        deep_specification(1, "huge")
    with pytest.raises(InputError, match="unknown figure 4"):
        deep_specification(4, "quick")
    with pytest.raises(InputError, match="seeds must be one value or more, each once"):
        DeepScalingSpec((100,), 10, seeds=(1, 1))
    with pytest.raises(InputError, match="sizes must be one value or more"):
        DeepSimilaritySpec(())
    with pytest.raises(InputError, match="unknown function"):
        DeepSimilaritySpec((3,), tasks=("f1",))
    with pytest.raises(InputError, match="steps must be at least 1"):
        DeepScalingSpec((100,), 0)
