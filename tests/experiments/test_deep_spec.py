from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

from ntk1bit.data.cubes_and_curves import CUBES, CURVES
from ntk1bit.errors import InputError
from ntk1bit.experiments import deep_spec as specs
from ntk1bit.experiments.deep_spec import DEPTHS, PILOT_SEEDS, RATES, SIZES, deep_spec, measurements, pilot_rates


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("figure", [1, 2, 3])
def test_every_measurement_can_be_called_and_is_named_once(figure, size):
    made = measurements(figure, size)
    assert len({one.key for one in made}) == len(made)
    for one in made:
        module, name = one.function.split(":")
        known = set(inspect.signature(getattr(import_module(module), name)).parameters)
        assert set(dict(one.settings)) <= known
        assert one.cost > 0


@pytest.mark.parametrize("size", SIZES)
def test_every_setting_has_all_its_seeds_once_and_pilots_used_none_of_them(size):
    spec = deep_spec(size)
    for figure, seeds in ((1, spec.seeds), (3, spec.curve_seeds)):
        found: dict[tuple, list[int]] = {}
        for one in measurements(figure, size):
            settings = dict(one.settings)
            used = settings.pop("seeds")
            found.setdefault(tuple(settings.items()), []).extend(used)
        assert all(sorted(used) == list(range(seeds)) for used in found.values())
        rates = sum(map(len, RATES.values()))
        expected = len(spec.parameters) * rates * len(spec.tasks) if figure == 1 else len(spec.sizes) * len(CURVES)
        assert len(found) == expected
        assert seeds >= 5
        assert not set(PILOT_SEEDS) & set(range(seeds))


def test_sizes_are_those_of_the_paper_where_they_claim_to_be():
    full = deep_spec("thorough")
    assert full.parameters[0] == 2**17
    assert full.parameters[-1] == 2**21
    assert full.steps == 100_000
    assert {10, 100, 1000} <= set(full.sizes)
    assert all(set(deep_spec(size).tasks) == set(CUBES) for size in ("quick", "standard", "thorough"))
    for size in ("quick", "standard"):
        assert len(deep_spec(size).parameters) >= 6


def test_both_figures_of_curves_share_their_measurements():
    assert measurements(2, "quick") == measurements(3, "quick")


def test_the_pilot_search_finds_the_best_rate():
    found = pilot_rates(tasks=("f3",), seeds=(1000,), parameters=60, steps=40, rates=(1e-5, 1e-2))
    assert len(found) == 2 * len(DEPTHS) * 2
    assert np.count_nonzero(found["best"]) == 4
    # a thousandth of the rate in as many steps hardly moves the weights
    assert set(found.loc[found["best"], "rate"]) == {1e-2}
    assert np.isfinite(found["least_loss"]).all()
    assert set(RATES) == {(str(p), int(d)) for p, d in found[["precision", "depth"]].to_numpy()}
    assert {rate for rates in RATES.values() for rate in rates} <= set(specs.PILOT_RATES)


def test_listing_measurements_does_not_import_jax():
    code = (
        "import sys; from ntk1bit.experiments.deep_spec import measurements; "
        "measurements(1, 'quick'); print('jax' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_mistakes_are_told():
    with pytest.raises(InputError, match="unknown preset 'huge'"):
        measurements(1, "huge")
    with pytest.raises(InputError, match="unknown figure 4"):
        measurements(4, "quick")
