"""How often an update changes a 1-bit weight (W23, section 2.2), step by step of a training."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Bool

from ntk1bit.data import text as texts
from ntk1bit.errors import require_choice
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.language import LanguageModel
from ntk1bit.experiments.telling import COMPILING, Teller
from ntk1bit.networks.bitlinear_form import named_form
from ntk1bit.networks.transformer_shape import Size
from ntk1bit.training.recipes import RECIPES

if TYPE_CHECKING:
    from jaxtyping import Array

    from ntk1bit.networks.transformer import Transformer


@dataclass(frozen=True)
class UpdateFlips(Experiment):
    """Train one network of the arm `bitnet` and count, at every step, the 1-bit weights whose sign the step changes.

    Attributes
    ----------
    text, tokens, batch, context, seed
        As in `experiments.language.LanguageModel`, whose network, batches and updates these are.
    layers, width
        Of the network, with as many heads as `networks.transformer_shape.Size.default_heads`.
    rate
        The largest learning rate.
    recipe
        ``"w23"`` or ``"cosine"`` (`training.language`).
    form
        Name of the form of the layers (`networks.bitlinear_form`).

    Raises
    ------
    InputError
        If the recipe or the form is unknown, or the size cannot be built.
    """

    KIND: ClassVar[str] = "update-flips"

    text: str
    layers: int
    width: int
    rate: float
    tokens: int
    batch: int
    context: int
    seed: int
    recipe: str = "w23"
    form: str = "w23"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        require_choice("recipe", self.recipe, RECIPES)
        named_form(self.form)
        Size(self.layers, self.width)

    @property
    def label(self) -> str:
        """Size and rate."""
        return f"signs of {self.layers}x{self.width}, rate {self.rate:.3g}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor: the training, and what it takes to stop at every step and look at signs."""
        steps = self.tokens / (self.batch * self.context)
        return self._model.cost + steps * (4e-3 + 2e-8 * Size(self.layers, self.width).parameters)

    @property
    def memory(self) -> int:
        """Predicted bytes at the peak: those of the training, and a byte for each weight and step."""
        steps = self.tokens // (self.batch * self.context)
        return self._model.memory + steps * Size(self.layers, self.width).parameters

    @property
    def _model(self) -> LanguageModel:
        """The network and its training; nothing is evaluated."""
        return LanguageModel(
            text=self.text,
            layers=self.layers,
            width=self.width,
            heads=Size(self.layers, self.width).default_heads,
            arm="bitnet",
            rate=self.rate,
            tokens=self.tokens,
            batch=self.batch,
            context=self.context,
            seed=self.seed,
            windows=1,
            recipe=self.recipe,
            form=self.form,
        )

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result.

        Returns
        -------
        A row for each `step`, from 0 on: `learning_rate`, the rate of this step (0 at step 0, where the warm-up
        begins); `share`, the share of the 1-bit weights of all projections whose Sign(W - alpha) differs after the step
        from before it; `loss` of its batch before the step, nats per character; `diverged`, whether a loss was not
        finite. `loss` and `share` are NaN from where they are not finite on.

        Raises
        ------
        InputError
            As `texts.load`, `Shape` and `training.language.language_training`.
        """
        import dataclasses

        import jax

        from ntk1bit.training.language import train_on_text

        corpus, model = texts.load(self.text), self._model
        settings = model.settings(self.tokens)
        with Teller(scratch) as tell:
            tell(COMPILING, 0.0)
            ended = train_on_text(
                model.start_network(corpus.vocabulary),
                corpus.train,
                dataclasses.replace(settings, every=1),
                context=self.context,
                seed=self.seed,
                progress=tell,
                observe=jax.jit(weight_signs),
            )
        losses = ended.losses.astype(np.float64)
        signs, finite = ended.records
        share = [float(np.mean(before != after)) for before, after in itertools.pairwise(signs)]
        sound = np.isfinite(losses) & finite[1:]  # what is not reached has no loss
        return pd.DataFrame(
            {
                "step": np.arange(settings.steps),
                "learning_rate": self.rate * np.asarray(settings.lr_schedule(np.arange(settings.steps)), np.float64),
                "share": np.where(sound, share, np.nan),
                "loss": np.where(np.isfinite(losses), losses, np.nan),
                "diverged": not np.isfinite(losses).all(),
            }
        )


def weight_signs(model: Transformer) -> tuple[Bool[Array, " weights"], Bool[Array, ""]]:
    """Return which 1-bit weights of all projections are +1, matrix by matrix, and whether all latent ones are finite.

    They are taken from what the layers multiply with, beta Sign(W - alpha), so that they are its signs to the bit.
    """
    import jax
    import jax.numpy as jnp

    from ntk1bit.networks.bitlinear import Projection, signed_weights

    leaves = jax.tree.leaves(model, is_leaf=lambda one: isinstance(one, Projection))
    layers = [one for one in leaves if isinstance(one, Projection)]
    signs = [signed_weights(one.weight, form=one.form, surrogate=one.surrogate) > 0 for one in layers]
    finite = [jnp.isfinite(one.weight).all() for one in layers]
    return jnp.concatenate([one.ravel() for one in signs]), jnp.stack(finite).all()
