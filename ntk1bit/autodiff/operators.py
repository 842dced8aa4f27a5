"""The NTK of thousands of inputs as an operator: K v without K.

    K v = J (J^T v):   one pull-back of v through f, summed over all inputs, and one push-forward of the result.

It takes the time of about three passes through the network, and memory for one vector of parameters and the
activations of a block of inputs, whatever the number of inputs. `ntk1bit.kernels.large_spectra` and
`ntk1bit.kernels.nystrom` say what an operator is good for; its plain reference is `ntk1bit.autodiff.ntk`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Inexact
from scipy.sparse.linalg import LinearOperator

from ntk1bit.arguments import number
from ntk1bit.autodiff.block_products import Products
from ntk1bit.autodiff.diagonals import diagonal_blocks
from ntk1bit.autodiff.examination import Function, Params, examine
from ntk1bit.autodiff.parameters import Selection
from ntk1bit.errors import InputError

FLOAT64 = np.dtype(np.float64)


class NtkOperator(LinearOperator):
    """The NTK of a network at its inputs as a symmetric `scipy.sparse.linalg.LinearOperator` of float64 vectors.

    Parameters
    ----------
    products
        Products with the Jacobian.
    trace
        If true, the mean over outputs, (n, n); if false, all pairs of outputs, (n * outputs, n * outputs), output o of
        input i at i * outputs + o, as `ntk1bit.kernels.joint_matrix` orders them.

    Attributes
    ----------
    computed_in
        The dtype in which products are computed, which decides how small an eigenvalue can be told from 0.
    outputs
        Number of outputs per input.
    about
        What was differentiated, in words and numbers.
    """

    def __init__(self, products: Products, *, trace: bool, about: dict[str, str | int | float]) -> None:
        self.products, self.trace, self.about = products, trace, about
        self.outputs = products.network.width
        self.computed_in = products.dtype
        size = products.count * (1 if trace else self.outputs)
        super().__init__(dtype=FLOAT64, shape=(size, size))

    def _matmat(self, X: Inexact[np.ndarray, "size columns"]) -> Float[np.ndarray, "size columns"]:  # noqa: N803
        given = np.asarray(X, np.float64)
        result = np.zeros(given.shape)
        n, k = self.products.count, self.outputs
        if self.trace:  # a vector for each column and output, of which the weights on other outputs are 0
            pairs = [(column, output) for column in range(given.shape[1]) for output in range(k)]
        else:
            pairs = [(column, -1) for column in range(given.shape[1])]
        blocks = self.products.plan(len(pairs))
        for start in range(0, len(pairs), blocks.vectors):
            some = pairs[start : start + blocks.vectors]

            def weights(block: slice, some: list[tuple[int, int]] = some) -> np.ndarray:
                size = block.stop - block.start
                if not self.trace:
                    rows = given.reshape(n, k, -1)[block]
                    return np.stack([rows[:, :, column] for column, _ in some])
                placed = np.zeros((len(some), size, k))
                for at, (column, output) in enumerate(some):
                    placed[at, :, output] = given[block, column]
                return placed

            for block, pushed in self.products.apply(weights, blocks):
                if not np.isfinite(pushed).all():
                    raise InputError(
                        f"K v contains NaN or infinity at inputs {block.start} to {block.stop - 1}; check the "
                        "parameters and f at these inputs, and that the vector is finite"
                    )
                for at, (column, output) in enumerate(some):
                    if self.trace:
                        result[block, column] += pushed[at, :, output] / k
                    else:
                        result.reshape(n, k, -1)[block, :, column] = pushed[at]
        return result

    def _matvec(self, x: Inexact[np.ndarray, ...]) -> Float[np.ndarray, " size"]:
        return self._matmat(np.asarray(x).reshape(-1, 1))[:, 0]

    # K is symmetric, so its adjoint is itself
    def _rmatvec(self, x: Inexact[np.ndarray, ...]) -> Float[np.ndarray, " size"]:
        return self._matvec(x)

    def _rmatmat(self, X: Inexact[np.ndarray, "size columns"]) -> Float[np.ndarray, "size columns"]:  # noqa: N803
        return self._matmat(X)

    def diagonal(self) -> Float[np.ndarray, " size"]:
        """Return the diagonal, computed exactly from Jacobians of blocks of inputs."""
        own = self.products
        blocks = diagonal_blocks(own.network, own.inputs, own.budget, trace=self.trace)
        return (blocks if self.trace else np.einsum("ioo->io", blocks)).astype(np.float64).reshape(-1)


def ntk_operator(
    f: Function,
    params: Params,
    x: Any,
    *,
    trace_outputs: bool = True,
    parameters: Selection = None,
    memory_budget: Any = 1 << 30,
) -> NtkOperator:
    """Return the NTK of `f` at `x` as an operator that multiplies vectors, without a kernel or a Jacobian.

    Parameters
    ----------
    f, params, x, parameters
        As for `ntk1bit.autodiff.ntk`.
    trace_outputs
        If true, the mean over outputs, (n, n), each product of which takes a pass for every output. If false, (n k,
        n k) for k outputs, output o of input i at i k + o: one pass a product.
    memory_budget
        Bytes for vectors of parameters and for activations of a block, by the compiler's account; parameters, inputs
        and vectors of outputs come on top, and compiling.

    Returns
    -------
    A symmetric, positive semi-definite `scipy.sparse.linalg.LinearOperator` of float64 vectors; products are computed
    in the dtype of the parameters (its `computed_in`).

    Raises
    ------
    InputError
        As for `ntk`; from a product, if it is not finite.

    Warns
    -----
    UserWarning
        If f uses `jax.custom_vjp` (the forward pass is then the transpose of the backward one), or the budget is too
        small for one vector through one input.

    References
    ----------
    Pearlmutter 1994; Schraudolph 2002 (products with Gauss-Newton matrices).
    """
    budget = int(number("memory_budget", memory_budget, allowed="a positive number of bytes", least=1.0))
    network, inputs, _, paths = examine(f, params, x, parameters=parameters)
    products = Products(network, inputs, budget)
    products.say_if_reversed(stacklevel=2)
    trace = bool(trace_outputs) or not network.outputs
    return NtkOperator(products, trace=trace, about=differentiated(f, products, paths))


def differentiated(f: Function, products: Products, paths: tuple[str, ...]) -> dict[str, str | int | float]:
    """Say what was differentiated: function, parameters, inputs, outputs, dtype, and by which passes."""
    shown = ", ".join(path or "a single leaf" for path in paths[:8])
    return {
        "function": str(getattr(f, "__qualname__", type(f).__name__)),
        "parameters": shown + (f", ... ({len(paths)} in all)" if len(paths) > 8 else ""),
        "parameter_count": sum(int(leaf.size) for leaf in products.network.trained),
        "inputs": products.count,
        "outputs": products.network.width,
        "computed_in": str(products.dtype),
        "push_forward": "forward mode" if products.forward else "transpose of the pull-back",
    }
