"""D25's descent of `networks.two_layer.train` in JAX, for accelerators: networks of one shape, side by side.

It is the same step on latent weights, with the same checkpoints, in float32 whatever JAX's default is. Products are
plain matrix products at full float32 precision, which accelerators otherwise round to fewer bits. The processor that
serves the accelerator does what needs float64: kernels and their eigenvalues, from counted neurons, at checkpoints.

Results equal those of the cores up to rounding. After some steps a sign or an activation on its threshold falls on the
other side, and a 1-bit network then goes another way, with the same statistics over seeds. The last bits depend on the
device, and on how many networks are side by side.

Neurons are kept as two halves, (2, m/2, d), which go through the same operations, so that those of a ``paired`` network
cancel exactly; an odd width has one part, (1, m, d).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.arguments import number, whole
from ntk1bit.cores.threads import single_threaded_blas
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.straight_through import mean_and_size, straight_through
from ntk1bit.networks.two_layer import Precision, Trajectory, Weights
from ntk1bit.networks.two_layer.descent import DEFAULT_CHECKPOINTS, DIVERGED_AT, Observer, checked_checkpoints
from ntk1bit.networks.two_layer.network import (
    ACTIVITIES,
    STRAIGHT_THROUGH,
    Activity,
    activity_in,
    checked_inputs,
    checked_targets,
    output_factor,
)
from ntk1bit.training.descent import descend
from ntk1bit.training.schedules import Training

WIDEST = 2**24  # neurons that are counted exactly in float32
_product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def train_side_by_side(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    y: Float[np.ndarray, " n"] | ArrayLike,
    weights: Sequence[Weights],
    *,
    precision: Precision = "one_bit",
    kappas: Sequence[float] | None = None,
    scale: Scale = "std",
    activity: Activity = STRAIGHT_THROUGH,
    eta_rel: float = 1.0,
    steps: int = 1000,
    x_test: Float[np.ndarray, "n_test d"] | ArrayLike | None = None,
    record: int | Sequence[int] | ArrayLike = DEFAULT_CHECKPOINTS,
) -> list[Trajectory]:
    """Train networks of one shape by full-batch (straight-through) gradient descent, all in one program.

    Parameters
    ----------
    x, y, precision, scale, activity, eta_rel, x_test, record
        As in `networks.two_layer.train`, the same for all networks; each has the rate of its own kernel H(0).
    weights
        The starts, float32; they are not modified. Together they must fit in the memory of the device: training takes
        about 4 (6 m d + 5 m n) bytes a network.
    kappas
        Output scale of each network; 1 by default.
    steps
        Number of descent steps, >= 1.

    Returns
    -------
    A trajectory for each network, as `networks.two_layer.train` returns. Divergence ends the trajectory of its network
    alone, whose `final` is then of no step in particular: it was trained on for as long as the others were.

    Raises
    ------
    InputError
        If shapes do not match, a number is not finite or out of range, an option is unknown, weights are not float32,
        or some network has no neuron that is active on any input.
    """
    require_choice("activity", activity, ACTIVITIES)
    activity = activity_in(precision, activity)
    if not weights:
        return []
    shape, rows = weights[0].w.shape, np.empty((0, 0), np.float32)
    for one in weights:
        if one.w.dtype != np.float32 or one.w.shape != shape:
            raise InputError(
                f"networks side by side need float32 weights of one shape, got {one.w.dtype} {one.w.shape}"
            )
        rows = checked_inputs(x, one, precision=precision, scale=scale)
    x, (width, dim) = rows, shape
    if x.shape[0] == 0:
        raise InputError("there are no training inputs; at least one is needed")
    if width > WIDEST:
        raise InputError(f"in JAX a network has at most 2^24 neurons, which float32 counts exactly, got {width}")
    y = checked_targets(y, x.shape[0]).astype(np.float32)
    kappas = [1.0] * len(weights) if kappas is None else [checked_kappa(kappa) for kappa in kappas]
    if len(kappas) != len(weights):
        raise InputError(f"there are {len(weights)} networks but {len(kappas)} kappas; they must match")
    eta_rel = number("eta_rel", eta_rel, allowed="a positive number", above=0.0)
    steps = whole("steps", steps, allowed="a whole number, 1 or more", least=1)
    stops = sorted(checked_checkpoints(record, steps))
    test = checked_inputs(
        np.empty((0, dim)) if x_test is None else x_test, weights[0], precision=precision, scale=scale
    )

    parts = (len(weights), 1 if width % 2 else 2, -1)
    start = jnp.asarray(np.stack([one.w for one in weights]).reshape(*parts, dim))
    a = jnp.asarray(np.stack([one.a for one in weights]).reshape(parts))
    factor = np.array([output_factor(width, kappa, np.dtype(np.float32)) for kappa in kappas])
    inputs, tests, targets = jnp.asarray(x), jnp.asarray(test), jnp.asarray(y)
    see = _view(precision, scale)
    first = see(start, a, factor, inputs, tests)
    observers = [Observer(x, one, kappa) for one, kappa in zip(weights, kappas, strict=True)]
    last_residual = np.empty((len(weights), len(x)))

    def look(step: int, w: Float[Array, "networks parts m d"]) -> None:
        now = see(w, a, factor, inputs, tests)
        found = jax.device_get((now.f, now.test, now.counts, _changes(now, first, w, start)))
        for observer, f, f_test, counts, (flips, changed, radius) in zip(
            observers, *found[:3], zip(*found[3], strict=True), strict=True
        ):
            observer.record(
                step,
                f,
                f_test,
                counts=_whole(counts),
                flips=int(flips.sum(dtype=np.int64)),
                changed=changed.astype(np.int64),
                radius=float(radius),
            )
        last_residual[:] = found[0] - y

    with single_threaded_blas():  # as in `train`: the last bits of eta do not depend on the number of threads
        counts = np.asarray(first.counts)
        etas = [
            eta_rel / one.lambda_max_at_start(_whole(counted)) for one, counted in zip(observers, counts, strict=True)
        ]
        moves = np.array([eta * float(one) for eta, one in zip(etas, factor, strict=True)], np.float32)
        ended = descend(
            _residual_norm(precision, scale, activity),
            jnp.array(start, copy=True),  # its buffer is used for what follows
            Training(steps, 1.0, optimiser="sgd", schedule="constant"),
            data=(inputs, targets),
            own=(a, factor, moves, first.active) if activity == "frozen" else (a, factor, moves),
            networks=len(weights),
            stops=stops,
            look=look,
        )
    norms = np.concatenate([ended.losses, np.linalg.norm(last_residual, axis=1)[:, None]], axis=1, dtype=np.float64)
    finals = np.asarray(ended.params).reshape(len(weights), width, dim)
    return [
        _trajectory(observer, 0.5 * norm**2, eta, Weights(final, one.a))
        for observer, norm, eta, final, one in zip(observers, norms, etas, finals, weights, strict=True)
    ]


def _trajectory(observer: Observer, loss: Float[np.ndarray, " t"], eta: float, final: Weights) -> Trajectory:
    """Cut the losses where they diverged, as `train` does."""
    worst = DIVERGED_AT * max(loss[0], np.finfo(np.float64).tiny)
    beyond = np.flatnonzero(~(loss <= worst))
    beyond = beyond[beyond > 0]
    if len(beyond):
        loss = loss[: beyond[0] + 1]
    return observer.trajectory(loss, eta=eta, diverged=len(beyond) > 0, final=final)


def _whole(counts: Float[np.ndarray, "n n"]) -> Int[np.ndarray, "n n"]:
    return counts.astype(np.int64)


@functools.lru_cache(maxsize=8)
def _residual_norm(precision: Precision, scale: Scale, activity: Activity) -> Callable[..., Any]:
    """Return the function that descends: norm(f - y), with what a step subtracts in place of its gradient.

    What a step subtracts is `step a_r sum_i residual_i 1[z_ri >= 0] x_i` with step = eta kappa/sqrt(m); the indicator
    is that of the activity, which for ``frozen`` is the last argument. The norm is taken instead of the loss, half its
    square, because it stays in the range of float32 wherever the residual does.
    """

    def norm(
        w: Float[Array, "parts m d"],
        _: None,
        x: Float[Array, "n d"],
        y: Float[Array, " n"],
        a: Float[Array, "parts m"],
        factor: Float[Array, ""],
        step: Float[Array, ""],
        at_start: Bool[Array, "parts m n"] | None = None,
    ) -> Float[Array, ""]:
        total = _total(_preactivations(w, x, precision, scale), a)
        moved = total
        if activity != STRAIGHT_THROUGH:  # sum_r a_r 1[active] <w_r, x>, whose derivative is that of a step
            latent = _product("hrd,nd->hrn", w, x)
            active = latent >= 0 if at_start is None else at_start
            moved = _product("hr,hrn->hn", a, jnp.where(active, latent, 0)).sum(axis=0)
        residual = factor * total - y
        largest = jnp.abs(residual).max()
        size = largest * jnp.sqrt(jnp.sum((residual / jnp.where(largest > 0, largest, 1)) ** 2))
        return straight_through(size, jnp.sum(jax.lax.stop_gradient(step * residual) * moved))

    return norm


def _preactivations(
    w: Float[Array, "parts m d"], x: Float[Array, "n d"], precision: Precision, scale: Scale
) -> Float[Array, "parts m n"]:
    """Return z_r(x_i) as `two_layer.network.preactivations` does, with dz/dw = x (D25, Lemma F.3)."""
    plain = _product("hrd,nd->hrn", w, x)
    if precision == "full":
        return plain
    signs, mu, s = _quantised(w, scale)
    one = jnp.ones((), w.dtype)
    z = s * _product("hrd,nd->hrn", jnp.where(signs, one, -one), x) + mu * x.sum(axis=1)
    return straight_through(z, plain)


def _quantised(
    w: Float[Array, "parts m d"], scale: Scale
) -> tuple[Bool[Array, "parts m d"], Float[Array, "parts m 1"], Float[Array, "parts m 1"]]:
    """Return where q(w) is +1, the means and the sizes of neurons; comparing is exact, and Sign(0) = +1."""
    mu, s = (one.reshape(*w.shape[:2], 1) for one in mean_and_size(w.reshape(-1, w.shape[-1]), scale=scale))
    return w >= mu, mu, s


def _total(z: Float[Array, "parts m n"], a: Float[Array, "parts m"]) -> Float[Array, " n"]:
    """Return sum_r a_r relu(z_r), whose derivative at z = 0 is that of an active neuron."""
    return _product("hr,hrn->hn", a, jnp.where(z >= 0, z, 0)).sum(axis=0)


class _Seen(NamedTuple):
    """Networks at a checkpoint: activations, signs, co-active neurons of each pair of inputs, outputs."""

    active: Bool[Array, "networks parts m n"]
    signs: Bool[Array, "networks parts m d"]
    counts: Float[Array, "networks n n"]
    f: Float[Array, "networks n"]
    test: Float[Array, "networks n_test"]


@functools.lru_cache(maxsize=8)
def _view(precision: Precision, scale: Scale) -> Callable[..., _Seen]:
    """Return what sees networks at a checkpoint: a compiled function of (w, a, factor, x, x_test)."""

    def one(w: Any, a: Any, factor: Any, x: Any, x_test: Any) -> _Seen:
        z = _preactivations(w, x, precision, scale)
        active = z >= 0
        counted = active.astype(w.dtype)
        return _Seen(
            active,
            _quantised(w, scale)[0],
            _product("hrn,hrk->nk", counted, counted),
            factor * _total(z, a),
            factor * _total(_preactivations(w, x_test, precision, scale), a),
        )

    return jax.jit(jax.vmap(one, in_axes=(0, 0, 0, None, None)))


@jax.jit
def _changes(
    now: _Seen, start: _Seen, w: Float[Array, "networks parts m d"], w_start: Float[Array, "networks parts m d"]
) -> tuple[Int[Array, "networks d"], Int[Array, "networks n"], Float[Array, " networks"]]:
    """Count signs that differ from the start, by input dimension, and activations, by input; measure R(t)."""
    flips = (now.signs != start.signs).sum(axis=(1, 2), dtype=jnp.int32)
    changed = (now.active != start.active).sum(axis=(1, 2), dtype=jnp.int32)
    return flips, changed, jnp.sqrt(((w - w_start) ** 2).sum(axis=-1).max(axis=(1, 2)))
