from __future__ import annotations

import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk
from ntk1bit.autodiff.missing_gradients.gradient_paths import check_gradient_paths
from ntk1bit.errors import InputError
from ntk1bit.networks import straight_through as ste

PARAMS = {"w": np.array([[0.3, -1.2], [0.8, 0.1]], np.float32), "a": np.array([1.0, -1.0], np.float32)}
X = np.array([[0.6, 0.8], [1.0, 0.0], [-0.6, 0.8]], np.float32)


def bare_sign(p, x):
    return jax.nn.relu(x @ jnp.sign(p["w"]).T) @ p["a"]


def bare_where(p, x):
    return jnp.maximum(x @ jnp.where(p["w"] >= 0, 1.0, -1.0).T, 0) @ p["a"]


def bare_round(p, x):
    return jnp.tanh(x @ jnp.round(p["w"]).T) @ p["a"]


@jax.jit
def compiled_sign(w):
    return jnp.sign(w) * 2


def bare_sign_in_compiled_code(p, x):
    return jnp.tanh(x @ compiled_sign(p["w"]).T) @ p["a"]


def sign_activation(p, x):
    return jnp.sign(x @ p["w"].T) @ p["a"]


@pytest.mark.parametrize("only", [None, "w"])
@pytest.mark.parametrize("method", ["jacobian", "vector_products", "auto"])
@pytest.mark.parametrize("f", [bare_sign, bare_where, bare_round, bare_sign_in_compiled_code, sign_activation])
def test_a_blocked_gradient_is_an_error(f, method, only):
    with pytest.raises(InputError, match=r"the Jacobian of w is zero: .* straight-through estimator"):
        ntk(f, PARAMS, X, method=method, parameters=None if only is None else lambda path: path == only)


def test_the_culprit_is_named():
    with pytest.raises(InputError, match=r"sign\(\) blocks"):
        ntk(bare_sign, PARAMS, X)
    with pytest.raises(InputError, match=r"round\(\) blocks"):
        ntk(bare_round, PARAMS, X)
    with pytest.raises(InputError, match="a comparison"):
        ntk(bare_where, PARAMS, X)


def test_a_partly_blocked_gradient_is_a_warning():
    """A bare sign beside a scale with gradients of its own: not zero, and not the estimator's NTK either."""

    def f(p, x):
        return jnp.tanh(x @ (jnp.sign(p["w"]) * jnp.abs(p["w"]).mean()).T) @ p["a"]

    with pytest.warns(UserWarning, match=r"sign\(\) of parameters reaches the output without a derivative"):
        kernel = ntk(f, PARAMS, X)
    assert kernel.any()


def straight_through(p, x):
    return jax.nn.relu(x @ (p["w"] + jax.lax.stop_gradient(jnp.sign(p["w"]) - p["w"])).T) @ p["a"]


def frozen_output(p, x):
    return jax.nn.relu(x @ p["w"].T) @ jax.lax.stop_gradient(p["a"])


def frozen_output_in_compiled_code(p, x):
    return jax.nn.relu(x @ p["w"].T) @ jax.jit(lambda a: jax.lax.stop_gradient(a) * 2)(p["a"])


def sign_of_inputs(p, x):
    return jnp.tanh(jnp.sign(x) @ p["w"].T) @ p["a"]


def unused_parameter(p, x):
    return (x @ p["w"].T).sum(axis=1)


def gated(p, x):
    h = x @ p["w"].T
    return jnp.where(h > 0, h, 0.1 * h) @ p["a"]


@pytest.mark.parametrize(
    "f",
    [
        straight_through,
        frozen_output,
        frozen_output_in_compiled_code,
        sign_of_inputs,
        unused_parameter,
        gated,
    ],
)
def test_legitimate_networks_pass_in_silence(f):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert ntk(f, PARAMS, X).any()


def test_a_dead_network_is_told_apart_from_a_blocked_one():
    def dead(p, x):
        return jax.nn.relu(x @ p["w"].T - 100) @ p["a"]

    with pytest.raises(InputError, match=r"zero at every input: the network is dead"):
        ntk(dead, PARAMS, X)


def test_a_custom_derivative_of_zero_is_caught():
    @jax.custom_jvp
    def hard(w):
        return jnp.sign(w)

    hard.defjvp(lambda primals, tangents: (hard(*primals), 0 * tangents[0]))
    with pytest.raises(InputError, match="custom derivative returns 0"):
        ntk(lambda p, x: (x @ hard(p["w"]).T).sum(axis=1), PARAMS, X)


