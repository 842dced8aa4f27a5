"""Whether Transformers oscillate late in training on a text that they learn by heart, and what remedies leave of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Integer

from ntk1bit.data import text as texts
from ntk1bit.errors import require_choice
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.remedies import (
    LOSSES,
    OF_TRAINING,
    WeightsMean,
    last_windows,
    remedied_training,
    require_freezable,
    require_window,
    window_stops,
)
from ntk1bit.experiments.telling import COMPILING, Teller
from ntk1bit.networks.transformer_shape import FLOAT_ARMS, SIGNED_ARMS, TRAINED_ARMS, Arm, Size, layer_of, plain_shape

if TYPE_CHECKING:
    from ntk1bit.networks.transformer import Transformer
    from ntk1bit.training.schedules import Training

REMEDIES = ("none", "latents", "freezing", "decay")
ADAM_WIDTH = 64  # the width at which Adam has its rate; at width m it has 64/m of it
_SPEED = 6e10  # floating-point operations per second of one core, of all a step computes
_COMPILING = 8.0


@dataclass(frozen=True)
class LanguageOscillation(Experiment):
    """Transformers of one size and arm, one for each seed, in full batches of a few windows of a text.

    Attributes
    ----------
    arm, layers, width, text
        As in `LanguageModel`.
    optimiser
        ``"sgd"``, ``"momentum"`` (beta1 = 0.9) or ``"adam"``.
    rate
        The learning rate, constant; of Adam that at width 64, in inverse proportion to the width.
    steps, window
        Steps of training, of which the last `window` are followed.
    seeds
        Of starts and of windows.
    windows, context
        How many windows of the text each network learns, and the characters of one that are predicted.
    tests
        Windows of the validation text.
    remedy
        ``"none"``; ``"latents"``: the same training, and the mean of its weights over the window is measured too;
        ``"freezing"`` of weights that oscillate (`training.freezing`); ``"decay"``: the rate falls to 0 along a
        straight line. The latent activity of `DeepOscillation` has no meaning here: GELU has no pattern of neurons
        that are on or off.

    Raises
    ------
    InputError
        If a name is unknown, the window is not from 2 to the steps, or weights that are no signs are to be frozen.
    """

    KIND: ClassVar[str] = "language-oscillation"
    LENGTH: ClassVar[str] = "steps"
    LATER: ClassVar[tuple[str, ...]] = ("remedy",)

    arm: str
    width: int
    optimiser: str
    rate: float
    steps: int
    window: int
    seeds: tuple[int, ...]
    layers: int = 2
    text: str = "pydoc"
    windows: int = 16
    context: int = 32
    tests: int = 64
    remedy: str = "none"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        require_choice("arm", self.arm, TRAINED_ARMS)
        require_choice("remedy", self.remedy, REMEDIES)
        require_window(self.window, self.steps)
        require_freezable(self.remedy, self.arm, signs=layer_of(cast(Arm, self.arm)) in SIGNED_ARMS)

    @property
    def label(self) -> str:
        """Arm, size, optimiser and remedy."""
        return f"oscillation, {self.arm} {self.layers}x{self.width}, {self.optimiser}, {self.remedy}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor: forward and backward products, then outputs in the window."""
        tokens = self.windows * self.context
        step, look = 6.0 * tokens, 2.0 * (tokens + self.tests * self.context)
        operations = Size(self.layers, self.width).parameters * (self.steps * step + self.window * look)
        return _COMPILING + len(self.seeds) * operations / _SPEED

    @property
    def shortest(self) -> int:
        """The fewest steps that it takes."""
        return self.window

    @property
    def training(self) -> Training:
        """How it is trained."""
        rate = self.rate * (ADAM_WIDTH / self.width if self.optimiser == "adam" else 1.0)
        return remedied_training(self.remedy, None, steps=self.steps, rate=rate, optimiser=self.optimiser)

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result; it is short and keeps no checkpoint.

        Returns
        -------
        A row per seed, of the last `window` steps. On the windows learned, in nats a character: `loss` of single
        outputs, the mean over the window; `averaged`, of means of the logits of two successive steps; `averaged_last`,
        of the mean of all logits of the window; `least`, the least loss that any function of what stands before a
        character can have there (scales per tensor let BitLinear see a little more). The first three of the validation
        windows with ``test_`` before them. `autocorrelation`, of the logits on the windows learned, `flips`, `flipped`
        and `returned` as in `training.Oscillation`, the last three NaN in full precision; `loss_start` before training;
        `diverged`. With a remedy also `latents` and `test_latents`, of the network whose weights, latent ones and all
        others, are the mean over the window.

        Raises
        ------
        InputError
            As `text.load` and `Training`.
        """
        import jax.numpy as jnp

        from ntk1bit.networks.transformer import transformer
        from ntk1bit.training.descent import descend
        from ntk1bit.training.oscillation import Oscillation

        corpus = texts.load(self.text)
        tests = texts.validation_windows(corpus.validation, context=self.context, count=self.tests)
        shape = plain_shape(self.layers, self.width, vocabulary=corpus.vocabulary, context=self.context)
        outputs, levels = _functions(self.arm)
        found = []
        with Teller(scratch) as tell:
            tell(COMPILING, 0.0)
            for place, seed in enumerate(self.seeds):
                learned = texts.training_batch(
                    corpus.train, seed=seed, step=0, batch=self.windows, context=self.context
                )
                sets = [np.asarray(one, np.int32) for one in (learned, tests)]
                monitors = [
                    Oscillation(one[:, 1:], window=self.window, last=self.window, loss=mean_cross_entropy)
                    for one in sets
                ]
                latents = WeightsMean(self.window)

                def look(
                    step: int, model: Any, sets: Any = sets, monitors: Any = monitors, latents: Any = latents
                ) -> None:
                    if step > 0:
                        for one, monitor in zip(sets, monitors, strict=True):
                            held = levels(model) if monitor is monitors[0] and levels is not None else None
                            monitor.update(outputs(model, one), held, step=step)
                        if self.remedy != "none":
                            latents.add(model)

                ended = descend(
                    _loss,
                    transformer(shape, arm=cast(Arm, self.arm), seed=seed),
                    self.training,
                    data=(jnp.asarray(sets[0]),),
                    stops=window_stops(self.window, self.steps),
                    look=look,
                    progress=lambda words, share, place=place: tell(words, (place + share) / len(self.seeds)),
                )
                ends, of_tests = (last_windows([monitor]).iloc[0] for monitor in monitors)
                row = {name: ends[name] for name in (*LOSSES, *OF_TRAINING)}
                row |= {f"test_{name}": of_tests[name] for name in LOSSES}
                if self.remedy != "none":
                    for name, one in zip(("latents", "test_latents"), sets, strict=True):
                        row[name] = _loss_of(outputs, latents.mean, one)
                found.append(
                    {"seed": seed, "loss_start": float(ended.losses[0]), "least": least_loss(sets[0])}
                    | row
                    | {"diverged": not np.isfinite(ended.losses).all()}
                )
        return pd.DataFrame(found)


def _loss_of(outputs: Any, model: Transformer | None, windows: Integer[np.ndarray, "b t1"]) -> float:
    return np.nan if model is None else mean_cross_entropy(np.asarray(outputs(model, windows)), windows[:, 1:])


def mean_cross_entropy(logits: Float[np.ndarray, "b t vocabulary"], tokens: Integer[np.ndarray, "b t"]) -> float:
    """Return the mean cross-entropy of these logits, in nats a character."""
    from scipy.special import logsumexp

    chosen = np.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return float((logsumexp(logits, axis=-1) - chosen).mean())


def least_loss(windows: Integer[np.ndarray, "b t1"]) -> float:
    """Return the least mean cross-entropy that a function of what stands before a character can have on these windows.

    Where windows begin alike, a character has the frequencies that it has after that beginning: their entropy is left.
    """
    total = 0.0
    for end in range(1, windows.shape[1]):
        _, begun = np.unique(windows[:, :end], axis=0, return_inverse=True)
        pairs = np.stack([begun.ravel(), windows[:, end]], axis=1)
        counts = np.unique(pairs, axis=0, return_counts=True)[1]
        of_beginning = np.bincount(begun.ravel())
        total += float((of_beginning * np.log(of_beginning)).sum() - (counts * np.log(counts)).sum())
    return total / windows[:, 1:].size


def _loss(model: Transformer, batch: None, windows: Any) -> Any:  # noqa: ARG001 - all windows at every step
    from ntk1bit.networks.transformer import losses

    return losses(model, windows).mean()


@functools.lru_cache(maxsize=8)
def _functions(arm: str) -> tuple[Any, Any]:
    """Return functions from a model to its logits on windows, and to the signs of its quantised weights or None."""
    import jax
    import jax.numpy as jnp

    from ntk1bit.networks.bitlinear import Projection, quantized_factors

    def is_projection(one: Any) -> bool:
        return isinstance(one, Projection)

    def signs(one: Projection) -> Any:
        any_inputs = jnp.ones((1, one.weight.shape[1]))
        _, weights = quantized_factors(any_inputs, one.weight, arm=one.arm, form=one.form, step=one.step)
        return jnp.sign(weights).astype(jnp.int8)

    def levels(model: Any) -> list[Any]:
        return [signs(one) for one in jax.tree.leaves(model, is_leaf=is_projection) if is_projection(one)]

    return jax.jit(lambda model, windows: model(windows[:, :-1])), None if arm in FLOAT_ARMS else jax.jit(levels)
