"""Is a PyTorch module a network that has a kernel? Its rows apart, its outputs finite, no gradient blocked.

Rows are judged as those of JAX networks are (`ntk1bit.autodiff.rows`). Gradients cannot be followed through a program,
which PyTorch does not have, so they are followed through its graph and through numbers. A parameter is suspected if its
gradient is exactly zero, or if an operation whose derivative is zero by rule (`sign`, `round`, ...) stands between it
and the output. It is found guilty if the output jumps as the parameter is moved to the opposite sign, the place of the
largest change being halved twenty times. What is suspected of nothing is not tried: a comparison that blocks part of a
gradient, the rest of which gets through, is not found.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ntk1bit.autodiff import rows
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.frameworks.torch_modules import OpenedTorch, Tensor, torch
from ntk1bit.autodiff.missing_gradients.gradient_paths import MissingGradientWarning
from ntk1bit.errors import InputError

ADVICE = "use a straight-through estimator, ntk1bit.networks.torch_quantizers.sign or w + (w.sign() - w).detach()"
_EVALUATE = "evaluate=lambda network, x: ..., which returns (n,) or (n, outputs)"
_ZERO_BY_RULE = ("Sign", "Sgn", "Round", "Floor", "Ceil", "Trunc", "Heaviside")  # beginnings of names in the graph
_POINTS, _HALVINGS = 65, 20
_JUMP = 1e-3  # of the largest change between two points: twenty halvings leave a slope 1e-6 of it
_NOISE = 50  # roundings of the output: smaller changes tell nothing


def check_module(opened: OpenedTorch, x: Any) -> tuple[int, ...]:
    """Check a module on a few rows of x and return the shape of its output for one input.

    Raises
    ------
    InputError
        If it fails, its outputs are no rows of floats, rows influence each other, outputs are random or NaN, or a
        gradient is blocked.

    Warns
    -----
    MissingGradientWarning
        If part of a gradient is.
    """
    few = rows.few(x)
    with torch.random.fork_rng():
        outputs = output_shape(opened, few)
        with explained("the module fails on a few rows of x"), torch.no_grad():
            _check_rows(opened, few)
        with torch.enable_grad():
            _check_gradients(opened, rows.take(few, slice(2)))
    return outputs


def output_shape(opened: OpenedTorch, x: Any) -> tuple[int, ...]:
    """Return the shape of a module's output for one input.

    Raises
    ------
    InputError
        If it fails, or returns something else than a row of real floats for each input.
    """
    n = rows.count(x)
    shapes = ", ".join(str(tuple(leaf.shape)) for leaf in jax.tree.leaves(x))
    with explained(f"the module fails for x of shape {shapes}"), torch.no_grad():
        value = opened(opened.trained, x)
    if not isinstance(value, torch.Tensor) or value.ndim not in (1, 2) or value.shape[0] != n:
        given = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(f"the module returns {given} for {n} inputs, not (n,) or (n, outputs); give {_EVALUATE}")
    if not value.is_floating_point() or not value.numel():
        raise InputError(f"the module returns {value.dtype} of shape {tuple(value.shape)}; it must return some floats")
    return tuple(value.shape[1:])


def check_finite(value: Tensor, start: int) -> None:
    """Refuse outputs (b, outputs) that are NaN, naming the input, the first being number `start`.

    Raises
    ------
    InputError
        If there are any.
    """
    wrong = value.isnan().any(dim=1)
    if bool(wrong.any()):
        raise InputError(f"the module returns NaN at input {start + int(wrong.int().argmax())}; check its parameters")


def has_gradient(opened: OpenedTorch, x: Any) -> bool:
    """Say whether any parameter has a gradient at any input."""
    with torch.enable_grad():
        gradients, _ = _gradients(opened, x)
    return any(bool(g.any()) for g in gradients.values() if g is not None)


def _check_rows(opened: OpenedTorch, few: Any) -> None:
    n = rows.count(few)

    def run(x: Any, trained: dict[str, Tensor] = opened.trained) -> np.ndarray:
        return opened(trained, x).double().cpu().numpy()

    def alone(x: Any, trained: dict[str, Tensor] = opened.trained) -> np.ndarray:
        return np.concatenate([run(rows.take(x, slice(i, i + 1)), trained) for i in range(n)])

    def copies(i: int) -> Any:
        return jax.tree.map(lambda leaf: leaf[[i] * n], few)

    first = run(few)
    if not np.array_equal(first, run(few), equal_nan=True):
        raise InputError(
            "the module draws random numbers, two calls differ; switch dropout and noise off: module.eval()"
        )
    value = opened(opened.trained, few)
    shaken = alone(jax.tree.map(_shaken, few), {name: _shaken(array) for name, array in opened.trained.items()})
    rows.judge_rows(
        np.stack([first, *map(run, map(copies, range(n)))]),
        alone(few),
        shaken,
        float(torch.finfo(value.dtype).eps),
        network="module(x)",
        remedy="module.eval())",
    )


def _shaken(array: Tensor) -> Tensor:
    """Change every other number in its last bits, up and down in turn."""
    if not array.is_floating_point():
        return array
    signs = 1 - 2 * (torch.arange(array.numel(), device=array.device) % 2).reshape(array.shape)
    return array * (1 + 2 * torch.finfo(array.dtype).eps * signs).to(array.dtype)


def _check_gradients(opened: OpenedTorch, x: Any) -> None:
    """Suspect parameters without a gradient, or below an operation without one, and see whether the output jumps."""
    with explained("the module cannot be differentiated"):
        gradients, bare = _gradients(opened, x)
    blocked, partly = [], []
    for name, gradient in gradients.items():
        absent = gradient is None or not bool(gradient.any())
        if (absent or name in bare) and _jumps(opened, x, name):
            (blocked if absent else partly).append(name)
    if blocked:
        raise InputError(
            f"the Jacobian of {', '.join(blocked)} is zero, though the output jumps as it moves: a sign, a rounding or "
            f"a comparison blocks the gradient; {ADVICE}, or leave it out by parameters=..."
        )
    if partly:
        warnings.warn(
            f"{'/'.join(sorted({kind for name in partly for kind in bare[name]}))} of parameters reaches the output "
            f"without a derivative ({', '.join(partly)}): the output jumps where the gradient says that it stays, and "
            f"this is the NTK of the remaining paths only; {ADVICE}",
            MissingGradientWarning,
            stacklevel=2,
        )


def _gradients(opened: OpenedTorch, x: Any) -> tuple[dict[str, Tensor | None], dict[str, set[str]]]:
    """Return the gradient of a random sum of all outputs, and what without a derivative stands above parameters."""
    leaves = {name: array.clone().requires_grad_() for name, array in opened.trained.items()}
    value = opened(leaves, x)
    if not value.requires_grad:
        return dict.fromkeys(leaves), {}
    weights = torch.as_tensor(np.random.default_rng(0).standard_normal(tuple(value.shape)))
    owner = {id(leaf): name for name, leaf in leaves.items()}
    bare: dict[str, set[str]] = {}
    for node in _nodes(value.grad_fn):
        kind = next((word for word in _ZERO_BY_RULE if node.name().startswith(f"{word}Backward")), None)
        for below in _nodes(node) if kind else ():
            name = owner.get(id(getattr(below, "variable", None)))
            if name is not None:
                bare.setdefault(name, set()).add(f"{kind}".lower())
    total = (value * weights.to(value)).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return dict(zip(leaves, found, strict=True)), bare


def _nodes(start: Any) -> Iterator[Any]:
    """Yield the nodes of a graph from one on towards the parameters."""
    waiting, seen = [start], {start}
    while waiting:
        node = waiting.pop()
        yield node
        below = {one for one, _ in node.next_functions if one is not None} - seen
        seen |= below
        waiting += below


def _jumps(opened: OpenedTorch, x: Any, name: str) -> bool:
    """Say whether the output jumps as one parameter is moved along half a turn to its opposite."""
    at = opened.trained[name]
    size = float(at.double().square().mean().sqrt()) or 1.0
    draws = np.resize(np.random.default_rng(1).standard_normal(min(at.numel(), 1 << 16)), tuple(at.shape))
    side = torch.as_tensor(size * draws).to(at)

    @torch.no_grad()
    def value(t: float) -> np.ndarray:
        moved = (math.cos(t) * at + math.sin(t) * side).to(at.dtype)
        return opened({**opened.trained, name: moved}, x).double().cpu().numpy()

    return _jump_along(value, float(torch.finfo(at.dtype).eps))


def _jump_along(value: Callable[[float], np.ndarray], resolution: float) -> bool:
    """Say whether a function jumps on [0, pi], at the place where it changes most."""
    nodes = np.linspace(0, math.pi, _POINTS)
    values = np.stack([value(float(t)) for t in nodes])
    changes = np.abs(np.diff(values, axis=0)).reshape(len(nodes) - 1, -1).max(axis=1)
    noise = _NOISE * resolution * float(np.abs(values).max())
    if not np.isfinite(values).all() or changes.max() <= noise:
        return False
    place = int(changes.argmax())
    (low, high), (first, last) = nodes[place : place + 2].tolist(), values[place : place + 2]
    change = largest = float(changes[place])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        between = value(middle)
        lower, upper = (float(np.abs(a - b).max()) for a, b in ((between, first), (last, between)))
        if not math.isfinite(lower + upper):
            return False
        if lower >= upper:
            high, last, change = middle, between, lower
        else:
            low, first, change = middle, between, upper
    return change > max(_JUMP * largest, noise)
