"""Gradients of PyTorch modules by layer, without Jacobians: what goes into a layer, and the signal that comes back.

Hooks on linear, convolutional and embedding layers note their inputs h and results z while the module runs on a block
of inputs; one backward pass for each output gives delta = d f/d z of all inputs, since none depends on another's row.
Then it is as in `ntk1bit.autodiff.row_gradients`: gradients by a weight are held as h and delta where that is less
work, as a matrix h^T delta of a convolution where it is not, and those by a bias are sums of delta. Whether that is the
gradient of a module's own array, which may be quantised on its way to the layer, or used elsewhere as well, is tried on
two inputs against the Jacobian; what is not, is left to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ntk1bit.autodiff import rows
from ntk1bit.autodiff.frameworks.torch_modules import Module, OpenedTorch, Tensor, torch
from ntk1bit.autodiff.row_gradients import is_worth_it
from ntk1bit.errors import InputError

_PAIRS = 1 << 24  # numbers that products of factors take at a time
_TRIED = 2  # inputs on which gradients by layer are held against the Jacobian
Jacobian = dict[str, Any]  # for each parameter: (b, c, entries), or `TorchFactors`; b inputs, c outputs
Rows = Callable[[OpenedTorch, Any, int, slice], tuple[Any, Jacobian]]


class TorchFactors(NamedTuple):
    """Gradients sum_t h_t delta_t^T of several inputs.

    Attributes
    ----------
    rows
        (b, positions, fan_in); or the numbers of rows of a table, (b, positions).
    signals
        (b, outputs, positions, fan_out).
    """

    rows: Tensor
    signals: Tensor

    @property
    def size(self) -> int:
        """How many numbers it holds for an input and an output."""
        return self.rows[0].numel() + self.signals[0, 0].numel()


@dataclass(frozen=True, eq=False)
class HookedLayer:
    """A layer whose gradients are made of its inputs and signals.

    Attributes
    ----------
    module
        The layer.
    weight, bias
        Names of its trained arrays, as the module's kernel shows them; None for one that is not trained.
    """

    module: Module
    weight: str | None
    bias: str | None

    def form(self) -> tuple[int, int, bool]:
        """Return what `row_gradients.is_worth_it` asks for."""
        shape = self.module.weight.shape
        if isinstance(self.module, torch.nn.Embedding):
            return shape[0], shape[1], True
        return shape[1:].numel(), shape[0], False

    def factors(self, given: Tensor, signals: Tensor) -> TorchFactors:
        """Return h and delta of inputs (b, ...) and signals (b, outputs, ...) of the layer's results."""
        if isinstance(self.module, torch.nn.Linear):
            b, c = signals.shape[:2]
            return TorchFactors(given.reshape(b, -1, given.shape[-1]), signals.reshape(b, c, -1, signals.shape[-1]))
        if isinstance(self.module, torch.nn.Embedding):
            found = given.reshape(len(given), -1)
            delta = signals.reshape(*signals.shape[:2], -1, signals.shape[-1])
            if self.module.padding_idx is not None:  # which has no gradient
                delta = delta * (found != self.module.padding_idx)[:, None, :, None]
            return TorchFactors(found, delta)
        return TorchFactors(_windows(self.module, given), signals.flatten(3).transpose(2, 3))

    def matrix(self, factors: TorchFactors) -> Tensor:
        """Return gradients (b, outputs, entries) in the order of the layer's weight."""
        if factors.rows.ndim == 2:
            b, c, _, width = factors.signals.shape
            table = factors.signals.new_zeros(b, c, self.module.weight.shape[0], width)
            at = factors.rows[:, None, :, None].expand(factors.signals.shape)
            return table.scatter_add(2, at, factors.signals).flatten(2)
        return torch.einsum("bctk,btf->bckf", factors.signals, factors.rows).flatten(2)


