from __future__ import annotations

import gc
import itertools
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import layerwise_ntk, ntk
from ntk1bit.autodiff.missing_gradients.gradient_paths import MissingGradientWarning
from ntk1bit.errors import InputError
from ntk1bit.kernels import empirical_ntk
from ntk1bit.networks import straight_through as ste
from ntk1bit.networks.two_layer import init


def sphere(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def untapped(inputs, z, *, bias=False):
    del inputs, bias
    return z


def forward(params, x, tap):
    for i, (w, b) in enumerate(params):
        h = x / np.sqrt(w.shape[0])
        z = tap(h, h @ w + b, bias=True)
        x = jax.nn.relu(z) if i + 1 < len(params) else z
    return x


def mlp(params, x):
    return forward(params, x, untapped)


def mlp_params(sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.standard_normal((i, o)).astype(np.float32), rng.standard_normal(o).astype(np.float32))
        for i, o in itertools.pairwise(sizes)
    ]


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize(("n", "sizes"), [(1, [5, 1]), (7, [5, 63, 65, 2]), (7, [1, 8, 1])])
def test_matches_the_jacobian(n, sizes, trace):
    params = mlp_params(sizes)
    x, x2 = sphere(n, sizes[0]), sphere(3, sizes[0], seed=1)
    for other in (None, x2):
        expected = ntk(mlp, params, x, other, method="jacobian", trace_outputs=trace)
        found = layerwise_ntk(forward, params, x, other, trace_outputs=trace)
        # float32 sums of up to 65 terms in two orders
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def one_bit_forward(params, x, tap):
    w, a = params
    mu = w.mean(axis=1, keepdims=True)
    c = w - mu
    quantised = jnp.sqrt((c * c).mean(axis=1, keepdims=True)) * jnp.where(c >= 0, 1.0, -1.0) + mu
    return jax.nn.relu(tap(x, x @ quantised.T)) @ a / np.sqrt(len(a))


def test_one_bit_network_matches_the_closed_form():
    """With d z/d w := x the tapped input is x itself, and no estimator is even needed."""
    x = sphere(9, 5)
    weights = init(65, 5, seed=0)
    np.testing.assert_allclose(layerwise_ntk(one_bit_forward, tuple(weights), x), empirical_ntk(x, weights), atol=2e-6)


def test_a_bare_sign_between_layers_is_caught():
    def blocked(params, x, tap):
        w, a = params
        return jnp.sign(tap(x, x @ w.T)) @ a

    weights = init(8, 5, seed=0)
    with pytest.raises(InputError, match="Jacobian of every tapped layer is zero"):
        layerwise_ntk(blocked, tuple(weights), sphere(4, 5))


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named():
    params = mlp_params([4, 3, 1])
    with pytest.raises(InputError, match="for no layer"):
        layerwise_ntk(lambda p, x, tap: mlp(p, x), params, sphere(3, 4))
    with pytest.raises(InputError, match="NaN"):
        layerwise_ntk(forward, params, np.full((2, 4), np.nan, np.float32))
    with pytest.raises(InputError, match="do not match"):
        layerwise_ntk(forward, params, sphere(3, 4), sphere(3, 5))
    with pytest.raises(InputError, match=r"shape \(n, features\)"):
        layerwise_ntk(lambda p, x, tap: tap(x, (x @ p[0][0]).sum(axis=1)), params, sphere(3, 4))


def scaled_after(params, x, tap):
    for i, (w, _) in enumerate(params):
        z = tap(x, x @ w / np.sqrt(len(w)))
        x = jax.nn.relu(z) if i + 1 < len(params) else z
    return x


def scaled_parameter(params, x, tap):
    (w, scale), (v, _) = params
    h = jax.nn.relu(tap(x, x @ w * scale))
    return tap(h, h @ v)


def product(params, x, tap):
    return tap(x, x @ (params[0][0] @ params[1][0]))


def without_its_bias(params, x, tap):
    h = jax.nn.relu(tap(x, x @ params[0][0], bias=True))
    return tap(h, h @ params[1][0])


