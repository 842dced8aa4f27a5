"""Kernels of networks as people have them: Equinox, Flax, Haiku and PyTorch modules, and plain functions.

Each is brought to the form that `ntk1bit.autodiff.tangent_kernel` takes, a function of (parameters, x) in evaluation
mode (`ntk1bit.autodiff.frameworks`), and its kernel is the one of that function. PyTorch has an engine of its own with
the same checks. What was differentiated, by which parameters and in which mode, `describe_module` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact

from ntk1bit.autodiff import rows
from ntk1bit.autodiff.examination import unexamined
from ntk1bit.autodiff.frameworks.jax_calls import BatchFunction, Evaluate, batch_function
from ntk1bit.autodiff.frameworks.opened import OpenedNetwork
from ntk1bit.autodiff.frameworks.recognition import Library, library_of, open_network
from ntk1bit.autodiff.parameters import Selection, split_parameters
from ntk1bit.autodiff.row_gradients import held_forms
from ntk1bit.autodiff.tangent_kernel import METHODS, Method, ntk
from ntk1bit.errors import InputError, require_choice


@dataclass(frozen=True)
class KernelRecord:
    """What the kernel of a network is a kernel of.

    Attributes
    ----------
    framework
        Which library the network is of.
    called
        How it is called on a batch.
    parameters
        Path and number of entries of each array that it is differentiated by.
    left_out
        The same of other arrays of floats that it holds: frozen, not selected, or statistics.
    outputs
        Shape of the output for one input, () or (outputs,).
    trace_outputs
        Whether the kernel is a mean over outputs.
    mode
        What was done or found so that it is evaluated.
    dtype
        Of the kernel.
    quantisers
        What weights go through, as far as `quantize` or a parametrisation of PyTorch says so; estimators inside the
        network's own code are not seen.
    in_factors
        Paths of arrays whose gradients are held as inputs and back-propagated signals of a layer, which is less work
        than the Jacobian that others take (`ntk1bit.autodiff.row_gradients`).
    """

    framework: str
    called: str
    parameters: tuple[tuple[str, int], ...]
    left_out: tuple[tuple[str, int], ...]
    outputs: tuple[int, ...]
    trace_outputs: bool
    mode: tuple[str, ...]
    dtype: str
    quantisers: tuple[str, ...]
    in_factors: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many numbers it is differentiated by."""
        return sum(size for _, size in self.parameters)

    def __str__(self) -> str:
        """Return all of it, an item a line."""
        traced = "one number" if not self.outputs else f"{self.outputs[0]} outputs"
        if self.outputs:
            traced += ", the mean over them" if self.trace_outputs else ", a block for each pair of inputs"
        factors = tuple((path, size) for path, size in self.parameters if path in self.in_factors)
        lines = [
            f"NTK of: {self.framework}, called {self.called}",
            f"by: {self.count} parameters in {_listed(self.parameters)}",
            f"left out: {_listed(self.left_out) or 'nothing'}",
            f"outputs: {traced}; dtype {self.dtype}",
            f"mode: {'; '.join(self.mode) or 'nothing to switch'}",
            f"quantisers: {'; '.join(self.quantisers) or 'none known'}",
            f"by layer, without a Jacobian: {_listed(factors) or 'none'}",
        ]
        return "\n".join(lines)


