from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.autodiff import KernelWatch, module_ntk
from ntk1bit.autodiff.group_kernels import ALL, GroupKernels
from ntk1bit.errors import InputError

torch = pytest.importorskip("torch")
nn = torch.nn
X = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
CLOSE = 1e-5  # float32 sums of some hundred products in another order


def network(*extra):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), *extra, nn.Linear(8, 2))


def test_layers_of_a_module_that_is_trained_in_place():
    model = network()
    watched = GroupKernels(model, X, memory_budget=1 << 12)  # blocks of some rows
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        found = watched.at(model)
        assert [*found] == [ALL, "0", "2"]
        for name, pattern in ((ALL, "**"), ("0", "0/*"), ("2", "2.*")):
            expected = module_ntk(model, X, parameters=pattern)
            np.testing.assert_allclose(found[name], expected, rtol=CLOSE, atol=CLOSE)
        optimiser.zero_grad()
        (model(torch.tensor(X)) ** 2).mean().backward()
        optimiser.step()
    assert watched.sizes == {ALL: 50, "0": 32, "2": 18}


def test_a_module_is_checked_once(monkeypatch):
    from ntk1bit.autodiff.frameworks import torch_kernels

    calls = []
    real = torch_kernels.check_module

    def counted(*args):
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(torch_kernels, "check_module", counted)
    watch = KernelWatch(network(), X, groups={"first": "0/**"})
    model = network()
    for _ in range(3):
        watch.update(model)
    assert len(calls) == 1
    assert watch.left_out == ("2/weight", "2/bias")
    assert not np.any(watch.frame()["drift"])


def test_training_mode_and_dead_networks_are_refused():
    model = network(nn.Dropout(0.5))
    watch = KernelWatch(model, X)
    with pytest.raises(InputError, match="eval"):
        watch.update(model)
    assert watch.update(model.eval())
    dead = network()
    with torch.no_grad():
        for one in dead[2].parameters():
            one.requires_grad_(False).zero_()
    with pytest.raises(InputError, match="dead"):
        KernelWatch(dead, X).update(dead)
