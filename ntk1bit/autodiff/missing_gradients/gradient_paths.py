"""Does a gradient get from the parameters to the output? Found before any kernel is computed.

Automatic differentiation of `sign` is silently zero, so a 1-bit network without a straight-through estimator has a zero
Jacobian and a zero NTK. Every other kind of zero (a dead relu, a zero output layer, a `stop_gradient` on purpose, a
derivative declared by hand) is legitimate. Two questions tell them apart:

- *of the traced program*: which parameters influence the output other than through `stop_gradient`, and which the
  derivative, in which JAX leaves out what is symbolically zero? One that is in the first alone is blocked
  (`ntk1bit.autodiff.missing_gradients.influence`);
- *of numbers*, where an operation on the way may jump: does the output follow its gradient when the parameters are
  moved a finite way, or does it jump (`ntk1bit.autodiff.missing_gradients.jumps`)?
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr

from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.missing_gradients.influence import NO_MARKS, POLES, influence
from ntk1bit.autodiff.missing_gradients.jumps import Probe
from ntk1bit.errors import InputError

_ROWS = 256
_ADVICE = "use a straight-through estimator, such as w + jax.lax.stop_gradient(jnp.sign(w) - w)"
# the likely causes: if one of these is on the way, other operations are not named
_STEPS = frozenset({"sign()", "round()", "floor()", "ceil()", "a comparison"})


class MissingGradientWarning(UserWarning):
    """Part of what parameters do to the output is not in the gradient, so neither in the NTK."""


# Python shows a warning once for each place that calls; this one is about the function given, so it is always shown.
warnings.simplefilter("always", MissingGradientWarning, append=True)


def check_gradient_paths(f: Callable[..., Any], params: Any, rest: Sequence[Any], paths: Sequence[str]) -> bool:
    """Check that every parameter which moves the output does so through something with a derivative.

    Parameters
    ----------
    f
        `f(params, *rest)` -> an array.
    params
        A tuple of arrays. If these or `rest` are only shapes and dtypes, no numbers are tried.
    rest
        Further arguments, not differentiated by; a row or two of inputs are enough (`telling_rows`).
    paths
        The names of the parameters, for the message.

    Returns
    -------
    Whether no gradient was found to be missing; if not, there was a warning.

    Raises
    ------
    InputError
        If the gradient of a parameter is blocked on every path to the output, or `f` has no derivative in JAX.

    Warns
    -----
    MissingGradientWarning
        If the output jumps as parameters move, while another path still carries a gradient.
    """
    missing = missing_gradients_of(f, params, rest, paths)
    warn_of_missing(missing)
    return not missing


def missing_gradients_of(f: Callable[..., Any], params: Any, rest: Sequence[Any], paths: Sequence[str]) -> str:
    """Return in words what `check_gradient_paths` warns of, empty where nothing is missing; arguments and errors alike.

    The words are about these numbers: whether an output jumps is tried with them.
    """
    traced = jax.make_jaxpr(f)(params, *rest)
    followed = _follow(traced, params, rest, paths)
    numbers = jax.tree.leaves((params, rest))
    if not followed.steps or any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in numbers):
        return ""
    return _try_numbers(traced, followed, params, rest, paths)


def warn_of_missing(words: str) -> None:
    """Warn the caller outside this package, if there is anything to say."""
    if words:
        warnings.warn(words, MissingGradientWarning, stacklevel=_outside())


class _Followed(NamedTuple):
    """What a traced program tells of its gradients.

    Attributes
    ----------
    reaching
        The parameters, by position, that are in the output or its derivative.
    steps
        Operations on the way that may jump, in words; if there are any, numbers must be tried.
    """

    reaching: tuple[int, ...]
    steps: tuple[str, ...]


def _follow(traced: Any, params: Any, rest: Sequence[Any], paths: Sequence[str]) -> _Followed:
    """Follow parameters through a traced program of (params, *rest) and its derivative; arguments and errors as above.

    Depends on shapes and dtypes only.
    """
    others = len(traced.jaxpr.invars) - len(paths)
    (value,) = influence(traced.jaxpr, [*_each(paths), *[NO_MARKS] * others])
    moving = [index for index in range(len(paths)) if index in value]
    steps = tuple(sorted(mark for mark in value if isinstance(mark, str)))
    differentiated = _derivative(traced, params, rest)
    blocked = [index for index in moving if index not in differentiated]
    if blocked:
        raise _blocked_error([paths[index] for index in blocked], steps)
    return _Followed(tuple(index for index in range(len(paths)) if index in value | differentiated), steps)


def _try_numbers(traced: Any, followed: _Followed, params: Any, rest: Sequence[Any], paths: Sequence[str]) -> str:
    steps = followed.steps
    moved = tuple(jnp.asarray(leaf) for leaf in params)
    probe = Probe(traced, moved, tuple(jax.tree.leaves(rest)), cross_zero=POLES.isdisjoint(steps))
    together = probe.jumps()
    if not (together.found or together.unclear):
        return ""
    alone = {index: probe.jumps([index]) for index in followed.reaching}
    blocked = [paths[index] for index, jumps in alone.items() if jumps.found and jumps.flat]
    if blocked:
        raise _blocked_error(blocked, steps)
    partly = [paths[index] for index, jumps in alone.items() if jumps.found]
    if not partly and not together.found:
        return ""
    partly = partly or [paths[index] for index in followed.reaching]
    names = ", ".join(path or "params" for path in partly)
    return (
        f"{_cause(steps)} of parameters reaches the output without a derivative ({names}): the output "
        f"jumps where the gradient says that it stays, and this is the NTK of the remaining paths only; {_ADVICE}"
    )


def telling_rows(x: Any) -> Any:
    """Return the two largest of the first rows of x: enough to try numbers on, and unlike blank ones telling."""
    if not hasattr(x, "dtype"):  # a pytree of inputs
        return jax.tree.map(lambda leaf: leaf[:2], x)
    first = np.asarray(x[:_ROWS])
    if first.dtype.kind not in "biufc" or first.size == 0:
        return x[:2]
    size = np.abs(first.astype(np.complex128 if first.dtype.kind == "c" else np.float64)).reshape(len(first), -1).sum(1)
    return x[np.sort(np.argsort(-size, kind="stable")[:2])]


def zero_jacobian_error(paths: Sequence[str]) -> InputError:
    """Return the error for a Jacobian that is zero in numbers though not in structure."""
    return InputError(
        f"the Jacobian of {', '.join(paths)} is zero at every input: the network is dead there (no active neuron, a "
        f"zero output layer) or a custom derivative returns 0; if a quantiser is the cause, {_ADVICE}"
    )


def _derivative(traced: Any, params: Any, rest: Sequence[Any]) -> frozenset[Any]:
    """Return which parameters are in the derivative of a traced program."""

    def pushed(direction: Any, at: Any, other: Any) -> Any:
        def value(moved: Any) -> Any:
            return eval_jaxpr(traced.jaxpr, traced.consts, *jax.tree.leaves((moved, other)))

        return jax.jvp(value, (at,), (direction,))[1]

    with explained("f cannot be differentiated"):
        jaxpr = jax.make_jaxpr(pushed)(params, params, rest).jaxpr
    marks = [*_each(params), *[NO_MARKS] * (len(jaxpr.invars) - len(params))]
    return NO_MARKS.union(*influence(jaxpr, marks, declared=True))


def _each(params: Sequence[Any]) -> list[frozenset[Any]]:
    return [frozenset({index}) for index in range(len(params))]


def _cause(steps: Sequence[str]) -> str:
    return "/".join([step for step in steps if step in _STEPS] or steps)


def _blocked_error(paths: Sequence[str], steps: Sequence[str]) -> InputError:
    paths = [path or "params" for path in paths]
    cause = _cause(steps) or "something without a derivative"
    return InputError(f"the Jacobian of {', '.join(paths)} is zero: {cause} blocks the gradient; {_ADVICE}")


def _outside() -> int:
    """Return how many frames lie between a warning here and the first one outside the package."""
    home, level, frame = str(Path(__file__).parents[2]), 0, sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(home):
        level, frame = level + 1, frame.f_back
    return level + 1
