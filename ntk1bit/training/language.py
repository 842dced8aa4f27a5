"""Train a Transformer on text, measure its loss, and read its weights back.

Two recipes, both Adam with beta2 = 0.98 and gradients as they come (no clipping):

- ``"cosine"``, ours: no weight decay; the rate rises linearly over the first twentieth of the steps and falls along a
  cosine to a twentieth of its top;
- ``"w23"``: weight decay of 0.01; the rate rises linearly over 750 of 40,000 steps, or the same share of fewer, and
  falls along a straight line to 0 (W23, Tables 5 and 6; "polynomial decay", whose power it does not print, is read as
  of power 1, the usual one).

Arms of one seed share the start and the batches.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, UInt8

from ntk1bit.data import text as texts
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.bitlinear_form import DEFAULT_FORM, BitLinearForm
from ntk1bit.networks.transformer import Transformer, losses, transformer
from ntk1bit.networks.transformer_shape import Arm, Shape
from ntk1bit.training.checkpoints import Checkpoint, read_state
from ntk1bit.training.descent import Descent, descend
from ntk1bit.training.recipes import RECIPES
from ntk1bit.training.schedules import Training

CHUNK = 100  # steps between two looks at the loss
_WARM_UP, _LAST = 0.05, 0.05
_W23_WARM_UP, _W23_DECAY = 750 / 40_000, 0.01
_AT_ONCE = 64  # windows of the validation text evaluated in one call


def language_training(tokens: int, *, rate: float, batch: int, context: int, recipe: str = "cosine") -> Training:
    """Return how a Transformer is trained on so many characters by one of `RECIPES`, see the module.

    Raises
    ------
    InputError
        If they are fewer than one step of `batch` windows of `context` characters, or the recipe is unknown.
    """
    require_choice("recipe", recipe, RECIPES)
    steps = tokens // (batch * context)
    if steps < 1:
        raise InputError(f"{tokens} tokens are less than one step of {batch} x {context}; give more tokens")
    if recipe == "w23":
        warm_up = max(round(_W23_WARM_UP * steps), 1)
        return Training(
            steps,
            rate,
            batch=batch,
            beta2=0.98,
            weight_decay=_W23_DECAY,
            schedule="linear",
            warm_up=warm_up,
            every=CHUNK,
        )
    warm_up = max(int(_WARM_UP * steps), 1)
    return Training(steps, rate, batch=batch, beta2=0.98, warm_up=warm_up, last=_LAST, every=CHUNK)


def train_on_text(
    model: Transformer,
    text: UInt8[np.ndarray, " characters"],
    training: Training,
    *,
    context: int,
    seed: int,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[str, float], None] | None = None,
    observe: Callable[[Any], Any] | None = None,
) -> Descent:
    """Train a network on random windows of a text, `training.batch` of them per step.

    Parameters
    ----------
    model
        The start.
    text
        Characters as numbers.
    training
        Of `language_training`.
    context
        Characters predicted in each window.
    seed
        Of the windows: those of a step depend on the seed and the number of the step alone.
    checkpoint
        Where to resume from and to keep the state.
    progress, observe
        As in `descend`.

    Raises
    ------
    InputError
        If the checkpoint cannot be used.
    """

    def batches(steps: range) -> Integer[Array, "steps batch t1"]:
        drawn = texts.training_batches(
            text, batch=training.batch or 1, context=context, first=steps.start, count=len(steps), seed=seed
        )
        return jnp.asarray(drawn, jnp.int32)

    return descend(
        mean_loss, model, training, batches=batches, observe=observe, checkpoint=checkpoint, progress=progress
    )


def mean_loss(model: Transformer, windows: Integer[Array, "batch t1"]) -> Float[Array, ""]:
    """Return the mean loss of a batch of windows, in nats per character."""
    return losses(model, windows).mean()


def curve_columns(ended: Descent, training: Training) -> dict[str, Any]:
    """Return how a training went, as columns of a row; see `experiments.language.LanguageModel.run`."""
    curve, steps = ended.losses.astype(np.float64), training.steps
    diverged = not np.isfinite(curve).all()
    return {
        "train_loss": float("nan") if diverged else float(curve[-max(steps // 10, 1) :].mean()),
        "chunk": min(CHUNK, steps),
        "steps": steps,
        "diverged": diverged,
        "curve": [float(curve[first : first + CHUNK].mean()) for first in range(0, steps, CHUNK)],
    }


def evaluate(model: Transformer, windows: Integer[np.ndarray, "count t1"]) -> dict[str, Any]:
    """Measure a network's loss on windows of text, as `data.text.loss_columns`; NaN if it is not finite."""
    found = np.concatenate(
        [
            np.asarray(_window_losses(model, jnp.asarray(windows[low : low + _AT_ONCE], jnp.int32)))
            for low in range(0, len(windows), _AT_ONCE)
        ]
    ).astype(np.float64)
    return texts.loss_columns(found)


def load_weights(
    path: Path | str, identity: str, shape: Shape, *, arm: Arm, form: BitLinearForm = DEFAULT_FORM
) -> Transformer:
    """Read a trained network's weights.

    Parameters
    ----------
    path
        A file of `write_state`.
    identity
        Of which network it must be: the key of the experiment that trained it.
    shape, arm
        Of the network.
    form
        How the arm `bitnet` is to quantise.

    Raises
    ------
    InputError
        If the file is missing, damaged, or of another network.
    """
    try:
        return read_state(path, transformer(shape, arm=arm, form=form), identity)
    except (OSError, ValueError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise InputError(
            f"cannot use the weights in {path} ({reason}); train this network again with: ntk1bit train-lm --export, "
            "and the settings of its run"
        ) from None


@eqx.filter_jit
def _window_losses(model: Transformer, windows: Array) -> Array:
    return losses(model, windows)
