"""The variance of W23's BitLinear as it is drawn, of one layer and of a stack of them (W23, Eqs. 8 to 10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.networks.bitlinear_form import named_form

_STREAM = 0x71  # keeps these draws apart from others at the same seed
INPUTS = ("normal", "gelu")


def _normal(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n n"]:
    return rng.standard_normal((n, n)) / np.sqrt(n)


def _xavier(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n n"]:
    bound = np.sqrt(6 / (n + n))
    return rng.uniform(-bound, bound, (n, n))


def _he(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n n"]:
    return rng.standard_normal((n, n)) * np.sqrt(2 / n)


DRAWS: dict[str, Callable[[np.random.Generator, int], Float[np.ndarray, "n n"]]] = {
    "normal": _normal,  # N(0, 1/n): the start of `networks.bitlinear.projection`
    "xavier": _xavier,  # U(-sqrt(6/2n), sqrt(6/2n)): Glorot & Bengio 2010, n inputs and n outputs
    "he": _he,  # N(0, 2/n): He et al. 2015
}


@dataclass(frozen=True)
class LayerVariance(Experiment):
    """Draw square BitLinear layers and measure the variance of what leaves them, with and without SubLN.

    Attributes
    ----------
    init
        Of the weights: ``"normal"`` N(0, 1/n), ``"xavier"`` uniform, ``"he"`` N(0, 2/n).
    inputs
        Independent entries: ``"normal"`` N(0, 1), or ``"gelu"``, GELU of these, which has a mean.
    size
        What the inputs are multiplied by.
    width, rows
        n inputs and as many outputs; rows of inputs.
    layers
        How many layers follow each other, each the input of the next.
    form
        Name of the form of the layer (`networks.bitlinear_form`).
    seeds
        Each draws inputs and weights; all settings of a seed share the draws.

    Raises
    ------
    InputError
        If a name is unknown or a number below 1.
    """

    KIND: ClassVar[str] = "layer-variance"

    init: str
    inputs: str
    size: float
    width: int
    layers: int
    seeds: tuple[int, ...]
    rows: int = 64
    form: str = "w23"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        super().__post_init__()
        require_choice("init", self.init, DRAWS)
        require_choice("inputs", self.inputs, INPUTS)
        named_form(self.form)
        for name in ("width", "layers", "rows"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (np.isfinite(self.size) and self.size > 0):
            raise InputError(f"size must be a positive number, got {self.size}")

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 2.0 + 5e-8 * self.width**2 * self.layers * len(self.seeds)

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each seed, `sub_norm` (whether a LayerNorm stands before the layer) and `layer`, from 1 on: `variance`
        of the outputs, over outputs, averaged over rows; `square`, the mean square of what the layer quantises (after
        the norm, if there is one); `gain`, n beta^2; and `predicted`, gain times square: W23's Eq. 10.
        """
        import jax
        import jax.numpy as jnp

        from ntk1bit.networks.bitlinear import LayerNorm, Projection

        form = named_form(self.form)

        @jax.jit
        def normalised(x: Any) -> Any:
            return LayerNorm(jnp.ones(self.width))(x)

        @jax.jit
        def step(x: Any, w: Any) -> Any:
            return Projection(w, "bitnet", form.surrogate, form)(x)

        found = []
        for seed in self.seeds:
            rng = np.random.default_rng([seed, _STREAM, self.width])
            start = rng.standard_normal((self.rows, self.width))
            if self.inputs == "gelu":
                start = np.asarray(jax.nn.gelu(start.astype(np.float32)), np.float64)
            weights = [DRAWS[self.init](rng, self.width).astype(np.float32) for _ in range(self.layers)]
            for sub_norm in (True, False):
                x = jnp.asarray(self.size * start, jnp.float32)
                for layer, w in enumerate(weights, start=1):
                    x = normalised(x) if sub_norm else x
                    y = step(x, w)
                    square = float((np.asarray(x, np.float64) ** 2).mean())
                    gain = self.width * float(np.abs(w.astype(np.float64)).mean()) ** 2
                    found.append(
                        {
                            "seed": seed,
                            "sub_norm": sub_norm,
                            "layer": layer,
                            "variance": float(np.asarray(y, np.float64).var(axis=1).mean()),
                            "square": square,
                            "gain": gain,
                            "predicted": gain * square,
                        }
                    )
                    x = y
        return pd.DataFrame(found)
