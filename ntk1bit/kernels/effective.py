r"""The effective kernel K_eff: what one straight-through step really does to a 1-bit network's output.

The straight-through step moves w_r along -a_r g(w_r), with g(w) = sum_j r_j 1[z(x_j;w) >= 0] x_j, as if d z/d w were x.
The output then changes through the true z, whose dependence on w is quantised. K_eff is the kernel for which the mean
change is E[f_new(x) - f(x)] = -eta sum_j K_eff(x, x_j) r_j as eta -> 0. Derivation, for one neuron:

1. **What is averaged.** With phi(w) = relu(z(x;w)) and epsilon = eta kappa/sqrt(m), neuron r contributes
   kappa/sqrt(m) a_r [phi(w_r - epsilon a_r g) - phi(w_r)]. Averaged over a = +-1 (independent of w, exactly so for a
   ``paired`` network) this is -kappa/sqrt(m) [phi(w + epsilon g) - phi(w - epsilon g)]/2: a central difference.
2. **Coordinates.** w = c + mu 1 with sum_k c_k = 0. Moving w along x' moves mu at rate m' = mean_k x'_k and c_k at rate
   x'_k - m': *the shift of the mean moves every coordinate towards or away from its flip.*
3. **Smooth part.** Between flips q is constant and z = s <q,x> + mu <1,x> moves with s and mu only:

       smooth(x,x') = E[ 1[z(x) >= 0] 1[z(x') >= 0] (s' <q,x> + m' <1,x>) ],
       s' = <c,x'>/(d s) for ``std``  (as sum_k c_k = 0),     s' = (<q,x'> - m' sum_k q_k)/d for ``absmean``.

   The jump of the indicator in g, and the kink of the relu, act at second order only.
4. **Flips.** The other part sits on the surfaces c_k = 0, where q_k jumps between -1 and +1 and phi by

       jump_k(x) = relu(z_k^+(x)) - relu(z_k^-(x)),     z_k^+- (x) = s sum_{j != k} q_j x_j +- s x_k + mu <1,x>,

   s and mu being continuous there. c_k ~ N(0, 1 - 1/d) has density p_0 = 1/sqrt(2 pi (1 - 1/d)) at 0. A neuron just
   above the surface moves with the activation of q_k = +1, one just below with those of q_k = -1; in the central
   difference the fluxes from both sides add up to their mean:

       flips(x,x') = p_0 sum_k (x'_k - m') E[ jump_k(x) (1[z_k^+(x') >= 0] + 1[z_k^-(x') >= 0])/2  |  c_k = 0 ].

5. **The condition** c_k = 0 is sampled exactly: given it, mu ~ N(0, 1/d) still, and the other d-1 coordinates of c are
   standard normals minus their own mean. So w ~ N(0, I_d) with coordinate k set aside supplies both the conditioned
   neuron (its mean, its other coordinates re-centred) and the unconditioned one.
6. K_eff = kappa^2 (smooth + flips). Corrections to a step of finite eta are O(epsilon).

For large d and spread-out inputs jump_k(x) -> 2 s x_k 1[z(x) >= 0], s' -> 0, and with P[both active] as in
`ntk1bit.kernels.limits`

    K_eff -> kappa^2 [c (<x,x'> - <1,x><1,x'>/d) + <1,x><1,x'>/d] P,   c = sqrt(2/pi) ("std"), 2/pi ("absmean"):

every direction learns c times as fast as H says, except the direction 1, which the quantiser passes on unchanged. The
approach is O(d^-1/2) on the diagonal (where jump and activation share the kink) and faster off it. At d = 2 the
quantiser is the identity (s q = c), and K_eff is the full-precision limit exactly.

*Other activities.* A step may use the activations of the start (``frozen``): its first step is this one, and its kernel
K_eff. Or it uses those of the latent weights (``latent``), g(w) = sum_j r_j 1[<w,x_j> >= 0] x_j. The derivation is the
same, with one change in each part: <w,x'> does not jump where q_k does, so both sides of a flip move with the same
activation, that of the neuron on the surface, whose latent weights are c + mu 1 with c_k = 0:

    K_lat = kappa^2 (smooth + flips),
    smooth(x,x') = E[ 1[z(x) >= 0] 1[<w,x'> >= 0] (s' <q,x> + m' <1,x>) ],
    flips(x,x')  = p_0 sum_k (x'_k - m') E[ jump_k(x) 1[<c,x'> + mu <1,x'> >= 0]  |  c_k = 0 ].

For large d it tends to the same closed form with P = P[z(x) >= 0, <w,x'> >= 0], which for inputs without component
along 1 is (pi - arccos(sqrt(2/pi) cos(x,x')))/(2 pi): on the diagonal 0.40 in place of 1/2, as z(x) and <w,x> are two
variables whose correlation is sqrt(2/pi) for either scale. At d = 2 they are one.

*Variance.* k runs over the coordinates in turn (with a random start) and its factor d x_k x'_k is noisy. Its leading
part, 2 s x_k (x'_k - m') 1[z(x) >= 0] 1[z(x') >= 0] for the unconditioned neuron, can be summed over k exactly; that
sum replaces the sampled one (a control variate with coefficient 1), which leaves only the terms near the kink.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int64, Shaped
from numpy.typing import ArrayLike

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.limits import (
    KernelEstimate,
    checked_sampling,
    chunks,
    gaussian_coactivity,
    gaussian_latent_coactivity,
    paired_inputs,
)
from ntk1bit.kernels.precision import finite, power_of_four
from ntk1bit.kernels.spectra import halved_sum
from ntk1bit.networks.quantizers import SCALES, Scale, centred_scale
from ntk1bit.networks.two_layer.network import ACTIVITIES, STRAIGHT_THROUGH, Activity

SLOWDOWN: dict[str, float] = {"std": float(np.sqrt(2 / np.pi)), "absmean": float(2 / np.pi)}
"""The constant c: K_eff / H for large d and inputs with zero mean."""

LEAST_SAMPLES = 64  # one for each independent batch: the standard error's own relative error is 1/sqrt(2*63) = 9 %
_STREAM = 0x22  # keeps these draws apart from those of `two_layer.init` and `limit_ntk` at the same seed


def effective_ntk(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    x2: Float[np.ndarray, "n2 d"] | ArrayLike | None = None,
    *,
    kappa: float = 1.0,
    scale: Scale = "std",
    activity: Activity = STRAIGHT_THROUGH,
    samples: int = 1_000_000,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> KernelEstimate:
    """Estimate the effective kernel K_eff(x_i, x2_j) at initialisation, infinite width and this d.

    Parameters
    ----------
    x
        (n, d): where the output is watched.
    x2
        (n2, d): where the residual acts (training inputs); defaults to `x`. The kernel is not symmetric in the two.
    kappa, scale
        As in `ntk1bit.networks.two_layer.outputs`. (In full precision the effective kernel is the NTK itself.)
    activity
        Which neurons a step moves, as in `ntk1bit.networks.two_layer.train`; ``"latent"`` gives K_lat, others K_eff.
    samples
        Neurons drawn, >= 64. Memory does not grow with it.
    seed
        Non-negative integer.
    progress
        Called as progress("effective kernel", share) after each of 64 batches.

    Returns
    -------
    KernelEstimate
        Standard errors come from the spread of 64 independent batches.

    Raises
    ------
    InputError
        If d < 2 (a single coordinate equals its mean: there is nothing to quantise), shapes do not match, inputs are
        not finite, an option is unknown, or `kappa`, `samples` or `seed` is out of range.
    """
    require_choice("scale", scale, SCALES)
    require_choice("activity", activity, ACTIVITIES)
    kappa = checked_kappa(kappa)
    samples, seed = checked_sampling(samples, seed, least=LEAST_SAMPLES)
    left, right = _inputs_to_quantise(x, x2)
    n, n2, dim = left.shape[0], right.shape[0], left.shape[1]
    rng = np.random.default_rng([seed, _STREAM, dim])
    batches = np.zeros((LEAST_SAMPLES, n, n2))
    sizes = [len(part) for part in np.array_split(np.empty(samples, dtype=bool), LEAST_SAMPLES)]
    neurons = _Neurons(left.astype(np.float32), right.astype(np.float32), scale, latent=activity == "latent")
    for done, (batch, size) in enumerate(zip(batches, sizes, strict=True), start=1):
        for part in chunks(size, bytes_each=4 * (8 * (n + n2) + 6 * dim)):
            w = rng.standard_normal((part, dim), dtype=np.float32)
            k = (rng.integers(dim) + np.arange(part)) % dim
            batch += neurons.kernel_sum(w, k)
        batch /= size
        if progress is not None:
            progress("effective kernel", done / LEAST_SAMPLES)
    weights = np.array(sizes) / samples
    mean = np.tensordot(weights, batches, axes=1)
    spread = np.einsum("b,bij->ij", weights, (batches - mean) ** 2) / (LEAST_SAMPLES - 1)
    return KernelEstimate(kappa**2 * mean, kappa**2 * np.sqrt(spread))


def gaussian_effective_ntk(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    x2: Float[np.ndarray, "n2 d"] | ArrayLike | None = None,
    *,
    kappa: float = 1.0,
    scale: Scale = "std",
    activity: Activity = STRAIGHT_THROUGH,
) -> Float[np.ndarray, "n n2"]:
    """Return the large-d value of K_eff or K_lat in closed form (this module's text).

    Arguments and errors are those of `effective_ntk`. K_eff is symmetric when `x2` is `x`; K_lat is for inputs with the
    same size and the same component along 1.
    """
    require_choice("scale", scale, SCALES)
    require_choice("activity", activity, ACTIVITIES)
    kappa = checked_kappa(kappa)
    left, right = _inputs_to_quantise(x, x2)
    along_mean = np.outer(left.mean(axis=1), right.sum(axis=1))
    slowed = SLOWDOWN[scale] * (left @ right.T - along_mean) + along_mean
    coactivity = gaussian_latent_coactivity if activity == "latent" else gaussian_coactivity
    return kappa**2 * slowed * coactivity(left, right, scale=scale)


def symmetric_part(kernel: Float[np.ndarray, "n n"] | ArrayLike) -> Shaped[np.ndarray, "n n"]:
    """Return (K + K^T)/2, in the kernel's own dtype, which alone decides how fast the loss falls.

    Under gradient flow d/dt norm(r)^2 = -2 r^T K r.

    Raises
    ------
    InputError
        If the kernel is not square, real and finite.
    """
    return halved_sum(_square(kernel))


def asymmetry(kernel: Float[np.ndarray, "n n"] | ArrayLike) -> float:
    """Return norm_F((K - K^T)/2) / norm_F(K): 0 for a symmetric kernel, 1 for an antisymmetric one.

    For an estimate, compare with the most that noise alone can give (entries (i,j) and (j,i) share some of it):
    about sqrt(sum(standard_error^2)/2) / norm_F(K).

    Raises
    ------
    InputError
        If the kernel is not square, real and finite.
    """
    k = _square(kernel).astype(np.float64, copy=False)
    k = k / power_of_four(float(np.abs(k).max(initial=0.0)))  # exact, and squares stay in range
    size = float(np.linalg.norm(k))
    return float(np.linalg.norm((k - k.T) / 2)) / size if size > 0 else 0.0


def kernel_ratio(
    kernel: Float[np.ndarray, "n n2"] | ArrayLike, reference: Float[np.ndarray, "n n2"] | ArrayLike
) -> float:
    """Return the c that brings `c reference` closest to `kernel`: <K, H>_F / <H, H>_F.

    Raises
    ------
    InputError
        If the shapes differ, entries are not real and finite, or the reference is zero.
    """
    k, h = finite("the kernel", kernel), finite("the reference kernel", reference)
    if k.shape != h.shape:
        raise InputError(f"the kernels have shapes {k.shape} and {h.shape}; they must match")
    unit = power_of_four(float(np.abs(h).max(initial=0.0)))  # exact, and squares stay in range
    h = h / unit
    size = float(np.vdot(h, h))
    if not size > 0:
        raise InputError("the reference kernel is zero, so no ratio to it exists")
    return float(np.vdot(k / unit, h)) / size


def threshold_density(dim: int) -> float:
    """Return p_0, the density of c_k ~ N(0, 1 - 1/d) at its threshold 0; d >= 2."""
    return float(1 / np.sqrt(2 * np.pi * (1 - 1 / dim)))


def conditioned(
    w: Float[np.ndarray, "b d"], mu: Float[np.ndarray, " b"], k: Int64[np.ndarray, " b"]
) -> Float[np.ndarray, "b d"]:
    """Condition neurons w ~ N(0, I_d) of means mu on c_k = 0 (this module's text, 5); return c."""
    dim, rows = w.shape[1], np.arange(len(w))
    others_mean = (dim * mu - w[rows, k]) / w.dtype.type(dim - 1)
    c = w - others_mean[:, None]
    c[rows, k] = 0
    return c


class _Neurons:
    """Sums the integrand of K_eff or K_lat over a block of random neurons; float32 products, float64 sums."""

    def __init__(
        self, x: Float[np.ndarray, "n d"], x2: Float[np.ndarray, "n2 d"], scale: Scale, *, latent: bool
    ) -> None:
        self.x, self.x2 = x, x2
        self.latent = latent
        self.scale: Scale = scale
        self.dim = x.shape[1]
        self.sum, self.sum2 = x.sum(axis=1), x2.sum(axis=1)
        self.mean2 = self.sum2 / self.dim
        self.inner_centred = (x @ x2.T - np.outer(self.sum, self.mean2)).astype(np.float64)
        self.density = threshold_density(self.dim)

    def kernel_sum(self, w: Float[np.ndarray, "b d"], k: Int64[np.ndarray, " b"]) -> Float[np.ndarray, "n n2"]:
        """Sum smooth + flips over the neurons `w`, the flip of neuron r being at coordinate k[r]."""
        c, s, mu = centred_scale(w, scale=self.scale)
        q = np.copysign(np.float32(1), c)
        along, along2 = q @ self.x.T, q @ self.x2.T
        active = _active(s[:, None] * along + mu[:, None] * self.sum)
        active2 = _active(w @ self.x2.T if self.latent else s[:, None] * along2 + mu[:, None] * self.sum2)
        if self.scale == "std":
            growth = np.divide(c @ self.x2.T, (self.dim * s)[:, None], out=np.zeros_like(along2), where=s[:, None] > 0)
        else:
            growth = (along2 - np.outer(q.sum(axis=1), self.mean2)) / np.float32(self.dim)
        smooth = (active * along).T @ (active2 * growth) + np.outer(self.sum, self.mean2) * (active.T @ active2)

        at_k, at_k2 = self.x.T[k], self.x2.T[k] - self.mean2
        jump, active_at_flip2 = self._flip(w, mu, k)
        leading = 2 * s[:, None] * active
        sampled = jump.T @ (at_k2 * active_at_flip2) - (leading * at_k).T @ (at_k2 * active2)
        exact = (leading.T @ active2) * self.inner_centred
        return smooth + self.density * (np.float64(self.dim) * sampled + exact)

    def _flip(
        self, w: Float[np.ndarray, "b d"], mu: Float[np.ndarray, " b"], k: Int64[np.ndarray, " b"]
    ) -> tuple[Float[np.ndarray, "b n"], Float[np.ndarray, "b n2"]]:
        """Condition the neurons on c_k = 0; return jump_k(x) and by what activation on x2 they move there."""
        rows, c = np.arange(len(w)), conditioned(w, mu, k)
        s = np.sqrt(np.einsum("rk,rk->r", c, c) / np.float32(self.dim)) if self.scale == "std" else np.abs(c).mean(1)
        q = np.copysign(np.float32(1), c)
        q[rows, k] = 0
        middle = s[:, None] * (q @ self.x.T) + mu[:, None] * self.sum
        half = s[:, None] * self.x.T[k]
        jump = np.maximum(middle + half, 0) - np.maximum(middle - half, 0)
        if self.latent:
            return jump, _active(c @ self.x2.T + mu[:, None] * self.sum2)
        middle2, half2 = s[:, None] * (q @ self.x2.T) + mu[:, None] * self.sum2, s[:, None] * self.x2.T[k]
        return jump, (_active(middle2 + half2) + _active(middle2 - half2)) / 2


def _active(z: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b n"]:
    return (z >= 0).astype(z.dtype)


def _inputs_to_quantise(
    x: Float[np.ndarray, "n d"] | ArrayLike, x2: Float[np.ndarray, "n2 d2"] | ArrayLike | None
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n2 d2"]]:
    left, right = paired_inputs(x, x2)
    if left.shape[1] < 2:
        raise InputError("the effective kernel needs inputs with at least 2 features: one weight equals its own mean")
    return left, right


def _square(kernel: Float[np.ndarray, "n n"] | ArrayLike) -> Shaped[np.ndarray, "n n"]:
    finite("the kernel", kernel)
    square = np.asarray(kernel)
    if square.ndim != 2 or square.shape[0] != square.shape[1]:
        raise InputError(f"a square kernel is needed, got shape {square.shape}")
    return square
