"""The two-layer network: its weights, its outputs, and which neurons are active on which inputs.

    full precision   f'(x) = kappa/sqrt(m) sum_r a_r relu(<w_r, x>)
    1-bit            f(x)  = kappa/sqrt(m) sum_r a_r relu(z_r(x)),   z_r(x) = s(w_r) <q(w_r), x> + mu(w_r) <1, x>

(D25, section 3 and Def. D.3). Float32 networks are evaluated on packed bits by `ntk1bit.cores`; the plain NumPy form
beside it serves other dtypes and is what the cores are tested against. Both handle neurons in blocks that fit the
processor's cache, so no (m, n) matrix of floats ever exists, and always as a first and a second half of equal blocks:
in a ``paired`` network the halves are copies with opposite output signs, so they go through the very same operations
and cancel exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Int64
from numpy.typing import ArrayLike

from ntk1bit import cores
from ntk1bit.arguments import input_rows, real_array
from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.quantizers import SCALES, Scale, centred_scale
from ntk1bit.printing import record

Precision = Literal["one_bit", "full"]
Init = Literal["iid", "paired"]
Activity = Literal["straight_through", "latent", "frozen"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
INITS: tuple[str, ...] = get_args(Init)
ACTIVITIES: tuple[str, ...] = get_args(Activity)
STRAIGHT_THROUGH: Activity = "straight_through"

_BLOCK = 512  # neurons; with n = 256 float32 inputs a block of pre-activations is 512 KB and stays in L2


class Weights(NamedTuple):
    """A two-layer network: latent hidden weights, which train, and output signs, which do not.

    Attributes
    ----------
    w
        (m, d), float32 (or float64 for reference runs).
    a
        (m,), entries -1 or +1, same dtype as `w`.
    """

    w: Float[np.ndarray, "m d"]
    a: Float[np.ndarray, " m"]

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def width(self) -> int:
        """Number of hidden neurons m."""
        return self.w.shape[0]

    @property
    def dim(self) -> int:
        """Input dimension d."""
        return self.w.shape[1]

    def parts(self, ranges: Sequence[tuple[int, int]] | None = None) -> Iterator[Weights]:
        """Give the networks of neurons (start, stop) of each range, as views; by default itself, the only part."""
        if ranges is None:
            yield self
            return
        for start, stop in ranges:
            yield Weights(self.w[start:stop], self.a[start:stop])


def outputs(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    weights: Weights,
    *,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
    scale: Scale = "std",
) -> Float[np.ndarray, " n"]:
    """Evaluate the network: f(x) in 1-bit precision, f'(x) in full precision.

    Parameters
    ----------
    x
        Inputs, (n, d); cast to the weights' dtype.
    weights
        The network.
    precision
        ``"one_bit"`` or ``"full"``.
    kappa
        Output scale, in (0, 1] in D25; any positive number works.
    scale
        ``"std"`` (D25) or ``"absmean"``; without effect in full precision.

    Returns
    -------
    (n,), dtype of the weights.

    Raises
    ------
    InputError
        If shapes do not match, inputs or weights are not finite, output signs are not -1 or +1, kappa is no number from
        1e-30 to 1e30, or an option is unknown.
    """
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    return evaluate(x, weights, precision=precision, kappa=checked_kappa(kappa), scale=scale)


def evaluate(
    x: Float[np.ndarray, "n d"], weights: Weights, *, precision: Precision, kappa: float, scale: Scale
) -> Float[np.ndarray, " n"]:
    """Compute `outputs` of inputs in the weights' dtype; nothing is checked, so a diverged network gives NaN."""
    if weights.w.dtype != np.float32:
        _, total = reference_forward(x, weights, precision=precision, scale=scale)
        return output_factor(weights.width, kappa, weights.w.dtype) * total
    total = _packed_forward(x, weights, precision=precision, scale=scale).total
    return (output_factor(weights.width, kappa, weights.w.dtype) * total).astype(np.float32)


