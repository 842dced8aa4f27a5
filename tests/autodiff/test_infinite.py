from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import infinite, infinite_ntk, ntk
from ntk1bit.errors import InputError
from ntk1bit.kernels import limit_ntk

needs_it = pytest.mark.skipif(not infinite.available(), reason="neural-tangents is not installed")


def sphere(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@needs_it
@pytest.mark.parametrize("d", [2, 5, 64])
def test_closed_form_is_its_ntk_minus_nngp(d):
    x, x2 = sphere(7, d), sphere(4, d, seed=1)
    for other in (None, x2):
        hidden = infinite_ntk(x, other, depth=1, kind="ntk") - infinite_ntk(x, other, depth=1, kind="nngp")
        ours = limit_ntk(x, other, precision="full").value / d
        # two arc cosines in float64, each good to 1e-8 (ours) or regularised by about as much (theirs)
        np.testing.assert_allclose(hidden, ours, atol=1e-7 * np.abs(ours).max())


@needs_it
@pytest.mark.parametrize(
    ("depth", "activation"),
    [
        (0, "relu"),
        (2, "relu"),
        *(pytest.param(d, a, marks=pytest.mark.slow) for d in (1, 3) for a in infinite.ACTIVATIONS),
    ],
)
def test_wide_networks_approach_it(depth, activation):
    x = sphere(5, 4)
    act = {"relu": jax.nn.relu, "erf": jax.scipy.special.erf, "gelu": lambda z: jax.nn.gelu(z, approximate=False)}
    act = act.get(activation, lambda z: z)
    width, seeds = 512, 12
    sizes = [4, *[width] * depth, 1]

    def f(params, inputs):
        h = inputs
        for i, (w, b) in enumerate(params):
            h = h @ w * (1.3 / np.sqrt(w.shape[0])) + 0.4 * b
            h = act(h) if i < depth else h
        return h

    kernels = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        params = [
            (rng.standard_normal((i, o)).astype(np.float32), rng.standard_normal(o).astype(np.float32))
            for i, o in itertools.pairwise(sizes)
        ]
        kernels.append(ntk(f, params, x.astype(np.float32)))
    expected = infinite_ntk(x, depth=depth, activation=activation, weight_std=1.3, bias_std=0.4)
    mean, error = np.mean(kernels, axis=0), np.std(kernels, axis=0, ddof=1) / np.sqrt(seeds)
    # 6 standard errors (t with 11 degrees of freedom, 25 entries) and O(depth/width) of bias
    assert (np.abs(mean - expected) < 6 * error + (depth + 0.01) * expected.max() / width).all()


@needs_it
def test_its_implementations_agree_with_each_other():
    params = [np.random.default_rng(0).standard_normal((4, 9)).astype(np.float32), np.ones((9, 2), np.float32)]
    x = sphere(5, 4).astype(np.float32)

    def f(p, inputs):
        return jax.nn.relu(inputs @ p[0]) @ p[1]

    names = ["JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES", "AUTO"]
    kernels = [infinite.structured_ntk(f, params, x, implementation=name) for name in names]
    for other in kernels[1:]:
        np.testing.assert_allclose(other, kernels[0], rtol=1e-5, atol=1e-5)


@needs_it
def test_choosing_an_implementation_prints_nothing(capsys):
    w = np.ones((3, 2), np.float32)
    infinite.structured_ntk(lambda p, x: x @ p, w, sphere(3, 3).astype(np.float32), implementation="AUTO")
    assert capsys.readouterr().out == ""


@needs_it
def test_public_parts_of_jax_still_work_after_the_preparation():
    infinite.neural_tangents()
    value, pushed = jax.linearize(jnp.sin, 0.5)
    np.testing.assert_allclose(pushed(1.0), np.cos(0.5), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda z: z**3)(2.0), 12.0)
    np.testing.assert_allclose(value, np.sin(0.5), rtol=1e-6)
    assert jax.hessian(lambda z: jnp.sum(z**2))(jnp.ones(2)).shape == (2, 2)


def test_without_it_a_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(infinite, "available", lambda: False)
    infinite.neural_tangents.cache_clear()
    with pytest.raises(InputError, match="not installed; install it without its dependencies: pip install --no-deps"):
        infinite_ntk(np.eye(2), depth=1)
    infinite.neural_tangents.cache_clear()


def test_a_jax_it_cannot_work_with_is_named(monkeypatch):
    def broken() -> None:
        raise AttributeError("no such name")

    monkeypatch.setattr(infinite, "available", lambda: True)
    monkeypatch.setattr(infinite, "_prepare", broken)
    infinite.neural_tangents.cache_clear()
    with pytest.raises(InputError, match=r"does not work with JAX .* use a JAX from"):
        infinite.neural_tangents()
    infinite.neural_tangents.cache_clear()


def test_importing_our_module_does_not_import_theirs():
    code = "import sys; import ntk1bit.autodiff.infinite; sys.exit('neural_tangents' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_it
@pytest.mark.usefixtures("untyped")
def test_ordinary_python_values():
    x = np.array([[1, 0], [2, 1]])
    expected = infinite_ntk(x.astype(np.float64), depth=1, weight_std=1.0, bias_std=0.5)
    numbers: dict[str, Any] = {"depth": np.int64(1), "weight_std": np.float32(1), "bias_std": np.array(0.5)}
    for given in (x, x.tolist(), x.astype(np.float32), jnp.asarray(x)):
        np.testing.assert_array_equal(infinite_ntk(given, **numbers), expected)
    np.testing.assert_array_equal(infinite_ntk(x, x.tolist(), depth=1, bias_std=0.5), expected)
    # without weights all that is left is the last bias
    np.testing.assert_allclose(infinite_ntk(x, depth=2, weight_std=0, bias_std=2), 4.0)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": -1}, "0 or more"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"kind": "nngpp"}, "did you mean 'nngp'"),
        ({"x": np.array([[np.nan]])}, "NaN"),
        ({"x2": np.ones((2, 3))}, "must match"),
        ({"x": np.ones(3)}, "a matrix with a row for each input"),
        ({"x": np.ones((2, 8, 8, 1))}, "reshape images to rows"),
        ({"x": np.eye(2) * 1j}, "complex"),
        ({"x": [["a"]]}, "not numbers"),
        ({"x": np.full((2, 2), 1e39)}, "too large"),
        ({"x": np.empty((2, 0))}, "at least one feature"),
        ({"x2": np.full((1, 2), np.inf)}, "NaN"),
        *(({"depth": value}, "depth must be a number of") for value in (0.5, np.nan, "2", None, True, [1])),
        *(
            ({name: value}, f"{name} must be 0 or a positive number")
            for name in ("weight_std", "bias_std")
            for value in (np.nan, np.inf, -1.0, "1", None, 1j, np.ones(2))
        ),
        pytest.param({"weight_std": 1e100, "depth": 3}, "leaves the range of float64", marks=needs_it),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message):
        infinite_ntk(**{"x": np.eye(2), "depth": 1, **change})
