from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk, row_gradients
from ntk1bit.autodiff.examination import examine
from ntk1bit.networks import straight_through as ste

RNG = np.random.default_rng(0)


def arrays(**shapes):
    return {name: (RNG.standard_normal(shape) / 2).astype(np.float32) for name, shape in shapes.items()}


def rows(*shape):
    return RNG.standard_normal((5, *shape)).astype(np.float32)


def conv(x, w, strides=(1, 1), padding: Any = "SAME", numbers=("NHWC", "HWIO", "NHWC"), **options):
    return jax.lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=numbers, **options)


def attention(p, x):
    q, k, v = (jnp.einsum("btd,dhc->bthc", x, p[name]) for name in "qkv")
    weights = jax.nn.softmax(jnp.einsum("bthc,bshc->bhts", q, k), axis=-1)
    return jnp.einsum("bhts,bshc,hcd->btd", weights, v, p["o"])[:, -1]


def recurrent(p, x):
    def step(h, one):
        return jnp.tanh(h @ p["h"] + one @ p["x"]), None

    return jax.lax.scan(step, jnp.zeros((len(x), 6)), jnp.moveaxis(x, 1, 0))[0] @ p["out"]


def stacked(p, x):
    h = jax.lax.scan(lambda h, w: (jnp.tanh(h @ w[0] + w[1]), None), x, (p["w"], p["b"]))[0]
    return h @ p["out"]


def tied(p, tokens):
    return jnp.tanh(p["table"][tokens].sum(1) @ p["w"]) @ p["table"].T


def low_rank(p, x):
    return jnp.tanh(x @ (p["w"] + p["a"] @ p["b"])) @ p["out"]


def normalised(p, x):
    h = x @ p["w"]
    return (h / jnp.sqrt((h * h).mean(1, keepdims=True) + 1e-3) * p["scale"] + p["shift"]) @ p["out"]


