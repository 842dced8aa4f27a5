from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk
from ntk1bit.errors import InputError

pytestmark = pytest.mark.usefixtures("untyped")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4)).astype(np.float32)
P = [RNG.standard_normal(shape).astype(np.float32) for shape in ((4, 8), (8,))]
KEY = jax.random.key(3)
MASK = RNG.integers(0, 2, (6, 8)).astype(np.float32)


def net(p, x):
    return jnp.tanh(x @ p[0]) @ p[1]


def batch_norm(p, x, axis=0):
    h = x @ p[0]
    h = (h - h.mean(axis=axis, keepdims=True)) / jnp.sqrt(h.var(axis=axis, keepdims=True) + 1e-5)
    return jnp.tanh(h) @ p[1]


def attention(p, x):
    h = x @ p[0]
    return jax.nn.softmax(h @ h.T) @ h @ p[1]


def batch_max(p, x):
    h = x @ p[0]
    return (h - h.max(axis=0)) @ p[1]


def tensor_quantised(p, x, axis=None):
    step = jnp.abs(x).max(axis=axis, keepdims=True) / 127
    return net(p, x + jax.lax.stop_gradient(step * jnp.round(x / step) - x))


def dropped(p, x, shape=None):
    h = jnp.tanh(x @ p[0])
    return h * jax.random.bernoulli(KEY, 0.5, shape or h.shape) @ p[1]


def shifted_softmax(p, x):
    """The rows meet in a shift that cancels: coupled in the last bits, and not in what is computed."""
    h = x @ p[0]
    e = jnp.exp(h - h.max())
    return e / e.sum(axis=1, keepdims=True) @ p[1]


def in_jit(p, x):
    return jax.jit(batch_norm)(p, x)


def norm_module(p, x):
    norm = eqx.nn.BatchNorm(8, axis_name="batch", mode="batch")
    state = eqx.nn.State(norm)
    h, _ = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x @ p[0], state)
    return jnp.tanh(h) @ p[1]


MIXES = {
    "batch norm": batch_norm,
    "batch norm in jit": in_jit,
    "batch norm of Equinox": norm_module,
    "attention over the batch": attention,
    "batch maximum": batch_max,
    "activations quantised by the batch's maximum": tensor_quantised,
    "cumulative sum": lambda p, x: jnp.cumsum(net(p, x)),
    "the mean subtracted": lambda p, x: net(p, x) - net(p, x).mean(),
    "neighbours": lambda p, x: net(p, x) + net(p, jnp.roll(x, 1, axis=0)),
    "sorted": lambda p, x: jnp.sort(net(p, x)),
}
PLACES = {
    "dropout": dropped,
    "a captured mask": lambda p, x: (jnp.tanh(x @ p[0]) * MASK[: len(x)]) @ p[1],
    "noise": lambda p, x: net(p, x + jax.random.normal(KEY, x.shape)),
    "positions along the batch": lambda p, x: net(p, x + jnp.arange(len(x))[:, None]),
}
APART = {
    "plain": net,
    "one mask for all rows": lambda p, x: dropped(p, x, (8,)),
    "layer norm": lambda p, x: batch_norm(p, x, axis=1),
    "quantised row by row": lambda p, x: tensor_quantised(p, x, axis=1),
    "a shift that cancels": shifted_softmax,
    "signs of activations": lambda p, x: (
        lambda h: (h + jax.lax.stop_gradient(jnp.sign(h) - h)) @ p[1] * jnp.float32(1e-3)
    )(x @ p[0]),
    "scan over rows": lambda p, x: jax.lax.map(lambda one: net(p, one), x),
}


@pytest.mark.parametrize("name", MIXES)
def test_a_network_that_mixes_its_rows_is_refused(name):
    with pytest.raises(InputError, match=r"mixes the rows of x.*jax\.vmap"):
        ntk(MIXES[name], P, X)


@pytest.mark.parametrize("name", PLACES)
def test_a_network_that_gives_each_place_in_the_batch_something_else_is_refused(name):
    with pytest.raises(InputError, match=r"at another place in the batch.*jax\.vmap"):
        ntk(PLACES[name], P, X, method="vector_products")


@pytest.mark.parametrize("name", APART)
def test_a_network_that_keeps_its_rows_apart_is_not(name):
    f = APART[name]
    j = jax.jacrev(lambda p: f(p, jnp.asarray(X)))([jnp.asarray(leaf) for leaf in P])
    j = np.concatenate([np.asarray(leaf).reshape(len(X), -1) for leaf in j], axis=1)
    # float32: products of a few hundred terms
    np.testing.assert_allclose(ntk(f, P, X), j @ j.T, rtol=1e-4, atol=1e-5 * np.abs(j @ j.T).max())


def test_deep_quantised_networks_raise_no_false_alarm():
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal((64, 64)).astype(np.float32) / 8 for _ in range(4)]

    def quantised(h):
        step = jnp.abs(h).max(axis=-1, keepdims=True) / 7  # coarse: a value that tips over moves the output a lot
        return h + jax.lax.stop_gradient(step * jnp.round(h / step) - h)

    def f(p, x):
        for w in p:
            x = quantised(jnp.tanh(quantised(x) @ w))
        return x.mean(axis=1)

    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((3, 64)).astype(np.float32)
        assert np.isfinite(ntk(f, weights, x)).all()


def test_an_index_that_a_captured_mask_gives_too_many_rows_for():
    with pytest.raises(InputError, match=r"for one input it returned \(6,\)$"):
        ntk(lambda p, x: (jnp.tanh(x @ p[0]) * MASK) @ p[1], P, X)


