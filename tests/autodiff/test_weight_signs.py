from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import quantize
from ntk1bit.autodiff.frameworks.recognition import library_of, open_network
from ntk1bit.autodiff.frameworks.weight_quantiser import Bits, WeightQuantiser
from ntk1bit.autodiff.parameters import split_parameters
from ntk1bit.autodiff.weight_signs import counted_signs, flipped, latent_signs, quantised_integers
from ntk1bit.networks.quantizers import quantize_activations, quantize_neurons, quantize_tensor, quantize_ternary

W = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32) + 0.2  # rows are neurons
# what the NumPy quantisers hold weights as
INTEGERS = {
    "one_bit": lambda w: quantize_neurons(w).q,
    "one_bit_tensor": lambda w: quantize_tensor(w).q,
    "ternary": lambda w: quantize_ternary(w).q,
    "int8": lambda w: quantize_activations(w).q,
}

BITS: tuple[Bits, ...] = ("one_bit", "one_bit_tensor", "ternary", "int8")


@pytest.mark.parametrize("neurons", ["first", "last"])
@pytest.mark.parametrize("bits", BITS)
def test_integers_are_those_of_the_quantiser(bits, neurons):
    given = {"w": jnp.asarray(W if neurons == "first" else W.T), "bias": jnp.ones((2, 2))}
    (found,) = quantised_integers(WeightQuantiser(bits), given, neurons)
    expected = INTEGERS[bits](W)
    assert np.array_equal(found if neurons == "first" else found.T, expected)
    assert len(np.unique(found)) > (10 if bits == "int8" else 1)


def test_convolutions_have_a_scale_for_each_neuron():
    w = np.random.default_rng(1).standard_normal((3, 2, 4, 4)).astype(np.float32)
    (found,) = quantised_integers(WeightQuantiser("one_bit"), {"w": jnp.asarray(w)}, "first")
    assert np.array_equal(found.reshape(3, -1), INTEGERS["one_bit"](w.reshape(3, -1)))


def test_a_neuron_of_equal_weights_does_not_flip():
    for bits in BITS:
        one, other = (
            quantised_integers(WeightQuantiser(bits), {"w": jnp.full((2, 3), size)}, "first") for size in (0.5, 0.7)
        )
        assert flipped(one, other) == 0


def test_what_is_counted_is_said():
    mlp = eqx.nn.MLP(5, 2, 7, 1, key=jax.random.key(0))

    def counted(module, signs=None):
        network = open_network(module, library_of(module), params=None, state=None)
        split, *arrays = split_parameters(network.params, None)
        found = counted_signs(network, library_of(module), split, tuple(arrays), signs)
        return found, found.read(*arrays)

    found, integers = counted(quantize(mlp, "ternary"))
    assert (found.size, found.counted) == (49, "signs of 49 quantised weights (ternary)")
    assert np.array_equal(integers[0], INTEGERS["ternary"](np.asarray(mlp.layers[0].weight)))
    found, _ = counted(quantize(mlp, "int8"))
    assert found.counted == "integers of 49 quantised weights (int8)"
    found, signs = counted(mlp)
    assert found.size == 58
    assert flipped(signs, [-one for one in signs]) == 58
    found, read = counted(mlp, lambda model: [model.layers[0].weight > 0])
    assert found.size == 35
    assert np.array_equal(read[0], np.asarray(mlp.layers[0].weight) > 0)


def test_signs_of_parameters_have_three_values():
    assert latent_signs(jnp.array([-0.5, 0.0, 2.0])).tolist() == [-1, 0, 1]
