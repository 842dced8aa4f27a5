"""What groups cost: the loss of a 1-bit Transformer against G (W23, Eqs. 13 to 15), in a form of the layer.

W23 gives neither a G nor a loss for groups. No study runs this: it is what one would be made of.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from ntk1bit.data import text as texts
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.networks.bitlinear_form import BitLinearForm, named_form
from ntk1bit.networks.transformer_shape import Shape, Size


@dataclass(frozen=True)
class GroupedLoss(Experiment):
    """Train one network of the arm `bitnet` whose layers have G groups, and measure it as W23 runs it.

    Networks of one seed share start and batches, so that losses at several G are compared seed by seed.

    Attributes
    ----------
    groups
        G; it divides the width.
    form
        Name of the form whose groups these are (`networks.bitlinear_form`), with its own surrogate.
    layers, width
        Of the network.
    tokens, rate, batch, context
        Characters read, the top rate of Adam, windows of a step and their length.
    seed
        Of start and batches.
    text, windows
        As in `ntk1bit.data.text.load`; how many validation windows are read.

    Raises
    ------
    InputError
        If a name is unknown, or the groups do not divide the width.
    """

    KIND: ClassVar[str] = "grouped-loss"

    groups: int
    form: str
    layers: int
    width: int
    tokens: int
    rate: float
    seed: int
    batch: int = 8
    context: int = 64
    text: str = "sotu"
    windows: int = 256

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        self.layer_form.group_size(Size(self.layers, self.width).width)

    @property
    def layer_form(self) -> BitLinearForm:
        """The form, with its groups."""
        return dataclasses.replace(named_form(self.form), groups=self.groups)

    @property
    def label(self) -> str:
        """Its groups."""
        return f"{self.layers}x{self.width}, {self.groups} groups"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        each = 6 * Size(self.layers, self.width).parameters + 12 * self.layers * self.width * self.context + 1e5
        return 6.0 + 3e-11 * each * self.tokens

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result; scratch.checkpoint keeps the state while training.

        Returns
        -------
        One row: `loss`, `loss_error` in nats per character with gamma per token, as W23 has it at inference, and the
        other columns of `data.text.loss_columns`; `train_loss`, `curve`, `chunk`, `steps`, `diverged` as in
        `LanguageModel`.

        Raises
        ------
        InputError
            As `texts.load` and `Shape`, and if the tokens are less than one step.
        """
        from ntk1bit.networks.transformer import as_form, transformer
        from ntk1bit.training import language as training
        from ntk1bit.training.checkpoints import Checkpoint

        corpus = texts.load(self.text)
        heads = Size(self.layers, self.width).default_heads
        shape = Shape(self.layers, self.width, heads, corpus.vocabulary, self.context)
        held_out = texts.validation_windows(corpus.validation, context=self.context, count=self.windows)
        settings = training.language_training(self.tokens, rate=self.rate, batch=self.batch, context=self.context)
        ended = training.train_on_text(
            transformer(shape, arm="bitnet", seed=self.seed, form=self.layer_form),
            corpus.train,
            settings,
            context=self.context,
            seed=self.seed,
            checkpoint=Checkpoint(scratch.with_suffix(".checkpoint"), self.key, replace=True),
        )
        at_inference = as_form(ended.params, self.layer_form.at_inference())
        return pd.DataFrame([training.evaluate(at_inference, held_out) | training.curve_columns(ended, settings)])
