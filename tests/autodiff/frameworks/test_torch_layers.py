from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.autodiff import describe_module, module_ntk, quantize

torch = pytest.importorskip("torch")
nn = torch.nn


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
        self.out.weight = self.table.weight

    def forward(self, tokens):
        return self.out(torch.tanh(self.table(tokens).sum(1)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Linear(20, 20), nn.Linear(20, 2)

    def forward(self, x):
        return self.out(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class ByHand(nn.Module):
    """Uses a layer's weight without calling it, beside a call."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return torch.tanh(self.layer(x)) @ self.layer.weight


class RoutedByNumber(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.other, self.out = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.out(torch.tanh(self.first(x) + self.other(x * (x > 0))))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.mixed, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.mixed(x, x, x, need_weights=False)[0].mean(1))


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.reads, self.out = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.out(self.reads(x)[0][:, -1])


def flat(*layers):
    return nn.Sequential(*layers, nn.Flatten())


MODULES = {  # module, shape of an input (or number of words), and which arrays are held in factors
    "dense": (lambda: nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)), (6,), "0.weight 2.weight"),
    "two positions": (lambda: flat(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 1)), (2, 20), "0.weight"),
    "twice": (Twice, (20,), "layer.weight out.weight"),
    "tied": (Tied, 9, ""),
    "by hand as well": (ByHand, (6,), ""),
    "two ways": (RoutedByNumber, (4,), "first.weight other.weight out.weight"),
    "embedding": (lambda: flat(nn.Embedding(200, 4, padding_idx=0), nn.Tanh(), nn.Linear(4, 2)), 200, "0.weight"),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=(1, 2)), nn.Tanh(),
            nn.Conv2d(4, 3, (2, 3), dilation=(1, 2), padding="same"), nn.Flatten(), nn.Linear(3 * 3 * 4, 2),
        ),
        (2, 5, 6), "4.weight",
    ),
    "one axis": (lambda: flat(nn.Conv1d(2, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool1d(1)), (2, 7), ""),
    "grouped": (lambda: flat(nn.Conv2d(2, 4, 3, groups=2), nn.AdaptiveAvgPool2d(1)), (2, 5, 5), ""),
    "normalised": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 2)),
        (6,), "0.weight 4.weight",
    ),
    "attention": (Attention, (3, 8), "out.weight"),
    "recurrent": (Sequence, (4, 3), "out.weight"),
    "1 bit": (lambda: quantize(nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)), "one_bit"), (6,), None),
}  # fmt: skip


def made(name):
    torch.manual_seed(0)
    make, shape, in_factors = MODULES[name]
    rng = np.random.default_rng(1)
    x = (
        rng.integers(0, shape, (5, 3))
        if isinstance(shape, int)
        else rng.standard_normal((5, *shape)).astype(np.float32)
    )
    module = make().eval()
    for one in module.modules():
        if isinstance(one, nn.BatchNorm1d):
            one.running_mean.normal_()
    return module, x, in_factors


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_kernels_are_those_of_the_jacobian(name, trace):
    module, x, _ = made(name)
    for other in (None, x[:3]):
        expected = module_ntk(module, x, other, method="jacobian", trace_outputs=trace)
        for budget in (1 << 30, 20_000):
            found = module_ntk(module, x, other, method="layers", trace_outputs=trace, memory_budget=budget)
            # float32 sums of a few dozen terms, in another order
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name, (_, _, factors) in MODULES.items() if factors is not None])
def test_gradients_are_held_in_the_form_that_takes_less(name):
    module, x, in_factors = made(name)
    record = describe_module(module, x)
    assert set(record.in_factors) == set(in_factors.split())
    if in_factors:
        assert f"by layer, without a Jacobian: {record.in_factors[0]} (" in str(record)


def test_nothing_stays_hooked():
    module, x, _ = made("convolutions")
    module_ntk(module, x)
    assert not any(one._forward_hooks for one in module.modules())


def test_few_pairs_at_a_time_give_the_same(monkeypatch):
    from ntk1bit.autodiff.frameworks import torch_layers

    module, x, _ = made("two positions")
    expected = module_ntk(module, x)
    monkeypatch.setattr(torch_layers, "_PAIRS", 1)
    np.testing.assert_allclose(module_ntk(module, x), expected, rtol=1e-5)  # float32 sums
