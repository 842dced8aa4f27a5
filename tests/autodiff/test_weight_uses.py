from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import weight_uses
from ntk1bit.autodiff.weight_uses import SplitNetwork

W = np.arange(1.0, 13.0, dtype=np.float32).reshape(4, 3)


def of(f, params, row=4) -> SplitNetwork:
    """SplitNetwork f(params, x) for one input of so many numbers."""
    leaves, treedef = jax.tree.flatten(params)
    shapes = [*leaves, jnp.zeros((1, row))]
    jaxpr = jax.make_jaxpr(lambda *given: f(treedef.unflatten(given[:-1]), given[-1]))(*shapes).jaxpr
    return weight_uses.split(jaxpr, (0, len(leaves), 0, 1))


def test_a_split_network_is_the_network():
    def f(p, x):
        w, b = p
        h = jax.jit(lambda v: jnp.tanh(x @ v.T))(jnp.sign(w).T) + b
        return jax.checkpoint(lambda h: h @ (w.T * 2))(h)[:, 0]

    params = (W, np.ones(3, np.float32))
    whole = of(f, params)
    weights, others = whole.prepare((), params, ())
    x = jnp.asarray(np.linspace(-1, 1, 4, dtype=np.float32)[None])

    def apply(equation, given):
        return weight_uses.as_function(equation)(*given)

    np.testing.assert_allclose(whole.finish(weights, others, [x], apply), f(params, x), rtol=1e-6)  # float32
    assert "tanh" in {one.primitive.name for one in whole.after}
    assert {"sign", "transpose"} <= {one.primitive.name for one in whole.before}


MADE_OF = {  # what is used, and whether gradients of the entries are kept apart, and scaled
    "itself": (lambda w, x: x @ w, True, False),
    "transposed": (lambda w, x: x @ w.reshape(3, 4).T, True, False),
    "straight-through": (lambda w, x: x @ (w + jax.lax.stop_gradient(jnp.sign(w) - w)), True, False),
    "scaled": (lambda w, x: x @ (w / np.float32(3)), True, True),
    "scaled by what is frozen": (lambda w, x: x @ (w * jax.lax.stop_gradient(jnp.abs(w).mean())), True, True),
    "scaled by a mean": (lambda w, x: x @ (w * jnp.abs(w).mean()), False, True),
    "masked": (lambda w, x: x @ (w * (w > 3)), False, True),
    "in two parts": (lambda w, x: jnp.tanh(x[:, :2] @ w[:2]) + x[:, 2:] @ w[2:], True, False),
    "in two parts that overlap": (lambda w, x: jnp.tanh(x[:, :3] @ w[:3]) + x[:, 2:] @ w[2:], False, False),
    "a part alone": (lambda w, x: x[:, :2] @ w[:2], True, False),
    "repeated": (lambda w, x: x @ jnp.concatenate([w, w], axis=1), False, False),
    "one row for all": (lambda w, x: x @ jnp.broadcast_to(w[:1], (4, 3)), False, False),
    "complex": (lambda w, x: jnp.abs(x @ (w + 1j * w)), False, False),
}


@pytest.mark.parametrize("way", MADE_OF)
def test_what_a_trained_array_is_to_the_weights(way):
    f, kept_apart, scaled = MADE_OF[way]
    (origin,) = of(f, W).origins
    assert origin.kept_apart == kept_apart
    if kept_apart:
        assert origin.scaled == scaled


def test_uses_of_a_layer_at_several_positions_and_in_a_loop():
    def f(w, x):
        rows = x.reshape(len(x), 2, 4)
        return jax.lax.scan(lambda h, _: (jnp.tanh(h @ w["square"]), None), rows @ w["in"], None, length=5)[0].sum(1)

    found = of(f, {"in": W, "square": np.eye(3, dtype=np.float32)}, row=8)
    by_size = {len(uses): uses for uses in found.uses}
    assert [(use.positions, *use.form) for use in by_size[1]] == [(2, 4, 3, False)]
    assert [(use.positions, *use.form) for use in by_size[5]] == [(2, 3, 3, False)] * 5


@pytest.mark.parametrize(
    "other",
    [lambda w, x: w.sum() * x[:, 0], lambda w, x: jnp.tanh(x * w[:, 0]), lambda w, x: jnp.broadcast_to(w[:1], (1, 3))],
)
def test_a_weight_that_is_used_in_another_way_as_well_has_no_uses(other):
    def f(w, x):
        return (x @ w).sum(1, keepdims=True) + other(w, x)

    found = of(f, W)
    assert found.weights
    handed_as_it_is = found.inputs[1][0]
    for var, uses in zip(found.weights, found.uses, strict=True):
        assert not uses or var is handed_as_it_is
    assert all(not uses for var, uses in zip(found.weights, found.uses, strict=True) if var is not handed_as_it_is)


def test_a_long_loop_is_left_as_it_is():
    def f(w, x):
        return jax.lax.scan(lambda h, _: (jnp.tanh(h @ w), None), x, None, length=200)[0]

    found = of(f, np.eye(4, dtype=np.float32))
    assert found.uses == ((),)
    assert [one.primitive.name for one in found.after] == ["scan"]
