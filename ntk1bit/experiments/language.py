"""One Transformer trained on text, as an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import pandas as pd

from ntk1bit.data import text as texts
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.telling import COMPILING, Teller
from ntk1bit.networks.quantizers import Surrogate
from ntk1bit.networks.transformer_shape import ARMS, TRAINED_ARMS, Activation, Arm, Shape, Size


@dataclass(frozen=True)
class LanguageModel(Experiment):
    """One Transformer trained on text, and its loss on the validation text; it keeps its weights.

    Attributes
    ----------
    text, arm, batch, context, windows, activation, tied, surrogate
        As in `language_spec.LanguageSpec`.
    layers, width, heads
        As in `networks.transformer_shape.Shape`.
    rate
        The largest learning rate; see `training.language` for its schedule.
    tokens
        Training characters: as many steps of `batch` times `context` as these are enough for, one at least.
    seed
        Of the start and of the batches.
    """

    KIND: ClassVar[str] = "language-model"

    text: str
    layers: int
    width: int
    heads: int
    arm: str
    rate: float
    tokens: int
    batch: int
    context: int
    seed: int
    windows: int
    activation: str = "gelu"
    tied: bool = True
    surrogate: str = "identity"

    @property
    def label(self) -> str:
        """Arm, size and rate."""
        return f"{self.arm} {self.layers}x{self.width}, rate {self.rate:.3g}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor; to compile takes 13 s, for some networks of one size and arm together."""
        each = 6 * Size(self.layers, self.width).parameters + 12 * self.layers * self.width * self.context + 1e5
        return 6.0 + 3e-11 * each * self.tokens

    @property
    def memory(self) -> int:
        """Predicted bytes at the peak: JAX and its compiler, weights with what Adam keeps of them, and activations."""
        size = Size(self.layers, self.width)
        activations = 4 * self.batch * self.context * self.layers * (30 * self.width + 2 * self.heads * self.context)
        return int(370e6 + 64 * size.parameters + activations)

    def shape(self, vocabulary: int) -> Shape:
        """Return the shape of the network for an alphabet of this size."""
        activation = cast(Activation, self.activation)
        return Shape(self.layers, self.width, self.heads, vocabulary, self.context, activation, self.tied)

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result; scratch.weights keeps the weights, and scratch.checkpoint the state while training.

        Returns
        -------
        A row for the arm itself, and one for each arm that quantises a trained ``full`` network: `evaluated`, the arm
        measured; `loss`, `loss_error` in nats per character and `bits`, `bits_error`; `window_losses`, the mean loss of
        each validation window; `train_loss`, mean over the last tenth of the steps; `curve`, mean training loss of each
        `chunk` steps, the last of which may be fewer; `steps`, how many were made; `parameters`, N; `diverged`, whether
        a loss was not finite (then losses are NaN).

        Raises
        ------
        InputError
            As `texts.load` and `Shape`, and if the tokens are less than one step.
        """
        from ntk1bit.files import write_whole
        from ntk1bit.networks.transformer import as_arm, transformer
        from ntk1bit.training import language as training
        from ntk1bit.training.checkpoints import Checkpoint, serialised

        corpus = texts.load(self.text)
        shape = self.shape(corpus.vocabulary)
        held_out = texts.validation_windows(corpus.validation, context=self.context, count=self.windows)
        model = transformer(shape, arm=cast(Arm, self.arm), seed=self.seed, surrogate=cast(Surrogate, self.surrogate))
        settings = training.language_training(self.tokens, rate=self.rate, batch=self.batch, context=self.context)
        checkpoint = Checkpoint(scratch.with_suffix(".checkpoint"), self.key, replace=True)
        with Teller(scratch) as tell:
            tell(COMPILING, 0.0)
            ended = training.train_on_text(
                model,
                corpus.train,
                settings,
                context=self.context,
                seed=self.seed,
                checkpoint=checkpoint,
                progress=tell,
            )
        write_whole(scratch.with_suffix(".weights"), serialised(ended.params))
        about = training.curve_columns(ended, settings) | {"parameters": shape.parameters}
        arms = [arm for arm in ARMS if arm == self.arm or (self.arm == "full" and arm not in TRAINED_ARMS)]
        return pd.DataFrame(
            [
                {"evaluated": arm} | training.evaluate(as_arm(ended.params, cast(Arm, arm)), held_out) | about
                for arm in arms
            ]
        )
