"""Train one Transformer on text: a measurement that can be stopped, is resumed where it was, and keeps its weights.

Adam (beta2 = 0.98, as W23) with gradients as they come (no clipping, no weight decay), the rate rising linearly over
the first twentieth of the steps and falling along a cosine to a twentieth of its top. Arms of one seed share the start
and the batches.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Integer

from ntk1bit.data import text as texts
from ntk1bit.errors import InputError
from ntk1bit.files import write_whole
from ntk1bit.networks.quantizers import Surrogate
from ntk1bit.networks.transformer import Transformer, as_arm, check_windows, losses, transformer
from ntk1bit.networks.transformer_shape import Activation, Arm, Shape
from ntk1bit.training.checkpoints import Checkpoint, deserialised, serialised
from ntk1bit.training.descent import descend
from ntk1bit.training.schedules import Training
from ntk1bit.training.text_losses import loss_columns

CHUNK = 100  # steps between two looks at the loss
AFTERWARDS: tuple[Arm, ...] = ("int8-absmax", "sign-ptq")
_WARM_UP, _LAST = 0.05, 0.05
_AT_ONCE = 64  # windows of the validation text evaluated in one call


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
    training = language_training(steps, rate, batch)

    def batches(these: range) -> Array:
        first, count = these.start, len(these)
        drawn = texts.training_batches(corpus.train, batch=batch, context=context, first=first, count=count, seed=seed)
        return jnp.asarray(drawn, jnp.int32)

    checkpoint = None
    if scratch is not None:
        identity = repr((text, shape, arm, surrogate, seed, training))
        checkpoint = Checkpoint(scratch.with_suffix(".checkpoint"), identity, replace=True)
    ended = descend(mean_loss, model, training, batches=batches, checkpoint=checkpoint)
    curve = ended.losses.astype(np.float64)
    diverged = not np.isfinite(curve).all()
    if scratch is not None:
        write_whole(scratch.with_suffix(".weights"), serialised(ended.params))
    about = {
        "train_loss": float("nan") if diverged else float(curve[-max(steps // 10, 1) :].mean()),
        "chunk": min(CHUNK, steps),
        "steps": steps,
        "parameters": shape.parameters,
        "diverged": diverged,
        "curve": [float(curve[first : first + CHUNK].mean()) for first in range(0, steps, CHUNK)],
    }
    arms: tuple[Arm, ...] = (arm, *(AFTERWARDS if arm == "full" else ()))
    return pd.DataFrame([{"evaluated": one} | evaluate(as_arm(ended.params, one), held_out) | about for one in arms])


def language_training(steps: int, rate: float, batch: int) -> Training:
    """Return how a Transformer is trained on text, see the module."""
    warm_up = max(int(_WARM_UP * steps), 1)
    return Training(steps, rate, batch=batch, beta2=0.98, warm_up=warm_up, last=_LAST, every=CHUNK)


def mean_loss(model: Transformer, windows: Integer[Array, "batch t1"]) -> Float[Array, ""]:
    """Return the mean loss of a batch of windows, in nats per character."""
    return losses(model, windows).mean()


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
        return deserialised(path.read_bytes(), transformer(shape, arm=arm))
    except (OSError, ValueError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise InputError(
            f"cannot read the weights in {path} ({reason}); train this network again with: "
            "ntk1bit train-lm --resume --export, and the settings of its run"
        ) from None


@eqx.filter_jit
def _window_losses(model: Transformer, windows: Array) -> Array:
    return losses(model, windows)
