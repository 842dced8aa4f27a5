"""The diagonal of the NTK alone: Theta(x_i, x_i) for each input, without the kernel.

Its sum is the trace, from which the errors of factors and projections of a large kernel follow exactly. Jacobians are
formed for as many inputs at once as the budget allows, and their squares summed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact

from ntk1bit.arguments import number
from ntk1bit.autodiff import rows
from ntk1bit.autodiff.derivatives import Network, compiled
from ntk1bit.autodiff.examination import Function, Params, examine
from ntk1bit.autodiff.parameters import Selection
from ntk1bit.errors import InputError
from ntk1bit.printing import unheard


def ntk_diagonal(
    f: Function,
    params: Params,
    x: Any,
    *,
    trace_outputs: bool = True,
    parameters: Selection = None,
    memory_budget: Any = 1 << 30,
    progress: Callable[[str, float], None] | None = None,
) -> Inexact[np.ndarray, "n ..."]:
    """Compute the NTK of each input with itself, J(x_i) J(x_i)^T.

    Parameters
    ----------
    f, params, x, trace_outputs, parameters, memory_budget, progress
        As for `ntk1bit.autodiff.ntk`.

    Returns
    -------
    (n,), the mean over outputs; or (n, outputs, outputs) when outputs are not traced, in the dtype of the parameters.
    Its sum is the trace of the kernel.

    Raises
    ------
    InputError
        As for `ntk`; of a Jacobian that is zero everywhere only what is seen before numbers are.

    Warns
    -----
    UserWarning
        If one Jacobian exceeds the budget; `MissingGradientWarning` as for `ntk`.
    """
    budget = int(number("memory_budget", memory_budget, allowed="a positive number of bytes", least=1.0))
    network, inputs, _, _ = examine(f, params, x, parameters=parameters)
    trace = bool(trace_outputs) or not network.outputs
    return diagonal_blocks(network, inputs, budget, trace=trace, progress=progress)


def diagonal_blocks(
    network: Network, inputs: Any, budget: int, *, trace: bool, progress: Callable[[str, float], None] | None = None
) -> Inexact[np.ndarray, "n ..."]:
    """Compute the diagonal of a network that has been examined; see `ntk_diagonal`."""
    code, n = compiled(network, "jacobian", inputs), rows.count(inputs)
    size = jacobian_rows(network, inputs, budget)
    parts, report = [], progress or unheard
    for start in range(0, n, size):
        _, *jacobian = code(network, rows.take(inputs, slice(start, min(start + size, n))))
        part = np.asarray(_squares(jacobian, network.width, trace))
        del jacobian  # before the next ones are formed
        if not np.isfinite(part).all():
            at = start + int(np.argmin(np.isfinite(part).reshape(len(part), -1).all(axis=1)))
            raise InputError(f"the NTK of input {at} with itself contains NaN or infinity; check the parameters and f")
        parts.append(part)
        report(f"inputs to {start + len(part)} of {n}", (start + len(part)) / n)
    return np.concatenate(parts)


def jacobian_rows(network: Network, inputs: Any, budget: int) -> int:
    """Return for how many inputs at once Jacobians can be formed within a budget; warn if not for one."""
    code, needed = compiled(network, "jacobian", inputs), 0
    most = max(1, budget // max(network.row_bytes, 1))
    for size in code.guesses(min(rows.count(inputs), most), budget):
        needed = code.bytes(network, budget, size, rows.take(inputs, slice(size)))
        if needed <= budget:
            return size
    warnings.warn(
        f"memory_budget is {budget / 2**20:.1f} MiB, but the Jacobian of one input needs {needed / 2**20:.1f} MiB, "
        "activations included; it will take that",
        UserWarning,
        stacklevel=3,
    )
    return 1


@functools.partial(jax.jit, static_argnums=(1, 2))
def _squares(jacobian: list[jax.Array], width: int, trace: bool) -> jax.Array:
    """Return J J^T of each input, of Jacobians (b, outputs * size) a parameter."""
    with jax.default_matmul_precision("highest"):
        if trace:
            return functools.reduce(jnp.add, [jnp.einsum("ip,ip->i", a, a) for a in jacobian]) / width
        split = [a.reshape(len(a), width, -1) for a in jacobian]
        return functools.reduce(jnp.add, [jnp.einsum("iop,iqp->ioq", a, a) for a in split])
