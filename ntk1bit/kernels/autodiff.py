"""The NTK of any JAX function, and its linearisation.

    Theta(x, x') = J(x) J(x')^T,   J(x) = d f(params, x)/d params,

by automatic differentiation, so straight-through estimators inside `f` count as their surrogate says. Two ways, both
without neural-tangents and both in blocks that keep to a memory budget:

- ``"jacobian"``: Jacobians of blocks of inputs, multiplied. Never more than two blocks exist at once.
- ``"vector_products"``: one pull-back J(x')^T e for each input and output, pushed forward through f for all x at once;
  no Jacobian exists, only as many parameter-shaped vectors as fit.

``"structured"`` hands over to neural-tangents' structured derivatives, where that is installed. A network that lets its
layers' inputs be tapped has a faster way still: `ntk1bit.kernels.layerwise`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact, Shaped

from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.gradient_paths import (
    called_program,
    check_gradient_paths,
    telling_rows,
    zero_jacobian_error,
)
from ntk1bit.kernels.parameters import Split, split_parameters

Method = Literal["auto", "jacobian", "vector_products", "structured"]
METHODS: tuple[str, ...] = get_args(Method)
Params = Any
Function = Callable[[Any, Any], Any]

_COPIES = 3  # two blocks of Jacobian, and the compiler's working copy of the one being formed
_MIN_ROWS = 8  # with fewer Jacobian rows than this in the budget, vector products are the better choice


def ntk(
    f: Function,
    params: Params,
    x: Shaped[Any, "n ..."],
    x2: Shaped[Any, "n2 ..."] | None = None,
    *,
    method: Method = "auto",
    trace_outputs: bool = True,
    parameters: Callable[[str], bool] | None = None,
    memory_budget: int = 1 << 30,
    progress: Callable[[int, int], None] | None = None,
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Compute the (straight-through) NTK of `f` with respect to its parameters.

    Parameters
    ----------
    f
        `f(params, x)` -> (n,) or (n, outputs), each row depending on its own input only (no batch statistics).
        Compiled code is cached by the identity of `f`: pass the same function object again, not a new lambda.
    params
        Any pytree. Leaves that are not arrays of floats are passed through and do not count as parameters.
    x, x2
        Inputs with the batch on the first axis; `x2` defaults to `x`.
    method
        ``"jacobian"``, ``"vector_products"``, ``"structured"``, or ``"auto"``: the first if at least 8 rows of the
        Jacobian fit the budget, else the second.
    trace_outputs
        If true, the mean over outputs of J_o(x) J_o(x')^T, (n, n2), as neural-tangents' `trace_axes=(-1,)`. If false,
        (n, n2, outputs, outputs), or (n, n2) for a function with one number per input.
    parameters
        Chooses the parameters by path, as in ``lambda path: path.startswith("layers/0/")``; all by default. A path is
        the keys, indices or attribute names that lead to the leaf, joined by ``/``.
    memory_budget
        Bytes that Jacobian blocks (or pulled-back vectors and what they push through f) may take, the copy made while
        forming one included. At least one row of each side is always formed.
    progress
        Called with (blocks done, blocks in total).

    Returns
    -------
    Array in the dtype of the parameters (float64 if JAX is set to it).

    Raises
    ------
    InputError
        If an option is unknown, shapes do not match, inputs or parameters are not finite, the filter selects nothing,
        or a Jacobian is zero because something without a derivative (a bare `sign`) stands between parameters and
        output.

    Warns
    -----
    UserWarning
        If a bare quantiser of parameters (`sign`, `round`, a comparison) reaches the output while another path still
        carries a gradient: a `MissingGradientWarning`, each time.

    References
    ----------
    Jacot et al. 2018; Novak et al. 2022 (vector products).
    """
    require_choice("method", method, METHODS)
    x = _checked_array("x", x)
    other = x if x2 is None else _checked_array("x2", x2)
    if x.shape[1:] != other.shape[1:]:
        raise InputError(f"x and x2 have inputs of shapes {x.shape[1:]} and {other.shape[1:]}; they must match")
    if memory_budget < 1:
        raise InputError(f"memory_budget is in bytes and must be positive, got {memory_budget}")
    split, trained, frozen = split_parameters(params, parameters)
    outputs = _examine(f, split, _shapes(trained), _shapes(frozen), _shapes((x[:1],)))
    check_gradient_paths(lambda t, z, one: f(split.join(t, z), one), trained, (frozen, telling_rows(x)), split.paths)
    task = _Task(f, split, trained, frozen, outputs, memory_budget, progress or (lambda *_: None))
    if method == "auto":
        method = "jacobian" if memory_budget >= _COPIES * _MIN_ROWS * task.row_bytes else "vector_products"
    trace = trace_outputs or not outputs
    if method == "structured":
        from ntk1bit.kernels.infinite import structured_ntk

        of_trained = _of_trained(f, split)
        kernel = structured_ntk(
            of_trained, trained, x, None if x2 is None else other, constants=frozen, trace_outputs=trace
        )
    elif method == "jacobian":
        kernel = task.by_jacobian(x, None if x2 is None else other, trace=trace)
    else:
        kernel = task.by_vector_products(x, other, trace=trace)
    if not np.any(kernel) and not (task.has_gradient(x) and task.has_gradient(other)):
        raise zero_jacobian_error(split.paths)
    if not np.isfinite(kernel).all():
        raise InputError("the NTK contains NaN or infinity; check the parameters and f at these inputs")
    return kernel


