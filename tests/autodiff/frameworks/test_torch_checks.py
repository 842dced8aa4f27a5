from __future__ import annotations

import warnings

import numpy as np
import pytest

from ntk1bit.autodiff.missing_gradients.gradient_paths import MissingGradientWarning
from ntk1bit.errors import InputError

torch = pytest.importorskip("torch")
torch_checks = pytest.importorskip("ntk1bit.autodiff.frameworks.torch_checks")
torch_modules = pytest.importorskip("ntk1bit.autodiff.frameworks.torch_modules")
torch_quantizers = pytest.importorskip("ntk1bit.networks.torch_quantizers")
nn = torch.nn
functional = nn.functional


class Made(nn.Module):
    """Two layers, the first of whose weights go through a function."""

    def __init__(self, q):
        super().__init__()
        rng = np.random.default_rng(0)
        self.w = nn.Parameter(torch.tensor(rng.standard_normal((8, 4)), dtype=torch.float32))
        self.a = nn.Parameter(torch.tensor(rng.standard_normal((3, 8)), dtype=torch.float32))
        self.q = q

    def forward(self, x):
        return torch.relu(x @ self.q(self.w).T) @ self.a.T


class Called(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.linear, self.f = nn.Linear(4, 3), f

    def forward(self, x):
        return self.f(self.linear(x))


def check(module):
    x = torch.tensor(np.random.default_rng(1).standard_normal((6, 4)), dtype=torch.float32)
    return torch_checks.check_module(torch_modules.open_torch(module, None, None), x)


@pytest.mark.parametrize(
    "q",
    [
        torch.sign,
        lambda w: w.round(),
        lambda w: (w > 0).float(),
        lambda w: torch.where(w > 0, 1.0, -1.0),
        lambda w: w.sign().detach(),
        lambda w: torch.floor(3 * w) + 0 * w,
    ],
)
def test_a_blocked_gradient_is_an_error(q):
    with pytest.raises(InputError, match="the Jacobian of w is zero, though the output jumps as it moves"):
        check(Made(q))


@pytest.mark.parametrize("q", [lambda w: w.abs().mean() * w.sign(), lambda w: w + w.round()])
def test_a_gradient_blocked_in_part_is_a_warning(q):
    with pytest.warns(MissingGradientWarning, match=r"(sign|round) of parameters reaches the output.*\(w\)"):
        check(Made(q))


@pytest.mark.parametrize(
    "q",
    [
        lambda w: w,
        lambda w: w.detach(),
        lambda w: w * w.sign(),  # |w|
        lambda w: w + (w.sign() - w).detach(),
        lambda w: torch_quantizers.ternary(w, surrogate="clipped"),
        lambda w: torch_quantizers.neuron_wise(w, surrogate="tanh"),
        lambda w: torch.tanh(300 * w),
        lambda w: torch.relu(w - 100) + 1,  # dead
    ],
)
def test_what_has_a_derivative_or_is_dead_or_frozen_on_purpose_is_silent(q):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(Made(q)) == (3,)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda h: h - h.mean(dim=0), "mixes the rows of x"),
        (lambda h: functional.batch_norm(h, None, None, training=True), "fails on a few rows|mixes the rows"),
        (lambda h: functional.dropout(h, training=True), "draws random numbers"),
        (lambda h: h * torch.arange(len(h))[:, None], "something else at another place in the batch"),
        (lambda h: (h, 1), "returns tuple for 3 inputs"),
        (lambda h: h[:, :, None], r"returns shape \(3, 3, 1\)"),
        (lambda h: h.argmax(dim=1), "must return some floats"),
        (lambda h: torch.log(-1 - h**2), "is NaN"),
        (lambda h: h @ torch.ones(4, 1), "the module fails for x of shape"),
    ],
)
def test_what_has_no_kernel_is_refused(f, message):
    with pytest.raises(InputError, match=message):
        check(Called(f))


def test_the_random_state_of_the_caller_stays():
    module, before = Called(lambda h: functional.dropout(h, training=True)), torch.get_rng_state()
    with pytest.raises(InputError):
        check(module)
    assert torch.equal(torch.get_rng_state(), before)
