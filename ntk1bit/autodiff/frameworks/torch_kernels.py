"""The NTK of a PyTorch module in blocks of inputs and outputs that keep to a memory budget.

Gradients are taken layer by layer as far as that can be (`torch_layers`), and as rows of the Jacobian else.

Rows of the Jacobian come from `torch.func`, `vmap` over inputs of pull-backs of the outputs of a block. Where that
cannot go (an `autograd.Function` without `setup_context` or a rule for `vmap`, control flow by values), each row is
taken by `torch.autograd.grad`, one after the other: slower, and the same numbers.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Inexact

from ntk1bit.arguments import number
from ntk1bit.autodiff import blocks, rows
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.frameworks.torch_checks import (
    ADVICE,
    check_finite,
    check_module,
    has_gradient,
    output_shape,
)
from ntk1bit.autodiff.frameworks.torch_layers import Jacobian, Rows, TorchFactors, by_layer, product
from ntk1bit.autodiff.frameworks.torch_modules import OpenedTorch, Tensor, torch
from ntk1bit.errors import InputError

_COPIES = 3  # two blocks of Jacobian, and a copy of the one being formed
_SAVED = 2  # times what a forward pass keeps for the backward pass: itself, and gradients by it


class Piece(NamedTuple):
    """A block of rows of the Jacobian: some inputs, some outputs."""

    inputs: slice
    outputs: slice


def torch_ntk(
    opened: OpenedTorch,
    x: Any,
    x2: Any = None,
    *,
    layers: bool = True,
    trace_outputs: bool = True,
    memory_budget: Any = 1 << 30,
    progress: Callable[[str, float], None] | None = None,
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Compute the NTK of an opened module. Arguments, result and errors are those of `module_ntk`.

    Raises
    ------
    InputError
        See there.

    Warns
    -----
    UserWarning
        If even one row of the Jacobian exceeds the budget.
    """
    budget = int(number("memory_budget", memory_budget, allowed="a positive number of bytes", least=1.0))
    inputs = read_tensors("x", x, opened)
    other = None if x2 is None or x2 is x else read_tensors("x2", x2, opened)
    if other is not None:
        match_tensors(inputs, other)
        other = None if rows.equal_inputs(inputs, other) else other
    with _exactly():
        outputs = check_module(opened, inputs if other is None or rows.count(inputs) > 1 else other)
        width = int(np.prod(outputs))
        trace = trace_outputs or not outputs
        way, _ = way_of_rows(opened, inputs, width)
        if layers:
            way, _ = by_layer(opened, inputs, width, way, trace=trace)
        units = _units(opened, inputs, budget, way, width)
        everything = [list(opened.trained)]
        (kernel,) = _kernels(opened, way, inputs, other, width, units, everything, trace=trace, progress=progress)
        if not kernel.any() and not all(has_gradient(opened, one) for one in (inputs, other) if one is not None):
            raise _dead(opened)
    if not np.isfinite(kernel).all():
        raise InputError("the NTK contains NaN or infinity; check the parameters and the module at these inputs")
    return kernel if trace else kernel.reshape(*kernel.shape[:2], *outputs, *outputs)


class TorchPass(NamedTuple):
    """What a module has passed, so that its kernel at other parameters needs no checks.

    Attributes
    ----------
    outputs
        Shape of an output for one input.
    way
        How rows of the Jacobian are taken.
    units
        Rows of the Jacobian at once.
    """

    outputs: tuple[int, ...]
    way: Rows
    units: int


def check_torch(opened: OpenedTorch, inputs: Any, memory_budget: int) -> TorchPass:
    """Make the checks of `torch_ntk`, on tensors as `read_tensors` returns them; errors and warnings are those."""
    with _exactly():
        outputs = check_module(opened, inputs)
        width = int(np.prod(outputs))
        way, _ = by_layer(opened, inputs, width, way_of_rows(opened, inputs, width)[0], trace=True)
        return TorchPass(outputs, way, _units(opened, inputs, memory_budget, way, width))