def outputs_reference(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    weights: Weights,
    *,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
    scale: Scale = "std",
) -> Float[np.ndarray, " n"]:
    """Compute `outputs` in plain NumPy, in the weights' dtype."""
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    _, total = reference_forward(x, weights, precision=precision, scale=scale)
    return output_factor(weights.width, checked_kappa(kappa), weights.w.dtype) * total


def activation_patterns(
    x: Float[np.ndarray, "n d"] | ArrayLike, weights: Weights, *, precision: Precision = "one_bit", scale: Scale = "std"
) -> Bool[np.ndarray, "m n"]:
    """Say which neurons are active on which inputs: `1[z_r(x_i) >= 0]`, shape (m, n).

    Arguments and errors are those of `outputs`. `packed_activation_patterns` gives them packed in 1/8 of the memory.
    """
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    if weights.w.dtype != np.float32:
        return reference_forward(x, weights, precision=precision, scale=scale)[0]
    return cores.unpack_bits(_packed_forward(x, weights, precision=precision, scale=scale).active)


def packed_activation_patterns(
    x: Float[np.ndarray, "n d"] | ArrayLike, weights: Weights, *, precision: Precision = "one_bit", scale: Scale = "std"
) -> cores.PackedBits:
    """Return `activation_patterns` as packed bits, (m neurons, n inputs)."""
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    if weights.w.dtype != np.float32:
        return cores.pack_bits(reference_forward(x, weights, precision=precision, scale=scale)[0])
    return _packed_forward(x, weights, precision=precision, scale=scale).active


def reference_forward(
    x: Float[np.ndarray, "n d"], weights: Weights, *, precision: Precision, scale: Scale
) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, " n"]]:
    """Compute activation patterns and `sum_r a_r relu(z_r(x_i))` in plain NumPy, in the weights' dtype, unchecked."""
    w, a = weights
    xt = np.ascontiguousarray(x.T)
    active = np.empty((weights.width, x.shape[0]), dtype=bool)
    total = np.zeros(x.shape[0], dtype=w.dtype)
    for part in halves(weights.width):
        half_sum = np.zeros_like(total)
        for block in blocks(part):
            z = preactivations(w[block], xt, precision=precision, scale=scale)
            np.greater_equal(z, 0, out=active[block])
            half_sum += a[block] @ np.maximum(z, 0, out=z)
        total += half_sum
    return active, total


def preactivations(
    w: Float[np.ndarray, "m d"], xt: Float[np.ndarray, "d n"], *, precision: Precision, scale: Scale
) -> Float[np.ndarray, "m n"]:
    """Return z_r(x_i) in plain NumPy: `s <q, x> + mu <1, x>` (1-bit), `<w, x>` (full precision); nothing is checked.

    Multiplying the signs, rather than the rounded weights s q + mu, gives exactly 0 where <q, x> and <1, x> are 0.
    """
    if precision == "full":
        return w @ xt
    c, s, mu = centred_scale(w, scale=scale)
    np.copysign(1.0, c, out=c)
    z = c @ xt
    z *= s[:, None]
    z += mu[:, None] * xt.sum(axis=0)
    return z


def activity_in(precision: Precision, activity: Activity) -> Activity:
    """Return the activity by which a network of this precision descends: in full precision <w_r, x> is z_r(x)."""
    return STRAIGHT_THROUGH if precision == "full" and activity == "latent" else activity


def _packed_forward(
    x: Float[np.ndarray, "n d"], weights: Weights, *, precision: Precision, scale: Scale
) -> cores.Forward:
    w, a = weights
    if precision == "full":
        return cores.forward_full(x, w, a)
    return cores.forward_one_bit(x, cores.pack_neurons(w, scale=scale), a)


def coactive_counts(
    active: Bool[np.ndarray, "m n"], active2: Bool[np.ndarray, "m n2"] | None = None
) -> Int64[np.ndarray, "n n2"]:
    """Count the neurons active on both inputs of each pair: `A^T A2`, exact; the plain form of `cores.bit_gram`.

    Parameters
    ----------
    active, active2
        Activation patterns on two sets of inputs; `active2` defaults to `active`.
    """
    counts = np.zeros((active.shape[1], (active if active2 is None else active2).shape[1]), dtype=np.int64)
    # float32 products of 0/1 are exact while a block has fewer than 2^24 neurons
    for block in blocks(slice(0, active.shape[0]), size=4 * _BLOCK):
        left = active[block].astype(np.float32)
        right = left if active2 is None else active2[block].astype(np.float32)
        counts += (left.T @ right).astype(np.int64)
    return counts


