from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk, ntk
from ntk1bit.errors import InputError

from .random_networks_jax import FAMILIES, draw, relative_error

X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def unknown() -> Any:
    return "jacobain"


def f(p, x):
    return np.float32(2) * x @ p["w"]


PARAMS = {"w": np.ones((3, 2), np.float32), "mask": np.ones(3), "name": "f"}


def test_a_record_says_what_a_kernel_is_of():
    record = describe_module(f, X, params=PARAMS, parameters="w")
    assert record.parameters == (("w", 6),)
    assert record.left_out == (("mask", 3),)
    assert record.count == 6
    assert (record.outputs, record.dtype, record.trace_outputs) == ((2,), "float32", True)
    assert str(record).splitlines() == [
        "NTK of: a function of (params, x), called on the batch",
        "by: 6 parameters in w (6)",
        "left out: mask (3)",
        "outputs: 2 outputs, the mean over them; dtype float32",
        "mode: nothing to switch",
        "quantisers: none known",
        "by layer, without a Jacobian: w (6)",
    ]


def test_what_ntk_takes_is_passed_on():
    calls = []
    found = module_ntk(
        f, X, 2 * X, params=PARAMS, parameters="w", method="vector_products", trace_outputs=False, memory_budget=1000,
        progress=lambda what, share: calls.append(share),
    )  # fmt: skip
    expected = ntk(f, PARAMS, X, 2 * X, parameters="w", trace_outputs=False)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert calls[-1] == 1


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named():
    with pytest.raises(InputError, match="unknown method"):
        module_ntk(module=f, x=X, params=PARAMS, method=unknown())
    with pytest.raises(InputError, match="x contains NaN"):
        module_ntk(f, X * np.nan, params=PARAMS)
    with pytest.raises(InputError, match="zero"):
        module_ntk(lambda p, x: x @ jax.numpy.sign(p["w"]), X, params=PARAMS)


@pytest.fixture
def wide():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_random_network_of_each_family(family):
    assert relative_error(*draw(family, 0)) < 1e-10  # float64: sums of some hundred products


@pytest.mark.slow
@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(1, 18))
def test_many_random_networks(family, seed):
    assert relative_error(*draw(family, seed)) < 1e-10
