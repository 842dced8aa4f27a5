from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk, quantize
from ntk1bit.errors import InputError

torch = pytest.importorskip("torch")
nn = torch.nn
X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def twins():
    """The same network in Equinox and PyTorch."""
    mlp = eqx.nn.MLP(4, 2, 6, 1, key=jax.random.key(0))
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    for layer, at in zip(mlp.layers, (0, 2), strict=True):
        module[at].weight.data = torch.tensor(np.array(layer.weight))
        module[at].bias.data = torch.tensor(np.array(layer.bias))
    return mlp, module


@pytest.mark.parametrize("bits", ["one_bit", "one_bit_tensor", "ternary", "int8"])
@pytest.mark.parametrize("surrogate", ["identity", "clipped", "tanh"])
def test_one_network_in_two_libraries_has_one_kernel(bits, surrogate):
    kernels = [module_ntk(quantize(one, bits, surrogate=surrogate), X) for one in twins()]
    # float32 on both sides, in other orders of sums
    np.testing.assert_allclose(kernels[0], kernels[1], rtol=1e-4, atol=1e-5 * np.abs(kernels[0]).max())


def test_the_module_given_stays_and_records_say_what_was_done():
    _, module = twins()
    made = quantize(module, "one_bit", parameters="0.*")
    assert type(module[0]) is nn.Linear
    record = describe_module(made, X)
    assert record.quantisers == (
        "0.weight (one_bit: signs, a scale and a mean for each neuron (D25, Def. D.3); surrogate identity)",
    )
    assert sorted(path for path, _ in record.parameters) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    with pytest.raises(InputError, match=r"no weights to quantise|fits no array"):
        quantize(quantize(module, "one_bit"), "one_bit")


def test_recurrent_weights_that_stay_are_told_of():
    module = nn.ModuleDict({"rnn": nn.GRU(3, 2), "head": nn.Linear(2, 1)})
    with pytest.warns(UserWarning, match="weights of 2 arrays of recurrent layers stay.*rnn.weight_ih_l0"):
        quantize(module, "ternary")
