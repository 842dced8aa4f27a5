from __future__ import annotations

import itertools
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import infinite, linearize, ntk
from ntk1bit.errors import InputError
from ntk1bit.kernels import empirical_ntk
from ntk1bit.networks.two_layer import Weights, init

METHODS = ["jacobian", "vector_products"]
needs_oracle = pytest.mark.skipif(not infinite.available(), reason="neural-tangents is not installed")


def sphere(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def one_bit(params, x):
    """D25's network with the straight-through estimator d z/d w := x."""
    w = params["w"]
    mu = w.mean(axis=1, keepdims=True)
    c = w - mu
    quantised = jnp.sqrt((c * c).mean(axis=1, keepdims=True)) * jnp.where(c >= 0, 1.0, -1.0) + mu
    straight = w + jax.lax.stop_gradient(quantised - w)
    return jax.nn.relu(x @ straight.T) @ jax.lax.stop_gradient(params["a"]) / np.sqrt(w.shape[0])


def mlp(params, x):
    for w, b in params[:-1]:
        x = jnp.tanh(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def mlp_params(sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.standard_normal((i, o)).astype(np.float32) / np.sqrt(i), rng.standard_normal(o).astype(np.float32))
        for i, o in itertools.pairwise(sizes)
    ]


def jacobian_reference(f, params, x):
    """The Jacobian as one matrix, (n, outputs, parameters)."""
    tree = jax.jacrev(f)(params, jnp.asarray(x))
    return np.concatenate([np.asarray(leaf).reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(tree)], axis=2)


@pytest.mark.parametrize("method", [*METHODS, "auto"])
@pytest.mark.parametrize("width", [7, 65])
def test_one_bit_network_matches_the_closed_form(method, width):
    x, x2 = sphere(9, 5), sphere(4, 5, seed=1)
    weights = init(width, 5, seed=1)
    params = {"w": weights.w, "a": weights.a}
    # float32: a few roundings of terms of size <= 1
    np.testing.assert_allclose(ntk(one_bit, params, x, method=method), empirical_ntk(x, weights), atol=2e-6)
    np.testing.assert_allclose(ntk(one_bit, params, x, x2, method=method), empirical_ntk(x, weights, x2), atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trace", [True, False])
def test_several_outputs_match_the_whole_jacobian(method, trace):
    params = mlp_params([5, 8, 8, 3])
    x, x2 = sphere(7, 5), sphere(6, 5, seed=2)
    j, j2 = jacobian_reference(mlp, params, x), jacobian_reference(mlp, params, x2)
    full = np.einsum("iop,jqp->ijoq", j, j2)
    expected = np.einsum("ijoo->ij", full) / 3 if trace else full
    found = ntk(mlp, params, x, x2, method=method, trace_outputs=trace)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    same = np.einsum("iop,jqp->ijoq", j, j)
    expected = np.einsum("ijoo->ij", same) / 3 if trace else same
    np.testing.assert_allclose(ntk(mlp, params, x, method=method, trace_outputs=trace), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("rows", [1, 7])
def test_blocks_do_not_change_the_result(method, trace, rows):
    params = mlp_params([4, 6, 2])
    size = sum(w.size + b.size for w, b in params) * 2 * 4
    x, x2 = sphere(11, 4), sphere(5, 4, seed=3)
    budget = 3 * rows * (size if method == "jacobian" else size + 2 * 4 * 11 * 6)  # and the hidden layer at all of x
    calls = []
    found = ntk(
        mlp,
        params,
        x,
        method=method,
        trace_outputs=trace,
        memory_budget=budget,
        progress=lambda what, share: calls.append((what, share)),
    )
    np.testing.assert_allclose(found, ntk(mlp, params, x, method=method, trace_outputs=trace), rtol=1e-5, atol=1e-6)
    assert calls == [(f"block {k} of {len(calls)}", k / len(calls)) for k in range(1, len(calls) + 1)]
    rectangular = ntk(mlp, params, x, x2, method=method, trace_outputs=trace, memory_budget=budget)
    expected = ntk(mlp, params, x, x2, method=method, trace_outputs=trace)
    np.testing.assert_allclose(rectangular, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_only_the_chosen_parameters_count(method):
    params = {"first": mlp_params([4, 6])[0], "second": mlp_params([6, 1], seed=1)[0]}

    def f(p, x):
        return mlp([p["first"], p["second"]], x)

    x = sphere(5, 4)
    parts = [ntk(f, params, x, method=method, parameters=lambda path, k=k: path.startswith(k)) for k in params]
    np.testing.assert_allclose(sum(parts), ntk(f, params, x, method=method), rtol=1e-5)
    bias = ntk(f, params, x, method=method, parameters=lambda path: path == "second/1")
    np.testing.assert_allclose(bias, 1.0, rtol=1e-6)


def test_leaves_that_are_not_parameters_are_passed_through():
    params = {"w": np.ones((3, 2), np.float32), "activation": jnp.tanh, "steps": 2, "index": np.arange(3)}

    def f(p, x):
        return p["activation"](x[:, p["index"]] @ p["w"]).sum(axis=1) * p["steps"]

    assert ntk(f, params, sphere(4, 3)).shape == (4, 4)


def test_integer_inputs_such_as_tokens():
    params = {"table": np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)}
    tokens = np.array([[0, 1], [1, 1], [4, 6]])
    kernel = ntk(lambda p, t: p["table"][t].sum(axis=(1, 2)), params, tokens)
    # f adds up table rows: J is a count of tokens, three times
    counts = np.array([np.bincount(row, minlength=7) for row in tokens])
    np.testing.assert_allclose(kernel, 3 * counts @ counts.T)


@pytest.mark.parametrize("method", METHODS)
def test_float64(method):
    jax.config.update("jax_enable_x64", True)
    try:
        weights = init(33, 5, seed=1)
        wide = Weights(weights.w.astype(np.float64), weights.a.astype(np.float64))
        x = sphere(6, 5).astype(np.float64)
        kernel = ntk(one_bit, {"w": wide.w, "a": wide.a}, x, method=method)
        assert kernel.dtype == np.float64
        np.testing.assert_allclose(kernel, empirical_ntk(x, wide), atol=1e-14)
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("method", METHODS)
def test_a_custom_derivative_counts_as_its_surrogate(method):
    @jax.custom_jvp
    def sign(w):
        return jnp.sign(w)

    sign.defjvp(lambda primals, tangents: (sign(*primals), tangents[0] * 2.0))
    w = np.array([[0.5, -0.5]], np.float32)
    x = sphere(3, 2)
    np.testing.assert_allclose(ntk(lambda p, z: (z @ sign(p).T)[:, 0], w, x, method=method), 4 * x @ x.T, rtol=1e-5)


def test_custom_vjp_works_by_jacobian_and_is_explained_elsewhere():
    @jax.custom_vjp
    def sign(w):
        return jnp.sign(w)

    sign.defvjp(lambda w: (jnp.sign(w), None), lambda _, g: (g,))
    w, x = np.array([[0.5, -0.5]], np.float32), sphere(3, 2)

    def f(p, z):
        return (z @ sign(p).T)[:, 0]

    np.testing.assert_allclose(ntk(f, w, x, method="jacobian"), x @ x.T, rtol=1e-5)
    with pytest.raises(InputError, match="custom_vjp"):
        ntk(f, w, x, method="vector_products")


def test_linearised_network_with_leaves_that_are_not_parameters():
    params = {
        "w": mlp_params([4, 6])[0][0],
        "activation": jnp.tanh,
        "steps": np.int32(2),
        "key": jax.random.key(0),
        "i": np.arange(3),
    }

    def f(p, x):
        return p["activation"](x @ p["w"])[:, p["i"]].sum(axis=1) * p["steps"] + jax.random.normal(p["key"])

    lin, x = linearize(f, params), sphere(5, 4)
    moved = {**params, "w": params["w"] + 0.3}
    j = np.asarray(jax.jacrev(lambda w: f({**params, "w": w}, jnp.asarray(x)))(params["w"])).reshape(5, -1)
    # float32: sums of 24 terms of size <= 1
    np.testing.assert_allclose(lin(moved, x), f(params, x) + j @ np.full(24, 0.3), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ntk(lin, moved, x), ntk(f, params, x), rtol=1e-5)
    with pytest.raises(InputError, match="have the form"):
        lin({"w": params["w"]}, x)


def test_a_network_that_cannot_be_linearised_is_named():
    @jax.custom_vjp
    def sign(w):
        return jnp.sign(w)

    sign.defvjp(lambda w: (jnp.sign(w), None), lambda _, g: (g,))
    w = np.ones((3,), np.float32)
    with pytest.raises(InputError, match="custom_vjp"):
        linearize(lambda p, x: x @ sign(p), w)(w, sphere(2, 3))


@pytest.mark.parametrize("method", [*METHODS, pytest.param("structured", marks=needs_oracle)])
@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("budget", [1 << 30, 20_000])
def test_a_kernel_of_x_with_itself_is_symmetric_to_the_last_bit(method, trace, budget):
    params, x = mlp_params([5, 16, 16, 2]), 3 * sphere(33, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the small budget does not suffice
        kernel = ntk(mlp, params, x, method=method, trace_outputs=trace, memory_budget=budget)
        again = ntk(mlp, params, x, x.copy(), method=method, trace_outputs=trace, memory_budget=budget)
    np.testing.assert_array_equal(kernel, kernel.T if trace else kernel.transpose(1, 0, 3, 2))
    np.testing.assert_array_equal(kernel, again)


@pytest.mark.parametrize("method", METHODS)
def test_complex_parameters_count_by_their_real_and_imaginary_parts(method):
    rng = np.random.default_rng(0)
    w = (rng.standard_normal((4, 3)) + 1j * rng.standard_normal((4, 3))).astype(np.complex64)
    v = rng.standard_normal(3).astype(np.float32)
    x, x2 = sphere(6, 4), sphere(5, 4, seed=1)

    def f(p, z):
        return jnp.abs(jnp.sin(z @ p["w"])) @ p["v"]

    def real(p, z):
        return f({"w": p["re"] + 1j * p["im"], "v": p["v"]}, z)

    parts = {"re": w.real.copy(), "im": w.imag.copy(), "v": v}
    kernel = ntk(f, {"w": w, "v": v}, x, method=method)
    assert np.diag(kernel).min() > 0
    np.testing.assert_allclose(kernel, ntk(real, parts, x), rtol=1e-4)  # float32: some ten roundings of sin, cosh
    np.testing.assert_allclose(
        ntk(f, {"w": w, "v": v}, x, x2, method=method), ntk(real, parts, x, x2), rtol=1e-3, atol=1e-4
    )
    lin = linearize(f, {"w": w, "v": v})
    np.testing.assert_allclose(lin({"w": w, "v": v + 1}, x), f({"w": w, "v": v + 1}, x), rtol=1e-5)  # linear in v


def test_linearised_network():
    params = mlp_params([4, 6, 2])
    moved = jax.tree.map(lambda leaf: leaf + 0.3, params)
    x = sphere(5, 4)
    lin = linearize(mlp, params)
    np.testing.assert_allclose(lin(params, x), mlp(params, x), rtol=1e-6)
    change = np.concatenate(
        [(np.asarray(m) - p).ravel() for m, p in zip(*map(jax.tree.leaves, (moved, params)), strict=True)]
    )
    expected = np.asarray(mlp(params, x)) + jacobian_reference(mlp, params, x) @ change
    np.testing.assert_allclose(lin(moved, x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ntk(lin, moved, x), ntk(mlp, params, x), rtol=1e-5)


@needs_oracle
@pytest.mark.parametrize("method", [*METHODS, "structured"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("implementation", ["JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES"])
def test_against_neural_tangents(method, seed, implementation):
    params = mlp_params([5, 16, 9, 2], seed=seed)
    x, x2 = sphere(6, 5, seed), sphere(4, 5, seed + 10)
    for trace in (True, False):
        oracle = infinite.structured_ntk(mlp, params, x, x2, trace_outputs=trace, implementation=implementation)
        found = ntk(mlp, params, x, x2, method=method, trace_outputs=trace)
        np.testing.assert_allclose(found, oracle, rtol=1e-5, atol=1e-5 * np.abs(oracle).max())


@needs_oracle
def test_structured_derivatives_respect_the_estimator_and_the_filter():
    x = sphere(9, 5)
    weights = init(33, 5, seed=1)
    kernel = ntk(one_bit, {"w": weights.w, "a": weights.a}, x, method="structured", parameters=lambda path: path == "w")
    np.testing.assert_allclose(kernel, empirical_ntk(x, weights), atol=2e-6)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.full((2, 4), np.nan, np.float32)}, "x contains NaN"),
        ({"x2": np.ones((2, 3), np.float32)}, "they must match"),
        ({"x": np.ones((0, 4), np.float32)}, "at least one input"),
        ({"method": "jacobain"}, "did you mean 'jacobian'"),
        ({"parameters": lambda _: False}, "no array of floats is selected as a parameter; there are: 0/0, 0/1, 1/0"),
        ({"memory_budget": 0}, "memory_budget"),
        ({"f": lambda p, x: (x @ p[0][0]).sum()}, "must return"),
        ({"f": lambda p, x: (x @ p[0][0])[:, None, :]}, "must return"),
        ({"f": lambda p, x: (x @ p[0][0], 1)}, "it returned tuple"),
        ({"f": lambda p, x: (x @ p[0][0])[:, :0]}, "returns no numbers"),
        ({"f": lambda p, x: x @ p[0][0] + 1j}, "returns complex numbers; return their real and imaginary parts"),
        ({"f": lambda p, x: jnp.argmax(x @ p[0][0], axis=1)}, "returns int32, which has no derivative"),
        ({"f": lambda p, x: jnp.log(-1 - (x @ p[0][0]) ** 2).sum(axis=1)}, "is NaN"),
        ({"memory_budget": float("nan")}, "memory_budget"),
        ({"parameters": 3}, "must be a pattern of paths such as"),
        ({"parameters": "0"}, "did you mean '0/[*][*]'"),
        ({"params": {"a": np.ones(3, np.float32), 3: np.ones(3, np.float32)}}, "not a tree"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message):
        ntk(**{"f": mlp, "params": mlp_params([4, 6, 2]), "x": sphere(3, 4), **change})


def test_a_diverged_network_is_named():
    params = mlp_params([4, 6, 2])
    params[0][0][0, 0] = np.nan
    with pytest.raises(InputError, match="parameter '0/0' contains NaN"):
        ntk(mlp, params, sphere(3, 4))
    with pytest.raises(InputError, match="parameter '0/0' contains NaN"):
        ntk(mlp, params, sphere(3, 4), parameters=lambda path: path != "0/0")


def test_importing_the_package_does_not_import_jax():
    code = "import sys, ntk1bit.autodiff as a; assert 'ntk' in dir(a); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_small_budget_takes_jacobians_where_there_is_no_forward_mode():
    """Vector products would be the choice, but cannot be formed."""

    @jax.custom_vjp
    def straight(w):
        return jnp.sign(w)

    straight.defvjp(lambda w: (jnp.sign(w), None), lambda _, g: (g,))

    def f(params, x):
        return jnp.tanh(x @ straight(params))

    w, x = np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float32), sphere(5, 4)
    with pytest.warns(UserWarning, match="method 'layers' needs"):
        small = ntk(f, w, x, memory_budget=100)
    np.testing.assert_allclose(small, ntk(f, w, x), rtol=1e-5, atol=1e-6)