def torch_kernels_in_parts(
    opened: OpenedTorch, inputs: Any, passed: TorchPass, parts: Sequence[Sequence[str]]
) -> list[Inexact[np.ndarray, "n n"]]:
    """Return the kernel, a mean over outputs, of each part of the parameters, by their names.

    Raises
    ------
    InputError
        If an output is NaN.
    """
    with _exactly():
        width = int(np.prod(passed.outputs))
        return _kernels(opened, passed.way, inputs, None, width, passed.units, parts, trace=True)


def torch_block(
    opened: OpenedTorch, inputs: Any, other: Any | None, passed: TorchPass, *, trace: bool
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Return the kernel of tensors as `read_tensors` returns them; of `inputs` with themselves if `other` is None.

    Raises
    ------
    InputError
        If an output is NaN.
    """
    width, trace = int(np.prod(passed.outputs)), trace or not passed.outputs
    everything = [list(opened.trained)]
    with _exactly():
        (kernel,) = _kernels(opened, passed.way, inputs, other, width, passed.units, everything, trace=trace)
    return kernel if trace else kernel.reshape(*kernel.shape[:2], *passed.outputs, *passed.outputs)


def match_tensors(x: Any, x2: Any) -> None:
    """Check that two sets of inputs are of the same form.

    Raises
    ------
    InputError
        If they are not.
    """
    if jax.tree.structure(x) != jax.tree.structure(x2):
        raise InputError(
            f"x and x2 have the forms {jax.tree.structure(x)} and {jax.tree.structure(x2)}; they must match"
        )
    for one, other in zip(jax.tree.leaves(x), jax.tree.leaves(x2), strict=True):
        if one.shape[1:] != other.shape[1:]:
            raise InputError(
                f"x and x2 have inputs of shapes {tuple(one.shape[1:])} and {tuple(other.shape[1:])}; they must match"
            )


def kernel_dtype(opened: OpenedTorch) -> Any:
    """Return the dtype of products: that of the parameters, or float32 for 16 bits, which NumPy lacks in part."""
    return opened.dtype if opened.dtype in (torch.float32, torch.float64) else torch.float32


def refuse_dead(opened: OpenedTorch, inputs: Any) -> None:
    """Refuse a module none of whose parameters has a gradient at any of these inputs.

    Raises
    ------
    InputError
        If there is none.
    """
    with _exactly():
        if not has_gradient(opened, inputs):
            raise _dead(opened)


def _dead(opened: OpenedTorch) -> InputError:
    return InputError(
        f"the Jacobian of {', '.join(opened.trained)} is zero at every input: the network is dead there (no "
        f"active neuron, a zero output layer); if a quantiser is the cause, {ADVICE}"
    )


def describe_torch(opened: OpenedTorch, x: Any, *, trace: bool) -> tuple[str, tuple[int, ...], str, tuple[str, ...]]:
    """Return how a module is called, the shape of an output, the kernel's dtype, and what is held in factors.

    Raises
    ------
    InputError
        If the module fails on a few rows of x.
    """
    few = rows.few(read_tensors("x", x, opened))
    with _exactly():
        outputs = output_shape(opened, few)
        width = int(np.prod(outputs))
        way, how = way_of_rows(opened, few, width)
        _, factored = by_layer(opened, few, width, way, trace=trace or not outputs)
    return how, outputs, str(kernel_dtype(opened)).removeprefix("torch."), factored


def read_tensors(name: str, x: Any, opened: OpenedTorch) -> Any:
    """Return inputs as a pytree of tensors on the module's device, floats in the dtype of its parameters.

    Raises
    ------
    InputError
        If something in it is no array of numbers, has no rows or not as many as the rest, or contains NaN or infinity.
    """
    tree = x if rows.is_tree(x) else np.asarray(x)

    def tensor(leaf: Any) -> Tensor:
        try:
            # a copy: PyTorch warns of arrays that may not be written to, and would write to others
            made = leaf.detach() if isinstance(leaf, torch.Tensor) else torch.tensor(np.array(leaf))
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} is no array of numbers with one shape for all inputs ({error})") from error
        if made.is_complex():
            raise InputError(f"{name} is complex; give real and imaginary parts as features")
        if made.ndim < 1 or made.shape[0] == 0:
            raise InputError(f"{name} needs at least one input on its first axis, got shape {tuple(made.shape)}")
        if not made.is_floating_point():
            return made.to(opened.device)
        if not bool(made.isfinite().all()):
            raise InputError(f"{name} contains NaN or infinity; remove or repair those rows first")
        return made.to(opened.device, opened.dtype)

    made = jax.tree.map(tensor, tree)
    leaves = jax.tree.leaves(made)
    if not leaves:
        raise InputError(f"{name} holds no array; it needs at least one input on its first axis")
    if len({leaf.shape[0] for leaf in leaves}) > 1:
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in leaves)
        raise InputError(f"the arrays in {name} need one row per input each, got shapes {shapes}")
    return made


def way_of_rows(opened: OpenedTorch, x: Any, width: int) -> tuple[Rows, str]:
    """Return how rows of the Jacobian can be taken: together if one can be, else one by one, with words for it.

    Raises
    ------
    InputError
        If they cannot be taken at all, or are random.
    """
    one, first = rows.take(x, slice(0, 1)), slice(0, 1)
    try:
        rows_together(opened, one, width, first)
    except Exception as error:  # whatever torch.func raises for a module that it was not written for
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if "random operation" in reason:  # row by row it would be noise
            raise InputError("the module draws random numbers; switch dropout and noise off: module.eval()") from error
        with explained("the module cannot be differentiated"):
            rows_one_by_one(opened, one, width, first)
        return rows_one_by_one, f"on one input at a time, by torch.autograd.grad (torch.func: {reason[:120]})"
    return rows_together, "on one input at a time, by torch.func.vmap"


def rows_together(opened: OpenedTorch, x: Any, width: int, outputs: slice) -> tuple[Tensor, Jacobian]:
    """Return outputs (b, width) and rows of the Jacobian, by `torch.func`."""
    basis = torch.zeros(outputs.stop - outputs.start, width, dtype=opened.dtype, device=opened.device)
    basis[torch.arange(len(basis)), torch.arange(outputs.start, outputs.stop)] = 1

    def pulled(row: Any) -> tuple[Tensor, Jacobian]:
        def value(trained: dict[str, Tensor]) -> Tensor:
            return opened(trained, jax.tree.map(lambda leaf: leaf[None], row))[0].reshape(-1)

        result, pull = torch.func.vjp(value, opened.trained)
        (jacobian,) = torch.func.vmap(pull)(basis.to(result.dtype))
        return result, jacobian

    values, jacobian = torch.func.vmap(pulled)(x)
    return values, {name: part.flatten(2) for name, part in jacobian.items()}


def rows_one_by_one(opened: OpenedTorch, x: Any, width: int, outputs: slice) -> tuple[Tensor, Jacobian]:
    """Return the same by `torch.autograd.grad`, row by row: the plain reference, and the way where that ends."""
    del width
    values, parts = [], {name: [] for name in opened.trained}
    for i in range(rows.count(x)):
        leaves = {name: array.clone().requires_grad_() for name, array in opened.trained.items()}
        with torch.enable_grad():
            value = opened(leaves, rows.take(x, slice(i, i + 1)))[0].reshape(-1)
        if not value.requires_grad:
            raise InputError(f"no gradient gets from the parameters to the output; {ADVICE}")
        for output in range(outputs.start, outputs.stop):
            found = torch.autograd.grad(
                value[output], list(leaves.values()), retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for name, gradient in zip(leaves, found, strict=True):
                parts[name].append(gradient.reshape(1, 1, -1))
        values.append(value.detach())
    shape = (len(values), outputs.stop - outputs.start)
    return torch.stack(values), {name: torch.cat(part).reshape(*shape, -1) for name, part in parts.items()}


def _kernels(
    opened: OpenedTorch,
    way: Rows,
    x: Any,
    x2: Any | None,
    width: int,
    units: int,
    parts: Sequence[Sequence[str]],
    *,
    trace: bool,
    progress: Callable[[str, float], None] | None = None,
) -> list[np.ndarray]:
    """Multiply blocks of the Jacobian; of the kernel of x with itself, only what lies on or below the diagonal.

    A kernel for each part of the parameters, from Jacobians that are formed once.
    """
    other = x if x2 is None else x2
    left, right = _pieces(rows.count(x), width, units), _pieces(rows.count(other), width, units)
    pairs = [
        (one, two)
        for two, one in itertools.product(right, left)
        if (not trace or one.outputs == two.outputs) and (x2 is not None or one.inputs.start >= two.inputs.start)
    ]
    shape = (rows.count(x), rows.count(other))
    dtype = np.dtype(str(kernel_dtype(opened)).removeprefix("torch."))
    kernels = [np.zeros(shape if trace else (*shape, width, width), dtype) for _ in parts]

    def jacobian(inputs: Any, piece: Piece) -> Jacobian:
        with explained("the module cannot be differentiated"):
            values, found = way(opened, rows.take(inputs, piece.inputs), width, piece.outputs)
        check_finite(values, piece.inputs.start)
        return found

    held, second = None, {}
    for done, (one, two) in enumerate(pairs, start=1):
        if held != two:
            second = {}  # before the next one is formed: two blocks are all the budget allows
            held, second = two, jacobian(other, two)
        first = second if x2 is None and one == two else jacobian(x, one)
        for kernel, part in zip(kernels, parts, strict=True):
            block = _product({name: first[name] for name in part}, second, kernel_dtype(opened), trace=trace)
            if trace:
                kernel[one.inputs, two.inputs] += block / width
            else:
                kernel[one.inputs, two.inputs, one.outputs, two.outputs] = block
        del first
        if progress is not None:
            progress(f"block {done} of {len(pairs)}", done / len(pairs))
    return [blocks.mirrored(kernel) if x2 is None else kernel for kernel in kernels]


def _product(first: Jacobian, second: Jacobian, dtype: Any, *, trace: bool) -> np.ndarray:
    """Return J J'^T, (b, b2) summed over the outputs of both, or (b, b2, c, c2)."""
    parts = [product(a, second[name], dtype, trace=trace) for name, a in first.items()]
    return functools.reduce(torch.add, parts).cpu().numpy()


def _pieces(n: int, width: int, units: int) -> list[Piece]:
    """Cut inputs and outputs into blocks of no more than so many rows of the Jacobian; inputs first."""
    together = min(width, units)
    at_once = max(1, units // together)
    return [
        Piece(slice(i, min(i + at_once, n)), slice(o, min(o + together, width)))
        for i in range(0, n, at_once)
        for o in range(0, width, together)
    ]


def _units(opened: OpenedTorch, x: Any, budget: int, way: Rows, width: int) -> int:
    """Return how many gradients of an output fit the budget at once, and say so if not even one does."""
    _, found = way(opened, rows.take(x, slice(0, 1)), width, slice(0, 1))
    numbers = sum(one.size if isinstance(one, TorchFactors) else one.numel() for one in found.values())
    size = numbers * torch.finfo(opened.dtype).bits // 8
    each = _COPIES * size + _SAVED * _saved(opened, rows.take(x, slice(0, 1)))
    if each > budget:
        warnings.warn(
            f"memory_budget is {budget / 2**20:.1f} MiB, but one row of the Jacobian needs {each / 2**20:.1f} MiB, "
            "activations included; it will take that",
            UserWarning,
            stacklevel=4,
        )
    return max(1, budget // each)


def _saved(opened: OpenedTorch, one: Any) -> int:
    """Return the bytes that a forward pass of one input keeps for the backward pass, parameters not counted."""
    own = {array.data_ptr() for array in opened.trained.values()} | {a.data_ptr() for a in opened.frozen.values()}
    sizes: dict[int, int] = {}

    def note(kept: Tensor) -> Tensor:
        if kept.data_ptr() not in own:
            sizes[kept.data_ptr()] = max(sizes.get(kept.data_ptr(), 0), kept.numel() * kept.element_size())
        return kept

    leaves = {name: array.detach().requires_grad_() for name, array in opened.trained.items()}
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        opened(leaves, one)
    return sum(sizes.values())


@contextlib.contextmanager
def _exactly() -> Iterator[None]:
    """Multiply in full precision, and without fused attention, for which there is no derivative or no rule for vmap."""
    precision, fused = torch.get_float32_matmul_precision(), torch.backends.mha.get_fastpath_enabled()
    torch.set_float32_matmul_precision("highest")
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.mha.set_fastpath_enabled(fused)
