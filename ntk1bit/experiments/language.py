"""One Transformer trained on text, and one quantised after that, as experiments."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd

from ntk1bit.data import text as texts
from ntk1bit.data.choices import Questions, questions
from ntk1bit.errors import require_choice
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.telling import COMPILING, Teller
from ntk1bit.files import set_aside
from ntk1bit.networks.bitlinear_form import BitLinearForm, named_form
from ntk1bit.networks.post_training.methods import METHODS
from ntk1bit.networks.quantizers import Surrogate
from ntk1bit.networks.transformer_shape import AFTER_TRAINING, Activation, Arm, Shape, Size

if TYPE_CHECKING:
    from ntk1bit.networks.transformer import Transformer
    from ntk1bit.training.descent import Descent
    from ntk1bit.training.schedules import Training

ON_TRAINED: tuple[str, ...] = (*AFTER_TRAINING, *METHODS)  # arms that quantise a trained network
CALIBRATION = 64  # windows of the training text that methods of `post_training` are calibrated on
_ELSEWHERE = 2**31  # added to a seed for windows that no training of this seed begins with


@functools.lru_cache(maxsize=4)
def questions_of(text: str, *, context: int, count: int) -> Questions:
    """Return the questions that every network of a text is asked, made once in a process (`data.choices.questions`)."""
    corpus = texts.load(text)
    return questions(corpus.validation, corpus.alphabet, context=context, count=count)


@dataclass(frozen=True)
class LanguageModel(Experiment):
    """One Transformer trained on text, and its loss on the validation text; it keeps its weights.

    Attributes
    ----------
    text, arm, batch, context, windows, activation, tied, surrogate, recipe, form, groups, start, choices
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
    VERSION: ClassVar[int] = 2
    LENGTH: ClassVar[str] = "tokens"

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
    surrogate: str = ""
    recipe: str = "cosine"
    form: str = "w23"
    groups: int = 1
    start: str = ""
    choices: int = 0

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

    @property
    def shortest(self) -> int:
        """The characters of one step, or of one in each arm."""
        return self.batch * self.context * (2 if self.start else 1)

    def shape(self, vocabulary: int) -> Shape:
        """Return the shape of the network for an alphabet of this size."""
        activation = cast(Activation, self.activation)
        return Shape(self.layers, self.width, self.heads, vocabulary, self.context, activation, self.tied)

    @property
    def layer_form(self) -> BitLinearForm:
        """How the arm `bitnet` quantises in training: the form, with the groups."""
        return dataclasses.replace(named_form(self.form), groups=self.groups)

    def start_network(self, vocabulary: int) -> Transformer:
        """Draw the network before training, in the arm that is trained first."""
        from ntk1bit.networks.transformer import transformer

        return transformer(
            self.shape(vocabulary),
            arm=cast(Arm, self.start or self.arm),
            seed=self.seed,
            surrogate=cast(Surrogate, self.surrogate) if self.surrogate else None,
            form=self.layer_form,
        )

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result; scratch.weights keeps the weights, and scratch.checkpoint the state while training.

        Returns
        -------
        One row: `evaluated`, the arm; `loss`, `loss_error` in nats per character and `bits`, `bits_error`, with gamma
        per token as W23 has it at inference; `window_losses`, the mean loss of each validation window; with `choices`
        also `accuracy_0`, `accuracy_4`, `right_0`, `right_4` (`training.choices`); `train_loss`, mean over the last
        tenth of the steps; `curve`, mean training loss of each `chunk` steps, the last of which may be fewer; `steps`,
        how many were made (after the start, if there is one); `parameters`, N; `diverged`, whether a loss was not
        finite (then losses are NaN).

        Raises
        ------
        InputError
            As `texts.load` and `Shape`, and if the tokens are less than one step.
        """
        from ntk1bit.training import language as training
        from ntk1bit.training.checkpoints import write_state

        corpus = texts.load(self.text)
        with Teller(scratch) as tell:
            tell(COMPILING, 0.0)
            model, first = self.start_network(corpus.vocabulary), 0
            if self.start:
                model, first = self._started(model, corpus, scratch, tell)
            settings = self.settings(self.tokens - first)
            ended = self._trained(model, corpus, settings, scratch, tell, fresh=bool(self.start))
        write_state(scratch.with_suffix(".weights"), ended.params, self.key)
        scratch.with_suffix(".start").unlink(missing_ok=True)
        about = training.curve_columns(ended, settings) | {"parameters": self.shape(corpus.vocabulary).parameters}
        return pd.DataFrame([{"evaluated": self.arm} | self.measured(ended.params, corpus) | about])

    def measured(self, model: Transformer, corpus: texts.Corpus) -> dict[str, Any]:
        """Measure a network of this experiment as it is run at inference: columns of its row."""
        from ntk1bit.networks.transformer import as_form
        from ntk1bit.training import language as training

        held_out = texts.validation_windows(corpus.validation, context=self.context, count=self.windows)
        model = as_form(model, self.layer_form.at_inference())
        columns = training.evaluate(model, held_out)
        if self.choices:
            from ntk1bit.training.choices import choice_columns

            columns |= choice_columns(model, questions_of(self.text, context=self.context, count=self.choices))
        return columns

    def _started(self, model: Transformer, corpus: texts.Corpus, scratch: Path, tell: Any) -> tuple[Transformer, int]:
        """Train the first half in the arm `start`, or read it back; return the network in `arm`, and the tokens."""
        from ntk1bit.networks.transformer import as_arm
        from ntk1bit.training.checkpoints import Checkpoint

        step = self.batch * self.context
        tokens = self.tokens // step // 2 * step
        half = Checkpoint(scratch.with_suffix(".start"), f"{self.key} start", replace=True)
        kept = half.read(model)
        if kept is None:
            kept = self._trained(model, corpus, self.settings(tokens), scratch, tell).params
            half.write(kept)
        return as_arm(kept, cast(Arm, self.arm)), tokens

    def settings(self, tokens: int) -> Training:
        """Return how so many characters are trained on."""
        from ntk1bit.training.language import language_training

        return language_training(tokens, rate=self.rate, batch=self.batch, context=self.context, recipe=self.recipe)

    def _trained(
        self,
        model: Transformer,
        corpus: texts.Corpus,
        settings: Training,
        scratch: Path,
        tell: Any,
        *,
        fresh: bool = False,
    ) -> Descent:
        """Train a network; with `fresh` on other windows than from the start."""
        from ntk1bit.training.checkpoints import Checkpoint
        from ntk1bit.training.language import train_on_text

        return train_on_text(
            model,
            corpus.train,
            settings,
            context=self.context,
            seed=self.seed + (_ELSEWHERE if fresh else 0),
            checkpoint=Checkpoint(scratch.with_suffix(".checkpoint"), f"{self.key} {fresh}", replace=True),
            progress=tell,
        )


@dataclass(frozen=True)
class PostTrained(LanguageModel):
    """A trained network of the same run, quantised by a method and measured; nothing is trained.

    The weights are those that the experiment `source` has left in the run's folder; if they are lost, damaged or of
    another network, the network is trained again.

    Attributes
    ----------
    method
        One of `ON_TRAINED`. The other fields are those of the network.
    """

    KIND: ClassVar[str] = "post-trained"
    LENGTH: ClassVar[str] = ""
    ALONE: ClassVar[bool] = False

    method: str = ""

    def __post_init__(self) -> None:
        """Refuse an unknown method."""
        super().__post_init__()
        require_choice("method", self.method, ON_TRAINED)

    @property
    def source(self) -> LanguageModel:
        """The experiment that trains the network."""
        fields = self.as_dict()
        del fields["method"]
        return LanguageModel(**fields)

    @property
    def label(self) -> str:
        """Method and size."""
        return f"{self.method} of {self.layers}x{self.width}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor: mostly of compiling, for some methods of one size together."""
        read = self.windows * self.context + self.choices * 5 * self.context
        each = 2 * Size(self.layers, self.width).parameters + 4 * self.layers * self.width * self.context + 1e5
        return 2.0 + 3e-11 * each * read

    def reads(self, scratch: Path) -> tuple[Path, ...]:
        """Return where the weights of the network are that it quantises."""
        return (scratch.with_name(self.source.key).with_suffix(".weights"),)

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result.

        Returns
        -------
        One row: `evaluated`, the method; losses, accuracies and `parameters` as in `LanguageModel`; `diverged`, whether
        the trained network had (then it is not quantised, and losses are NaN).

        Raises
        ------
        InputError
            As `LanguageModel.run`.
        """
        from ntk1bit.networks.post_training.quantised_transformer import quantise_transformer
        from ntk1bit.networks.transformer import as_arm

        corpus = texts.load(self.text)
        shape = self.shape(corpus.vocabulary)
        model = self._trained_network(scratch, corpus.vocabulary)
        lost = not all(np.isfinite(np.asarray(block.up.weight)).all() for block in model.blocks)
        if self.method in AFTER_TRAINING:
            model = as_arm(model, cast(Arm, self.method))
        elif not lost:
            seed = self.seed + _ELSEWHERE
            windows = texts.training_batch(corpus.train, batch=CALIBRATION, context=self.context, step=0, seed=seed)
            model = quantise_transformer(model, self.method, windows, seed=self.seed)
        row = {"evaluated": self.method} | self.measured(model, corpus)
        return pd.DataFrame([row | {"parameters": shape.parameters, "diverged": lost}])

    def _trained_network(self, scratch: Path, vocabulary: int) -> Transformer:
        """Read the network that is to be quantised; train it again if its weights are lost, damaged or another's."""
        from ntk1bit.networks.transformer import transformer
        from ntk1bit.training.checkpoints import read_state

        (weights,) = self.reads(scratch)
        like = transformer(self.shape(vocabulary), arm=cast(Arm, self.arm), form=self.layer_form)
        try:
            return read_state(weights, like, self.source.key)
        except FileNotFoundError:
            pass
        except ValueError:
            set_aside(weights)
        self.source.run(scratch)  # another method may be at it too, so under a name of its own
        scratch.with_suffix(".weights").replace(weights)
        return read_state(weights, like, self.source.key)
