r"""Random projections of gradients: features of each input whose inner products estimate the NTK.

With D random directions d_r in parameter space (independent entries of mean 0 and variance 1) and k outputs

    F[i, (r, o)] = J_o(x_i) d_r / sqrt(D k),     E[F F^T] = 1/k sum_o J_o(x_i) J_o(x_j)^T,

the NTK averaged over outputs, from D k columns; without the average F[(i, o), r] = J_o(x_i) d_r / sqrt(D) estimates the
kernel of all pairs of outputs. For Gaussian directions an entry has exactly the variance

    Var (F F^T)_ij = (Theta_ii Theta_jj + Theta_ij^2) / D                                 one output, or all pairs,
                   = (tr(T_ii T_jj) + tr(T_ij T_ij)) / (D k^2)                            averaged, T_ij (k, k) blocks,

at most 2 Theta_ii Theta_jj/D, so its relative error is at most sqrt(2/D) in units of sqrt(Theta_ii Theta_jj). For
signs (``"rademacher"``) 2 sum_p a_p^2 b_p^2/D comes off, a and b being the gradients, so it is a bound. Eigenvalues get
a relative error of about sqrt(2/D) as well: 2 % takes 5,000 directions, and the largest of several errors more.

A sketch is tested before it is returned: on some inputs, spread over all, exact entries are computed by
`ntk1bit.autodiff.ntk`, and the root of the mean of ((F F^T)_ij - Theta_ij)^2/Var over all pairs of them must not exceed
5 + 18/sqrt(D). The quadratic forms of Gaussian vectors exceed that with a probability below 1e-5 (Laurent and Massart
2000, lemma 1, with x = 12.5). A wrong scale s is found where abs(s - 1) is above about 5 sqrt(2/D).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Inexact

from ntk1bit.arguments import number, require_memory, whole
from ntk1bit.autodiff import rows
from ntk1bit.autodiff.block_products import Directions, Products
from ntk1bit.autodiff.derivatives import compiled
from ntk1bit.autodiff.diagonals import jacobian_rows
from ntk1bit.autodiff.examination import Function, Params, examine
from ntk1bit.autodiff.operators import differentiated
from ntk1bit.autodiff.parameters import Selection
from ntk1bit.autodiff.tangent_kernel import ntk
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels import Kernel
from ntk1bit.printing import number as written
from ntk1bit.printing import unheard

Kind = Literal["rademacher", "gaussian"]
KINDS: tuple[str, ...] = get_args(Kind)
Way = Literal["auto", "forward", "reverse"]
WAYS: tuple[str, ...] = get_args(Way)

_SAMPLE = 24  # inputs of which exact entries are computed
_MOST_EXACT = 1 << 22  # numbers in their kernel: fewer inputs where there are many outputs
_EDGE = 5.0, 18.0  # a sketch is refused beyond 5 + 18/sqrt(D) standard errors


def gradient_features(
    f: Function,
    params: Params,
    x: Any,
    *,
    features: int,
    kind: Kind = "rademacher",
    seed: int = 0,
    trace_outputs: bool = True,
    method: Way = "auto",
    parameters: Selection = None,
    memory_budget: Any = 1 << 30,
    progress: Callable[[str, float], None] | None = None,
) -> Kernel:
    """Project the gradients of every input onto random directions: a factor F of an estimate F F^T of the NTK.

    Parameters
    ----------
    f, params, x, parameters
        As for `ntk1bit.autodiff.ntk`.
    features
        Random directions D; each gives a column for every output.
    kind
        ``"rademacher"``, independent signs, or ``"gaussian"``.
    seed
        Of the directions, each of which is drawn by `numpy.random.default_rng([seed, its number])`: the same whatever
        the blocks, the method, the inputs and the number of features.
    trace_outputs
        If true, F is (n, D k) and F F^T estimates the mean over k outputs; if false F is (n k, D) for all pairs of
        them, output o of input i on row i k + o.
    method
        ``"forward"`` pushes each direction through f (`jax.jvp`), ``"reverse"`` multiplies Jacobians of blocks of
        inputs, which is faster where a network uses few weights often or has few parameters; ``"auto"`` takes the one
        with fewer operations by the compiler's count, and the second if f uses `jax.custom_vjp`, saying so.
    memory_budget
        Bytes for directions, Jacobians and activations; parameters, inputs and F, 4 n D k bytes in float32, come on
        top.
    progress
        Called after each block with words and the share done.

    Returns
    -------
    Kernel
        Held as a factor in the dtype of the parameters. `quality` has `stated_error`, sqrt(2/D); `measured_error`, the
        root mean square of ((F F^T)_ij - Theta_ij)/sqrt(Theta_ii Theta_jj) over the pairs of some inputs;
        `standard_errors`, the same in units of the standard error of each entry, about 1 if all is well, and less for
        signs; `exact_inputs`, how many inputs were tried. `about` has kind, seed and method.

    Raises
    ------
    InputError
        As for `ntk`; if F does not fit into memory, is zero where the kernel is not, or is further from exact entries
        than chance explains (this module's text).

    Warns
    -----
    UserWarning
        If f uses `jax.custom_vjp`, or the budget is too small for one direction through one input.

    References
    ----------
    Johnson and Lindenstrauss 1984; Achlioptas 2003 (signs).
    """
    require_choice("kind", kind, KINDS)
    require_choice("method", method, WAYS)
    budget = int(number("memory_budget", memory_budget, allowed="a positive number of bytes", least=1.0))
    count = whole("features", features, allowed="a whole number of at least 1", least=1)
    seed = whole("seed", seed, allowed="a whole number from 0 to 2^32 - 1", least=0, most=2**32 - 1)
    network, inputs, _, paths = examine(f, params, x, parameters=parameters)
    trace = bool(trace_outputs) or not network.outputs
    products = Products(network, inputs, budget)
    n, k = products.count, network.width
    size = float(products.dtype.itemsize) * n * count * k
    require_memory(f"{count} features of {n} inputs with {k} outputs", size, instead="take fewer features")
    way = _chosen(products, method)
    directions = _Directions(products, count, kind, seed)
    report = progress or unheard
    columns = np.zeros((n, count, k), products.dtype)  # as they are made; (n, D, k)
    blocks = _by_pushing(products, directions) if way == "forward" else _by_jacobians(products, directions)
    for rows_done, some, values, share in blocks:
        columns[rows_done, some] = values
        report(f"features {some.start} to {some.stop - 1} of inputs {rows_done.start} to {rows_done.stop - 1}", share)
    if not np.isfinite(columns).all():
        at = int(np.argmin(np.isfinite(columns).all(axis=(1, 2))))
        raise InputError(f"the features of input {at} contain NaN or infinity; check the parameters and f")
    factor = _scaled(columns, trace)
    quality = _tested(f, params, inputs, factor, count, k, trace=trace, parameters=parameters, budget=budget)
    about = {**differentiated(f, products, paths), "kind": kind, "features": count, "seed": seed, "method": way}
    return Kernel(factor=factor, about=about, quality=quality)


class _Directions:
    """Random directions in parameter space, any of which is made when it is needed."""

    def __init__(self, products: Products, count: int, kind: str, seed: int) -> None:
        self.count, self.kind, self.seed = count, kind, seed
        self.shapes = [leaf.shape for leaf in products.network.trained]
        self.dtypes = [leaf.dtype for leaf in products.network.trained]

    def __call__(self, some: slice) -> Directions:
        """Return those of a range, (directions, ...) a parameter."""
        sizes = [math.prod(shape) for shape in self.shapes]
        numbers = range(some.start, some.stop)
        host = [np.empty((len(numbers), size), dtype) for size, dtype in zip(sizes, self.dtypes, strict=True)]
        for row, direction in enumerate(numbers):
            generator = np.random.default_rng([self.seed, direction])
            for leaf in host:
                if self.kind == "gaussian":
                    leaf[row] = generator.standard_normal(leaf.shape[1], np.float32)
                else:
                    bits = np.frombuffer(generator.bytes(-(-leaf.shape[1] // 8)), np.uint8)
                    leaf[row] = 2.0 * np.unpackbits(bits, count=leaf.shape[1]) - 1.0
        return tuple(jnp.asarray(leaf).reshape(-1, *shape) for leaf, shape in zip(host, self.shapes, strict=True))

    def cut(self, size: int) -> list[slice]:
        """Return the ranges of so many directions."""
        return [slice(start, min(start + size, self.count)) for start in range(0, self.count, size)]


_Block = tuple[slice, slice, Inexact[np.ndarray, "inputs directions outputs"], float]


def _by_pushing(products: Products, directions: _Directions) -> Iterator[_Block]:
    """Push directions through blocks of inputs."""
    plan = products.plan(directions.count)
    blocks, parts = list(products.blocks(plan.inputs)), directions.cut(plan.vectors)
    for done, some in enumerate(parts):
        drawn = directions(some)
        for at, block in enumerate(blocks, start=1):
            share = (done * len(blocks) + at) / (len(parts) * len(blocks))
            yield block, some, products.push(drawn, block).transpose(1, 0, 2), share


def _by_jacobians(products: Products, directions: _Directions) -> Iterator[_Block]:
    """Multiply the Jacobians of blocks of inputs with directions: a third of the budget for each, and for a copy."""
    network, share = products.network, max(1, products.budget // 3)
    code = compiled(network, "jacobian", products.inputs)
    size = jacobian_rows(network, products.inputs, share)
    # directions, the compiler's copy of them, and what they are drawn from
    parts = directions.cut(max(1, min(directions.count, share // (3 * products.vector_bytes))))
    for block in products.blocks(size):
        _, *jacobian = code(network, rows.take(products.inputs, block))
        for some in parts:
            values = np.asarray(_contracted(jacobian, directions(some)))
            done = (block.start + (block.stop - block.start) * some.stop / directions.count) / products.count
            yield block, some, values, done
        del jacobian  # before the next ones are formed


@jax.jit
def _contracted(jacobian: list[jax.Array], directions: Directions) -> jax.Array:
    """Return J d of Jacobians (b, outputs * size) a parameter, (b, directions, outputs)."""
    total = None
    with jax.default_matmul_precision("highest"):
        for leaf, drawn in zip(jacobian, directions, strict=True):
            flat = drawn.reshape(len(drawn), -1)
            part = leaf.reshape(-1, flat.shape[1]) @ flat.T
            total = part if total is None else total + part
    assert total is not None  # some leaf is trained
    return total.reshape(len(jacobian[0]), -1, total.shape[1]).swapaxes(1, 2)


def _chosen(products: Products, method: str) -> Literal["forward", "reverse"]:
    """Return the way that takes fewer operations for one direction; only the second without a forward mode."""
    if not products.forward:
        if method == "forward":
            products.say_if_reversed(stacklevel=3)
            return "forward"
        if method == "auto":
            warnings.warn(
                "f uses jax.custom_vjp, which has no forward mode: features are computed from Jacobians (method "
                "'reverse')",
                UserWarning,
                stacklevel=3,
            )
        return "reverse"
    if method != "auto":
        return "forward" if method == "forward" else "reverse"
    # per input and direction; a Jacobian itself is shared by all directions
    pushed = products.operations()
    multiplied = 2.0 * products.network.row_bytes / products.dtype.itemsize
    fits = products.network.row_bytes * 4 <= products.budget
    return "reverse" if fits and multiplied < pushed else "forward"


def _scaled(columns: Inexact[np.ndarray, "n D k"], trace: bool) -> Inexact[np.ndarray, "rows columns"]:
    n, count, k = columns.shape
    columns *= np.asarray(1 / math.sqrt(count * (k if trace else 1)), columns.dtype)
    return columns.reshape(n, count * k) if trace else columns.transpose(0, 2, 1).reshape(n * k, count)


def _tested(
    f: Function,
    params: Params,
    inputs: Any,
    factor: Inexact[np.ndarray, "rows columns"],
    count: int,
    k: int,
    *,
    trace: bool,
    parameters: Selection,
    budget: int,
) -> dict[str, float]:
    """Hold the sketch against exact entries; see this module's text."""
    n = rows.count(inputs)
    most = max(2, min(_SAMPLE, math.isqrt(_MOST_EXACT) // k))
    at = np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
    some = jax.tree.map(lambda leaf: leaf[at], inputs)
    given: dict[str, Any] = {"parameters": parameters, "memory_budget": budget, "method": "jacobian"}
    blocks = ntk(f, params, some, trace_outputs=False, **given).astype(np.float64)
    blocks = blocks.reshape(len(at), len(at), k, k)
    if trace:
        exact = np.einsum("ijoo->ij", blocks) / k
        own = blocks[np.arange(len(at)), np.arange(len(at))]
        variance = np.einsum("ioq,jqo->ij", own, own) + np.einsum("ijoq,ijqo->ij", blocks, blocks)
        variance, taken = variance / (count * k**2), at
    else:
        exact = blocks.transpose(0, 2, 1, 3).reshape(len(at) * k, -1)
        variance = (np.outer(np.diag(exact), np.diag(exact)) + exact**2) / count
        taken = (at[:, None] * k + np.arange(k)).reshape(-1)
    sketch = factor[taken].astype(np.float64)
    difference, size = sketch @ sketch.T - exact, np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    alive = size > 0  # inputs with a zero gradient have zero features, which is exact
    if not np.any(factor) or (np.diag(exact) > 0)[~sketch.any(axis=1)].any():
        raise InputError("features are zero where the kernel is not; use another seed or more features")
    measured, errors = _root_mean_square(difference[alive] / size[alive]), np.sqrt(variance[alive])
    standard = _root_mean_square(difference[alive] / errors)
    edge = _EDGE[0] + _EDGE[1] / math.sqrt(count)
    if standard > edge or np.abs(difference[~alive]).max(initial=0.0) > 0:
        raise InputError(
            f"the sketch is off exact entries by {written(standard)} standard errors, more than chance explains "
            f"({written(edge)}): its relative error is {written(measured)}, and {written(math.sqrt(2 / count))} was to "
            "be expected; f may be another function in forward than in reverse mode (custom_jvp, custom_vjp)"
        )
    return {
        "stated_error": math.sqrt(2 / count),
        "measured_error": measured,
        "standard_errors": standard,
        "exact_inputs": float(len(at)),
    }


def _root_mean_square(values: Float[np.ndarray, " m"]) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0
