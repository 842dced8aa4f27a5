"""Inputs of a network, one on each row: what may be given, and whether the network keeps the rows apart.

An NTK is a function of two inputs. A network that looks at its whole batch (batch normalisation while training,
attention over the batch, a dropout mask of the batch's shape) has none: what one row gives depends on the others. So a
few rows are run together and apart before any kernel is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact

from ntk1bit.autodiff.explanations import VMAP
from ntk1bit.autodiff.programs import Program, evaluate, finite, kept, opened
from ntk1bit.errors import InputError

_TOGETHER = 3  # rows: more than two, so that a neighbour is not everyone


def read_inputs(name: str, x: Any) -> Any:
    """Return inputs as a pytree of JAX arrays with the batch on their first axes.

    Parameters
    ----------
    name
        What the caller knows the inputs by, for messages.
    x
        An array, or what NumPy makes one of (lists of numbers, data frames); or a dict, a tuple of arrays or another
        pytree of those.

    Raises
    ------
    InputError
        If something in it is no array of numbers, has no rows, contains NaN or infinity, or does not fit the number of
        rows of the rest.
    """
    tree = jax.tree.map(lambda leaf: _numbers(name, leaf), x if is_tree(x) else _Leaf(x))
    leaves = jax.tree.leaves(tree)
    if not leaves:
        raise InputError(f"{name} holds no array; it needs at least one input on its first axis")
    for leaf in leaves:
        if leaf.ndim < 1 or leaf.shape[0] == 0:
            raise InputError(f"{name} needs at least one input on its first axis, got shape {leaf.shape}")
    if len({leaf.shape[0] for leaf in leaves}) > 1:
        shapes = ", ".join(str(leaf.shape) for leaf in leaves)
        raise InputError(f"the arrays in {name} need one row per input each, got shapes {shapes}")
    floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    if not all(all_finite for all_finite, _ in finite(floats)):
        raise InputError(f"{name} contains NaN or infinity; remove or repair those rows first")
    return tree


def match_inputs(x: Any, x2: Any) -> tuple[Any, Any]:
    """Return two sets of inputs in common dtypes.

    Raises
    ------
    InputError
        If they are not of the same form.
    """
    if jax.tree.structure(x) != jax.tree.structure(x2):
        raise InputError(
            f"x and x2 have the forms {jax.tree.structure(x)} and {jax.tree.structure(x2)}; they must match"
        )
    for one, other in zip(jax.tree.leaves(x), jax.tree.leaves(x2), strict=True):
        if one.shape[1:] != other.shape[1:]:
            raise InputError(f"x and x2 have inputs of shapes {one.shape[1:]} and {other.shape[1:]}; they must match")

    def common(leaf: Any, like: Any) -> Any:
        return leaf if leaf.dtype == like.dtype else leaf.astype(jnp.promote_types(leaf.dtype, like.dtype))

    return jax.tree.map(common, x, x2), jax.tree.map(common, x2, x)


def equal_inputs(x: Any, x2: Any) -> bool:
    """Say whether two sets of inputs of the same form are the same rows in the same order."""
    pairs = list(zip(jax.tree.leaves(x), jax.tree.leaves(x2), strict=True))
    return all(a is b or (a.shape == b.shape and bool((a == b).all())) for a, b in pairs)


def count(x: Any) -> int:
    """Return the number of inputs."""
    return jax.tree.leaves(x)[0].shape[0]


def take(x: Any, rows: slice) -> Any:
    """Return some of the inputs."""
    whole = rows.indices(count(x)) == (0, count(x), 1)
    return x if whole else jax.tree.map(lambda leaf: leaf[rows], x)


def few(x: Any) -> Any:
    """Return up to three inputs, spread over all of them."""
    n = count(x)
    step = max(1, (n - 1) // (_TOGETHER - 1))
    return take(x, slice(0, step * (_TOGETHER - 1) + 1, step))


def shapes(tree: Any, rows: int | None = None) -> Any:
    """Return shapes and dtypes of the arrays in a pytree, as if there were so many rows."""

    def shape(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape if rows is None else (rows, *leaf.shape[1:]), leaf.dtype)

    return jax.tree.map(shape, tree)


def check_rows_apart(together: Program, alone: Program, parameters: tuple[Any, ...], rows: Any) -> None:
    """Check that each output of a network depends on its own input only.

    Each of the rows is run beside the others and beside copies of itself, which by one compiled program gives the very
    same number whatever the other rows are; and alone, which gives the same up to rounding. What rounding can do is
    taken from what a change of inputs and parameters in their last bits does, and from half the digits: a quantiser may
    tip over by such a change. Statistics of a batch and masks move outputs by far more, and for every row.

    Parameters
    ----------
    together, alone
        The network on all of `rows`, and on one row, both as functions of (parameters, rows).
    parameters
        Arrays.
    rows
        A few inputs.

    Raises
    ------
    InputError
        If rows influence each other, a row gives something else at another place in the batch, or an output is NaN.
    """
    n, treedef = count(rows), jax.tree.structure(rows)

    def make() -> Callable[..., Any]:
        joint, single = opened(together), opened(alone)

        def run(constants: Any, single_constants: Any, parameters: Any, rows: Any) -> tuple[jax.Array, ...]:
            leaves = treedef.flatten_up_to(rows)
            places = jnp.concatenate([jnp.arange(n)[None], jnp.repeat(jnp.arange(n)[:, None], n, axis=1)])
            mixed = jax.lax.map(
                lambda place: evaluate(joint, (), [*constants, *parameters, *(leaf[place] for leaf in leaves)])[0],
                places,
            )
            ones = [leaf[:, None] for leaf in leaves]

            def each(parameters: Any, ones: Any) -> jax.Array:
                return jax.lax.map(lambda one: evaluate(single, (), [*single_constants, *parameters, *one])[0][0], ones)

            return mixed, each(parameters, ones), each(*jax.tree.map(_shaken, (parameters, ones)))

        return jax.jit(run)

    run = kept(("rows apart", together.key, alone.key, treedef), make)
    mixed, single, shaken = (
        np.asarray(array, np.float64) for array in run(together.constants, alone.constants, parameters, rows)
    )
    judge_rows(mixed, single, shaken, float(jnp.finfo(alone.jaxpr.outvars[0].aval.dtype).eps))


def judge_rows(
    mixed: Inexact[np.ndarray, "several n ..."],
    single: Inexact[np.ndarray, "n ..."],
    shaken: Inexact[np.ndarray, "n ..."],
    resolution: float,
    *,
    network: str = "f(params, x)",
    remedy: str = f"docs/networks.md), or write the network for one input and wrap it as {VMAP}",
) -> None:
    """Judge outputs of a few rows; see `check_rows_apart`.

    Parameters
    ----------
    mixed
        Of all rows together, and then of n copies of each.
    single, shaken
        Of each row alone; with inputs and parameters changed in their last bits.
    resolution
        Of the outputs, relative.
    network, remedy
        For messages: what it is called, and the end of what to do.

    Raises
    ------
    InputError
        If rows influence each other, a row gives something else at another place in the batch, or an output is NaN.
    """
    n = len(single)
    if np.isnan(single).any():
        raise InputError(f"{network} is NaN; check the parameters, f, and (in jnp.take) indices beyond a table")
    at = np.arange(n)
    with np.errstate(invalid="ignore"):
        scale = np.abs(single[np.isfinite(single)]).max(initial=0.0)
        rounding = resolution**0.5 * scale
        others = _distance(mixed[0], mixed[1:][at, at])
        place = _distance(mixed[1:], single[:, None]).reshape(n, n, -1).max(axis=(1, 2))
        tipped = _distance(single, shaken).max(initial=0.0)
    if (others > rounding).any():
        raise InputError(
            f"{network} mixes the rows of x, {network}[:1] is not {network.replace('x)', 'x[:1])')} (batch "
            "normalisation while training, attention or a maximum over the batch?): each output must depend on its own "
            f"input only; freeze the batch statistics (evaluation mode: {remedy}"
        )
    if n > 1 and (place > max(rounding, 10 * tipped)).all():
        raise InputError(
            f"{network} gives a row something else at another place in the batch (a dropout mask or noise of the "
            "batch's shape?): each output must depend on its own input only; switch dropout off (evaluation mode: "
            f"{remedy}"
        )


def _distance(a: Any, b: Any) -> Any:
    """Return |a - b|, 0 for two equal infinities or two NaN and infinity for one."""
    apart = np.abs(a - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _shaken(array: jax.Array) -> jax.Array:
    """Change every other number in its last bits, up and down in turn."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return array
    sign = jnp.where(jnp.arange(array.size).reshape(array.shape) % 2 == 0, 1.0, -1.0)
    eps = jnp.finfo(array.dtype).eps
    return (array * (1 + 2 * eps * sign)).astype(array.dtype)


class _Leaf:
    """Hides from JAX that a list or tuple is a tree: it becomes one array."""

    def __init__(self, value: Any) -> None:
        self.value = value


def is_tree(x: Any) -> bool:
    """Say whether inputs are a pytree of arrays as they are; lists of numbers are to become one array."""
    if isinstance(x, list) or (isinstance(x, tuple) and not hasattr(x, "_fields")):
        return isinstance(x, tuple) and any(getattr(item, "ndim", 0) > 0 for item in x)
    return True


def _numbers(name: str, leaf: Any) -> jax.Array:
    value = leaf.value if isinstance(leaf, _Leaf) else leaf
    if isinstance(value, jax.Array):
        return value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} is no array of numbers with one shape for all inputs ({error})") from error
    if array.dtype.kind not in "biufcV" or array.dtype.names is not None:
        raise InputError(f"{name} must hold numbers, got {array.dtype} ({type(value).__name__})")
    made = jnp.asarray(array)
    if array.dtype.kind in "iu" and array.size and not bool((np.asarray(made) == array).all()):
        raise InputError(f"{name} holds integers beyond {made.dtype}; JAX takes them with jax_enable_x64 only")
    return made
