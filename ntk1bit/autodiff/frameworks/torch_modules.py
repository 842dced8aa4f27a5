"""PyTorch modules as functions of (trained parameters, x): which arrays are which, and what mode they are in.

Importing this module imports PyTorch, which is optional: ``pip install 'ntk1bit[torch]'``.
"""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ntk1bit.autodiff.frameworks.weight_quantiser import WeightQuantiser, neuron_axes, quantised_matrix
from ntk1bit.autodiff.parameters import Selection, chooser
from ntk1bit.errors import InputError
from ntk1bit.networks import torch_quantizers

torch: Any = importlib.import_module("torch")  # by name: it is optional, for the type checker too
parametrize: Any = importlib.import_module("torch.nn.utils.parametrize")
Tensor = Any  # torch.Tensor
Module = Any  # torch.nn.Module
_TIMES_TRAINING = "Dropout"  # part of the names of layers that draw a mask while training


@dataclass(frozen=True, eq=False)
class OpenedTorch:
    """A module of PyTorch, taken apart.

    Attributes
    ----------
    module
        As given.
    names
        The module's own name of each trained or frozen array, by the name that is shown: a parametrised weight
        is called as it was before.
    trained
        Parameters to differentiate by, tied ones once.
    frozen
        Other parameters, and buffers (copies, since a module may write to them).
    evaluate
        From a callable network and a batch to outputs.
    mode
        What was found about training and evaluation.
    quantisers
        What weights go through, as far as parametrisations say so.
    """

    module: Module
    names: dict[str, str]
    trained: dict[str, Tensor]
    frozen: dict[str, Tensor]
    evaluate: Callable[[Any, Any], Any]
    mode: tuple[str, ...]
    quantisers: tuple[str, ...]

    @property
    def dtype(self) -> Any:
        """The dtype of the trained parameters together."""
        kinds = [array.dtype for array in self.trained.values()]
        found = kinds[0]
        for kind in kinds[1:]:
            found = torch.promote_types(found, kind)
        return found

    @property
    def device(self) -> Any:
        """Where the first trained parameter is."""
        return next(iter(self.trained.values())).device

    def __call__(self, trained: dict[str, Tensor], x: Any) -> Tensor:
        """Run the module on a batch with these trained parameters; its training mode is left as it is."""
        arrays = {self.names[name]: array for name, array in {**self.frozen, **trained}.items()}

        def network(*args: Any, **named: Any) -> Any:
            return torch.func.functional_call(self.module, arrays, args, named, tie_weights=True)

        return self.evaluate(network, x)


