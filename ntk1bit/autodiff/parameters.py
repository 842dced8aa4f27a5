"""Which leaves of a pytree are parameters to differentiate by, and how to put the tree together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk1bit.autodiff.equations import is_inexact
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.programs import finite
from ntk1bit.errors import InputError


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


def split_parameters(
    params: Any, parameters: Callable[[str], bool] | None
) -> tuple[Split, tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """Separate the parameters to differentiate by from everything else in a pytree.

    Raises
    ------
    InputError
        If the tree cannot be read, no array of floats is left, a trained one contains NaN or infinity, or another NaN;
        if everything is to be trained and batch statistics are among it.
    """
    if parameters is not None and not callable(parameters):
        raise InputError("parameters is a function of a path, such as lambda path: path.startswith('layers/0')")
    with explained("params is not a tree that JAX can take apart"):
        leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    named = [("/".join(_key_name(key) for key in path), leaf) for path, leaf in leaves]
    if parameters is None:
        _refuse_statistics(params, named)
    kinds, trained, frozen, others, paths, frozen_paths = [], [], [], [], [], []
    for path, leaf in named:
        if not isinstance(leaf, (jax.Array, np.ndarray)) or getattr(leaf.dtype, "kind", "") in (*"OSUMm",):
            kind, home = "other", others
        elif jnp.issubdtype(leaf.dtype, jnp.inexact) and (parameters is None or parameters(path)):
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
