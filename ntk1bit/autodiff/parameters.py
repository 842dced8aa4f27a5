"""Which leaves of a pytree are parameters to differentiate by, and how to put the tree together again."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk1bit.autodiff.equations import is_inexact
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.programs import finite
from ntk1bit.errors import InputError

Selection = Callable[[str], bool] | str | Sequence[str] | None
"""Which parameters: a function of a path, a pattern or several (`chooser`); None for all."""

_NO_NUMBERS = ("O", "S", "U", "M", "m")  # kinds of NumPy arrays that JAX does not take


class Split(NamedTuple):
    """How a pytree of parameters falls into trained, complex, frozen and other leaves.

    A complex leaf is trained by its real and imaginary parts, (2, ...): a step of gradient descent moves both, so the
    NTK is that of twice as many real parameters.
    """

    treedef: Any
    kinds: tuple[str, ...]
    others: tuple[Any, ...]
    paths: tuple[str, ...]

    def join(self, trained: Any, frozen: Any) -> Any:
        """Put the pytree together again."""
        arrays = iter(trained)
        sources = {
            "trained": arrays,
            "complex": (jax.lax.complex(parts[0], parts[1]) for parts in arrays),
            "frozen": iter(frozen),
            "other": iter(self.others),
        }
        return jax.tree.unflatten(self.treedef, [next(sources[kind]) for kind in self.kinds])

    def select(self, tree: Any) -> tuple[jax.Array, ...]:
        """Return the trained leaves of another pytree of the same form.

        Raises
        ------
        InputError
            If its form is another.
        """
        leaves, treedef = jax.tree.flatten(tree)
        if treedef != self.treedef:
            raise InputError(f"the parameters have the form {treedef}, not {self.treedef} as at the expansion point")
        chosen = zip(self.kinds, leaves, strict=True)
        return tuple(_as_trained(leaf, kind) for kind, leaf in chosen if kind in ("trained", "complex"))


def split_parameters(params: Any, parameters: Selection) -> tuple[Split, tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """Separate the parameters to differentiate by from everything else in a pytree.

    Raises
    ------
    InputError
        If the tree cannot be read, no array of floats is left, a pattern selects none, a trained one contains NaN or
        infinity, or another NaN; if everything is to be trained and batch statistics are among it.
    """
    with explained("params is not a tree that JAX can take apart"):
        leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    named = [(path_name(path), leaf) for path, leaf in leaves]
    if parameters is None:
        _refuse_statistics(params, named)
    chosen = chooser(parameters, [path for path, leaf in named if is_float_array(leaf)])
    kinds, trained, frozen, others, paths, frozen_paths = [], [], [], [], [], []
    for path, leaf in named:
        if not isinstance(leaf, (jax.Array, np.ndarray)) or getattr(leaf.dtype, "kind", "") in _NO_NUMBERS:
            kind, home = "other", others
        elif is_float_array(leaf) and chosen(path):
            kind, home = ("complex" if jnp.iscomplexobj(leaf) else "trained"), trained
            paths.append(path)
        else:
            kind, home = "frozen", frozen
            frozen_paths.append(path)
        kinds.append(kind)
        home.append(leaf if kind == "other" else _as_trained(leaf, kind))
    if not trained:
        there_are = ", ".join(path or "a single leaf" for path, _ in named) or "none at all"
        raise InputError(f"no array of floats is selected as a parameter; there are: {there_are}")
    checked = [(p, leaf, False) for p, leaf in zip(paths, trained, strict=True)]
    checked += [(p, leaf, True) for p, leaf in zip(frozen_paths, frozen, strict=True) if is_inexact(leaf)]
    flags = finite(leaf for _, leaf, _ in checked)
    for (path, _, infinite_allowed), (all_finite, no_nan) in zip(checked, flags, strict=True):
        if not (no_nan if infinite_allowed else all_finite):  # a frozen mask may well hold -inf
            raise InputError(f"parameter {path!r} contains NaN or infinity; the network has diverged")
    return Split(treedef, tuple(kinds), tuple(others), tuple(paths)), tuple(trained), tuple(frozen)


def chooser(parameters: Selection, paths: Sequence[str]) -> Callable[[str], bool]:
    """Return the function of a path that says whether its array is chosen.

    Parameters
    ----------
    parameters
        Such a function; or a pattern, or several of which one must fit, as those of files: ``*`` and ``?`` stand for
        anything within one step of the path, ``**`` for any number of steps: ``"blocks/*/attention/**"``.
    paths
        Those of all arrays that can be chosen.

    Raises
    ------
    InputError
        If it is something else, or a pattern fits no path.
    """
    if parameters is None:
        return lambda _: True
    if callable(parameters):
        return parameters
    patterns = [parameters] if isinstance(parameters, str) else parameters
    if not (isinstance(patterns, Sequence) and patterns and all(isinstance(one, str) for one in patterns)):
        raise InputError(
            "parameters must be a pattern of paths such as 'blocks/*/attention/**', a list of those, or a function of "
            "a path such as lambda path: path.startswith('layers/0/')"
        )
    for pattern in patterns:
        if not any(fits(path, pattern) for path in paths):
            raise _unfitting(pattern, paths)
    return lambda path: any(fits(path, pattern) for pattern in patterns)


def fits(path: str, pattern: str) -> bool:
    """Say whether the whole of a path fits a pattern, step by step; upper and lower case differ."""

    def rest_fits(steps: Sequence[str], asked: Sequence[str]) -> bool:
        if not asked:
            return not steps
        if asked[0] == "**":
            return any(rest_fits(steps[at:], asked[1:]) for at in range(len(steps) + 1))
        return bool(steps) and fnmatchcase(steps[0], asked[0]) and rest_fits(steps[1:], asked[1:])

    return rest_fits(path.split("/"), pattern.split("/"))


def _unfitting(pattern: str, paths: Sequence[str]) -> InputError:
    within = f"{pattern.rstrip('/')}/**"
    near = [within] if any(fits(path, within) for path in paths) else difflib.get_close_matches(pattern, paths, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    there_are = ", ".join(paths[:12]) or "none at all"
    more = f" and {len(paths) - 12} more" if len(paths) > 12 else ""
    return InputError(f"parameters {pattern!r} fits no array of floats{hint}; there are: {there_are}{more}")


def is_float_array(leaf: Any) -> bool:
    """Say whether a leaf is an array of floats, complex ones too, and so may be a parameter."""
    if not isinstance(leaf, (jax.Array, np.ndarray)) or getattr(leaf.dtype, "kind", "") in _NO_NUMBERS:
        return False
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def as_traced(params: Any) -> Any:
    """Return a pytree whose NumPy arrays of numbers are arrays of JAX, which can be indexed by traced ones."""

    def array(leaf: Any) -> Any:
        return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in _NO_NUMBERS else leaf

    return jax.tree.map(array, params)


def path_name(keys: Sequence[Any]) -> str:
    """Return the keys, indices and names that lead to a leaf, joined by ``/``."""
    return "/".join(_key_name(key) for key in keys)


def _refuse_statistics(params: Any, named: Sequence[tuple[str, Any]]) -> None:
    """Refuse running statistics of batch normalisation among the parameters: no gradient step moves them.

    They are known by Flax's names: a collection ``batch_stats``, a variable of type ``BatchStat``.
    """

    def is_statistic(node: Any) -> bool:
        return any(kind.__name__ == "BatchStat" for kind in type(node).__mro__)

    found = [path for path, _ in named if "batch_stats" in path.split("/")]
    if found:
        way = "lambda p, x: model.apply({'params': p, 'batch_stats': statistics}, x)"
    elif any(map(is_statistic, nodes := jax.tree.leaves(params, is_leaf=is_statistic))):
        found = [path for (path, _), node in zip(named, nodes, strict=True) if is_statistic(node)]
        way = "graph, p, rest = nnx.split(model, nnx.Param, ...), then lambda p, x: nnx.merge(graph, p, rest)(x)"
    else:
        return
    raise InputError(
        f"params holds batch statistics, which are no parameters: {', '.join(found[:3])}{', ...' * (len(found) > 3)}; "
        f"give the parameters alone and close over the rest: {way}; or choose by path with parameters=..."
    )


def _as_trained(leaf: Any, kind: str) -> jax.Array:
    array = jnp.asarray(leaf)
    return jnp.stack([array.real, array.imag]) if kind == "complex" else array


def _key_name(key: Any) -> str:
    """Return the key, index or attribute name of one step into a pytree (`keystr(simple=True)` needs JAX 0.5)."""
    return str(next(getattr(key, name) for name in ("key", "idx", "name") if hasattr(key, name)))
