from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.autodiff import module_ntk, ntk
from ntk1bit.autodiff.frameworks.plain_functions import QuantizedFunction, open_function
from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser
from ntk1bit.errors import InputError


def f(p, x):
    return p["table"][x["tokens"]].mean(axis=1) @ p["w"] * x["scale"][:, None]


def case():
    rng = np.random.default_rng(0)
    params = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in (("table", (7, 4)), ("w", (4, 2)))}
    return params, {"tokens": np.array([[0, 1], [1, 6], [3, 3]]), "scale": np.ones(3, np.float32)}


def test_dicts_of_tokens_and_numbers():
    params, x = case()
    assert np.array_equal(module_ntk(f, x, params=params), ntk(f, params, x))
    assert np.array_equal(module_ntk(f, x, params=params, parameters="w"), ntk(f, params, x, parameters="w"))


def test_a_function_of_one_input_is_mapped():
    params, x = case()

    def one(p, x):
        return p["table"][x["tokens"]].mean(axis=0) @ p["w"] * x["scale"]

    np.testing.assert_allclose(module_ntk(one, x, params=params), ntk(f, params, x), rtol=1e-5)  # sums in other order


def test_quantised_weights_are_those_of_the_quantiser():
    params, x = case()
    quantiser = WeightQuantiser("ternary")
    quantised = QuantizedFunction(f, quantiser)
    assert np.array_equal(quantised(params, x), f(quantiser(params, "last"), x))
    assert open_function(quantised, params).quantiser is quantiser
    with pytest.raises(InputError, match=r"needs params=\.\.\."):
        open_function(f, None)
