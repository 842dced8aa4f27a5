"""The NTK of any JAX function, and its linearisation.

    Theta(x, x') = J(x) J(x')^T,   J(x) = d f(params, x)/d params,

by automatic differentiation, so straight-through estimators inside `f` count as their surrogate says. Three ways, all
without neural-tangents and in blocks that keep to a memory budget (`ntk1bit.autodiff.blocks`):

- ``"layers"``: gradients of each array in the form that takes least: for a layer that is used at few positions, its
  inputs and back-propagated signals, found in the traced program (`ntk1bit.autodiff.row_gradients`); else a matrix.
- ``"jacobian"``: Jacobians as JAX forms them, multiplied; the plain reference of the first.
- ``"vector_products"``: one pull-back J(x')^T e for each input and output, pushed forward through f for all x at once;
  no Jacobian exists, only as many parameter-shaped vectors as fit.

``"structured"`` hands over to neural-tangents' structured derivatives, where that is installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact

from ntk1bit.arguments import number
from ntk1bit.autodiff import blocks, derivatives, rows
from ntk1bit.autodiff.blocks import Plan
from ntk1bit.autodiff.derivatives import Network
from ntk1bit.autodiff.examination import Function, Params, examine
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.missing_gradients.gradient_paths import zero_jacobian_error
from ntk1bit.autodiff.parameters import Selection, split_parameters
from ntk1bit.errors import InputError, require_choice

Method = Literal["auto", "layers", "jacobian", "vector_products", "structured"]
METHODS: tuple[str, ...] = get_args(Method)

_MIN_ROWS = 8  # with fewer inputs' gradients than this in the budget, vector products are the better choice


def ntk(
    f: Function,
    params: Params,
    x: Any,
    x2: Any = None,
    *,
    method: Method = "auto",
    trace_outputs: bool = True,
    parameters: Selection = None,
    memory_budget: Any = 1 << 30,
    progress: Callable[[str, float], None] | None = None,
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Compute the (straight-through) NTK of `f` with respect to its parameters.

    Parameters
    ----------
    f
        `f(params, x)` -> (n,) or (n, outputs), real, each row depending on its own input only (no batch statistics).
        It is traced anew at each call; compiled code is found again by what was traced, not by the identity of `f`.
        An index beyond the end of an array counts as in f itself: as the last one, or as `mode` says.
    params
        Any pytree. Leaves that are not arrays of floats are passed through and do not count as parameters. A complex
        array counts as twice as many real parameters, its real and imaginary parts.
    x, x2
        Inputs with the batch on the first axis: an array or nested lists, or a dict, a tuple of arrays or another
        pytree with the batch on the first axis of each array. `x2` defaults to `x`; the kernel of x with itself is
        symmetric to the last bit.
    method
        ``"layers"``, ``"jacobian"``, ``"vector_products"``, ``"structured"``, or ``"auto"``: the first if gradients of
        at least 8 inputs fit the budget, else ``"vector_products"``.
    trace_outputs
        If true, the mean over outputs of J_o(x) J_o(x')^T, (n, n2), as neural-tangents' `trace_axes=(-1,)`. If false,
        (n, n2, outputs, outputs), or (n, n2) for a function with one number per input.
    parameters
        Chooses the parameters by path: a pattern such as ``"layers/0/**"`` (``*`` is one step or part of it, ``**`` any
        number of them), a list of those, or a function, ``lambda path: path.startswith("layers/0/")``; all by default.
        A path is the keys, indices or attribute names that lead to the leaf, joined by ``/``.
    memory_budget
        Bytes that blocks of Jacobian (or pulled-back vectors) may take together with the activations and copies made
        while forming them, by the compiler's account; parameters, inputs and the kernel come on top, and compiling.
    progress
        Called after each block with words and the share of the blocks done.

    Returns
    -------
    Array in the dtype of the parameters (float64 if JAX is set to it).

    Raises
    ------
    InputError
        If an option is unknown, shapes do not match, inputs or parameters are not finite, the filter or a pattern
        selects nothing, JAX cannot trace or differentiate `f`, outputs are complex, integers or NaN, rows influence
        each other (tried on three of them), or a Jacobian is zero because something without a derivative (a bare
        `sign`) stands between parameters and output.

    Warns
    -----
    UserWarning
        If a bare quantiser of parameters (`sign`, `round`, a comparison) reaches the output while another path still
        carries a gradient: a `MissingGradientWarning`, each time; if even the smallest block exceeds the budget.

    References
    ----------
    Jacot et al. 2018; Novak et al. 2022 (vector products).
    """
    require_choice("method", method, METHODS)
    budget = int(number("memory_budget", memory_budget, allowed="a positive number of bytes", least=1.0))
    network, inputs, other, paths = examine(f, params, x, x2, parameters=parameters)
    trace = bool(trace_outputs) or not network.outputs
    if method == "structured":
        kernel = _by_structure(network, inputs, other, trace)
    else:
        kernel = entries(network, inputs, other, method=method, budget=budget, trace=trace, progress=progress)
    sides = [inputs] if other is None else [inputs, other]
    if not np.any(kernel) and not all(derivatives.has_gradient(network, side) for side in sides):
        raise zero_jacobian_error(paths)
    if not np.isfinite(kernel).all():
        raise InputError("the NTK contains NaN or infinity; check the parameters and f at these inputs")
    return kernel