class Net(eqx.Module):
    w: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.w @ x).sum()


@pytest.mark.parametrize(
    "model", [Net(jnp.asarray(P[0].T)), eqx.nn.MLP(4, 2, 8, 1, key=KEY), eqx.nn.MLP(4, "scalar", 8, 1, key=KEY)]
)
def test_a_network_of_one_input_is_told_how_to_take_several(model):
    with pytest.raises(InputError, match=r"this looks like a network of one input: wrap it as .*jax\.vmap"):
        ntk(lambda m, x: m(x), model, X)
    assert ntk(lambda m, x: jax.vmap(m)(x), model, X).shape == (6, 6)


FORMS = {
    "list": (X.tolist(), net),
    "tuple of lists": (tuple(X.tolist()), net),
    "dict": ({"a": X, "b": X[:, 0].tolist()}, lambda p, d: net(p, d["a"]) + 0 * d["b"].sum()),
    "tuple of arrays": ((X, X[:, :1]), lambda p, d: net(p, d[0] + 0 * d[1])),
    "float64": (X.astype(np.float64), net),
    "read-only": (np.broadcast_to(X, X.shape), net),
    "on the device": (jnp.asarray(X), net),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["jacobian", "vector_products"])
def test_inputs_in_the_usual_forms(form, method):
    if form == "dict":
        x, f = FORMS[form]
        x = {**x, "b": np.asarray(x["b"], np.float32)}
        f = lambda p, d: net(p, d["a"]) + 0 * d["b"]  # noqa: E731
    else:
        x, f = FORMS[form]
    expected = ntk(net, P, X)
    np.testing.assert_allclose(ntk(f, P, x, method=method, memory_budget=np.int64(1 << 20)), expected, rtol=1e-5)
    np.testing.assert_allclose(ntk(f, P, x, x, method=method, trace_outputs=np.array(True).item()), expected, rtol=1e-5)


def test_inputs_of_one_number_each():
    x = np.linspace(-1, 1, 5, dtype=np.float32)
    w = np.ones(3, np.float32)
    np.testing.assert_allclose(ntk(lambda p, t: t[:, None] * p, w, x), np.outer(x, x), rtol=1e-6, atol=1e-7)
    with pytest.raises(InputError, match=r"x\[:, None\] for one feature"):
        ntk(net, P, x[:4])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (["a", "b"], "must hold numbers"),
        ([[1.0, 2.0], [3.0]], "no array of numbers with one shape"),
        (None, "holds no array"),
        ({}, "holds no array"),
        (3.0, "at least one input"),
        ({"a": X, "b": X[:3]}, "one row per input each"),
        (np.array([None, 1.0]), "must hold numbers"),
        (np.array([[2**40, 1]]), "integers beyond int32"),
        ({"a": X, "b": np.full(6, np.inf)}, "NaN or infinity"),
    ],
)
def test_inputs_that_cannot_be_used_are_named(x, message):
    with pytest.raises(InputError, match=message):
        ntk(net, P, x)


def test_two_sets_of_inputs_must_have_one_form():
    with pytest.raises(InputError, match="have the forms"):
        ntk(net, P, X, {"a": X})
    wide = ntk(net, P, X, X[:2].astype(np.float16))
    np.testing.assert_allclose(wide, ntk(net, P, X)[:, :2], rtol=1e-2, atol=1e-2)  # float16: 11 bits


@pytest.mark.parametrize("cases", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_random_inputs_give_a_kernel_or_one_line(cases):
    """Inputs of random form, dtype and shape: no error of JAX or NumPy comes through, no NaN comes out."""
    rng = np.random.default_rng(0)
    forms = [
        lambda a: a,
        lambda a: a.tolist(),
        lambda a: tuple(a.tolist()),
        lambda a: {"x": a},
        lambda a: (a, a),
        jnp.asarray,
        lambda a: list(a),
        lambda a: memoryview(a.copy()),
    ]
    dtypes = [
        np.float32,
        np.float16,
        np.float64,
        np.int64,
        np.int8,
        np.uint32,
        bool,
        np.complex64,
        object,
        "U3",
        "M8[s]",
    ]
    shapes = [(), (0,), (1,), (3,), (3, 1), (3, 4), (1, 4), (0, 4), (2, 3, 4), (3, 4)]
    values = [0.0, 1.0, -1.0, 0.5, 1e30, np.nan, np.inf, 127]

    def f(p, x):
        x = x["x"] if isinstance(x, dict) else x[0] if isinstance(x, tuple) else x
        return jnp.tanh(x @ p["w"]) @ p["v"]

    params = {"w": P[0], "v": P[1], "name": "tanh", "of": {1, 2}}
    kernels, lines = [], []
    for _ in range(cases):
        pick = rng.integers(len(values), size=()) if rng.random() < 0.2 else rng.integers(5)
        array = np.full(shapes[rng.integers(len(shapes))], values[pick])
        with np.errstate(all="ignore"):
            dtype = dtypes[rng.integers(len(dtypes))]
            array = (np.nan_to_num(array, posinf=9) if np.dtype(dtype).kind in "iuM" else array).astype(dtype)
        try:
            x = forms[rng.integers(len(forms))](array)
        except (TypeError, ValueError):
            continue  # NumPy or JAX has no such form of it
        try:
            kernel = ntk(f, params, x, method="jacobian" if rng.random() < 0.5 else "vector_products")
        except InputError as error:
            lines.append(str(error))
        else:
            kernels.append(kernel)
    assert min(len(kernels), len(lines)) > cases / 20
    assert not any("\n" in line for line in lines)
    assert all(np.isfinite(kernel).all() for kernel in kernels)
