"""Networks of which single blocks of the kernel are computed, wherever that is.

A kernel that several processes compute is cut into pairs of blocks of inputs. Each process opens the network itself;
that all have the same one, a fingerprint of its program, its derivative and its numbers tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Inexact

from ntk1bit.autodiff import derivatives, programs, rows
from ntk1bit.autodiff.derivatives import Network
from ntk1bit.autodiff.examination import Examination, examine, unexamined
from ntk1bit.autodiff.frameworks.jax_calls import batch_function
from ntk1bit.autodiff.frameworks.recognition import Library, library_of, open_network
from ntk1bit.autodiff.missing_gradients.gradient_paths import zero_jacobian_error
from ntk1bit.autodiff.tangent_kernel import Method, entries
from ntk1bit.errors import InputError, require_choice

METHODS: tuple[Method, ...] = ("auto", "layers", "jacobian", "vector_products")
_ARGUMENTS = ("module", "params", "state", "parameters", "evaluate")  # of `module_ntk`
_ADDRESS = re.compile(r"0x[0-9a-f]+")  # of a Python function, in the text of a program


@runtime_checkable
class KernelBlocks(Protocol):
    """A network that has passed the checks of its kernel, here or elsewhere."""

    @property
    def outputs(self) -> tuple[int, ...]:
        """Shape of the output for one input, () or (outputs,)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of the kernel."""
        ...

    def fingerprint(self) -> str:
        """Return what tells its program and its numbers from any other's, in every process."""
        ...

    def block(self, x: Any, x2: Any, *, trace: bool) -> Inexact[np.ndarray, "n n2 ..."]:
        """Compute the kernel of some inputs with others, with themselves if `x2` is None; `trace_outputs` as of `ntk`.

        Raises
        ------
        InputError
            If an output is NaN; inputs are numbered from the beginning of the block.
        """
        ...

    def refuse_dead(self, x: Any, x2: Any) -> None:
        """Refuse a network whose Jacobian is zero at all of these inputs."""
        ...


class OpenedBlocks(NamedTuple):
    """A network and its inputs, NumPy arrays that can be sent anywhere; `x2` is None for x with itself."""

    network: KernelBlocks
    x: Any
    x2: Any


def open_blocks(
    made: Any, x: Any, x2: Any = None, *, method: Method, budget: int, examined: bool = False
) -> OpenedBlocks:
    """Open a network for its kernel at these inputs.

    Parameters
    ----------
    made
        Arguments of `module_ntk` that say what the network is: `module` and, if needed, `params`, `state`,
        `parameters`, `evaluate`.
    x, x2
        Inputs as there.
    method
        One of `METHODS`, by which blocks are computed.
    budget
        The `memory_budget` of each.
    examined
        Whether the network has passed the checks of `ntk` in another process, at other inputs.

    Raises
    ------
    InputError
        As `module_ntk`; if `made` is no such mapping.

    Warns
    -----
    UserWarning
        As `module_ntk`, unless it is said to be examined.
    """
    given = _read_arguments(made)
    library = library_of(given["module"])
    if library != "torch":
        found = _open_jax(given, library, x, x2, unexamined if examined else examine)
        network = JaxBlocks(found.network, found.paths, method=method, budget=budget)
        return OpenedBlocks(network, *jax.tree.map(np.asarray, (found.inputs, found.other)))
    from ntk1bit.autodiff.frameworks.torch_blocks import open_torch_blocks

    if given["params"] is not None or given["state"] is not None:
        raise InputError("a PyTorch module holds its own parameters and buffers; leave params and state out")
    require_choice("method of a PyTorch module", method, ("auto", "layers", "jacobian"))
    network, inputs, other = open_torch_blocks(
        given["module"], x, x2, parameters=given["parameters"], evaluate=given["evaluate"], budget=budget
    )
    return OpenedBlocks(network, inputs, other)


class JaxBlocks:
    """Blocks of the kernel of a network of JAX.

    Parameters
    ----------
    network
        Traced at one input.
    paths
        Names of the parameters that count.
    method, budget
        As of `open_blocks`.
    """

    def __init__(self, network: Network, paths: tuple[str, ...], *, method: Method, budget: int) -> None:
        self._network, self._paths = network, paths
        self._method: Method = method
        self._budget = budget
        self.outputs = network.outputs
        self.dtype = np.dtype(jnp.result_type(*network.trained))

    def fingerprint(self) -> str:
        """See `KernelBlocks`; the text of the derivative tells how estimators inside the network are defined."""
        derivative = self._network.trace(_pulled_back, self._network.one)
        arrays = (
            *self._network.trained,
            *self._network.frozen,
            *self._network.program.constants,
            *derivative.constants,
        )
        return programs.digest(_ADDRESS.sub("", str(derivative.jaxpr)), self._paths, programs.contents(arrays))

    def block(self, x: Any, x2: Any, *, trace: bool) -> Inexact[np.ndarray, "n n2 ..."]:
        """See `KernelBlocks`."""
        inputs, other = jax.tree.map(jnp.asarray, (x, x2))
        trace = trace or not self.outputs
        return entries(self._network, inputs, other, method=self._method, budget=self._budget, trace=trace)

    def refuse_dead(self, x: Any, x2: Any) -> None:
        """See `KernelBlocks`."""
        sides = jax.tree.map(jnp.asarray, [x] if x2 is None else [x, x2])
        if not all(derivatives.has_gradient(self._network, side) for side in sides):
            raise zero_jacobian_error(self._paths)


def _open_jax(
    given: Mapping[str, Any], library: Library, x: Any, x2: Any, look: Callable[..., Examination]
) -> Examination:
    opened = open_network(given["module"], library, params=given["params"], state=given["state"])
    inputs = rows.read_inputs("x", x)
    function = batch_function(opened, inputs, given["evaluate"])
    return look(function.f, opened.params, inputs, x2, parameters=given["parameters"])


def _read_arguments(made: Any) -> dict[str, Any]:
    if not isinstance(made, Mapping) or "module" not in made:
        raise InputError(
            "make() must return a dict of arguments of module_ntk, {'module': network} or {'module': f, 'params': "
            f"params}}, got {type(made).__name__}"
        )
    for name in made:
        require_choice("argument that make() returns", name, _ARGUMENTS)
    return {name: made.get(name) for name in _ARGUMENTS}


def _pulled_back(f: Callable[..., Any], trained: Any, frozen: Any, constants: Any, one: Any) -> tuple[Any, ...]:
    value, pull = jax.vjp(lambda t: f(t, frozen, constants, one), trained)
    return (value, *pull(jnp.ones_like(value))[0])