def kernel_from_counts(
    inner: Float[np.ndarray, "n n2"], counts: Int[np.ndarray, "n n2"], *, width: int, kappa: float
) -> Float[np.ndarray, "n n2"]:
    """Return the kernel `kappa^2 <x_i, x_j> counts_ij / m` (D25, Def. G.1), float64.

    Parameters
    ----------
    inner
        Inner products of the inputs.
    counts
        Neurons active on both, from `cores.bit_gram` or `coactive_counts`.
    width
        m.
    kappa
        Output scale.
    """
    return (kappa**2 / width) * (inner * counts)


def output_factor(width: int, kappa: float, dtype: np.dtype) -> np.floating:
    """Return `kappa / sqrt(m)` in the weights' dtype."""
    return dtype.type(kappa / np.sqrt(width))


def halves(width: int) -> tuple[slice, slice]:
    """Split the neurons in two equal halves (the second one longer by one when the width is odd)."""
    return slice(0, width // 2), slice(width // 2, width)


def blocks(part: slice, size: int = _BLOCK) -> Iterator[slice]:
    """Cut a range of neurons into blocks of `size`, the last one shorter."""
    for start in range(part.start, part.stop, size):
        yield slice(start, min(start + size, part.stop))


def checked_inputs(
    x: Float[np.ndarray, "n d"] | ArrayLike, weights: Weights, *, precision: str, scale: str
) -> Float[np.ndarray, "n d"]:
    """Check options, weights and inputs once, before anything is computed, and cast `x` to the weights' dtype.

    Raises
    ------
    InputError
        As `outputs`.
    """
    require_choice("precision", precision, PRECISIONS)
    require_choice("scale", scale, SCALES)
    require_network(weights)
    rows = input_rows("x", x)
    if rows.shape[1] != weights.dim:
        raise InputError(f"inputs have {rows.shape[1]} features, but the network takes {weights.dim}")
    return np.ascontiguousarray(rows, dtype=weights.w.dtype)


def checked_targets(y: Float[np.ndarray, " n"] | ArrayLike, n: int) -> Float[np.ndarray, " n"]:
    """Return one finite target for each of n inputs, as floats of their own dtype.

    Raises
    ------
    InputError
        If these are other numbers, or not as many.
    """
    targets = real_array("y", y)
    if targets.shape != (n,):
        raise InputError(f"there are {n} inputs but targets of shape {targets.shape}; they must match")
    if not np.isfinite(targets).all():
        raise InputError("targets contain NaN or infinity; remove or repair those rows first")
    return targets if targets.dtype.kind == "f" else targets.astype(np.float64)


def require_network(weights: Weights) -> None:
    """Raise `InputError` unless these are finite weights (m, d) and output signs (m,).

    Signs, because kernel and step are written for a^2 = 1 (D25, section 3): with another `a` they belong to another
    network.
    """
    w, a = weights
    for name, array in (("w", w), ("a", a)):
        if not (isinstance(array, np.ndarray) and array.dtype.kind == "f"):
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(
                f"weights {name} must be a NumPy array of floats, got {found}; use np.asarray(..., np.float32)"
            )
    if w.ndim != 2 or 0 in w.shape or a.shape != w.shape[:1]:
        raise InputError(f"a network needs weights w (m, d) and signs a (m,), got shapes {w.shape} and {a.shape}")
    if not all(np.isfinite(w[block]).all() for block in blocks(slice(0, len(w)))):
        raise InputError("the weights contain NaN or infinity; the network has diverged, or was not read in whole")
    if not (np.abs(a) == 1).all():
        other = a[np.abs(a) != 1][0]
        raise InputError(f"output signs a must be -1 or +1, got {other:g}; kernel and step are written for a^2 = 1")
