"""The Gauss-Newton kernel of a loss, beside the kernel of outputs.

For a loss sum_i l(f(x_i)) with Hessian H_i = d^2 l/d f^2, (k, k), at the outputs of input i, the Gauss-Newton matrix is
G = sum_i J(x_i)^T H_i J(x_i). With H_i = L_i L_i^T its eigenvalues other than 0 are those of the kernel

    Gamma_ij = L_i^T Theta_ij L_j,   Theta_ij = J(x_i) J(x_j)^T,   (k, k) each,

which says how fast gradient descent moves *the loss*, where Theta says how fast it moves outputs. In particular

    squared, 1/2 norm(f - y)^2:   H = I,                 L = I;
    cross-entropy of softmax p:   H = diag(p) - p p^T,   L = diag(sqrt(p)) - p sqrt(p)^T;
    logistic, one for each output:  H = diag(p (1 - p)),   L = sqrt(H),   p = 1/(1 + exp(-f)).

(L L^T = diag(p) - 2 p p^T + p (sum_o p_o) p^T = diag(p) - p p^T.) None of them depends on targets. Where a network is
sure of its answer, H is near 0, and so is Gamma: a saturated classifier no longer moves, whatever Theta is.

References: Schraudolph 2002; Martens 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact
from scipy import special

from ntk1bit.autodiff import rows
from ntk1bit.autodiff.diagonals import diagonal_blocks
from ntk1bit.autodiff.examination import Function, Params, examine
from ntk1bit.autodiff.operators import NtkOperator, ntk_operator
from ntk1bit.autodiff.parameters import Selection
from ntk1bit.autodiff.tangent_kernel import Method, ntk
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.kernel_forms import SymmetricOperator
from ntk1bit.printing import record

LossName = Literal["cross_entropy", "squared", "logistic"]
LOSSES: tuple[str, ...] = get_args(LossName)
_BLOCK = 1024  # inputs whose outputs are computed at once


class LossKernel(NamedTuple):
    """Kernels of outputs and of a loss at the same inputs.

    Attributes
    ----------
    outputs
        Theta, (n, n, k, k).
    loss
        Gamma, (n, n, k, k); `ntk1bit.kernels.spectrum` and `joint_matrix` take either.
    factors
        L_i, (n, k, k).
    """

    outputs: Inexact[np.ndarray, "n n k k"]
    loss: Inexact[np.ndarray, "n n k k"]
    factors: Inexact[np.ndarray, "n k k"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)


def loss_kernel(
    f: Function,
    params: Params,
    x: Any,
    *,
    loss: LossName = "cross_entropy",
    method: Method = "auto",
    parameters: Selection = None,
    memory_budget: Any = 1 << 30,
    progress: Callable[[str, float], None] | None = None,
) -> LossKernel:
    """Compute the Gauss-Newton kernel of a loss, Gamma_ij = L_i^T Theta_ij L_j with H_i = L_i L_i^T.

    `ntk1bit/autodiff/losses.py` has H and L of each loss.

    Parameters
    ----------
    f, params, x, method, parameters, memory_budget, progress
        As for `ntk1bit.autodiff.ntk`; a function with one number per input counts as one output. `f` returns logits
        where the loss is ``"cross_entropy"`` or ``"logistic"``.
    loss
        ``"cross_entropy"`` of a softmax over outputs, ``"squared"``, half the squared distance to targets, or
        ``"logistic"``, a binary cross-entropy for each output. Sums over inputs, not means.

    Raises
    ------
    InputError
        As for `ntk`; if the loss is unknown, or cross-entropy is asked for of one output, whose softmax is constant.
    """
    require_choice("loss", loss, LOSSES)
    given: dict[str, Any] = {"method": method, "memory_budget": memory_budget, "progress": progress}
    factors = _factors(f, params, x, loss, parameters)
    theta = ntk(f, params, x, trace_outputs=False, parameters=parameters, **given)
    theta = theta.reshape(*theta.shape[:2], *factors.shape[1:])
    halves = np.einsum("iqo,ijqr->ijor", factors, theta)
    gamma = np.einsum("ijor,jrs->ijos", halves, factors)
    return LossKernel(theta, gamma, factors)


def loss_operator(
    f: Function,
    params: Params,
    x: Any,
    *,
    loss: LossName = "cross_entropy",
    parameters: Selection = None,
    memory_budget: Any = 1 << 30,
) -> LossOperator:
    """Return the Gauss-Newton kernel of a loss as an operator, (n k, n k), without any kernel.

    Parameters
    ----------
    f, params, x, parameters, memory_budget
        As for `ntk1bit.autodiff.ntk_operator`; output o of input i is at i k + o.
    loss
        As for `loss_kernel`.

    Raises
    ------
    InputError
        As for `loss_kernel`; from a product, if it is not finite.
    """
    require_choice("loss", loss, LOSSES)
    factors = _factors(f, params, x, loss, parameters)
    outputs = ntk_operator(f, params, x, trace_outputs=False, parameters=parameters, memory_budget=memory_budget)
    return LossOperator(outputs, factors.astype(np.float64), loss)


def loss_value(loss: LossName, outputs: Float[Array, "n ..."], y: Float[Array, "n ..."]) -> Float[Array, ""]:
    """Return a loss of outputs f, summed over inputs (and outputs): a function of JAX arrays, to be differentiated.

    1/2 norm(f - y)^2; - sum_o y_o log softmax(f)_o; log(1 + exp(f)) - y f.
    """
    if loss == "squared":
        return 0.5 * jnp.sum((outputs - y) ** 2)
    if loss == "cross_entropy":
        return -jnp.sum(y * jax.nn.log_softmax(outputs, axis=-1))
    return jnp.sum(jax.nn.softplus(outputs) - y * outputs)


def output_gradient(
    loss: LossName, outputs: Float[np.ndarray, "n ..."], y: Float[np.ndarray, "n ..."]
) -> Float[np.ndarray, "n ..."]:
    """Return the gradient of `loss_value` by outputs, in closed form and in the dtype of NumPy arrays."""
    if loss == "squared":
        return outputs - y
    if loss == "cross_entropy":
        return special.softmax(outputs, axis=-1) * y.sum(axis=-1, keepdims=True) - y
    return special.expit(outputs) - y


class LossOperator(SymmetricOperator):
    """v -> L^T Theta L v for all inputs together.

    Attributes
    ----------
    outputs
        The operator Theta of all pairs of outputs.
    factors
        L_i, (n, k, k).
    computed_in, about
        As of `NtkOperator`.
    """

    def __init__(self, outputs: NtkOperator, factors: Float[np.ndarray, "n k k"], loss: str) -> None:
        self.outputs, self.factors = outputs, factors
        self.computed_in, self.about = outputs.computed_in, {**outputs.about, "loss": loss}
        super().__init__(int(outputs.shape[0]), self._weighted)

    def diagonal(self) -> Float[np.ndarray, " size"]:
        """Return the diagonal, computed exactly from Jacobians of blocks of inputs."""
        own = self.outputs.products
        theta = diagonal_blocks(own.network, own.inputs, own.budget, trace=False).astype(np.float64)
        return np.einsum("iqo,iqr,iro->io", self.factors, theta.reshape(self.factors.shape), self.factors).reshape(-1)

    def _weighted(self, v: Any) -> Float[np.ndarray, "size ..."]:
        n, k, _ = self.factors.shape
        weighted = np.einsum("ioq,iqc->ioc", self.factors, v.reshape(n, k, -1)).reshape(n * k, -1)
        image = np.asarray(self.outputs @ weighted).reshape(n, k, -1)
        return np.einsum("iqo,iqc->ioc", self.factors, image).reshape(v.shape)


def _factors(f: Function, params: Params, x: Any, loss: str, parameters: Selection) -> Inexact[np.ndarray, "n k k"]:
    """Return L_i with L_i L_i^T the Hessian of the loss by the outputs of input i."""
    network, inputs, _, _ = examine(f, params, x, parameters=parameters)
    k, n = network.width, rows.count(inputs)
    if loss == "cross_entropy" and k < 2:
        raise InputError("the softmax of one output is 1 whatever it is; take loss 'logistic', or two outputs or more")
    if loss == "squared":
        dtype = np.dtype(jnp.result_type(*network.trained))
        return np.broadcast_to(np.eye(k, dtype=dtype), (n, k, k)).copy()
    parts = []
    for start in range(0, n, _BLOCK):
        some = rows.take(inputs, slice(start, min(start + _BLOCK, n)))
        parts.append(np.asarray(f(params, some)).reshape(-1, k))
    logits = np.concatenate(parts)
    if not np.isfinite(logits).all():
        raise InputError("f(params, x) returns NaN or infinity; check the parameters and f at these inputs")
    if loss == "logistic":
        p = 0.5 * (1 + np.tanh(0.5 * logits))
        return np.sqrt(p * (1 - p))[:, :, None] * np.eye(k, dtype=logits.dtype)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = shifted / shifted.sum(axis=1, keepdims=True)
    root = np.sqrt(p)
    return root[:, :, None] * np.eye(k, dtype=logits.dtype) - p[:, :, None] * root[:, None, :]