def module_ntk(
    module: Any,
    x: Any,
    x2: Any = None,
    *,
    params: Any = None,
    state: Any = None,
    parameters: Selection = None,
    evaluate: Evaluate | None = None,
    method: Method = "auto",
    trace_outputs: bool = True,
    memory_budget: Any = 1 << 30,
    progress: Callable[[str, float], None] | None = None,
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Compute the NTK of a network of Equinox, Flax, Haiku or PyTorch, or of a plain function, in evaluation mode.

    Parameters
    ----------
    module
        An Equinox module, a Flax linen or nnx module, what `hk.transform` returned, a PyTorch module, or a function of
        (params, x). What `quantize` returns is one as well.
    x, x2
        Inputs with the batch on the first axis, as for `ntk`: an array, or a pytree of arrays. For PyTorch tensors too;
        floats are taken in the dtype of its parameters.
    params
        The variables of a linen module, the parameters of a Haiku network or of a function; the others hold their own.
    state
        Of a Haiku network with state, or the `eqx.nn.State` of an Equinox module; it is read and no parameter.
    parameters
        Which parameters, by path: a pattern such as ``"blocks/*/attention/**"``, a list of those, or a function of the
        path; all by default. A path is what leads to the array, joined by ``/``: ``layers/0/weight``; in linen without
        the name of the collection. For PyTorch patterns may be written with dots too, and a function gets its name with
        dots. Weights that stand in two places of a module (tied) count once, by their first name; JAX libraries tie by
        their own means (`nnx` references, `eqx.nn.Shared`).
    evaluate
        How outputs are computed, ``evaluate(network, x)`` -> (n,) or (n, outputs), for a network that takes several
        arguments or returns more: ``lambda network, x: network(x["tokens"], x["mask"])[:, -1]``. By default the network
        is called on x: whole, or one input at a time by `vmap`; which is found by trying (Equinox: the latter first).
    method, trace_outputs, memory_budget, progress
        As for `ntk`. PyTorch has ``"layers"`` (``"auto"``) and ``"jacobian"``, in blocks of inputs and outputs.

    Returns
    -------
    Array as `ntk` returns it: (n, n2), or (n, n2, outputs, outputs). NumPy, in the dtype of the parameters; float32 for
    16-bit ones of PyTorch.

    Raises
    ------
    InputError
        As `ntk` does; if the network is of no known library, lacks parameters, or is in training mode where that
        matters and cannot be switched here (PyTorch).

    Warns
    -----
    UserWarning
        As `ntk` does.
    """
    library = library_of(module)
    if library == "torch":
        require_choice("method", method, METHODS)
        if method not in ("auto", "layers", "jacobian"):
            raise InputError(f"method {method!r} is for JAX; PyTorch networks have 'layers' (or 'auto') and 'jacobian'")
        from ntk1bit.autodiff.frameworks.torch_kernels import torch_ntk

        opened = _open_torch(module, params, state, parameters, evaluate)
        return torch_ntk(
            opened,
            x,
            x2,
            layers=method != "jacobian",
            trace_outputs=trace_outputs,
            memory_budget=memory_budget,
            progress=progress,
        )
    network, function = _open_jax(module, library, x, params=params, state=state, evaluate=evaluate)
    return ntk(
        function.f,
        network.params,
        x,
        x2,
        method=method,
        trace_outputs=trace_outputs,
        parameters=parameters,
        memory_budget=memory_budget,
        progress=progress,
    )


def describe_module(
    module: Any,
    x: Any,
    *,
    params: Any = None,
    state: Any = None,
    parameters: Selection = None,
    evaluate: Evaluate | None = None,
    trace_outputs: bool = True,
) -> KernelRecord:
    """Say what `module_ntk` with these arguments differentiates, by what and in which mode, without the kernel.

    Arguments and errors are those of `module_ntk`.
    """
    library = library_of(module)
    if library == "torch":
        from ntk1bit.autodiff.frameworks.torch_kernels import describe_torch

        opened = _open_torch(module, params, state, parameters, evaluate)
        called, outputs, dtype, factored = describe_torch(opened, x, trace=trace_outputs)
        trained = tuple((name, array.numel()) for name, array in opened.trained.items())
        rest = tuple((name, array.numel()) for name, array in opened.frozen.items() if array.is_floating_point())
        return KernelRecord(
            "PyTorch", called, trained, rest, outputs, trace_outputs, opened.mode, dtype, opened.quantisers, factored
        )
    network, function = _open_jax(module, library, x, params=params, state=state, evaluate=evaluate)
    split, arrays, _ = split_parameters(network.params, parameters)
    everything, every_array, _ = split_parameters(network.params, "**")
    forms = held_forms(unexamined(function.f, network.params, x, parameters=parameters).network, trace=trace_outputs)
    sizes = {path: int(np.size(leaf)) for path, leaf in zip(everything.paths, every_array, strict=True)}
    return KernelRecord(
        network.framework,
        function.how,
        tuple((path, sizes[path]) for path in split.paths),
        tuple((path, size) for path, size in sizes.items() if path not in split.paths),
        function.outputs,
        trace_outputs,
        network.mode,
        str(jnp.result_type(*arrays)),
        () if network.quantiser is None else (str(network.quantiser),),
        tuple(path for path, form in zip(split.paths, forms, strict=True) if form == "factors"),
    )


def _open_jax(
    module: Any, library: Library, x: Any, *, params: Any, state: Any, evaluate: Evaluate | None
) -> tuple[OpenedNetwork, BatchFunction]:
    network = open_network(module, library, params=params, state=state)
    return network, batch_function(network, rows.read_inputs("x", x), evaluate)


def _open_torch(module: Any, params: Any, state: Any, parameters: Selection, evaluate: Evaluate | None) -> Any:
    """Return an `OpenedTorch`, whose module is imported for PyTorch only."""
    if params is not None or state is not None:
        raise InputError("a PyTorch module holds its own parameters and buffers; leave params and state out")
    from ntk1bit.autodiff.frameworks.torch_modules import open_torch

    return open_torch(module, parameters, evaluate)


def _listed(arrays: tuple[tuple[str, int], ...]) -> str:
    named = [f"{path or 'a single array'} ({size})" for path, size in arrays[:8]]
    return ", ".join(named) + (f" and {len(arrays) - 8} more" if len(arrays) > 8 else "")
