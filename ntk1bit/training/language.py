"""Train one Transformer on text: a measurement that can be stopped, goes on where it was, and keeps its weights.

Adam (beta2 = 0.98, as W23) with gradients as they come (no clipping, no weight decay), the rate rising linearly over
the first twentieth of the steps and falling along a cosine to a twentieth of its top. Arms of one seed share the start
and the batches.
"""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from jaxtyping import Array, Float, Integer

from ntk1bit.data import text as texts
from ntk1bit.errors import InputError
from ntk1bit.files import write_whole
from ntk1bit.networks.bitlinear import Arm
from ntk1bit.networks.straight_through import Surrogate
from ntk1bit.networks.transformer import Transformer, as_arm, check_windows, losses, transformer
from ntk1bit.networks.transformer_shape import Activation, Shape
from ntk1bit.training.supervised import serialised
from ntk1bit.training.text_losses import loss_columns

CHUNK = 100  # steps between two looks at the loss
AFTERWARDS: tuple[Arm, ...] = ("int8-absmax", "sign-ptq")
_WARM_UP, _LAST = 0.05, 0.05
_SECONDS = 60.0  # between two checkpoints
_ADAM = optax.scale_by_adam(b2=0.98)
_AT_ONCE = 64  # windows of the validation text evaluated in one call


class Progress(NamedTuple):
    """Where a training stands: what a checkpoint holds."""

    model: Transformer
    state: Any
    step: Array
    curve: Float[Array, " steps"]


