"""How much of a straight-through step arrives in each layer of a network, beside what is expected of its quantiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.experiment import Experiment

QUANTISERS = {"std": "std", "absmean": "absmean", "bitnet": "tensor", "b158": "ternary"}  # -> of `expected_ratio`


@dataclass(frozen=True)
class LayerRatios(Experiment):
    """Draw networks of three 1-bit layers and a full-precision readout, and measure c of each layer.

    Attributes
    ----------
    quantiser
        ``"std"`` or ``"absmean"``, D25's of neurons; ``"bitnet"`` or ``"b158"``, W23's BitLinear and its ternary form,
        with 8-bit activations behind a LayerNorm (`networks.bitlinear`).
    width
        Inputs, and neurons of each layer.
    n_train
        Inputs, from N(0, I), whose outputs are weighted with random signs.
    move
        As in `autodiff.step_ratios`.
    seeds
        Networks, each with inputs of its own.
    """

    KIND: ClassVar[str] = "layer-ratios"

    quantiser: str
    width: int
    n_train: int
    move: float
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse an unknown quantiser and a width below 2, which has nothing to quantise."""
        require_choice("quantiser", self.quantiser, tuple(QUANTISERS))
        if self.width < 2:
            raise InputError(f"width must be 2 or more, got {self.width}")

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return 8.0 + len(self.seeds) * (0.5 + 2e-9 * self.width**2 * self.n_train)

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each seed and layer, 1 to 3: `ratio`, c as measured, and `expected`.
        """
        import jax  # a process that runs other experiments has no need of it
        import jax.numpy as jnp

        from ntk1bit.autodiff.arriving_steps import expected_ratio, step_ratios

        f = network(self.quantiser)
        gradients = jax.jit(jax.grad(lambda params, x, r: jnp.vdot(r, f(params, x))))
        found = []
        for seed in self.seeds:
            for_x, for_r, *for_weights = jax.random.split(jax.random.key(seed), 6)
            x = jax.random.normal(for_x, (self.n_train, self.width))
            r = jax.random.rademacher(for_r, (self.n_train,), dtype=jnp.float32)
            sizes = (*[self.width] * 3, 1)
            params = [
                math.sqrt(2 / self.width) * jax.random.normal(key, (size, self.width))
                for key, size in zip(for_weights, sizes, strict=True)
            ]
            ratios = step_ratios(f, params, x, r, move=self.move, parameters=lambda path: path != "3")
            gradient = gradients(params, x, r)
            for layer in range(3):
                expected = expected_ratio(QUANTISERS[self.quantiser], gradient[layer])
                found.append((seed, layer + 1, ratios[str(layer)], expected))
        return pd.DataFrame(found, columns=["seed", "layer", "ratio", "expected"])


def network(quantiser: str) -> Callable[[Any, Any], Any]:
    """Return f(params, x) of a stack of quantised layers with relu between and a row in full precision at the end."""
    import jax
    import jax.numpy as jnp

    from ntk1bit.networks.bitlinear import LayerNorm, quantized_factors
    from ntk1bit.networks.bitlinear_form import DEFAULT_FORM
    from ntk1bit.networks.straight_through import neuron_wise

    def f(params: Any, x: Any) -> Any:
        h = x
        for w in params[:-1]:
            if quantiser in ("bitnet", "b158"):
                inputs, weights = quantized_factors(
                    LayerNorm(jnp.ones(w.shape[1]))(h), w, arm=quantiser, form=DEFAULT_FORM
                )
            else:
                inputs, weights = h, neuron_wise(w, scale="absmean" if quantiser == "absmean" else "std")
            h = jax.nn.relu(inputs @ weights.T)
        return (h @ params[-1].T)[:, 0]

    return f
