"""Groups (W23, Eqs. 13 to 15): each computed by itself, on a device of its own, without a word to the others."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import LayerNorm, by_groups, projection, quantized_factors
from ntk1bit.networks.bitlinear_form import ROUNDED, W23

FORMS = {"w23": W23, "w23 at inference": W23.at_inference(), "rounded": ROUNDED}


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    return (jnp.asarray(rng.standard_normal(shape).astype(np.float32)) for shape in ((6, 32), (5, 32)))


def program(form):
    """The factors and the norm, as one compiled program."""

    def run(x, w):
        factors = quantized_factors(x, w, arm="bitnet", form=form, before_nonlinearity=True)
        return *factors, LayerNorm(jnp.ones(x.shape[1]), form.groups)(x)

    return jax.jit(run)


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_group_is_an_ungrouped_layer_of_its_inputs_bit_for_bit(form, groups):
    x, w = drawn()
    *found, normal = program(dataclasses.replace(form, groups=groups))(x, w)
    run = program(form)
    for part in np.split(np.arange(32), groups):
        *alone, alone_normal = run(x[:, part], w[:, part])
        for ours, theirs in zip(found, alone, strict=True):
            np.testing.assert_array_equal(ours[:, part], theirs)
        # a mean over a part of an axis may be summed in another order: the norm's entries are of size 1 to 3
        atol = 32 * float(np.finfo(np.float32).eps)
        np.testing.assert_allclose(normal[:, part], alone_normal, rtol=0, atol=atol)


def test_one_group_is_the_ungrouped_layer():
    """Not only equal: the same function is called on the same array."""
    x, _ = drawn()
    seen = []
    assert by_groups(lambda given: seen.append(given) or given, x, 1) is x
    assert seen[0] is x


def test_groups_change_the_layer_and_gradients_pass_through_them():
    x, w = drawn()
    outputs = []
    for groups in (1, 2, 4, 8):
        form = dataclasses.replace(W23, groups=groups)

        def loss(w, x, form=form):
            inputs, weights = quantized_factors(x, w, arm="bitnet", form=form)
            return (inputs @ weights.T)[0, 0]

        by_weight, by_input = jax.jit(jax.grad(loss, argnums=(0, 1)))(w, x)
        inputs, weights = jax.jit(lambda x, w, form=form: quantized_factors(x, w, arm="bitnet", form=form))(x, w)
        np.testing.assert_array_equal(by_weight[0], inputs[0])
        np.testing.assert_array_equal(by_input[0], weights[0])
        outputs.append((inputs @ weights.T).tolist())
    assert len({str(one) for one in outputs}) == 4


def test_groups_that_do_not_divide_the_inputs_are_refused():
    x, w = drawn()
    form = dataclasses.replace(W23, groups=3)
    for call in (
        lambda: quantized_factors(x, w, arm="bitnet", form=form),
        lambda: projection(32, 5, key=jax.random.key(0), form=form),
    ):
        with pytest.raises(InputError, match="3 groups do not divide 32 inputs"):
            call()


# Eight devices on one host exist only where XLA is told so before it starts: a process of its own.
SHARDED = """
import dataclasses, json, re, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from ntk1bit.networks.bitlinear import LayerNorm, Projection, quantized_factors
from ntk1bit.networks.bitlinear_form import ROUNDED, W23

EXCHANGES = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter|ragged-all-to-all"

def exchanges(program):
    return re.findall(rf"\\\\b(?:{EXCHANGES})(?:-start)?\\\\(", program)

rng = np.random.default_rng(0)
x = rng.standard_normal((6, 64)).astype(np.float32)
w = rng.standard_normal((5, 64)).astype(np.float32)
found = []
for form, counts in ((W23, (1, 2, 4, 8)), (ROUNDED, (8,))):
    for groups in counts:
        mesh = Mesh(np.array(jax.devices()[:groups]), ("group",))
        grouped = dataclasses.replace(form, groups=groups)

        def shard(x, w):  # what one device holds: its inputs and its columns of W
            normal = LayerNorm(jnp.ones(x.shape[1]))(x)
            inputs, weights = quantized_factors(normal, w, arm="bitnet", form=form)
            return (inputs @ weights.T)[None], inputs, weights

        cut = P(None, "group")
        parts = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=(cut, cut), out_specs=(P("group"), cut, cut)))
        placed = [jax.device_put(one, NamedSharding(mesh, cut)) for one in (x, w)]
        program = parts.lower(*placed).compile()
        products, inputs, weights = program(*placed)

        def whole(x, w, form):
            normal = LayerNorm(jnp.ones(64), form.groups)(x)
            factors = quantized_factors(normal, w, arm="bitnet", form=form)
            return Projection(w, "bitnet", "identity", form)(normal), factors

        expected, factors = jax.jit(whole, static_argnums=2)(x, w, grouped)
        ungrouped = jax.jit(lambda x, w: whole(x, w, form)[0]).lower(*placed).compile().as_text()
        found.append({
            "groups": groups, "devices": len(products.sharding.device_set),
            "exchanges": exchanges(program.as_text()), "ungrouped": exchanges(ungrouped),
            "error": float(np.abs(np.asarray(products).sum(axis=0) - np.asarray(expected)).max()),
            "inputs": float(np.abs(np.asarray(inputs) - np.asarray(factors[0])).max()),
            "weights": float(np.abs(np.asarray(weights) - np.asarray(factors[1])).max()),
        })
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def sharded():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", SHARDED.replace("\\\\", "\\")],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_groups_on_devices_of_their_own_exchange_nothing(sharded):
    assert [(one["groups"], one["devices"]) for one in sharded] == [(1, 1), (2, 2), (4, 4), (8, 8), (8, 8)]
    for one in sharded:
        assert one["exchanges"] == [], one


def test_the_ungrouped_layer_on_the_same_devices_exchanges_its_statistics(sharded):
    """The check can fail: one alpha, beta, gamma, mean and variance of all inputs take all-reduces."""
    for one in sharded:
        if one["groups"] > 1:
            assert len(one["ungrouped"]) > 1, one


def test_groups_on_devices_of_their_own_are_the_grouped_layer(sharded):
    eps = float(np.finfo(np.float32).eps)
    for one in sharded:
        # means in another order: a few eps of entries up to 4 and of scales near 1; no level lies that close to a half
        assert one["inputs"] <= 32 * eps, one
        assert one["weights"] <= 32 * eps, one
        assert one["error"] <= 64 * 4 * 8 * eps, one  # 64 terms of size up to 4 in another order
