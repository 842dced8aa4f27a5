r"""How fast each array of parameters really learns, beside what its straight-through gradient says.

A straight-through estimator passes a gradient g through a quantiser as if it were something smooth. A step along -g
then changes the outputs by another amount than g says. With a residual r, an array of parameters that is moved along
its gradient of <r, f> changes <r, f> by norm(g)^2 for each unit of step if f does what the gradient says, and by c
times as much in truth. c is the array's part of r^T K_eff r over r^T H r, the effective kernel over the surrogate's
(`ntk1bit.kernels.effective` derives both for two layers, where they are known entry by entry).

It is measured as a central difference over a move that is small beside what bends f, and large beside the distance of
two flips:

    c = [<r, f(theta + epsilon g)> - <r, f(theta - epsilon g)>]/(2 epsilon norm(g)^2).

c is 1 for arrays that no quantiser stands in front of, up to O(epsilon^2).

**What to expect.** The jump of a sign times the density of weights at their threshold. For Gaussian weights

- a row to s Sign(w - mu) + mu (D25, Def. D.3): sqrt(2/pi) in each direction with the root mean square as s ("std"), and
  2/pi with the mean size ("absmean"), but for the shift of a row, which passes as it is;
- a matrix to beta Sign(W - alpha) (W23, Eq. 1): 2/pi, and nothing of a shift of the whole;
- a matrix to beta times -1, 0, +1, rounded from W/beta (b1.58): two thresholds at +-beta/2, 2 b phi(b/2) with b =
  sqrt(2/pi) and phi the normal density, 0.588;

to which a layer of few inputs adds what flips and activations have in common, O(fan_in^-1/2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntk1bit.arguments import number, real_array
from ntk1bit.autodiff import programs
from ntk1bit.autodiff.explanations import explained
from ntk1bit.autodiff.parameters import Selection, split_parameters
from ntk1bit.errors import InputError
from ntk1bit.kernels.effective import SLOWDOWN

_B = math.sqrt(2 / math.pi)  # mean size of a normal weight of variance 1
PASSED: dict[str, float] = {
    **SLOWDOWN,
    "tensor": 2 / math.pi,
    "ternary": 2 * _B * math.exp(-(_B**2) / 8) / math.sqrt(2 * math.pi),
}
"""c of Gaussian weights by their quantiser: ``std``, ``absmean`` (rows), ``tensor`` and ``ternary`` (a matrix)."""


def step_ratios(
    f: Callable[[Any, Any], Any],
    params: Any,
    x: Any,
    r: Any,
    *,
    move: float = 0.003,
    parameters: Selection = None,
) -> dict[str, float]:
    """Measure c of each array of parameters: how much of a straight-through step arrives.

    Parameters
    ----------
    f
        `f(params, x)`, real outputs of any shape.
    params
        Any pytree, as in `autodiff.ntk`.
    x
        Inputs, whatever `f` takes.
    r
        What the outputs are weighted with, of their shape: a residual, or random signs.
    move
        Root mean square of a move over that of the array's entries. A gradient is coherent: it changes what a neuron of
        d inputs sees by about sqrt(d) times as much, which should be small beside 1. The noise of one network is about
        one over the root of the number of flips, which are about `move` of all weights.
    parameters
        Which arrays, by their path, as for `autodiff.ntk`: ``"**/weight"``, a list of patterns or a function; all by
        default.

    Returns
    -------
    c by the path of the array, such as ``layers/0/weight``. An array whose gradient is 0 has NaN.

    Raises
    ------
    InputError
        If the parameters are none, `move` is not positive, `r` is not of finite numbers, or outputs have another shape.
    """
    move = number("move", move, allowed="a positive number", above=0.0)
    split, trained, frozen = split_parameters(params, parameters)
    given = real_array("r", r)
    if not np.isfinite(given).all():
        raise InputError("r contains NaN or infinity; it must hold finite numbers, one for each output")
    weights = jnp.asarray(given)
    with explained("f cannot be evaluated on these parameters and inputs"):
        shape = jax.eval_shape(lambda at, frozen, x: f(split.join(at, frozen), x), trained, frozen, x).shape
    if shape != weights.shape:
        raise InputError(f"r must have the shape of the outputs, {shape}, got {weights.shape}")

    def weighted(at: Any, frozen: Any, weights: jax.Array, inputs: Any) -> jax.Array:
        return jnp.vdot(weights, f(split.join(at, frozen), inputs))

    rest = (frozen, weights, x)
    value = programs.compiled("step", weighted, trained, *rest)
    gradient = programs.compiled("step", jax.grad(weighted), trained, *rest)(trained, *rest)
    found = {}
    for place, (path, g, array) in enumerate(zip(split.paths, gradient, trained, strict=True)):
        square = float(jnp.vdot(g, g))
        size = float(jnp.sqrt(jnp.vdot(array, array)))
        if not square > 0:
            found[path] = math.nan
            continue
        epsilon = move * (size if size > 0 else 1.0) / math.sqrt(square)
        ends = [
            float(value((*trained[:place], array + sign * epsilon * g, *trained[place + 1 :]), *rest)[0])
            for sign in (1, -1)
        ]
        found[path] = (ends[0] - ends[1]) / (2 * epsilon * square)
    return found


def expected_ratio(quantiser: str, gradient: Float[Any, "m d"]) -> float:
    """Return c of a matrix of Gaussian weights with this gradient, for a layer of many inputs (this module's text).

    Parameters
    ----------
    quantiser
        ``"std"``, ``"absmean"``, ``"tensor"`` or ``"ternary"``.
    gradient
        (m, d), by the surrogate.

    Raises
    ------
    InputError
        If the quantiser is unknown.
    """
    if quantiser not in PASSED:
        raise InputError(f"no quantiser is called {quantiser!r}; choose from {', '.join(PASSED)}")
    g = jnp.asarray(gradient)
    square = float(jnp.vdot(g, g))
    c = PASSED[quantiser]
    if quantiser == "ternary":
        return c
    if quantiser == "tensor":
        return c * (1 - float(g.sum()) ** 2 / g.size / square)
    shifts = float(jnp.sum(g.sum(axis=1) ** 2)) / g.shape[1] / square
    return c * (1 - shifts) + shifts