def test_orthogonal_inputs_have_a_zero_kernel_and_no_error():
    kernel = ntk(unused_parameter, PARAMS, X[1:2], np.array([[0.0, 1.0]], np.float32))
    np.testing.assert_array_equal(kernel, [[0.0]])


still = jax.lax.stop_gradient
RNG = np.random.default_rng(11)
WIDE = (RNG.standard_normal((5, 4)).astype(np.float32), RNG.standard_normal(5).astype(np.float32))
ROWS = RNG.standard_normal((2, 4)).astype(np.float32)


def verdict(f, params=WIDE, x=ROWS):
    """Return "error", "warning" or "silent" with what is told."""
    names = [f"leaf {i}" for i in range(len(params))]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            check_gradient_paths(f, tuple(params), (x,), names)
        except InputError as error:
            return "error", str(error)
    return ("warning", str(seen[0].message)) if seen else ("silent", "")


def quantised(q):
    return lambda p, x: jnp.tanh(x @ q(p[0]).T) @ p[1]


def size(w):
    return jnp.abs(w).mean()


QUANTISERS = {
    "where": lambda w: jnp.where(w >= 0, 1.0, -1.0),
    "astype": lambda w: 2 * (w >= 0).astype(jnp.float32) - 1,
    "heaviside": lambda w: 2 * jnp.heaviside(w, 1) - 1,
    "ratio": lambda w: w / jnp.abs(w),
    "root": lambda w: w * jax.lax.rsqrt(w * w),
    "copysign": lambda w: jnp.copysign(1.0, w),
    "floor division": lambda w: w // 0.5,
    "remainder": lambda w: w - w % 0.5,
    "integers": lambda w: (3 * w).astype(jnp.int32).astype(jnp.float32),
    "codebook": lambda w: jnp.array([-1.0, -0.3, 0.3, 1.0])[jnp.digitize(w, jnp.array([-0.5, 0.0, 0.5]))],
}


@pytest.mark.parametrize("name", QUANTISERS)
def test_a_quantiser_is_known_by_what_its_gradient_does(name):
    q = QUANTISERS[name]
    kind, told = verdict(quantised(q))
    assert kind == "error", told
    assert "the Jacobian of leaf 0 is zero" in told
    if name != "remainder":  # its derivative is w's own: times a scale, zero no more
        kind, told = verdict(quantised(lambda w: size(w) * q(w)))
        assert kind == "warning"
        assert "without a derivative (leaf 0)" in told


@pytest.mark.parametrize("pick", [lambda s, w: jnp.where(w > 0, s, -s), jnp.copysign], ids=["where", "copysign"])
def test_a_scale_chosen_by_the_sign_is_half_a_gradient(pick):
    assert verdict(quantised(lambda w: pick(size(w), w)))[0] == "warning"


@jax.custom_vjp
def pulled(w):
    return jnp.sign(w)


pulled.defvjp(lambda w: (pulled(w), None), lambda _, g: (g,))


def half(w):
    return size(w) * jnp.sign(w)


LOOPS = {
    "scan over": lambda q, p, x: jax.lax.scan(lambda c, w: (c + jnp.tanh(x @ q(w)), None), x[:, 0], p[0])[0] * p[1][0],
    "map": lambda q, p, x: jax.lax.map(lambda w: jnp.tanh(x @ q(w)), p[0]).T @ p[1],
    "cond": lambda q, p, x: jax.lax.cond(x[0, 0] < 9, quantised(q), quantised(jnp.sin), p, x),
    "checkpoint": lambda q, p, x: jax.checkpoint(quantised(q))(p, x),
    "fori_loop": lambda q, p, x: jax.lax.fori_loop(0, 3, lambda i, h: h + quantised(q)(p, x), x[:, 0]),
    "while_loop": lambda q, p, x: jax.lax.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + quantised(q)(p, x)), (0, x[:, 0])
    )[1],
}


@pytest.mark.parametrize("home", LOOPS)
def test_sub_programs_are_looked_into(home):
    def dead(w):
        return still(jnp.sign(w))

    assert verdict(lambda p, x: LOOPS[home](half, p, x))[0] == "warning"
    assert verdict(lambda p, x: LOOPS[home](dead, p, x)) == ("silent", "")
    assert verdict(lambda p, x: LOOPS[home](lambda w: pulled(w) / (1 + w * w), p, x)) == ("silent", "")
    assert verdict(lambda p, x: LOOPS[home](lambda w: pulled(w) + half(w), p, x))[0] == "warning"
    kind, told = verdict(lambda p, x: LOOPS[home](jnp.sign, p, x))
    assert kind == "error"
    assert "leaf 0 is zero: sign() blocks" in told


