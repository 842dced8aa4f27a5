from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.autodiff import module_ntk, quantize
from ntk1bit.autodiff.frameworks.weight_quantiser import Bits
from ntk1bit.networks.array_quantizers import Passing

torch = pytest.importorskip("torch")
nn = torch.nn
BITS: tuple[Bits, ...] = ("one_bit", "one_bit_tensor", "ternary", "int8")
SURROGATES: tuple[Passing, ...] = ("identity", "clipped", "tanh")


class Called(nn.Module):
    """Layers by name, called by a function."""

    def __init__(self, f, **layers):
        super().__init__()
        self.layers, self.f = nn.ModuleDict(layers), f

    def forward(self, x):
        return self.f(self.layers, x)


def dense(rng):
    width, depth, outputs = (int(n) for n in rng.integers(1, 5, 3))
    layers = [layer for _ in range(depth) for layer in (nn.LazyLinear(width + 1), nn.Tanh())]
    module = nn.Sequential(*layers, nn.LazyLinear(outputs))
    module(torch.ones(1, 3))
    return module, rng.standard_normal((4, 3))


def conv(rng):
    channels = int(rng.integers(1, 5))
    body = (nn.Conv2d(2, 2 * channels, (2, 3)), nn.BatchNorm2d(2 * channels), nn.GELU())
    up = nn.ConvTranspose2d(2 * channels, 2, 2, groups=2)
    return nn.Sequential(*body, up, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)), rng.standard_normal(
        (4, 2, 4, 3)
    )


def attention(rng):
    heads = int(rng.integers(1, 3))
    layer = nn.TransformerEncoderLayer(4, heads, 5, dropout=0.1, batch_first=True)
    return Called(
        lambda layers, x: layers["head"](layers["body"](layers["table"](x)).mean(dim=1)),
        table=nn.Embedding(6, 4),
        body=layer,
        head=nn.Linear(4, 2),
    ), rng.integers(0, 6, (4, 3))


def scan(rng):
    size, steps = (int(n) for n in rng.integers(1, 5, 2))
    kind = (nn.GRU, nn.LSTM, nn.RNN)[int(rng.integers(3))]
    return Called(
        lambda layers, x: layers["head"](layers["rnn"](x)[0][:, -1]),
        rnn=kind(2, size, batch_first=True),
        head=nn.Linear(size, 2),
    ), rng.standard_normal((4, steps, 2))


def tied(rng):
    size = int(rng.integers(1, 6))
    table, head = nn.Embedding(6, size), nn.Linear(size, 6, bias=False)
    head.weight = table.weight
    return Called(
        lambda layers, x: layers["head"](torch.tanh(layers["table"](x)).mean(dim=1)), table=table, head=head
    ), rng.integers(0, 6, (4, 3))


def layernorm(rng):
    width = int(rng.integers(2, 6))
    return nn.Sequential(nn.Linear(3, width), nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, 2)), rng.standard_normal(
        (4, 3)
    )


FAMILIES = (dense, conv, attention, scan, tied, layernorm)


def relative_error(family, seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng([12, seed, FAMILIES.index(family)])
    module, x = family(rng)
    module = module.double().eval()
    if seed % 2 and family is not scan:
        module = quantize(module, BITS[rng.integers(4)], surrogate=SURROGATES[rng.integers(3)])
    parameters = list(module.parameters())
    inputs = torch.tensor(x)
    value = module(inputs)
    jacobian = torch.stack(
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(one, parameters, retain_graph=True)])
            for one in value.flatten()
        ]
    ).reshape(*value.shape, -1)
    expected = torch.einsum("iop,jqp->ijoq", jacobian, jacobian).numpy()
    found = module_ntk(module, x, trace_outputs=False)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_network_of_each_family(family, seed):
    assert relative_error(family, seed) < 1e-10  # float64: sums of some hundred products


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(2, 18))
def test_many_random_networks(family, seed):
    assert relative_error(family, seed) < 1e-10