class TorchQuantizer(torch.nn.Module):
    """A parametrisation that quantises the weight it stands before."""

    def __init__(self, quantiser: WeightQuantiser, order: tuple[int, ...], leading: int, groups: int) -> None:
        """Take the order of axes that puts neurons first, how many of them number neurons, and the number of groups."""
        super().__init__()
        self.quantiser, self.order, self.leading, self.groups = quantiser, order, leading, groups

    def forward(self, w: Tensor) -> Tensor:
        """Return the quantised weight."""
        split = w.reshape(self.groups, w.shape[0] // self.groups, *w.shape[1:]) if self.groups > 1 else w
        turned = split.permute(self.order)
        rows = turned.shape[: self.leading].numel()
        made = quantised_matrix(torch_quantizers, self.quantiser, turned.reshape(rows, -1)).reshape(turned.shape)
        return made.permute([self.order.index(axis) for axis in range(made.ndim)]).reshape(w.shape)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows."""
        return str(self.quantiser)


def open_torch(module: Module, parameters: Selection, evaluate: Callable[[Any, Any], Any] | None) -> OpenedTorch:
    """Take a module apart.

    Parameters
    ----------
    module
        In evaluation mode where that makes a difference.
    parameters
        As for `module_ntk`; parameters with ``requires_grad=False`` are never differentiated by.
    evaluate
        As for `module_ntk`.

    Raises
    ------
    InputError
        If a layer is in training mode that then mixes rows or draws random numbers, an array is complex or not finite,
        no parameter is selected, or a layer is not initialised yet.
    """
    _refuse_training(module)
    everything = dict(module.named_parameters())  # tied ones once
    lazy = [name for name, array in everything.items() if torch.nn.parameter.is_lazy(array)]
    if lazy:
        raise InputError(f"parameter {lazy[0]!r} has no shape yet (a lazy layer); run the module once on some inputs")
    shown = {plain_name(name): name for name in everything}
    wanted = {name: everything[own] for name, own in shown.items() if everything[own].requires_grad}
    chosen = _chooser(parameters, list(wanted))
    trained = {name: array.detach() for name, array in wanted.items() if chosen(name)}
    if not trained:
        held = "; all have requires_grad=False" if everything and not wanted else ""
        raise InputError(f"no parameter is selected; there are: {', '.join(shown) or 'none at all'}{held}")
    frozen = {name: everything[own].detach() for name, own in shown.items() if name not in trained}
    buffers = {name: array.detach().clone() for name, array in module.named_buffers()}
    _refuse_numbers(trained, {**frozen, **buffers})
    fixed = [name for name, own in shown.items() if not everything[own].requires_grad]
    mode = (_mode(module), *((f"requires_grad=False: {', '.join(fixed)}",) if fixed else ()))
    return OpenedTorch(
        module,
        {**shown, **{name: name for name in buffers}},
        trained,
        {**frozen, **buffers},
        evaluate or (lambda network, x: network(x)),
        mode,
        _quantisers(module),
    )


def quantized_module(module: Module, quantiser: WeightQuantiser) -> tuple[Module, list[str]]:
    """Return a copy of a module whose weights are parametrised by a quantiser, and the weights that cannot be.

    Recurrent layers keep their weights in one flat array beside the parameters, which a parametrisation does not reach.

    Raises
    ------
    InputError
        If there is no weight to quantise, or a pattern fits none.
    """
    made = copy.deepcopy(module)
    places: dict[str, list[tuple[Module, str]]] = {}
    first: dict[int, str] = {}
    unreached = []
    for home_name, home in made.named_modules():
        for name, array in home.named_parameters(recurse=False):
            path = f"{home_name}.{name}" if home_name else name
            if isinstance(home, torch.nn.RNNBase):
                unreached += [path] if array.ndim >= 2 else []
                continue
            if not _in_parametrisation(home_name):
                places.setdefault(first.setdefault(id(array), path), []).append((home, name))
    shapes = {path.replace(".", "/"): tuple(getattr(*homes[0]).shape) for path, homes in places.items()}
    rule = replace(quantiser, parameters=slashed(quantiser.parameters))
    chosen = set(rule.choose(list(shapes.items())))
    for path, homes in places.items():
        for home, name in homes if path.replace(".", "/") in chosen else ():
            step = TorchQuantizer(quantiser, *_axes(home, getattr(home, name), name, quantiser))
            parametrize.register_parametrization(home, name, step)
    return made, unreached


def plain_name(name: str) -> str:
    """Return the name that a parametrised weight had before: `0.weight` for `0.parametrizations.weight.original`."""
    return re.sub(r"\bparametrizations\.([^.]+)\.original$", r"\1", name)


def _axes(home: Module, array: Tensor, path: str, quantiser: WeightQuantiser) -> tuple[tuple[int, ...], int, int]:
    """Return order of axes, how many lead, and groups: a transposed convolution has inputs first, in groups."""
    if isinstance(home, torch.nn.modules.conv._ConvTransposeNd) and quantiser.neurons is None:
        if home.groups == 1:
            return (1, 0, *range(2, array.ndim)), 1, 1
        return (0, 2, 1, *range(3, array.ndim + 1)), 2, home.groups
    order, leading = neuron_axes(path, array.ndim, quantiser.neurons or "first")
    return tuple(order), leading, 1


def _chooser(parameters: Selection, names: list[str]) -> Callable[[str], bool]:
    """Return what chooses among names with dots: functions see these, patterns may have dots or slashes."""
    fits = chooser(slashed(parameters), [name.replace(".", "/") for name in names])
    return lambda name: fits(name.replace(".", "/"))


def slashed(parameters: Selection) -> Selection:
    """Return the selection for paths with slashes that this one is for names with dots."""
    if isinstance(parameters, str):
        return parameters.replace(".", "/")
    if callable(parameters):
        return lambda path: parameters(path.replace("/", "."))
    if isinstance(parameters, Sequence):
        return tuple(one.replace(".", "/") if isinstance(one, str) else one for one in parameters)
    return parameters


def _in_parametrisation(home_name: str) -> bool:
    return "parametrizations" in home_name.split(".")


def _refuse_training(module: Module) -> None:
    """Refuse layers in training mode that then take statistics of the batch or draw random numbers."""
    normed = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.modules.instancenorm._InstanceNorm)
    for name, layer in module.named_modules():
        kind = type(layer).__name__
        rate = getattr(layer, "p", 0) if _TIMES_TRAINING in kind else getattr(layer, "dropout", 0)
        draws = (isinstance(rate, int | float) and rate > 0) or isinstance(layer, torch.nn.RReLU)
        statistics = isinstance(layer, normed) and layer.track_running_stats
        if layer.training and (draws or statistics):
            what = "takes the statistics of the batch" if statistics else "draws random numbers"
            raise InputError(
                f"layer {name or kind!r} ({kind}) is in training mode, in which it {what}, so that there is no "
                "function of one input to have a kernel; call module.eval() first"
            )


def _refuse_numbers(trained: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    for name, array in {**trained, **others}.items():
        if array.is_complex() and name in trained:
            raise InputError(
                f"parameter {name!r} is complex; hold its real and imaginary parts instead, torch.view_as_real"
            )
        if array.is_floating_point():
            bad = ~array.isfinite() if name in trained else array.isnan()  # a mask may well hold -inf
            if bool(bad.any()):
                raise InputError(f"parameter {name!r} contains NaN or infinity; the network has diverged")


def _mode(module: Module) -> str:
    training = [name or "the module" for name, layer in module.named_modules() if layer.training]
    if not training:
        return "evaluation mode"
    return f"training mode in {len(training)} layers, none of which does anything else then"


def _quantisers(module: Module) -> tuple[str, ...]:
    found = []
    for name, layer in module.named_modules():
        if parametrize.is_parametrized(layer):
            for weight, steps in layer.parametrizations.items():
                path = f"{name}.{weight}" if name else weight
                found += [
                    f"{path} ({step.quantiser if isinstance(step, TorchQuantizer) else type(step).__name__})"
                    for step in steps
                ]
    return tuple(found)