def scaled_estimator(params, x, tap):
    w = params[0][0]
    return tap(x, x @ (w + jax.lax.stop_gradient(jnp.sign(w) - w)) / 2) @ jax.lax.stop_gradient(params[1][0])


def clipped_estimator(params, x, tap):
    return tap(x, x @ ste.neuron_wise(params[0][0].T, surrogate="clipped").T).sum(axis=1)


@pytest.mark.parametrize(
    ("network", "match"),
    [
        (scaled_after, r"tapped layer 1: z moves with its weights by 0\.4472 times the inputs.*tap\(h, h @ w\)"),
        (scaled_estimator, r"layer 1: z moves with its weights by 0\.5 times"),
        (scaled_parameter, "layer 1: the gradient of z by its weights is not made of the inputs"),
        (product, "layer 1: the gradient of z by its weights is not made of the inputs"),
        (without_its_bias, "layer 1: the gradient of z by its weights is not made of the inputs"),
        (clipped_estimator, "layer 1: the gradient of z by its weights is not made of the inputs"),
    ],
)
def test_a_tap_that_is_not_what_it_must_be_is_refused(network, match):
    with pytest.raises(InputError, match=match):
        layerwise_ntk(network, mlp_params([5, 7, 3]), sphere(4, 5))


STACK = np.random.default_rng(3).standard_normal((3, 5, 5)).astype(np.float32)


def twice(params, x, tap):
    for i in (0, 1, 1):
        x = jnp.tanh(tap(x, x @ params[i]))
    return x.sum(axis=1)


def twice_without_an_estimator(params, x, tap):
    for i in (0, 1, 1):
        x = jnp.tanh(tap(x, x @ jnp.sign(params[i])))
    return x.sum(axis=1)


def also_outside(params, x, tap):
    return jnp.tanh(tap(x, x @ params[0])) @ params[0].T


def shared_in_a_scan(params, x, tap):
    return jax.lax.scan(lambda h, _: (jnp.tanh(tap(h, h @ params[0])), None), x, None, length=3)[0]


@pytest.mark.parametrize("network", [twice, twice_without_an_estimator, also_outside, shared_in_a_scan])
@pytest.mark.parametrize("stacked", [True, False])
def test_weights_used_twice_are_refused(network, stacked):
    with pytest.raises(InputError, match=r"the same weights are used in .*ntk1bit\.autodiff\.ntk"):
        layerwise_ntk(network, STACK if stacked else list(STACK), sphere(4, 5))


def stacked(params, x, tap):
    for w in params:
        x = jnp.tanh(tap(x, x @ w))
    return x.sum(axis=1)


def compiled(params, x, tap):
    h = jax.jit(lambda w, x: jnp.tanh(tap(x, x @ w)))(params[0], x)
    return jnp.tanh(tap(h, h @ params[1])).sum(axis=1) + params[2].sum() * 0


def checkpointed(params, x, tap):
    h = jax.checkpoint(lambda w, x: jnp.tanh(tap(x, x @ w)))(params[0], x)
    return tap(h, h @ params[1])


def scanned(params, x, tap):
    return jax.lax.scan(lambda h, w: (jnp.tanh(tap(h, h @ w)), h.sum()), x, params, reverse=True)[0].sum(axis=1)


def repeated(params, x, tap):
    return jax.lax.fori_loop(0, 3, lambda i, h: jnp.tanh(tap(h, h @ params[i])), x)


def split(params, x, tap):
    a, b = tap(x, x @ params[0][:, :2]), tap(x, x @ params[0][:, 2:])
    h = jnp.concatenate([jnp.tanh(a), b], axis=1)
    return tap(h, h @ params[1])


def around_an_untapped_layer(params, x, tap):
    embedded = x @ jax.lax.stop_gradient(params[2])
    h = embedded + jnp.tanh(tap(embedded, embedded @ params[0]))
    return tap(h, h @ params[1])


