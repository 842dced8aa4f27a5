"""The NTK of a network of dense layers, layer by layer, without a Jacobian at any width.

For a dense layer z = W h the gradient of output o at x is the outer product of its back-propagated signal
delta_o(x) = d f_o(x)/d z and its input h(x), so its part of the NTK is

    Theta_oo'(x, x') = <h(x), h(x')> <delta_o(x), delta_o'(x')>,

an elementwise product of two Gram matrices. That costs O(n^2 (fan_in + fan_out)) instead of the O(n^2 fan_in fan_out)
of multiplying Jacobians. A network offers its layers by passing each through a `tap`:

    def forward(params, x, tap):
        h = jax.nn.relu(tap(x, x @ params[0]))
        return tap(h, h @ params[1])[:, 0]

`tap(inputs, z)` returns z; `inputs` must be what the gradient of the layer's weights is made of, so a constant in front
of the weights (1/sqrt(fan_in)) goes into `inputs` too: with h scaled, `tap(h, h @ w)`. For the straight-through sign of
D25, d z/d w := x, so the tapped inputs are the plain ones. Taps may stand inside `jax.jit`, `jax.checkpoint` and
`scan`. Weights used twice, or scales that have gradients of their own, do not fit: use `ntk1bit.autodiff.ntk`. All of
this is checked on two rows (`ntk1bit.autodiff.tap_checks`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact, Shaped

from ntk1bit.autodiff import programs
from ntk1bit.autodiff.equations import is_inexact
from ntk1bit.autodiff.programs import Program
from ntk1bit.autodiff.tap_checks import check_taps
from ntk1bit.autodiff.taps import Forward, Leaves, Tapped, trace
from ntk1bit.errors import InputError


def layerwise_ntk(
    forward: Forward,
    params: Any,
    x: Shaped[Any, "n ..."],
    x2: Shaped[Any, "n2 ..."] | None = None,
    *,
    trace_outputs: bool = True,
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Compute the NTK with respect to the weights of the tapped layers.

    Parameters
    ----------
    forward
        `forward(params, x, tap)` -> (n,) or (n, outputs), as in this module's text. `tap(inputs, z, bias=True)` adds
        the gradient of a bias. Layers that are not tapped count as frozen. It is traced anew each
        time; compiled code is found by what was traced.
    params
        Whatever `forward` takes; any pytree.
    x, x2
        Inputs with the batch on the first axis; `x2` defaults to `x`.
    trace_outputs
        As for `ntk1bit.autodiff.ntk`.

    Returns
    -------
    (n, n2), or (n, n2, outputs, outputs) when outputs are not traced.

    Raises
    ------
    InputError
        If inputs do not match, inputs or parameters are not finite, no layer is tapped, a tapped layer does not have
        shape (n, features), its inputs are not what its gradient is made of, weights are used in two places, or no
        gradient gets from a tap to the output.

    Warns
    -----
    MissingGradientWarning
        If something without a derivative follows a tap beside paths with one.
    """
    left, right = jnp.asarray(x), None if x2 is None else jnp.asarray(x2)
    for array in (left, left if right is None else right):
        if array.ndim < 1 or array.shape[0] == 0 or array.shape[1:] != left.shape[1:]:
            raise InputError(f"inputs of shapes {left.shape} and {array.shape} do not match or are empty")
    leaves = Leaves.of(params)
    network = trace(forward, leaves, left)
    other = network if right is None or right.shape == left.shape else trace(forward, leaves, right)
    given = (network.consts, other.consts, leaves.numbers, left, right)
    compiled = _compiled(network.program, other.program, trace_outputs, given)
    kernel, flags = compiled.run(*given)
    inputs_finite, numbers_finite, alive = np.asarray(flags)
    if not inputs_finite:
        raise InputError("inputs contain NaN or infinity; remove or repair those rows first")
    if not (numbers_finite or all(bool(jnp.isfinite(a).all()) for a in leaves.numbers if is_inexact(a))):
        raise InputError("params contain NaN or infinity; the network has diverged")
    if not alive:
        raise InputError(
            "the Jacobian of every tapped layer is zero: the network is dead at these inputs, or something without a "
            "derivative (a bare sign) follows every tap; quantise with a straight-through estimator"
        )
    if not compiled.sound:
        compiled.sound = check_taps(forward, leaves, left)
    result = np.asarray(kernel)
    if not np.isfinite(result).all():
        raise InputError("the NTK contains NaN or infinity; check the parameters and the network at these inputs")
    return result


