from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntk1bit.autodiff.frameworks.weight_quantiser import BITS, WeightQuantiser, is_weight, neuron_axes
from ntk1bit.errors import InputError
from ntk1bit.networks import quantizers

RNG = np.random.default_rng(0)


def unknown() -> Any:
    return "nonsense"


def reference(bits, rows):
    """What `ntk1bit.networks.quantizers` makes of a matrix with a row for each neuron."""
    if bits == "one_bit":
        return quantizers.effective_weights(rows)
    if bits == "one_bit_tensor":
        q, _, beta = quantizers.quantize_tensor(rows)
        return beta * q
    if bits == "ternary":
        q, beta = quantizers.quantize_ternary(rows)
        return beta * q
    q, gamma = quantizers.quantize_activations(rows)
    return gamma[:, None] * q / 128


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(
    ("path", "shape", "neurons", "order", "leading"),
    [
        ("layers/0/weight", (5, 3), "first", (0, 1), 1),
        ("conv/weight", (4, 3, 2, 2), "first", (0, 1, 2, 3), 1),
        ("Dense_0/kernel", (3, 5), "last", (1, 0), 1),
        ("Conv_0/kernel", (2, 2, 3, 4), "last", (3, 0, 1, 2), 1),
        ("Embed_0/embedding", (7, 4), "last", (0, 1), 1),
        ("attention/query/kernel", (6, 2, 3), "last", (1, 2, 0), 2),
        ("attention/out/kernel", (2, 3, 6), "last", (2, 0, 1), 1),
    ],
)
def test_each_neuron_of_every_library_has_its_scale(bits, path, shape, neurons, order, leading):
    w = RNG.standard_normal(shape).astype(np.float32)
    assert neuron_axes(path, len(shape), neurons) == (list(order), leading)
    *folder, name = path.split("/")
    tree = w
    for step in [name, *reversed(folder)]:
        tree = {step: tree}
    found = WeightQuantiser(bits)(tree, neurons)
    for step in [*folder, name]:
        found = found[step]
    turned = w.transpose(order)
    rows = turned.reshape(int(np.prod(turned.shape[:leading])), -1)
    expected = reference(bits, rows).reshape(turned.shape).transpose(np.argsort(order))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)  # float32: sums in another order


def test_biases_and_vectors_are_no_weights():
    assert not is_weight("conv/bias", (5, 1, 1))
    assert not is_weight("norm/scale", (5,))
    assert is_weight("head/weight", (1, 5))
    tree = {"w": np.ones((2, 2), np.float32), "bias": np.ones((2, 1)), "n": np.ones((2, 2), int), "key": "text"}
    quantised = WeightQuantiser("ternary")(tree, "last")
    assert all(quantised[name] is tree[name] for name in ("bias", "n", "key"))


def test_a_choice_of_weights_and_of_the_axis():
    tree = {"a": RNG.standard_normal((3, 2)), "b": RNG.standard_normal((3, 2))}
    quantised = WeightQuantiser("int8", parameters="a", neurons="first")(tree, "last")
    assert quantised["b"] is tree["b"]
    np.testing.assert_allclose(quantised["a"], reference("int8", tree["a"]), rtol=1e-5)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightQuantiser(unknown()), "unknown kind of weights 'nonsense'"),
        (lambda: WeightQuantiser("one_bit", unknown()), "unknown surrogate"),
        (lambda: WeightQuantiser("one_bit", neurons=unknown()), "unknown neurons"),
        (lambda: WeightQuantiser("one_bit")({"b": np.ones(3)}, "last"), "no weights to quantise.*there are: b"),
        (lambda: WeightQuantiser("one_bit", parameters="c")({"b": np.ones((3, 2))}, "last"), "'c' fits no array"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