def quantised(params, x, tap):
    x = ste.absmax(x)
    h = ste.absmax(jax.nn.relu(tap(x, x @ ste.tensor_wise(params[0].T).T)))
    return tap(h, h @ ste.ternary(params[1].T).T)


@pytest.mark.parametrize(
    "network", [stacked, compiled, checkpointed, scanned, repeated, split, around_an_untapped_layer, quantised]
)
def test_taps_in_sub_programs_and_other_right_ones_match_the_jacobian(network):
    x = sphere(4, 5)
    expected = ntk(lambda p, x: network(p, x, untapped), STACK, x)
    found = layerwise_ntk(network, STACK, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())  # float32 sums


def test_a_dead_or_half_dead_signal_is_told():
    def dead(params, x, tap):
        h = jnp.sign(tap(x, x @ params[0]))
        return tap(h, h @ params[1])

    def half(params, x, tap):
        z = tap(x, x @ params[0])
        h = jnp.sign(z) * jnp.abs(z).mean(axis=1, keepdims=True)
        return tap(h, h @ params[1])

    with pytest.raises(InputError, match=r"the Jacobian of tapped layer 1 is zero: sign\(\) blocks"):
        layerwise_ntk(dead, STACK, sphere(4, 5))
    for _ in range(2):
        with pytest.warns(MissingGradientWarning, match="tapped layer 1"):
            layerwise_ntk(half, STACK, sphere(4, 5))


@pytest.mark.usefixtures("untyped")
def test_taps_in_the_wrong_place_are_named():
    x = sphere(4, 6)
    w = np.ones((3, 2), np.float32)
    with pytest.raises(InputError, match=r"one row for each of the 4 inputs, got \(8, 3\), \(8, 2\).*positions"):
        layerwise_ntk(lambda p, x, tap: tap(x.reshape(-1, 3), x.reshape(-1, 3) @ p).reshape(4, -1), w, x)
    with pytest.raises(InputError, match="inside cond"):
        layerwise_ntk(
            lambda p, x, tap: jax.lax.cond(x.sum() > 0, lambda x: tap(x, x @ p), lambda x: x @ p, x), w, x[:, :3]
        )
    with pytest.raises(InputError, match=r"jax\.vmap or jax\.grad"):
        layerwise_ntk(lambda p, x, tap: jax.grad(lambda x: tap(x, x @ p).sum())(x), w, x[:, :3])
    with pytest.raises(InputError, match="params contain NaN"):
        layerwise_ntk(lambda p, x, tap: tap(x, x @ p), w * np.nan, x[:, :3])


def test_a_scale_of_one_is_checked_anew_when_it_has_changed():
    def network(params, x, tap):
        h = jnp.tanh(tap(x, x @ params["w"] * params["scale"]))
        return tap(h, h @ params["v"])

    params = {"w": STACK[0], "v": STACK[1], "scale": np.ones(5, np.float32)}
    assert layerwise_ntk(network, params, sphere(4, 5)).any()
    with pytest.raises(InputError, match="not made of the inputs"):
        layerwise_ntk(network, params | {"scale": np.arange(1, 6, dtype=np.float32)}, sphere(4, 5))


def test_a_callable_whose_attribute_changes_is_traced_anew():
    class Network:
        scale = 1.0

        def __call__(self, params, x, tap):
            h = self.scale * x
            return tap(h, h @ params["w"]) if params["tapped"] == "yes" else None

    network, params, x = Network(), {"w": STACK[0], "tapped": "yes"}, sphere(4, 5)
    once = layerwise_ntk(network, params, x)
    network.scale = 2.0
    np.testing.assert_allclose(layerwise_ntk(network, params, x), 4 * once, rtol=1e-6)


def test_traced_networks_do_not_outlive_their_function():
    def kernel():
        w = jnp.ones((5, 2))
        alive = weakref.ref(w)
        layerwise_ntk(lambda p, x, tap: tap(x, x @ w) * p, np.float32(1), sphere(4, 5))
        return alive

    alive = kernel()
    gc.collect()
    assert alive() is None
