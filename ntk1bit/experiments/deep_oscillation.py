"""Whether deep quantised MLPs oscillate late in training, with four optimisers, and what remedies leave of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd

from ntk1bit.data import tasks
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

if TYPE_CHECKING:
    from ntk1bit.networks.mlp import MLP
    from ntk1bit.training.schedules import Training

REMEDIES = ("none", "latent", "freezing", "decay")
ADAM_WIDTH = 256  # the width at which Adam has its rate; at width m it has 256/m of it
_SPEED = 8e10  # floating-point operations per second of one core, of all a step computes
_COMPILING = 6.0  # seconds for each cell


@dataclass(frozen=True)
class DeepOscillation(Experiment):
    """Networks of three layers, the one in the middle quantised, one for each seed, on one data set.

    Attributes
    ----------
    width
        Neurons m of both hidden layers: m^2 quantised weights. First and last layer are in full precision, as in
        practice; no biases; `mlp.MLP` with the parameterisation ``"ntk"``.
    optimiser
        ``"sgd"``, ``"momentum"`` (beta1 = 0.9) or ``"adam"``.
    rate
        The learning rate, constant; of Adam that at width 256, in inverse proportion to the width, since a step of Adam
        moves each of m^2 weights by about the rate and each moves an output by 1/m.
    steps, window
        Steps of training, of which the last `window` are followed.
    seeds
        One network each.
    batch
        Points per step; 0 for all.
    remedy
        ``"none"``; ``"latent"``: backward patterns of the latent weights; ``"freezing"`` of weights that oscillate
        (`training.freezing`); ``"decay"``: the rate falls to 0 along a straight line.
    levels
        ``"signs"`` or ``"ternary"``, as in `mlp.MLP`.
    task, n_train, n_test, data_seed
        Name of a task, and its points, whose inputs are scaled to norm sqrt(d).

    Raises
    ------
    InputError
        If a name is unknown, the window is not from 2 to the steps, or ternary weights are to be frozen.
    """

    KIND: ClassVar[str] = "deep-oscillation"
    LENGTH: ClassVar[str] = "steps"

    width: int
    optimiser: str
    rate: float
    steps: int
    window: int
    seeds: tuple[int, ...]
    batch: int = 0
    remedy: str = "none"
    levels: str = "signs"
    task: str = "digits"
    n_train: int = 128
    n_test: int = 256
    data_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        require_choice("remedy", self.remedy, REMEDIES)
        require_window(self.window, self.steps)
        require_freezable(self.remedy, self.levels, signs=self.levels == "signs")

    @property
    def label(self) -> str:
        """Optimiser, width and remedy."""
        return f"oscillation, {self.optimiser}, width {self.width}, {self.remedy}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor: forward and backward products, then outputs and weights in the window."""
        weights = self.width**2 + 64 * self.width
        step = 6.0 * weights * (self.batch or self.n_train)
        look = 2.0 * weights * (2 * self.n_train + self.n_test) + 300.0 * weights
        return _COMPILING + len(self.seeds) * (self.steps * step + self.window * look) / _SPEED

    @property
    def shortest(self) -> int:
        """The fewest steps that it takes."""
        return self.window

    def network(self, inputs: int) -> MLP:
        """Return the network, on a number of input coordinates."""
        from ntk1bit.networks.mlp import MLP

        return MLP(
            inputs,
            (self.width, self.width),
            parameterisation="ntk",
            biases=False,
            levels=cast(Any, self.levels),
            activity="latent" if self.remedy == "latent" else "straight_through",
        )

    def training(self, network: MLP) -> Training:
        """Return how it is trained."""
        return remedied_training(
            self.remedy,
            network.one_bit_layers,
            steps=self.steps,
            rate=self.rate * (ADAM_WIDTH / self.width if self.optimiser == "adam" else 1.0),
            batch=self.batch or None,
            optimiser=self.optimiser,
        )

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result; it is short and keeps no checkpoint.

        Returns
        -------
        A row per seed, of the last `window` steps. On training points `loss`, the mean square of single outputs, mean
        over the window; `averaged`, of means of two successive outputs; `averaged_last`, of the mean of all outputs of
        the window; `latents`, of the network whose latent weights are averaged over the window; and with `test_` before
        it each on test points. `autocorrelation` of the outputs on training points at lag one, `flips`, `flipped` and
        `returned` as in `training.Oscillation`; `loss_start` before training; `diverged`.

        Raises
        ------
        InputError
            As `tasks.load` and `Training`.
        """
        import jax

        from ntk1bit.training.descent import NEVER
        from ntk1bit.training.oscillation import Oscillation
        from ntk1bit.training.supervised import following, train

        task = tasks.load(self.task, n_train=self.n_train, n_test=self.n_test, seed=self.data_seed)
        scaled = np.sqrt(task.dim)
        x, x_test = task.x * scaled, task.x_test * scaled
        network = self.network(task.dim)
        init, apply, weights = _functions(network)
        monitors = [
            [Oscillation(y, window=self.window, last=self.window) for _ in self.seeds] for y in (task.y, task.y_test)
        ]
        followers = [
            following(monitors[0], apply, x, weights=weights),
            following(monitors[1], apply, x_test),
        ]
        latents = WeightsMean(self.window)

        def look(step: int, params: Any) -> None:
            if step > 0:
                for follow in followers:
                    follow(step, params)
                latents.add(params)

        with Teller(scratch) as tell:
            tell(COMPILING, 0.0)
            found = train(
                init,
                apply,
                x,
                task.y,
                self.training(network),
                seeds=self.seeds,
                stops=window_stops(self.window, self.steps),
                look=look,
                progress=tell,
            )
        outputs = jax.jit(jax.vmap(apply, in_axes=(0, None)))
        columns: dict[str, Any] = {"seed": self.seeds, "loss_start": found.loss[:, 0]}
        for name, of, inputs, y in (("", monitors[0], x, task.y), ("test_", monitors[1], x_test, task.y_test)):
            ends = last_windows(of)
            kept = LOSSES if name else (*LOSSES, *OF_TRAINING)
            columns |= {f"{name}{one}": ends[one].to_numpy() for one in kept}
            columns[f"{name}latents"] = np.nan
            if latents.mean is not None:
                away = np.asarray(outputs(latents.mean, np.asarray(inputs, np.float32)), np.float64) - y
                columns[f"{name}latents"] = (away**2).mean(axis=1)
        return pd.DataFrame(columns).assign(diverged=found.diverged_at != NEVER)


@functools.lru_cache(maxsize=8)
def _functions(network: MLP) -> tuple[Any, Any, Any]:
    """Return init, apply and quantised weights of a network, the same objects each time: code is compiled once."""
    from ntk1bit.networks import mlp

    init, apply, weights = (functools.partial(one, network) for one in (mlp.init, mlp.apply, mlp.quantised_weights))
    return init, apply, weights
