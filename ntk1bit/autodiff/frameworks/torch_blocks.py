"""Single blocks of the kernel of a PyTorch module, as `ntk1bit.autodiff.block_networks` has them computed."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Inexact

from ntk1bit.autodiff import programs, rows
from ntk1bit.autodiff.frameworks import torch_kernels
from ntk1bit.autodiff.frameworks.jax_calls import Evaluate
from ntk1bit.autodiff.frameworks.torch_modules import OpenedTorch, Tensor, open_torch, torch
from ntk1bit.autodiff.parameters import Selection


class TorchBlocks:
    """Blocks of the kernel of a PyTorch module, which must be in evaluation mode.

    Parameters
    ----------
    opened
        The module, taken apart.
    passed
        What it has passed, with the budget of a block.
    """

    def __init__(self, opened: OpenedTorch, passed: torch_kernels.TorchPass) -> None:
        self._opened, self._passed = opened, passed
        self.outputs = passed.outputs
        self.dtype = np.dtype(str(torch_kernels.kernel_dtype(opened)).removeprefix("torch."))

    def fingerprint(self) -> str:
        """Return what tells its layers and numbers from any other's; code inside layers does not count."""
        arrays = (*self._opened.trained.values(), *self._opened.frozen.values())
        names = (*self._opened.trained, "", *self._opened.frozen)
        return programs.digest(str(self._opened.module), names, programs.contents(map(_plain, arrays)))

    def block(self, x: Any, x2: Any, *, trace: bool) -> Inexact[np.ndarray, "n n2 ..."]:
        """Compute the kernel of some inputs with others; with themselves if `x2` is None."""
        inputs = torch_kernels.read_tensors("x", x, self._opened)
        other = None if x2 is None else torch_kernels.read_tensors("x2", x2, self._opened)
        return torch_kernels.torch_block(self._opened, inputs, other, self._passed, trace=trace)

    def refuse_dead(self, x: Any, x2: Any) -> None:
        """Refuse a module whose Jacobian is zero at all of these inputs."""
        for side in (x,) if x2 is None else (x, x2):
            torch_kernels.refuse_dead(self._opened, torch_kernels.read_tensors("x", side, self._opened))


def open_torch_blocks(
    module: Any, x: Any, x2: Any, *, parameters: Selection, evaluate: Evaluate | None, budget: int
) -> tuple[TorchBlocks, Any, Any]:
    """Open a module for its kernel at these inputs, and return these as NumPy arrays; arguments as of `open_blocks`.

    Raises
    ------
    InputError
        As `torch_ntk`.

    Warns
    -----
    UserWarning
        As `torch_ntk`.
    """
    opened = open_torch(module, parameters, evaluate)
    inputs = torch_kernels.read_tensors("x", x, opened)
    other = None if x2 is None else torch_kernels.read_tensors("x2", x2, opened)
    if other is not None:
        torch_kernels.match_tensors(inputs, other)
        other = None if rows.equal_inputs(inputs, other) else other
    passed = torch_kernels.check_torch(opened, inputs if other is None or rows.count(inputs) > 1 else other, budget)
    return TorchBlocks(opened, passed), *jax.tree.map(_plain, (inputs, other))


def _plain(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array; NumPy has no bfloat16, all of whose numbers float32 has."""
    here = tensor.detach().cpu()
    return (here.float() if here.dtype == torch.bfloat16 else here).numpy()
