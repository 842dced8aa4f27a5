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

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from ntk1bit import cores
from ntk1bit.errors import InputError, require_choice
from ntk1bit.quantizers import SCALES, Scale, centred_scale

Precision = Literal["one_bit", "full"]
Init = Literal["iid", "paired"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
INITS: tuple[str, ...] = get_args(Init)

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

    @property
    def width(self) -> int:
        """Number of hidden neurons m."""
        return self.w.shape[0]

    @property
    def dim(self) -> int:
        """Input dimension d."""
        return self.w.shape[1]


def init(width: int, dim: int, *, seed: int, init: Init = "iid") -> Weights:
    """Draw a network: w_r(0) ~ N(0, I_d), a_r uniform on {-1, +1} (D25, section 3).

    Networks of different widths or dimensions are independent even at the same seed, so that estimates at
    different widths are.

    Parameters
    ----------
    width
        Number of neurons m >= 1; even for ``"paired"``.
    dim
        Input dimension d >= 1.
    seed
        Non-negative integer; the same (width, dim, seed, init) gives the same bits.
    init
        ``"iid"``: every neuron its own draw, so outputs start as O(kappa) random functions. ``"paired"``: neuron r and
        neuron r + m/2 share w and have a = +1 and -1, so the output starts at exactly 0.

    Raises
    ------
    InputError
        For a width or dimension below 1, an odd width with ``"paired"``, a negative seed, or an unknown `init`.
    """
    require_choice("init", init, INITS)
    if width < 1 or dim < 1:
        raise InputError(f"width and dim must be at least 1, got width={width}, dim={dim}")
    if seed < 0:
        raise InputError(f"seed must be a non-negative integer, got {seed}")
    rng = np.random.default_rng([seed, width, dim])
    if init == "iid":
        w = rng.standard_normal((width, dim), dtype=np.float32)
        a = np.where(rng.random(width) < 0.5, -1, 1).astype(np.float32)
        return Weights(w, a)
    if width % 2:
        raise InputError(f"a paired network needs an even width, got {width}; use {width + 1} or init 'iid'")
    half = rng.standard_normal((width // 2, dim), dtype=np.float32)
    ones = np.ones(width // 2, dtype=np.float32)
    return Weights(np.concatenate([half, half]), np.concatenate([ones, -ones]))


def outputs(
    x: Float[np.ndarray, "n d"],
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
        If shapes do not match or an option is unknown.
    """
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    if weights.w.dtype != np.float32:
        return outputs_reference(x, weights, precision=precision, kappa=kappa, scale=scale)
    total = _packed_forward(x, weights, precision=precision, scale=scale).total
    return (output_factor(weights, kappa) * total).astype(np.float32)


def outputs_reference(
    x: Float[np.ndarray, "n d"],
    weights: Weights,
    *,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
    scale: Scale = "std",
) -> Float[np.ndarray, " n"]:
    """Compute `outputs` in plain NumPy, in the weights' dtype."""
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    _, total = reference_forward(x, weights, precision=precision, scale=scale)
    return output_factor(weights, kappa) * total


def activities(
    x: Float[np.ndarray, "n d"], weights: Weights, *, precision: Precision = "one_bit", scale: Scale = "std"
) -> Bool[np.ndarray, "m n"]:
    """Say which neurons are active on which inputs: `1[z_r(x_i) >= 0]`, shape (m, n).

    Arguments and errors are those of `outputs`. `packed_activities` gives them packed in 1/8 of the memory.
    """
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    if weights.w.dtype != np.float32:
        return reference_forward(x, weights, precision=precision, scale=scale)[0]
    return cores.unpack_bits(_packed_forward(x, weights, precision=precision, scale=scale).active)


def packed_activities(
    x: Float[np.ndarray, "n d"], weights: Weights, *, precision: Precision = "one_bit", scale: Scale = "std"
) -> cores.PackedBits:
    """Return `activities` as packed bits, (m neurons, n inputs)."""
    x = checked_inputs(x, weights, precision=precision, scale=scale)
    if weights.w.dtype != np.float32:
        return cores.pack_bits(reference_forward(x, weights, precision=precision, scale=scale)[0])
    return _packed_forward(x, weights, precision=precision, scale=scale).active


def reference_forward(
    x: Float[np.ndarray, "n d"], weights: Weights, *, precision: Precision, scale: Scale
) -> tuple[Bool[np.ndarray, "m n"], Float[np.ndarray, " n"]]:
    """Compute activities and `sum_r a_r relu(z_r(x_i))` in plain NumPy, in the weights' dtype; nothing is checked."""
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
        Activities on two sets of inputs; `active2` defaults to `active`.
    """
    counts = np.zeros((active.shape[1], (active if active2 is None else active2).shape[1]), dtype=np.int64)
    # float32 products of 0/1 are exact while a block has fewer than 2^24 neurons
    for block in blocks(slice(0, active.shape[0]), size=4 * _BLOCK):
        left = active[block].astype(np.float32)
        right = left if active2 is None else active2[block].astype(np.float32)
        counts += (left.T @ right).astype(np.int64)
    return counts


def activity_kernel(
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


def output_factor(weights: Weights, kappa: float) -> np.floating:
    """Return `kappa / sqrt(m)` in the weights' dtype."""
    return weights.w.dtype.type(kappa / np.sqrt(weights.width))


def halves(width: int) -> tuple[slice, slice]:
    """Split the neurons in two equal halves (the second one longer by one when the width is odd)."""
    return slice(0, width // 2), slice(width // 2, width)


def blocks(part: slice, size: int = _BLOCK) -> Iterator[slice]:
    """Cut a range of neurons into blocks of `size`, the last one shorter."""
    for start in range(part.start, part.stop, size):
        yield slice(start, min(start + size, part.stop))


def checked_inputs(
    x: Float[np.ndarray, "n d"], weights: Weights, *, precision: str, scale: str
) -> Float[np.ndarray, "n d"]:
    """Check options and shapes once, before anything is computed, and cast `x` to the weights' dtype."""
    require_choice("precision", precision, PRECISIONS)
    require_choice("scale", scale, SCALES)
    if x.shape[1] != weights.dim:
        raise InputError(f"inputs have {x.shape[1]} features, but the network takes {weights.dim}")
    if not np.isfinite(x).all():
        raise InputError("inputs contain NaN or infinity; remove or repair those rows first")
    return np.ascontiguousarray(x, dtype=weights.w.dtype)