NETWORKS = {  # f, parameters, inputs, and which arrays' gradients are held in factors when outputs are averaged
    "dense": (
        lambda p, x: jnp.tanh(x @ p["w"] + p["b"]) @ p["out"],
        arrays(w=(6, 9), b=(9,), out=(9, 3)),
        rows(6),
        "w out",
    ),
    "weight first": (
        lambda p, x: jnp.tanh(p["w"] @ x.T).T @ p["out"].T,
        arrays(w=(9, 6), out=(3, 9)),
        rows(6),
        "w out",
    ),
    "one number": (lambda p, x: (jnp.tanh(x @ p["w"]) @ p["out"])[:, 0], arrays(w=(6, 9), out=(9, 1)), rows(6), "w"),
    "two positions": (lambda p, x: jnp.tanh(x @ p["w"]).sum(1), arrays(w=(20, 30)), rows(2, 20), "w"),
    "many positions": (lambda p, x: jnp.tanh(x @ p["w"]).sum(1), arrays(w=(4, 3)), rows(9, 4), ""),
    "attention": (attention, arrays(q=(8, 2, 3), k=(8, 2, 3), v=(8, 2, 3), o=(2, 3, 8)), rows(4, 8), ""),
    "convolution": (lambda p, x: jnp.tanh(conv(x, p["w"])).mean((1, 2)), arrays(w=(3, 3, 2, 4)), rows(6, 5, 2), ""),
    "few windows": (
        lambda p, x: jnp.tanh(conv(x, p["w"], (2, 2), "VALID", rhs_dilation=(1, 2))).sum((1, 2)),
        arrays(w=(3, 2, 5, 8)),
        rows(3, 3, 5),
        "w",
    ),
    "spread and strided": (
        lambda p, x: jnp.tanh(
            conv(x, p["w"], (2, 1), [(1, 2), (0, 1)], ("NCHW", "OIHW", "NCHW"), rhs_dilation=(2, 1))
        ).mean((2, 3)),
        arrays(w=(4, 2, 3, 2)),
        rows(2, 7, 5),
        "",
    ),
    "transposed convolution": (
        lambda p, x: jnp.tanh(conv(x, p["w"], (1,), [(2, 1)], ("NWC", "WIO", "NWC"), lhs_dilation=(2,))).mean(1),
        arrays(w=(3, 2, 4)),
        rows(4, 2),
        "",
    ),
    "cropped": (
        lambda p, x: jnp.tanh(conv(x, p["w"], (1,), [(-1, -1)], ("NWC", "WIO", "NWC"))).mean(1),
        arrays(w=(3, 2, 4)),
        rows(8, 2),
        "",
    ),
    "grouped convolution": (
        lambda p, x: jnp.tanh(conv(x, p["w"], feature_group_count=2)).mean((1, 2)),
        arrays(w=(3, 3, 1, 4)),
        rows(4, 4, 2),
        "",
    ),
    "recurrent": (recurrent, arrays(h=(6, 6), x=(4, 6), out=(6, 2)), rows(3, 4), "out"),
    "stacked": (stacked, arrays(w=(3, 6, 6), b=(3, 6), out=(6, 2)), rows(6), "w out"),
    "tied": (tied, arrays(table=(9, 4), w=(4, 4)), RNG.integers(0, 9, (5, 3)), "w"),
    "look-up": (
        lambda p, t: jnp.tanh(p["table"][t]).sum(1),
        arrays(table=(200, 4)),
        RNG.integers(-9, 9, (5, 3)),
        "table",
    ),
    "look-up beyond the end": (
        lambda p, t: jnp.tanh(jnp.take(p["table"], t, axis=0, mode="clip")).sum(1),
        arrays(table=(60, 4)),
        RNG.integers(0, 90, (5, 3)),
        "table",
    ),
    "look-up that fills": (
        lambda p, t: jnp.tanh(jnp.asarray(p["table"]).at[t].get(mode="fill", fill_value=0.5)).sum(1),
        arrays(table=(60, 4)),
        RNG.integers(40, 80, (5, 3)),
        "table",
    ),
    "sum of weights": (low_rank, arrays(w=(6, 6), a=(6, 2), b=(2, 6), out=(6, 2)), rows(6), "out"),
    "normalised": (normalised, arrays(w=(6, 7), scale=(7,), shift=(7,), out=(7, 2)), rows(6), "w out"),
    "1 bit": (
        lambda p, x: jnp.tanh(x @ ste.tensor_wise(p["w"])) @ (p["out"] * 3),
        arrays(w=(6, 9), out=(9, 2)),
        rows(6),
        "w out",
    ),
    "with an output that is a weight": (lambda p, x: x @ p["w"] + p["b"], arrays(w=(6, 4), b=(4,)), rows(6), "w"),
    "with an array that is not used": (lambda p, x: x @ p["w"], arrays(w=(6, 4), b=(4,)), rows(6), "w"),
    "checkpointed": (
        lambda p, x: jax.checkpoint(lambda h: jnp.tanh(h @ p["w"]))(jax.jit(jnp.tanh)(x @ p["w"])),
        arrays(w=(6, 6)),
        rows(6),
        "",
    ),
}


def plain(f, params, x, x2, *, trace):
    def jacobian(inputs):
        leaves = jax.jacrev(lambda p: f(p, inputs).reshape(len(inputs), -1))(params)
        return np.concatenate([np.asarray(one, np.float64).reshape(*one.shape[:2], -1) for one in leaves.values()], 2)

    kernel = np.einsum("iop,jqp->ijoq", jacobian(x), jacobian(x2))
    width = kernel.shape[-1]
    if trace:
        return np.einsum("ijoo->ij", kernel) / width
    return kernel[:, :, 0, 0] if f(params, x).ndim == 1 else kernel


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_of_the_jacobian(name, trace):
    f, params, x, _ = NETWORKS[name]
    for other in (None, x[:3]):
        expected = plain(f, params, x, x if other is None else other, trace=trace)
        for method in ("layers", "jacobian"):
            found = ntk(f, params, x, other, method=method, trace_outputs=trace)
            # float32 sums of a few dozen terms, in another order
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_held_in_the_form_that_takes_less(name):
    f, params, x, in_factors = NETWORKS[name]
    network, _, _, paths = examine(f, params, x)
    forms = dict(zip(paths, row_gradients.held_forms(network, trace=True), strict=True))
    assert {path for path, form in forms.items() if form == "factors"} == set(in_factors.split())


def test_few_pairs_at_a_time_give_the_same(monkeypatch):
    f, params, x, _ = NETWORKS["two positions"]
    expected = ntk(f, params, x)
    jax.clear_caches()
    monkeypatch.setattr(row_gradients, "_PAIRS", 1)
    found = ntk(f, params, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32 sums