class _Compiled:
    """The compiled kernel of a program, and whether its taps are known to be what they must be, at all parameters."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run, self.sound = jax.jit(run), False


def _compiled(left: Program, right: Program, trace_outputs: bool, given: tuple[Any, ...]) -> _Compiled:
    """Find, or make, the kernel of a network at inputs of two shapes.

    It returns the kernel, and whether inputs and parameters are finite and any signal gets through.
    """
    # without constants, so that compiled code keeps no array alive
    networks = [Tapped(program._replace(constants=())) for program in (left, right)]

    def kernel(consts: Any, consts2: Any, numbers: Any, x: jax.Array, x2: jax.Array | None) -> Any:
        at_x = _layers(networks[0], consts, numbers, x)
        at_x2 = at_x if x2 is None else _layers(networks[1], consts2, numbers, x2)
        inputs_finite = jnp.isfinite(x).all() if x2 is None else jnp.isfinite(x).all() & jnp.isfinite(x2).all()
        # the fastest test of all numbers; where it overflows, each of them is looked at
        squares = [jnp.vdot(a, a) for a in numbers if is_inexact(a)]
        numbers_finite = jnp.isfinite(sum(squares, jnp.zeros(()))).all()
        alive = functools.reduce(jnp.logical_or, [jnp.any(signal) for signal in at_x.signals + at_x2.signals])
        flags = jnp.stack([inputs_finite, numbers_finite, alive])
        return _combine(at_x, at_x2, trace_outputs or at_x.single), flags

    # Derivatives declared by hand are not in the programs, but in the kernel that is made of them.
    whole = left.complete and right.complete
    key = (left.key, right.key, trace_outputs, given[-1] is None) if whole else programs.trace(kernel, *given).key
    return programs.kept(("layers", key), lambda: _Compiled(kernel))


class _Layers(NamedTuple):
    """A network's layers at some inputs; `single` if it returns one number per input rather than a row of outputs."""

    inputs: list[jax.Array]  # (n, fan_in) each
    signals: list[jax.Array]  # (outputs, n, fan_out) each
    single: bool


def _layers(network: Tapped, consts: Any, numbers: Any, x: jax.Array) -> _Layers:
    """Run the network once forwards, and backwards once for each output."""
    shapes = []

    def measure(inputs: Any, z: Any) -> Any:
        del inputs
        shapes.append(jax.ShapeDtypeStruct(z.shape, z.dtype))
        return z

    outputs = jax.eval_shape(lambda n, a: network.run(consts, n, a, measure), numbers, x).shape

    def nudged(nudges: Any) -> tuple[Any, Any]:
        inputs, source = [], iter(nudges)

        def nudge(h: Any, z: Any) -> Any:
            inputs.append(h)
            return z + next(source)

        value = network.run(consts, numbers, x, nudge)
        return value.reshape(value.shape[0], -1), inputs

    value, pull, inputs = jax.vjp(nudged, [jnp.zeros(s.shape, s.dtype) for s in shapes], has_aux=True)

    def signals(output: jax.Array) -> Any:
        return pull(jnp.broadcast_to(output, value.shape))[0]

    return _Layers(inputs, jax.vmap(signals)(jnp.eye(value.shape[1], dtype=value.dtype)), len(outputs) == 1)


def _combine(left: _Layers, right: _Layers, trace: bool) -> jax.Array:
    """Sum (Gram of inputs) o (Gram of signals) over layers, averaged over outputs if `trace`."""
    parts = []
    with jax.default_matmul_precision("highest"):
        for h, delta, h2, delta2 in zip(left.inputs, left.signals, right.inputs, right.signals, strict=True):
            if trace:
                flat, flat2 = (d.transpose(1, 0, 2).reshape(d.shape[1], -1) for d in (delta, delta2))
                parts.append((h @ h2.T) * (flat @ flat2.T) / delta.shape[0])
            else:
                parts.append((h @ h2.T)[:, :, None, None] * jnp.einsum("oik,pjk->ijop", delta, delta2))
    return functools.reduce(jnp.add, parts)
