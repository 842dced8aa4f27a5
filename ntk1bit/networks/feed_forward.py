r"""A 1-bit Transformer block of which one feed-forward layer trains (D25, Prop. 4.4).

Below the layer everything is random and frozen. For a window of characters c_0, c_1, ...,

    u_k = (E[c_k] + P_k)/sqrt 2                                     entries of E, P from N(0, 1)
    v_k = LN(u_k)
    t_k = u_k + O LN(sum_{l <= k} softmax_l(<Q v_k, K v_l>/sqrt d) V v_l)
    h_k = LN(t_k)/sqrt d                                            so that norm(h_k) = 1

with one causal head and Q, K, V, O in W23's 1-bit form beta Sign(W - alpha) of W ~ N(0, 1/d); LN has neither gain nor
bias. The layer reads the features h_i of N = sequences x positions tokens, the last ones of their windows, and has
`p` outputs:

    f(h) = kappa/sqrt(m) sum_r a_r relu(z_r(h)),     z_r(h) = s(w_r) <q(w_r), h> + mu(w_r) <1, h>     (1-bit)
                                                     z_r(h) = <w_r, h>                                (full precision)

where a_r in {-1,+1}^p is fixed (a 1-bit down projection) and w_r(0) ~ N(0, I_d) trains: D25's two-layer network on the
token features, with vector outputs. The start is paired: neurons r and r + m/2 share w and have opposite a, so f = 0.
The target of a token is y = C[next character], C a fixed random code of norm 1 in R^p. With L = 1/2 sum_io (f_io -
y_io)^2 and D25's straight-through estimator dz/dw := h, gradient descent is

    w_r <- w_r - eta kappa/sqrt(m) sum_i (sum_o a_ro (f_io - y_io)) 1[z_r(h_i) >= 0] h_i

with eta = eta_rel/lambda_max(H(0)), H(0) being the kernel of all N p outputs.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from ntk1bit.errors import InputError
from ntk1bit.networks.layer_norm import layer_norm
from ntk1bit.networks.quantizers import effective_weights, quantize_tensor
from ntk1bit.networks.straight_through import neuron_wise
from ntk1bit.networks.two_layer import Precision

_STREAM = 0x44  # keeps these draws apart from others at the same seed
_ALIKE = 1 - 1e-6  # two unit features with a larger inner product count as one: float32 cannot tell them apart


class TokenTask(NamedTuple):
    """What the layer is to learn.

    Attributes
    ----------
    h
        Token features of norm 1, (N, d) float32, the positions of a window next to each other.
    y
        Targets, (N, p) float32, rows of norm 1.
    """

    h: Float[np.ndarray, "tokens d"]
    y: Float[np.ndarray, "tokens p"]

    @property
    def closest(self) -> float:
        """The largest |<h_i, h_j>| of two tokens."""
        inner = np.abs(self.h.astype(np.float64) @ self.h.T.astype(np.float64))
        np.fill_diagonal(inner, 0.0)
        return float(inner.max())


class Layer(NamedTuple):
    """A feed-forward layer: latent weights w, (m, d), which train, and fixed a, (m, p), entries -1 or +1."""

    w: Float[np.ndarray, "m d"]
    a: Float[np.ndarray, "m p"]


def draw_task(
    windows: UInt8[np.ndarray, "sequences characters"],
    *,
    vocabulary: int,
    positions: int,
    dim: int,
    outputs: int,
    seed: int,
) -> TokenTask:
    """Draw a frozen block and a code, and pass the windows through the block.

    Parameters
    ----------
    windows
        Characters; the last one of each window is a target only.
    vocabulary
        Number of characters.
    positions
        How many tokens of a window, from its end, the layer reads; the others are context only.
    dim, outputs
        d and p.
    seed
        Of the block and the code.

    Raises
    ------
    InputError
        If a number is out of range, or two tokens have the same features: their targets might contradict.
    """
    context = windows.shape[1] - 1
    if not 1 <= positions <= context:
        raise InputError(f"positions must be in 1..{context}, the context of the windows, got {positions}")
    if dim < 2 or outputs < 1:
        raise InputError(f"dim must be at least 2 and outputs at least 1, got dim={dim}, outputs={outputs}")
    if windows.size and int(windows.max()) >= vocabulary:
        raise InputError(f"windows hold token {int(windows.max())}, but the vocabulary has {vocabulary}")
    rng = np.random.default_rng([seed, _STREAM])
    embedding, place = rng.standard_normal((vocabulary, dim)), rng.standard_normal((context, dim))
    projections = rng.standard_normal((4, dim, dim)) / np.sqrt(dim)
    codes = rng.standard_normal((vocabulary, outputs))
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    u = (embedding[windows[:, :-1]] + place) / np.sqrt(2)
    h = block_features(u, projections)[:, -positions:].reshape(-1, dim)
    y = codes[windows[:, -positions:]].reshape(-1, outputs)
    task = TokenTask(h.astype(np.float32), y.astype(np.float32))
    if task.closest > _ALIKE:
        raise InputError("two tokens have the same features; give windows that differ, or a longer context before them")
    return task


def block_features(
    u: Float[np.ndarray, "sequences t d"], projections: Float[np.ndarray, "4 d d"]
) -> Float[np.ndarray, "sequences t d"]:
    """Return h of the module's equations from u, in float64.

    Parameters
    ----------
    u, projections
        Embedded characters, and the latent Q, K, V, O.
    """
    q, k, v, o = (quantized.beta * quantized.q for quantized in map(quantize_tensor, projections))
    dim = u.shape[-1]
    x = layer_norm(u)
    scores = (x @ q.T) @ (x @ k.T).swapaxes(1, 2) / np.sqrt(dim)
    scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    t = u + layer_norm(shares @ (x @ v.T)) @ o.T
    h = layer_norm(t)
    return h / np.linalg.norm(h, axis=-1, keepdims=True)


def draw_layer(width: int, dim: int, outputs: int, *, seed: int) -> Layer:
    """Draw a paired layer; layers of different widths are independent even at the same seed.

    Raises
    ------
    InputError
        If the width is odd or below 2.
    """
    if width < 2 or width % 2:
        raise InputError(f"a paired layer needs an even width of at least 2, got {width}")
    rng = np.random.default_rng([seed, _STREAM, width, dim])
    w = rng.standard_normal((width // 2, dim), dtype=np.float32)
    a = np.where(rng.random((width // 2, outputs)) < 0.5, -1, 1).astype(np.float32)
    return Layer(np.concatenate([w, w]), np.concatenate([a, -a]))


def layer_outputs(
    w: Float[Array, "m d"],
    a: Float[Array, "m p"],
    h: Float[Array, "tokens d"],
    *,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
) -> Float[Array, "tokens p"]:
    """Evaluate the layer, differentiable through D25's straight-through estimator; for an even width.

    The halves of the neurons are summed apart, so that the two copies of a paired start go through the same operations.
    """
    effective = neuron_wise(w) if precision == "one_bit" else w
    halves = effective.reshape(2, -1, w.shape[1])
    total = jnp.zeros((h.shape[0], a.shape[1]), w.dtype)
    for half, signs in zip(halves, a.reshape(2, -1, a.shape[1]), strict=True):
        z = h @ half.T
        total = total + jnp.where(z >= 0, z, 0) @ signs
    return kappa / w.shape[0] ** 0.5 * total


def layer_outputs_reference(
    layer: Layer, h: Float[np.ndarray, "tokens d"], *, precision: Precision = "one_bit", kappa: float = 1.0
) -> Float[np.ndarray, "tokens p"]:
    """Compute `layer_outputs` in NumPy, in float64."""
    z = _activations(layer, h, precision)
    return kappa / np.sqrt(len(z)) * np.maximum(z, 0).T @ layer.a.astype(np.float64)


def step_reference(
    layer: Layer, task: TokenTask, *, eta: float, precision: Precision = "one_bit", kappa: float = 1.0
) -> Layer:
    """Take one step of descent as the module's last equation has it, in NumPy and float64."""
    residual = layer_outputs_reference(layer, task.h, precision=precision, kappa=kappa) - task.y
    pull = (_activations(layer, task.h, precision) >= 0) * (layer.a.astype(np.float64) @ residual.T)
    return Layer(layer.w - eta * kappa / np.sqrt(len(pull)) * pull @ task.h.astype(np.float64), layer.a)


def layer_kernel(
    layer: Layer, h: Float[np.ndarray, "tokens d"], *, precision: Precision = "one_bit", kappa: float = 1.0
) -> Float[np.ndarray, "np np"]:
    """Return the straight-through NTK of all N p outputs, float64, in closed form.

    H_(io)(jo') = kappa^2 <h_i,h_j> (1/m) sum_r a_ro a_ro' 1[z_r(h_i) >= 0] 1[z_r(h_j) >= 0], index i p + o. Its mean
    over o = o' is D25's kernel (Def. G.1).
    """
    outputs = layer.a.shape[1]
    active = _activations(layer, h, precision) >= 0
    paths = (active[:, :, None] * layer.a.astype(np.float64)[:, None, :]).reshape(len(active), -1)
    inner = h.astype(np.float64) @ h.T.astype(np.float64)
    return kappa**2 / len(active) * np.kron(inner, np.ones((outputs, outputs))) * (paths.T @ paths)


def _activations(layer: Layer, h: np.ndarray, precision: Precision) -> Float[np.ndarray, "m tokens"]:
    w = layer.w.astype(np.float64)
    return (effective_weights(w) if precision == "one_bit" else w) @ h.T.astype(np.float64)