def linearize(f: Function, params: Params) -> Function:
    """Return the first-order expansion of `f` about `params`: f_lin(p, x) = f(params, x) + J(x) (p - params).

    Parameters
    ----------
    f, params
        As for `ntk`; every leaf of `params` must be an array of floats.

    Returns
    -------
    A function of (p, x) whose NTK is that of `f` at `params`, wherever p is.
    """

    def linearized(p: Params, x: Any) -> Any:
        move = jax.tree.map(jnp.subtract, p, params)
        value, change = jax.jvp(lambda q: f(q, x), (params,), (move,))
        return jax.tree.map(jnp.add, value, change)

    return linearized


class _Task(NamedTuple):
    """One NTK to compute: a function, its parameters and a budget."""

    f: Function
    split: Split
    trained: tuple[jax.Array, ...]
    frozen: tuple[jax.Array, ...]
    outputs: tuple[int, ...]
    budget: int
    progress: Callable[[int, int], None]

    @property
    def row_bytes(self) -> int:
        """Bytes of the Jacobian of one input."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in self.trained) * self.width

    @property
    def width(self) -> int:
        """Number of outputs per input."""
        return int(np.prod(self.outputs))

    def jacobian(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Return the Jacobian of each input, (b, outputs, size) a parameter."""
        return _jacobian(self.f, self.split, self.trained, self.frozen, x)

    def has_gradient(self, x: jax.Array) -> bool:
        """Say whether the Jacobian is other than zero at some input."""
        return any(bool(jnp.any(leaf)) for i in range(len(x)) for leaf in self.jacobian(x[i : i + 1]))

    def by_jacobian(self, x: jax.Array, x2: jax.Array | None, *, trace: bool) -> Inexact[np.ndarray, "n n2 ..."]:
        """Multiply Jacobians block by block; what lies below the diagonal of a symmetric kernel is mirrored."""
        if x2 is None and (_COPIES - 1) * len(x) * self.row_bytes <= self.budget:
            jacobian = self.jacobian(x)
            kernel = np.array(_contract(jacobian, jacobian, trace))
            self.progress(1, 1)
            return self._shaped(kernel, trace)
        rows = max(1, self.budget // (_COPIES * self.row_bytes))
        left = _cut(len(x), rows)
        right = left if x2 is None else _cut(len(x2), rows)
        kernel = self._empty(len(x), len(x if x2 is None else x2), trace)
        pairs = [(i, j) for i in left for j in right if x2 is not None or j.start >= i.start]
        at, j_left = None, ()
        for done, (i, j) in enumerate(pairs, start=1):
            if at != i:
                at, j_left = i, self.jacobian(x[i])
            mirrored = x2 is None and i != j
            j_right = j_left if x2 is None and i == j else self.jacobian((x if x2 is None else x2)[j])
            kernel[i, j] = np.asarray(_contract(j_left, j_right, trace))
            del j_right  # before the next one is formed: two blocks are all the budget allows
            if mirrored:
                kernel[j, i] = _transposed(kernel[i, j], trace)
            self.progress(done, len(pairs))
        return self._shaped(kernel, trace)

    def by_vector_products(self, x: jax.Array, x2: jax.Array, *, trace: bool) -> Inexact[np.ndarray, "n n2 ..."]:
        """Pull back each output of each x2 and push it forward through all of x."""
        kernel = self._empty(len(x), len(x2), trace)
        pushed = _largest_array(self.f, self.split, _shapes(self.trained), _shapes(self.frozen), _shapes((x,)))
        each = _COPIES * (self.row_bytes + self.width * pushed)
        parts = _cut(len(x2), max(1, self.budget // each))
        for done, j in enumerate(parts, start=1):
            try:
                block = _push_pull(self.f, self.split, self.trained, self.frozen, x, x2[j], trace)
            except TypeError as error:
                if "custom_vjp" not in str(error):
                    raise
                raise InputError(
                    "f uses jax.custom_vjp, which cannot be pushed forward; write the estimator with stop_gradient or "
                    "custom_jvp, or choose method 'jacobian'"
                ) from error
            kernel[:, j] = np.asarray(block)
            self.progress(done, len(parts))
        return self._shaped(kernel, trace)

    def _empty(self, n: int, n2: int, trace: bool) -> np.ndarray:
        dtype = np.dtype(jnp.result_type(*self.trained))
        return np.zeros((n, n2) if trace else (n, n2, self.width, self.width), dtype=dtype)

    def _shaped(self, kernel: np.ndarray, trace: bool) -> np.ndarray:
        return kernel if trace else kernel.reshape(*kernel.shape[:2], *self.outputs, *self.outputs)


@functools.lru_cache(maxsize=64)
def _examine(f: Function, split: Split, trained: Any, frozen: Any, x: Any) -> tuple[int, ...]:
    """Trace `f` once: check what it returns and that gradients get through; return the shape of one output."""
    value = jax.eval_shape(lambda t, z, one: f(split.join(t, z), one), trained, frozen, *x)
    if not hasattr(value, "shape") or len(value.shape) not in (1, 2) or value.shape[0] != 1:
        given = getattr(value, "shape", type(value).__name__)
        raise InputError(f"f(params, x) must return (n,) or (n, outputs); for one input it returned {given}")
    return tuple(value.shape[1:])


@functools.lru_cache(maxsize=64)
def _largest_array(f: Function, split: Split, trained: Any, frozen: Any, x: Any) -> int:
    """Return the bytes of the largest array in f(x): what pushing one direction through f takes, and then some."""

    def largest(jaxpr: Any) -> int:
        own = [var.aval.size * var.aval.dtype.itemsize for equation in jaxpr.eqns for var in equation.outvars]
        inner = [called_program(equation) for equation in jaxpr.eqns]
        return max([*own, *(largest(program) for program in inner if program is not None)], default=0)

    return largest(jax.make_jaxpr(lambda t, z, inputs: f(split.join(t, z), inputs))(trained, frozen, *x).jaxpr)


@functools.lru_cache(maxsize=64)
def _of_trained(f: Function, split: Split) -> Callable[..., Any]:
    """Return f as a function of (trained, x, *frozen), the same object each time: compiled code is found by it."""
    return lambda trained, x, *frozen: f(split.join(trained, frozen), x)


def _shapes(arrays: tuple[jax.Array, ...]) -> tuple[jax.ShapeDtypeStruct, ...]:
    return tuple(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays)


def _at(f: Function, split: Split, frozen: tuple[jax.Array, ...], x: jax.Array) -> Callable[[Any], jax.Array]:
    """Return the outputs at x, (n, outputs), as a function of the trained parameters."""
    return lambda trained: f(split.join(trained, frozen), x).reshape(len(x), -1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _jacobian(f: Function, split: Split, trained: Any, frozen: Any, x: jax.Array) -> tuple[jax.Array, ...]:
    def rows(one: jax.Array) -> tuple[jax.Array, ...]:
        return jax.jacrev(lambda t: _at(f, split, frozen, one[None])(t)[0])(trained)

    return tuple(leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.vmap(rows)(x))


@functools.partial(jax.jit, static_argnums=2)
def _contract(left: Any, right: Any, trace: bool) -> jax.Array:
    """Return J J'^T summed over the parameters: (b, b2) averaged over outputs, or (b, b2, outputs, outputs)."""
    pairs = list(zip(left, right, strict=True))
    with jax.default_matmul_precision("highest"):
        if not trace:
            return functools.reduce(jnp.add, [jnp.einsum("iop,jqp->ijoq", a, b) for a, b in pairs])
        flat = [a.reshape(len(a), -1) @ b.reshape(len(b), -1).T for a, b in pairs]
        return functools.reduce(jnp.add, flat) / left[0].shape[1]


@functools.partial(jax.jit, static_argnums=(0, 1, 6))
def _push_pull(
    f: Function, split: Split, trained: Any, frozen: Any, x: jax.Array, x2: jax.Array, trace: bool
) -> jax.Array:
    """Return J(x) J(x2)^T, (n, b) averaged over outputs or (n, b, outputs, outputs), without forming J(x)."""

    def column(one: jax.Array) -> jax.Array:
        value, pull = jax.vjp(_at(f, split, frozen, one[None]), trained)

        def pushed(output: jax.Array) -> jax.Array:
            return jax.jvp(_at(f, split, frozen, x), (trained,), pull(output[None]))[1]

        return jax.vmap(pushed, out_axes=-1)(jnp.eye(value.size, dtype=value.dtype))  # (n, outputs, outputs')

    columns = jax.vmap(column, out_axes=1)(x2)
    return jnp.einsum("nboo->nb", columns) / columns.shape[-1] if trace else columns


def _transposed(block: Any, trace: bool) -> Any:
    return block.T if trace else block.transpose(1, 0, 3, 2)


def _checked_array(name: str, x: Any) -> Shaped[jax.Array, "n ..."]:
    array = jnp.asarray(x)
    if array.ndim < 1 or array.shape[0] == 0:
        raise InputError(f"{name} needs at least one input on its first axis, got shape {array.shape}")
    if not bool(jnp.isfinite(array).all()):
        raise InputError(f"{name} contains NaN or infinity; remove or repair those rows first")
    return array


def _cut(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