def linearize(f: Function, params: Params) -> Function:
    """Return the first-order expansion of `f` about `params`: f_lin(p, x) = f(params, x) + J(x) (p - params).

    Parameters
    ----------
    f, params
        As for `ntk`: leaves that are not arrays of floats are passed through.

    Returns
    -------
    A function of (p, x) whose NTK is that of `f` at `params`, wherever p is. Of p, the arrays of floats count; the
    other leaves are those of `params`.

    Raises
    ------
    InputError
        As for `ntk`; from the function returned, if p has another form than `params` or `f` cannot be pushed forward.
    """
    split, trained, frozen = split_parameters(params, None)

    def linearized(p: Params, x: Any) -> Any:
        move = tuple(jnp.subtract(q, at) for q, at in zip(split.select(p), trained, strict=True))
        with explained("f cannot be linearised"):
            value, change = jax.jvp(lambda q: f(split.join(q, frozen), x), (trained,), (move,))
        return jax.tree.map(jnp.add, value, change)

    return linearized


def entries(
    network: Network,
    x: Any,
    x2: Any | None,
    *,
    method: Method,
    budget: int,
    trace: bool,
    progress: Callable[[str, float], None] | None = None,
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Compute the entries of the kernel of a network that has been examined, by any method but ``"structured"``.

    Choose blocks for which the budget suffices, and say so if there are none.
    """

    def products() -> Plan:
        return blocks.plan_vector_products(network, x, x2, budget, trace=trace)

    if method == "vector_products":
        chosen, plan = "vector_products", products()
    else:
        chosen = "jacobian" if method == "jacobian" else "layers"
        plan = blocks.plan_jacobian(network, x, x2, budget, trace=trace, factors=chosen == "layers")
    if method == "auto" and (plan.needed > budget or plan.rows < min(_MIN_ROWS, rows.count(x))):
        with contextlib.suppress(InputError):  # f has a custom_vjp, of which only gradients can be formed
            other = products()
            if other.needed <= max(budget, plan.needed):
                chosen, plan = "vector_products", other
    blocks.warn_of_budget(chosen, plan, budget, stacklevel=4)
    run = blocks.by_vector_products if chosen == "vector_products" else blocks.by_jacobian
    return run(network, plan, x, x2, trace=trace, progress=progress)


def _by_structure(network: Network, x: Any, x2: Any | None, trace: bool) -> Inexact[np.ndarray, "n n2 ..."]:
    from ntk1bit.autodiff.infinite import structured_ntk

    if not isinstance(x, jax.Array):
        raise InputError("method 'structured' takes x as one array; use 'jacobian' or 'vector_products'")
    kernel = structured_ntk(
        derivatives.single_function(network),
        network.trained,
        x,
        x2,
        constants=(network.frozen, network.program.constants),
        trace_outputs=trace,
    )
    return blocks.mirrored(np.array(kernel)) if x2 is None else kernel
