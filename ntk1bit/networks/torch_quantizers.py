"""Quantisers of PyTorch tensors with straight-through gradients: the functions of `array_quantizers`, for PyTorch.

Each is made of plain operations: the value without its gradient, and a surrogate minus itself. So they work under
`torch.func` (`vmap`, `vjp`, `jvp`, `jacrev`, in chunks and inside each other) and under `loss.backward()`, on any
device that has float64. Scales and means are taken in float64, whose range holds the squares and sums of narrower
floats; float64 weights must keep away from the ends of their own range (1e-150 to 1e150).

Importing this module imports PyTorch: ``pip install 'ntk1bit[torch]'``.
"""

from __future__ import annotations

import importlib
from typing import Any

from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.array_quantizers import PASSING, Passing
from ntk1bit.networks.quantizers import SCALES, Scale, SignAtZero

torch: Any = importlib.import_module("torch")  # by name: it is optional, for the type checker too
Tensor = Any  # torch.Tensor


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """Return `value`, with the derivative of `surrogate`; two tensors of one shape and dtype."""
    return value.detach() + (surrogate - surrogate.detach())  # the difference is exactly 0


def sign(x: Tensor, *, surrogate: Passing = "identity", at_zero: SignAtZero = 1) -> Tensor:
    """Return the sign of each number, `at_zero` for 0; see `array_quantizers.sign`.

    Raises
    ------
    InputError
        If the surrogate is unknown.
    """
    require_choice("surrogate", surrogate, PASSING)
    held = x.detach()
    value = _above(held, at_zero).to(x.dtype)
    if surrogate == "tanh":
        return straight_through(value, torch.tanh(x))
    return straight_through(value, x if surrogate == "identity" else torch.where(held.abs() <= 1, x, held))


def ternary(x: Tensor, *, surrogate: Passing = "identity") -> Tensor:
    """Return `beta clip(round(x/beta), -1, 1)`, beta = mean|x| over the whole tensor; see `array_quantizers.ternary`.

    Raises
    ------
    InputError
        If the surrogate is unknown or x is empty.
    """
    wide = _wide(x)
    beta = wide.abs().mean()
    u = _shares(wide, beta)
    return _passed(x, beta * u.round().clamp(-1, 1), u, u.abs() <= 1.5, surrogate)


def int8(x: Tensor, *, surrogate: Passing = "identity") -> Tensor:
    """Return each row along the last axis as 8-bit integers times gamma/128; see `array_quantizers.int8`.

    Raises
    ------
    InputError
        If the surrogate is unknown or x is empty.
    """
    wide = _wide(x)
    gamma = wide.abs().amax(dim=-1, keepdim=True)
    u = _shares(wide, gamma)
    return _passed(x, gamma * (u * 128).round().clamp(-127, 127) / 128, u, u.abs() <= 127 / 128, surrogate)


def neuron_wise(w: Tensor, *, scale: Scale = "std", surrogate: Passing = "identity") -> Tensor:
    """Quantise each row of (m, d) to `s_r Sign(w - mu_r) + mu_r` (D25); see `array_quantizers.neuron_wise`.

    Raises
    ------
    InputError
        If `scale` or `surrogate` is unknown or w is no matrix with at least one entry.
    """
    require_choice("scale", scale, SCALES)
    wide = _wide(_matrix(w))
    mu = wide.mean(dim=1, keepdim=True)
    c = wide - mu
    s = c.square().mean(dim=1, keepdim=True).sqrt() if scale == "std" else c.abs().mean(dim=1, keepdim=True)
    return _passed(w, s * _above(c, 1) + mu, _shares(c, s), c.abs() <= s, surrogate)


def tensor_wise(w: Tensor, *, surrogate: Passing = "identity", sign_at_zero: SignAtZero = 1) -> Tensor:
    """Quantise (m, d) to `beta Sign(W - alpha)` (W23); see `array_quantizers.tensor_wise`.

    Raises
    ------
    InputError
        If the surrogate is unknown or w is no matrix with at least one entry.
    """
    wide = _wide(_matrix(w))
    c = wide - wide.mean()
    return _passed(w, wide.abs().mean() * _above(c, sign_at_zero), c, c.abs() <= 1, surrogate)


def _passed(x: Tensor, value: Tensor, u: Tensor, inside: Tensor, surrogate: str) -> Tensor:
    """Return a value with the derivative that the surrogate has at arguments u, of which some are `inside` the range.

    The slope is 1 or a number: a factor would round the value if it were not taken off again.
    """
    require_choice("surrogate", surrogate, PASSING)
    if surrogate == "identity":
        return straight_through(value.to(x.dtype), x)
    slope = inside if surrogate == "clipped" else 1 - torch.tanh(u) ** 2
    return straight_through(value.to(x.dtype), slope.to(x.dtype) * x)


def _wide(x: Tensor) -> Tensor:
    """Return real numbers in float64, without their gradient."""
    if x.is_complex():
        raise InputError(f"a quantiser needs real numbers, got {x.dtype}")
    if x.numel() == 0:
        raise InputError(f"a quantiser needs at least one number, got shape {tuple(x.shape)}")
    return x.detach().to(torch.float64)


def _matrix(w: Tensor) -> Tensor:
    if w.ndim != 2:
        raise InputError(f"a quantiser of weights needs a matrix with at least one entry, got shape {tuple(w.shape)}")
    return w


def _above(c: Tensor, at_zero: int) -> Tensor:
    """Return Sign(c)."""
    one = torch.ones_like(c)
    return torch.where(c >= 0 if at_zero > 0 else c > 0, one, -one)


def _shares(x: Tensor, scale: Tensor) -> Tensor:
    return x / torch.where(scale > 0, scale, torch.ones_like(scale))