def train_language(
    *,
    text: str,
    layers: int,
    width: int,
    heads: int,
    arm: Arm,
    rate: float,
    tokens: int,
    batch: int,
    context: int,
    seed: int,
    windows: int,
    activation: Activation = "gelu",
    tied: bool = True,
    surrogate: Surrogate = "identity",
    scratch: Path | None = None,
) -> pd.DataFrame:
    """Train one network and measure its loss on the validation text.

    Parameters
    ----------
    text, layers, width, heads, arm, batch, context, seed, windows, activation, tied, surrogate
        As in `LanguageSpec` and `Shape`.
    tokens
        Training characters: as many steps of `batch` times `context` as these are enough for are made, one at least.
    rate
        The largest learning rate.
    scratch
        Path without an ending under which files may be kept: ``.checkpoint`` while training, ``.weights`` afterwards.

    Returns
    -------
    A row for the arm itself, and one for each arm that quantises a trained ``full`` network: `evaluated`, the arm
    measured; `loss`, `loss_error` in nats a character and `bits`, `bits_error`; `window_losses`, the mean loss of each
    validation window; `train_loss`, mean over the last tenth of the steps; `curve`, mean training loss of each `chunk`
    steps, the last of which may be fewer; `steps`, how many were made; `parameters`, N; `diverged`, whether a loss was
    not finite (then losses are NaN).

    Raises
    ------
    InputError
        As `texts.load` and `Shape`, and if the tokens are less than one step.
    """
    corpus = texts.load(text)
    shape = Shape(layers, width, heads, corpus.vocabulary, context, activation, tied)
    held_out = texts.validation_windows(corpus.validation, context=context, count=windows)
    check_windows(held_out, shape)
    steps = tokens // (batch * context)
    if steps < 1:
        raise InputError(f"{tokens} tokens are less than one step of {batch} x {context}; give more tokens")
    model = transformer(shape, arm=arm, seed=seed, surrogate=surrogate)
    at = Progress(model, _ADAM.init(eqx.filter(model, eqx.is_array)), jnp.zeros((), int), jnp.full(steps, jnp.nan))
    checkpoint = None if scratch is None else scratch.with_suffix(".checkpoint")
    at = _resumed(checkpoint, at)
    advance = _advance(steps)
    saved = time.monotonic()
    while (step := int(at.step)) < steps:
        count = min(CHUNK, steps - step)
        drawn = texts.training_batches(corpus.train, batch=batch, context=context, first=step, count=count, seed=seed)
        model, state, found = advance(at.model, at.state, jnp.asarray(drawn, jnp.int32), jnp.float32(rate))
        at = Progress(model, state, at.step + count, at.curve.at[step : step + count].set(found))
        if not bool(jnp.isfinite(found).all()):
            break
        if checkpoint is not None and time.monotonic() - saved > _SECONDS:
            write_whole(checkpoint, serialised(at))
            saved = time.monotonic()
    curve = np.asarray(at.curve, dtype=np.float64)
    diverged = not np.isfinite(curve).all()
    if scratch is not None:
        write_whole(scratch.with_suffix(".weights"), serialised(at.model))
        scratch.with_suffix(".checkpoint").unlink(missing_ok=True)
    about = {
        "train_loss": float("nan") if diverged else float(curve[-max(steps // 10, 1) :].mean()),
        "chunk": min(CHUNK, steps),
        "steps": steps,
        "parameters": shape.parameters,
        "diverged": diverged,
        "curve": [float(curve[first : first + CHUNK].mean()) for first in range(0, steps, CHUNK)],
    }
    arms: tuple[Arm, ...] = (arm, *(AFTERWARDS if arm == "full" else ()))
    return pd.DataFrame([{"evaluated": one} | evaluate(as_arm(at.model, one), held_out) | about for one in arms])


def schedule(steps: int) -> optax.Schedule:
    """Return the learning rate of each step as a share of the largest: linear warm-up, then a cosine."""
    warm = max(int(_WARM_UP * steps), 1)
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, warm, max(steps, warm + 1), _LAST)


def evaluate(model: Transformer, windows: Integer[np.ndarray, "count t1"]) -> dict[str, Any]:
    """Measure a network's loss on windows of text; NaN if it is not finite."""
    found = np.concatenate(
        [
            np.asarray(_window_losses(model, jnp.asarray(windows[low : low + _AT_ONCE], jnp.int32)))
            for low in range(0, len(windows), _AT_ONCE)
        ]
    ).astype(np.float64)
    return loss_columns(found)


def load_weights(path: Path, shape: Shape, *, arm: Arm) -> Transformer:
    """Read a trained network's weights.

    Raises
    ------
    InputError
        If the file is missing, damaged, or of another shape.
    """
    try:
        return cast(
            Transformer, eqx.tree_deserialise_leaves(io.BytesIO(path.read_bytes()), transformer(shape, arm=arm))
        )
    except (OSError, ValueError, RuntimeError, EOFError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise InputError(
            f"cannot read the weights in {path} ({reason}); train this network again with: "
            "ntk1bit train-lm --resume --export, and the settings of its run"
        ) from None


@eqx.filter_jit
def _window_losses(model: Transformer, windows: Array) -> Array:
    return losses(model, windows)


@functools.lru_cache(maxsize=16)
def _advance(steps: int) -> Callable[..., Any]:
    """Return a function that takes one chunk of steps; the rate is an argument, so that all rates share its code."""
    share = schedule(steps)

    @jax.jit
    def chunk(model: Transformer, state: Any, drawn: Array, rate: Array) -> tuple[Transformer, Any, Array]:
        def step(carry: Any, windows: Array) -> tuple[Any, Array]:
            model, state = carry
            loss, gradient = jax.value_and_grad(lambda one: losses(one, windows).mean())(model)
            now = -rate * share(state.count)
            moves, state = _ADAM.update(gradient, state)
            return (optax.apply_updates(model, jax.tree.map(lambda move: now * move, moves)), state), loss

        (model, state), found = jax.lax.scan(step, (model, state), drawn)
        return model, state, found

    return chunk


def _resumed(checkpoint: Path | None, start: Progress) -> Progress:
    """Return what a checkpoint holds, or the start where there is none that can be read."""
    if checkpoint is None or not checkpoint.exists():
        return start
    try:
        return cast(Progress, eqx.tree_deserialise_leaves(io.BytesIO(checkpoint.read_bytes()), start))
    except (OSError, ValueError, RuntimeError, EOFError):
        return start
