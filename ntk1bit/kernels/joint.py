"""Kernels of several outputs as matrices: the one place where outputs and inputs are put on a common axis.

A network with k outputs has the kernel Theta of shape (n, n2, k, k), entry (i, j, o, q) the response of output o at
x_i to a residual of output q at x_j (`ntk1bit.autodiff.ntk(..., trace_outputs=False)`). Descent couples all of them: it
is a system of n k unknowns, with output o of input i at i k + o. Where only an output's own response counts, k kernels
(n, n2) are left, (n, n2, k) (`class_kernels`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike

from ntk1bit.arguments import real_array
from ntk1bit.errors import InputError


def joint_matrix(kernel: Shaped[np.ndarray, "n n2 k k2"] | ArrayLike) -> Shaped[np.ndarray, "nk n2k2"]:
    """Return a kernel of several outputs as one matrix, (n k, n2 k), in its own dtype.

    Raises
    ------
    InputError
        If it is not of shape (n, n2, k, k).
    """
    theta = real_array("the kernel", kernel)
    if theta.ndim != 4 or theta.shape[2] != theta.shape[3]:
        raise InputError(f"a kernel of several outputs has shape (n, n2, k, k), got {theta.shape}")
    n, n2, k, _ = theta.shape
    return theta.transpose(0, 2, 1, 3).reshape(n * k, n2 * k)


def class_kernels(kernel: Shaped[np.ndarray, "n n2 k k2"] | ArrayLike) -> Shaped[np.ndarray, "n n2 k"]:
    """Return each output's kernel with itself, (n, n2, k): entry (i, j, o) is Theta_oo(x_i, x_j).

    `predict` and `kernel_regression` take it as k separate kernels, one for each column of targets.

    Raises
    ------
    InputError
        If the kernel is not of shape (n, n2, k, k).
    """
    theta = real_array("the kernel", kernel)
    if theta.ndim != 4 or theta.shape[2] != theta.shape[3]:
        raise InputError(f"a kernel of several outputs has shape (n, n2, k, k), got {theta.shape}")
    return np.einsum("ijoo->ijo", theta)


def as_matrix(kernel: object) -> object:
    """Return a kernel of several outputs as a matrix, and anything else as it is."""
    return joint_matrix(real_array("the kernel", kernel)) if _axes(kernel) == 4 else kernel


class Separated(NamedTuple):
    """A problem of one or several outputs as problems of one matrix each.

    Attributes
    ----------
    problems
        Arguments (kernel, y, kernel_test, f0, f0_test) of each.
    outputs
        Number of outputs that were put on the axis of inputs; 0 if none were.
    each
        Whether there is a problem for each output.
    """

    problems: list[tuple[Any, Any, Any, Any, Any]]
    outputs: int = 0
    each: bool = False

    def together(self, parts: list[Float[np.ndarray, ...]]) -> Float[np.ndarray, ...]:
        """Put what came out, (..., n) each, into the form of the targets."""
        if self.each:
            return np.stack(parts, axis=-1)
        return parts[0].reshape(*parts[0].shape[:-1], -1, self.outputs) if self.outputs else parts[0]


def separated(kernel: object, y: object, kernel_test: object, f0: object, f0_test: object) -> Separated:
    """Write descent with a kernel of several outputs, (n, n, k, k) or (n, n, k), by matrices.

    A kernel with two axes, and whatever is none, stays as it is.

    Raises
    ------
    InputError
        If targets, test kernel or outputs at the start do not have the shapes that such a kernel calls for.
    """
    axes = _axes(kernel)
    if axes not in (3, 4):
        return Separated([(kernel, y, kernel_test, f0, f0_test)])
    theta = real_array("kernel", kernel)
    n, k = theta.shape[0], theta.shape[-1]
    test = np.empty((0, *theta.shape[1:])) if kernel_test is None else real_array("kernel_test", kernel_test)
    targets = real_array("y", y)
    start = np.zeros((n, k)) if f0 is None else real_array("f0", f0)
    start_test = np.zeros((len(test), k)) if f0_test is None else real_array("f0_test", f0_test)
    for name, array, shape in (
        ("kernel", theta, (n, n, *(k,) * (axes - 2))),
        ("y", targets, (n, k)),
        ("kernel_test", test, (len(test), *theta.shape[1:])),
        ("f0", start, (n, k)),
        ("f0_test", start_test, (len(test), k)),
    ):
        if array.shape != shape or k == 0:
            raise InputError(
                f"{name} has shape {array.shape}, but a kernel of shape {theta.shape}, for {k} outputs, calls "
                f"for {shape}; average it over outputs for a kernel that all outputs share"
            )
    if axes == 4:
        flat = (targets.reshape(-1), joint_matrix(test), start.reshape(-1), start_test.reshape(-1))
        return Separated([(joint_matrix(theta), *flat)], outputs=k)
    columns = [(theta[..., o], targets[:, o], test[..., o], start[:, o], start_test[:, o]) for o in range(k)]
    return Separated(columns, each=True)


def _axes(kernel: object) -> int:
    return real_array("kernel", kernel).ndim
