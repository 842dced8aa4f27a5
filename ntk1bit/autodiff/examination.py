"""What is asked of a function of parameters and inputs before any kernel of it is computed.

Each row must depend on its own input only, outputs must be real floats, and gradients must get through. Whatever
computes with a network's Jacobian begins here, so that the same mistakes end in the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk1bit.autodiff import programs, rows
from ntk1bit.autodiff.derivatives import Network
from ntk1bit.autodiff.explanations import VMAP, explained
from ntk1bit.autodiff.missing_gradients.gradient_paths import missing_gradients_of, telling_rows, warn_of_missing
from ntk1bit.autodiff.parameters import Selection, Split, split_parameters
from ntk1bit.autodiff.programs import Program
from ntk1bit.errors import InputError

Params = Any
Function = Callable[[Any, Any], Any]


class Examination(NamedTuple):
    """A network that has passed, with its inputs.

    Attributes
    ----------
    network
        The function of one input, traced.
    inputs, other
        Pytrees of arrays; `other` is None for a kernel of the inputs with themselves.
    paths
        Names of the parameters that count.
    """

    network: Network
    inputs: Any
    other: Any
    paths: tuple[str, ...]

    @property
    def passed(self) -> Hashable:
        """What tells this program and choice of parameters from others, whatever the numbers."""
        return self.network.key, self.paths


def examine(
    f: Function,
    params: Params,
    x: Any,
    x2: Any = None,
    *,
    parameters: Selection = None,
    passed: Hashable = None,
) -> Examination:
    """Check a function at its parameters and inputs; arguments and errors are those of `ntk1bit.autodiff.ntk`.

    Parameters
    ----------
    f, params, x, x2, parameters
        As there.
    passed
        `Examination.passed` of an earlier one. If the program is the same, rows and gradients are not tried again, and
        nothing is said again of gradients that are missing; numbers are looked at in any case.

    Raises
    ------
    InputError
        If something is not as `ntk` asks for.

    Warns
    -----
    MissingGradientWarning
        If part of what parameters do to the output is not in the gradient.
    """
    examined, examination = _read(f, params, x, x2, parameters)
    if passed is not None and examination.passed == passed:
        return examination
    network, inputs, other, _ = examination
    few = rows.few(inputs if other is None or rows.count(inputs) > 1 else other)
    together = examined.trace(rows.shapes(few))
    rows.check_rows_apart(together, network.program, (*network.trained, *network.frozen), few)
    examined.check_gradients(network, inputs)
    return examination


def unexamined(f: Function, params: Params, x: Any, x2: Any = None, *, parameters: Selection = None) -> Examination:
    """Return what `examine` does, of a network that it has passed elsewhere: rows and gradients are not tried here.

    Raises
    ------
    InputError
        If shapes or numbers are not as `ntk` asks for.
    """
    return _read(f, params, x, x2, parameters)[1]


def _read(f: Function, params: Params, x: Any, x2: Any, parameters: Selection) -> tuple[_Examined, Examination]:
    """Read parameters and inputs, and trace the function of one input."""
    inputs = rows.read_inputs("x", x)
    other = None if x2 is None or x2 is x else rows.read_inputs("x2", x2)
    if other is not None:
        inputs, other = rows.match_inputs(inputs, other)
        other = None if rows.equal_inputs(inputs, other) else other
    split, trained, frozen = split_parameters(params, parameters)
    examined = _Examined(f, split, trained, frozen)
    program = examined.trace(rows.shapes(inputs, 1))
    outputs = tuple(program.jaxpr.outvars[0].aval.shape[1:])
    network = Network(program, trained, frozen, outputs, rows.shapes(inputs, 1))
    return examined, Examination(network, inputs, other, split.paths)


class _Known:
    """What is known of a program: whether gradients get through, and if not, what was found last, at which numbers."""

    sound = False
    numbers: Hashable = None
    missing = ""


class _Examined:
    """A function at its parameters, before anything is computed: what it returns and whether gradients get through."""

    def __init__(self, f: Function, split: Split, trained: Any, frozen: Any) -> None:
        self.f, self.split = f, split
        self.trained, self.frozen = rows.shapes((trained, frozen))

    def __call__(self, trained: Any, frozen: Any, inputs: Any) -> jax.Array:
        value = self.f(self.split.join(trained, frozen), inputs)
        n = rows.count(inputs)
        if not hasattr(value, "dtype") or len(value.shape) not in (1, 2) or value.shape[0] != n:
            given = getattr(value, "shape", type(value).__name__)
            number = "one input" if n == 1 else f"{n} inputs"
            hint = _pair_hint(value) or self._hint(inputs, given)
            raise InputError(f"f(params, x) must return (n,) or (n, outputs); for {number} it returned {given}{hint}")
        if not value.size:
            raise InputError(f"f(params, x) returns no numbers, but shape {value.shape}")
        if jnp.iscomplexobj(value):
            raise InputError(
                "f(params, x) returns complex numbers; return their real and imaginary parts as outputs, "
                "jnp.stack([z.real, z.imag], axis=-1), or a real function of them"
            )
        if not jnp.issubdtype(value.dtype, jnp.floating):
            raise InputError(
                f"f(params, x) returns {value.dtype}, which has no derivative; return the outputs as floats"
            )
        return jnp.asarray(value)

    def trace(self, inputs: Any) -> Program:
        """Trace f at inputs of these shapes."""
        shapes = ", ".join(str(leaf.shape) for leaf in jax.tree.leaves(inputs))
        with explained(f"f(params, x) fails for x of shape {shapes}", lambda: self._hint(inputs)):
            return programs.trace(self, self.trained, self.frozen, inputs)

    def check_gradients(self, network: Network, inputs: Any) -> None:
        """Check that gradients get through, by this program's numbers too where an operation on the way may jump.

        A program in which none was missing counts as sound at other parameters as well. One that lacks some is told of
        at every call; it is tried again, which takes long, unless the numbers are those of the last time to the last
        bit: at others it may lack less or more.
        """
        with explained("f cannot be differentiated"):
            known = programs.kept(("gradients", network.key, self.split.paths), _Known)
            if known.sound:
                return
            at = (network.trained, (network.frozen, telling_rows(inputs)))
            numbers = programs.contents(jax.tree.leaves((*at, network.program.constants)))
            if known.numbers != numbers:
                known.missing = missing_gradients_of(self, *at, self.split.paths)
                known.numbers, known.sound = numbers, not known.missing
            warn_of_missing(known.missing)

    def _hint(self, inputs: Any, given: Any = None) -> str:
        """Say what is likely meant: a network of one input, or inputs that lack an axis."""
        leaves, treedef = jax.tree.flatten(inputs)
        single = [jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype) for leaf in leaves]
        try:
            value = jax.eval_shape(
                lambda t, z, *one: self.f(self.split.join(t, z), treedef.unflatten(one)),
                self.trained,
                self.frozen,
                *single,
            )
            takes_one = not value.shape or (len(value.shape) == 1 and value.shape != given)
        except Exception:  # whatever f raises for a thing it was not written for
            takes_one = False
        if takes_one:
            return f"; this looks like a network of one input: wrap it as {VMAP}"
        if any(leaf.ndim == 1 for leaf in leaves):
            return (
                "; x of shape (n,) is n inputs of one number: write x[:, None] for one feature, x[None] for one input"
            )
        return ""


def _pair_hint(value: Any) -> str:
    """Say what to do with outputs that come with a state, as those of networks with batch statistics do."""
    first = value[0] if isinstance(value, tuple | list) and len(value) > 1 else None
    if not hasattr(first, "shape"):
        return ""
    return (
        f" of {len(value)}, which looks like (outputs, state), as of a network with batch statistics: run it in "
        "evaluation mode and return the outputs alone, lambda p, x: f(p, x)[0]; see docs/networks.md"
    )