def by_layer(opened: OpenedTorch, x: Any, width: int, way: Rows, *, trace: bool) -> tuple[Rows, tuple[str, ...]]:
    """Return how gradients are taken by layer as far as they can be, and by a given way else.

    Parameters
    ----------
    opened, x, width
        The module, inputs, and how many outputs it has for each.
    way
        How rows of its Jacobian are taken.
    trace
        Whether only the mean over outputs is asked for.

    Returns
    -------
    The way, and the names of arrays whose gradients are held in factors.
    """
    few = rows.take(x, slice(0, _TRIED))
    candidates = _layers(opened)
    outputs = slice(0, width)
    try:
        _, found = _taken(opened, few, width, outputs, candidates, frozenset())
        _, expected = way(opened, few, width, outputs)
    except Exception:  # whatever a module raises when it runs on several inputs at once, or its hooks
        return way, ()
    layers, factored = [], []
    for layer, positions in zip(candidates, _positions(opened, few, candidates), strict=True):
        right = {name for name in (layer.weight, layer.bias) if name in found and _agree(found[name], expected[name])}
        if not right:
            continue
        kept = replace(layer, weight=_if_in(layer.weight, right), bias=_if_in(layer.bias, right))
        layers.append(kept)
        if kept.weight is not None and is_worth_it(positions, layer.form(), width, trace=trace):
            factored.append(kept.weight)
    # a dense layer's matrices are formed as fast by PyTorch itself, and a convolution's are not
    layers = [
        one if one.weight in factored or not isinstance(one.module, torch.nn.Linear) else replace(one, weight=None)
        for one in layers
    ]
    layers = [one for one in layers if one.weight or one.bias]
    if not layers:
        return way, ()
    done = {name for one in layers for name in (one.weight, one.bias) if name is not None}

    def taken(opened: OpenedTorch, x: Any, width: int, outputs: slice) -> tuple[Tensor, Jacobian]:
        values, found = _taken(opened, x, width, outputs, layers, frozenset(factored))
        rest = {name: array for name, array in opened.trained.items() if name not in done}
        if rest:
            others = {name: opened.trained[name] for name in done}
            part = replace(opened, trained=rest, frozen={**opened.frozen, **others})
            found |= way(part, x, width, outputs)[1]
        return values, found

    return taken, tuple(factored)