def test_a_scanned_tree_with_an_unused_leaf_is_no_error():
    def network(p, x):
        return jax.lax.scan(lambda h, layer: (jnp.tanh(h @ layer[0]), still(layer[1]).sum()), x, p)[0].sum(axis=1)

    layers = (RNG.standard_normal((3, 4, 4)).astype(np.float32), np.ones((3, 2), np.float32))
    assert verdict(network, layers) == ("silent", "")
    assert ntk(network, layers, ROWS).any()


def masked(w):
    inside = (jnp.abs(w) <= 1).astype(w.dtype)
    return w * inside + still(jnp.sign(w) - w * inside)


def normalised(p, x):
    h = x @ p[0].T
    return ((h - h.mean(axis=1, keepdims=True)) / jnp.sqrt(h.var(axis=1, keepdims=True) + 1e-5)) @ p[1]


FINE = {
    "gamma": lambda p, x: jax.scipy.special.gamma(p[0]).sum() * x[:, 0] * p[1].sum(),
    "mask that multiplies": lambda p, x: (x @ p[0].T) * (x @ p[0].T > 0) @ p[1],
    "max-pooling by argmax": lambda p, x: (x @ p[0].T * jax.nn.one_hot((x @ p[0].T).argmax(1), 5)).sum(1) * p[1].sum(),
    "median": lambda p, x: jnp.median(x @ p[0].T, axis=1) * p[1].sum(),
    "normalised": normalised,
    "softmax with a temperature": lambda p, x: jax.nn.softmax(x @ p[0].T / p[1][:1] ** 2) @ p[1],
    "masked estimator": quantised(masked),
    "chosen estimator": quantised(lambda w: jnp.where(jnp.abs(w) <= 1, w, still(w)) + still(jnp.sign(w) - w)),
    "clipped estimator": quantised(lambda w: ste.tensor_wise(w, surrogate="clipped")),
    "half precision": lambda p, x: jax.nn.elu((x @ p[0].T).astype(jnp.bfloat16)).astype(jnp.float32) @ p[1],
    "steep": quantised(lambda w: jnp.tanh(300 * w) + w / (1 + w * w)),
    "a guard": lambda p, x: jnp.where(jnp.isnan(p[0]).any(), jnp.nan, x @ p[0].T @ p[1]),
}


@pytest.mark.parametrize("name", FINE)
def test_continuous_networks_and_estimators_give_no_false_alarm(name):
    assert verdict(FINE[name]) == ("silent", "")


def test_blank_first_rows_hide_nothing():
    x = np.concatenate([np.zeros((3, 4), np.float32), ROWS])
    with pytest.warns(UserWarning, match="without a derivative"):
        ntk(quantised(half), WIDE, x)


def test_parameters_of_one_number_or_one_sign_are_tried_too():
    assert verdict(lambda p, x: x[:, 0] * p[0] + jnp.sign(p[0]), (np.float32(0.3),))[0] == "warning"
    assert verdict(quantised(half), tuple(np.abs(leaf) for leaf in WIDE))[0] == "warning"


def test_the_warning_comes_each_time_under_pythons_own_filters():
    """By default Python shows a warning once a place; here one line calls three times, with two functions."""
    code = """
import jax.numpy as jnp, numpy as np
from ntk1bit.autodiff import ntk
w, x = np.array([[0.3, -1.2], [0.8, 0.1]], np.float32), np.eye(2, dtype=np.float32)
def one(p, x): return jnp.tanh(x @ (jnp.abs(p).mean() * jnp.sign(p)).T).sum(axis=1)
def two(p, x): return one(p, x)
for f in (one, one, two): ntk(f, w, x)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("<string>:7: MissingGradientWarning: sign() of parameters reaches the output") == 3


def test_without_numbers_only_the_program_is_examined():
    shapes = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in WIDE)
    check_gradient_paths(quantised(half), shapes, (jax.ShapeDtypeStruct(ROWS.shape, ROWS.dtype),), ["w", "a"])
    with pytest.raises(InputError, match="the Jacobian of w is zero"):
        check_gradient_paths(quantised(jnp.sign), shapes, (ROWS,), ["w", "a"])


def test_a_function_without_a_derivative_in_jax_is_one_line():
    kind, told = verdict(quantised(lambda w: jnp.nextafter(w, 2.0)))
    assert kind == "error"
    assert "JAX has no derivative" in told
    assert "\n" not in told