def product(first: Any, second: Any, dtype: Any, *, trace: bool) -> Tensor:
    """Return inner products of one array's gradients, (b, b2) summed over outputs, or (b, b2, c, c2)."""
    if not isinstance(first, TorchFactors):
        a, b = first.to(dtype), second.to(dtype)
        return a.flatten(1) @ b.flatten(1).T if trace else torch.einsum("iop,jqp->ijoq", a, b)
    at_once = max(1, _PAIRS // (second.rows.shape[1] ** 2 * len(second.rows)))
    parts = []
    for start in range(0, len(first.rows), at_once):
        some = TorchFactors(*(one[start : start + at_once] for one in first))
        parts.append(_of_factors(some, second, dtype, trace=trace))
    return torch.cat(parts)


def _of_factors(first: TorchFactors, second: TorchFactors, dtype: Any, *, trace: bool) -> Tensor:
    left, right = (one.signals.to(dtype) for one in (first, second))
    if first.rows.ndim == 2:
        alike = (first.rows[:, :, None, None] == second.rows).to(dtype).permute(0, 2, 1, 3)
    else:
        alike = torch.einsum("itf,jsf->ijts", first.rows.to(dtype), second.rows.to(dtype))
    if not trace:
        return torch.einsum("ijts,iotk,jpsk->ijop", alike, left, right)
    a, b = (one.transpose(1, 2).flatten(2) for one in (left, right))
    return (alike * torch.einsum("itk,jsk->ijts", a, b)).sum((2, 3))


def _layers(opened: OpenedTorch) -> list[HookedLayer]:
    """Return the layers of known kinds that hold trained arrays of their own."""
    shown = {own: name for name, own in opened.names.items() if name in opened.trained}
    found = []
    for path, module in opened.module.named_modules():
        if not _is_known(module):
            continue
        named = {}
        for part in ("weight", "bias"):
            inner = f"{path}.{part}" if path else part
            plain = f"{path}.parametrizations.{part}.original" if path else f"parametrizations.{part}.original"
            named[part] = shown.get(inner) or shown.get(plain)
        if named["weight"] or named["bias"]:
            found.append(HookedLayer(module, named["weight"], named["bias"]))
    return found


def _is_known(module: Module) -> bool:
    nn = torch.nn
    if isinstance(module, nn.Embedding):
        return module.max_norm is None and not module.scale_grad_by_freq
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return module.groups == 1 and module.padding_mode == "zeros"
    return isinstance(module, nn.Linear)


@contextlib.contextmanager
def _noted(layers: Sequence[HookedLayer]) -> Iterator[dict[int, list[tuple[Tensor, Tensor]]]]:
    """Note what goes into layers, and what comes out."""
    seen: dict[int, list[tuple[Tensor, Tensor]]] = {place: [] for place in range(len(layers))}

    def note(place: int) -> Callable[..., None]:
        return lambda _, given, result: seen[place].append((given[0], result))

    handles = [layer.module.register_forward_hook(note(place)) for place, layer in enumerate(layers)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _taken(
    opened: OpenedTorch, x: Any, width: int, outputs: slice, layers: Sequence[HookedLayer], factored: frozenset[str]
) -> tuple[Tensor, Jacobian]:
    """Return outputs (b, width) and gradients by the layers' arrays; those that were not used are left out."""
    count = rows.count(x)
    leaves = {name: array.detach().clone().requires_grad_() for name, array in opened.trained.items()}
    with _noted(layers) as seen, torch.enable_grad():
        values = opened(leaves, x).reshape(count, width)
    uses = [(layer, given, result) for place, layer in enumerate(layers) for given, result in seen[place]]
    if any(len(given) != count or len(result) != count for _, given, result in uses):
        raise InputError("a layer is run on some of the inputs only, or on its batch otherwise: use method='jacobian'")
    results = [result for _, _, result in uses]
    signals = [
        torch.autograd.grad(
            values[:, output].sum(), results, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for output in range(outputs.start, outputs.stop)
    ]
    by_layer: dict[int, list[TorchFactors]] = {}
    for at, (layer, given, _) in enumerate(uses):
        delta = torch.stack([one[at] for one in signals], dim=1)
        by_layer.setdefault(id(layer), []).append(layer.factors(given.detach(), delta))
    found: Jacobian = {}
    for layer in layers:
        if id(layer) not in by_layer:
            continue
        parts = by_layer[id(layer)]
        whole = TorchFactors(torch.cat([one.rows for one in parts], 1), torch.cat([one.signals for one in parts], 2))
        if layer.bias is not None:
            found[layer.bias] = whole.signals.sum(2)
        if layer.weight is not None:
            found[layer.weight] = whole if layer.weight in factored else layer.matrix(whole)
    return values.detach(), found


def _positions(opened: OpenedTorch, few: Any, layers: Sequence[HookedLayer]) -> list[int]:
    """Return at how many positions each layer is used, in all its uses."""
    with _noted(layers) as seen, torch.no_grad():
        opened(opened.trained, few)
    return [
        sum(layer.factors(given, result[:, None]).signals.shape[2] for given, result in seen[place])
        for place, layer in enumerate(layers)
    ]


def _windows(module: Module, given: Tensor) -> Tensor:
    """Return what a convolution multiplies by its weight at each place, (b, places, channels * window)."""
    flat = given.ndim == 3  # one axis of places
    settings = {
        "kernel_size": module.kernel_size, "dilation": module.dilation, "stride": module.stride,
    }  # fmt: skip
    low_high = module._reversed_padding_repeated_twice if isinstance(module.padding, str) else None
    padded = torch.nn.functional.pad(given, low_high) if low_high is not None else given
    padding = (0,) * len(module.kernel_size) if low_high is not None else module.padding
    if flat:
        settings = {name: (1, *value) for name, value in settings.items()}
        padded, padding = padded[:, :, None], (0, *padding)
    return torch.nn.functional.unfold(padded, padding=padding, **settings).transpose(1, 2)


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Whether gradients are the same up to rounding, sums over a few thousand terms among it."""
    size = float(expected.abs().max())
    resolution = float(np.sqrt(torch.finfo(expected.dtype).eps)) / 10
    return bool(torch.isfinite(found).all()) and float((found - expected).abs().max()) <= resolution * size


def _if_in(name: str | None, names: set[str]) -> str | None:
    return name if name in names else None
