"""D25's experiments with deep MLPs: Fig. 1 (loss against size) and Fig. 2 and 3 (functions of one variable).

Losses are mean squares over points, of targets with |y| <= 1. Networks of several seeds are trained side by side.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd

from ntk1bit.data.cubes_and_curves import GRID, Points, cube_data, curve_data, curve_inputs
from ntk1bit.data.target_functions import CUBE_FUNCTIONS
from ntk1bit.errors import InputError
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.experiments.telling import COMPILING, Teller
from ntk1bit.networks.two_layer import PRECISIONS

if TYPE_CHECKING:
    from ntk1bit.networks.mlp import MLP
    from ntk1bit.training.supervised import Trained

BIAS_DEVIATION = 0.5  # spreads the kinks of the first layer over the cube, where biases of 0 let all meet at its centre
RECORDS = 20  # of the loss during a training of Fig. 1
TEST_POINTS = 1000  # of Fig. 1: the test loss of a network is then known to a few per cent
FIRST_WIDTH = 20  # hidden sizes of Fig. 2 and 3 are 20 k and k
# Both fit the seconds that the studies of the `standard` verification took (results/standard/verdicts.json).
_SPEED = 5e10  # floating-point operations per second of one core
_COMPILING = 10.0  # seconds for each network


@dataclass(frozen=True)
class DeepScaling(Experiment):
    """Networks of one size on one of f1..f6, in full batches (D25, Fig. 1), one for each seed.

    Attributes
    ----------
    task
        f1..f6.
    depth
        Number of weight layers; the depth - 1 hidden layers have one width. The first and the last layer are in full
        precision, and all layers have biases.
    precision
        Of the layers between.
    parameters
        Target of the number of parameters; the width that comes nearest is taken.
    steps, rate, optimiser, schedule, parameterisation
        As in `Training` and `MLP`.
    seeds
        One network each, all on the same points.
    n_train, n_test, data_seed
        The points.
    """

    KIND: ClassVar[str] = "deep-scaling"
    LENGTH: ClassVar[str] = "steps"
    TIMELESS: ClassVar[tuple[str, ...]] = (*Experiment.TIMELESS, "task")

    task: str
    depth: int
    precision: str
    parameters: int
    steps: int
    rate: float
    seeds: tuple[int, ...]
    n_train: int = 100
    n_test: int = TEST_POINTS
    data_seed: int = 0
    optimiser: str = "adam"
    schedule: str = "cosine"
    parameterisation: str = "standard"

    @property
    def label(self) -> str:
        """Function and size."""
        return f"{self.task}, {self.parameters:,} parameters"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return _COMPILING + 6.0 * self.parameters * self.n_train * self.steps * len(self.seeds) / _SPEED

    @property
    def alike(self) -> tuple[object, ...]:
        """What its time depends on: of the function only the number of its variables."""
        return (CUBE_FUNCTIONS[self.task].arity, *super().alike)

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result; scratch.checkpoint keeps the state while training.

        Returns
        -------
        A row per seed: `least_loss` over all steps, `loss` at the end, `loss_start`, `test_loss` at the end; `curve`,
        the loss at `RECORDS` + 1 evenly spaced steps; `N`, the exact number of parameters; `width`; `one_bit_share` of
        the parameters; `diverged_at`, -1 for never, and `diverged`.

        Raises
        ------
        InputError
            As `cube_data`, `mlp.hidden_width` and `Training`.
        """
        from ntk1bit.networks import mlp
        from ntk1bit.training.descent import NEVER

        points = cube_data(self.task, n_train=self.n_train, n_test=self.n_test, seed=self.data_seed)
        inputs = points.x.shape[1]
        width = mlp.hidden_width(inputs, self.depth, self.parameters)
        network = mlp.MLP(
            inputs,
            (width,) * (self.depth - 1),
            precision=cast(Any, self.precision),
            parameterisation=cast(Any, self.parameterisation),
            bias_deviation=BIAS_DEVIATION,
        )
        every = max(math.ceil(self.steps / RECORDS), 1)
        at_test: dict[str, Any] = {"x_test": points.x_test, "y_test": points.y_test}
        with Teller(scratch) as tell:
            tell(COMPILING, 0.0)
            found = _train(self, network, scratch, points, steps=self.steps, every=every, progress=tell, **at_test)
        return pd.DataFrame(
            {
                "seed": found.seeds,
                "least_loss": found.least,
                "loss": found.loss[:, -1],
                "loss_start": found.loss[:, 0],
                "test_loss": found.test_loss[:, -1],
                "curve": list(found.loss),
                "N": mlp.parameters(network),
                "width": width,
                "one_bit_share": mlp.one_bit_share(mlp.MLP(inputs, network.hidden)),
                "diverged_at": found.diverged_at,
                "diverged": found.diverged_at != NEVER,
            }
        )


@dataclass(frozen=True)
class DeepSimilarity(Experiment):
    """Both precisions on a function of one variable from one start and on the same batches (D25, Fig. 2 and 3).

    The networks have hidden sizes (20 k, k) and no biases: N = 20 k^2 + 41 k, which is D25's 20 k^2 + 40 k and the k
    weights of the output. The 20 k x k layer in the middle is 1-bit; the first sees two inputs, where the quantiser is
    lossless.

    Attributes
    ----------
    task
        ``"bessel"``, ``"sine-step"`` or ``"log-sine"``.
    k
        Size.
    epochs, batch
        How often all points are seen, and how many of them at each step.
    rate, optimiser, schedule, parameterisation
        As in `Training` and `MLP`; the same for both precisions.
    seeds, n_train, n_test, data_seed
        As in `DeepScaling`.
    """

    KIND: ClassVar[str] = "deep-similarity"
    LENGTH: ClassVar[str] = "epochs"
    TIMELESS: ClassVar[tuple[str, ...]] = (*Experiment.TIMELESS, "task")

    task: str
    k: int
    epochs: int
    seeds: tuple[int, ...]
    batch: int = 10
    rate: float = 0.01
    n_train: int = 100
    n_test: int = 100
    data_seed: int = 0
    optimiser: str = "adam"
    schedule: str = "cosine"
    parameterisation: str = "ntk"

    def __post_init__(self) -> None:
        """Refuse a size that cannot be built."""
        super().__post_init__()
        if self.k < 1:
            raise InputError(f"the size k of a network must be at least 1, got {self.k}")

    @property
    def label(self) -> str:
        """Function and size."""
        return f"{self.task}, k = {self.k}"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        each = 6 * 100 + 2 * 300 + 10 * 60  # per epoch: 100 points to train on, 300 to evaluate, 10 steps
        return 2 * _COMPILING + 2.0 * self.epochs * each * curve_parameters(self.k) * len(self.seeds) / _SPEED

    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result; scratch-PRECISION.checkpoint keeps the state while training.

        Returns
        -------
        A row per seed and epoch, 0 being the start: `loss_one_bit`, `loss_full`, `test_loss_one_bit`, `test_loss_full`;
        `apart_train` and `apart_test`, the root mean square over points of the difference of both outputs;
        `grid_one_bit` and `grid_full`, after the last epoch the outputs at `GRID` evenly spaced points of [-pi, pi],
        else empty; `N`; `diverged`, whether either network ever had a loss that was not finite.

        Raises
        ------
        InputError
            As `curve_data` and `Training`.
        """
        import jax
        import jax.numpy as jnp

        from ntk1bit.networks.mlp import MLP
        from ntk1bit.training.descent import NEVER

        points = curve_data(self.task, n_train=self.n_train, n_test=self.n_test, seed=self.data_seed)
        in_epoch = max(self.n_train // self.batch, 1)
        grid = jnp.asarray(curve_inputs(np.linspace(-np.pi, np.pi, GRID)), dtype=float)
        watch, targets = np.concatenate([points.x, points.x_test]), np.concatenate([points.y, points.y_test])
        outputs, drawn, lost = {}, {}, np.zeros(len(self.seeds), dtype=bool)
        for number, precision in enumerate(PRECISIONS):
            hidden, kind = (FIRST_WIDTH * self.k, self.k), cast(Any, self.parameterisation)
            network = MLP(2, hidden, precision=cast(Any, precision), biases=False, parameterisation=kind)
            place, steps = scratch.with_name(f"{scratch.name}-{precision}"), self.epochs * in_epoch
            before, each = number / len(PRECISIONS), 1 / len(PRECISIONS)
            with Teller(scratch) as tell:
                tell(f"{precision}, {COMPILING}", before)
                recorded: dict[str, Any] = {
                    "batch": self.batch,
                    "watch": watch,
                    "progress": _part_of(tell, precision, before, each),
                }
                found = _train(self, network, place, points, steps=steps, every=in_epoch, **recorded)
            outputs[precision] = found.predictions
            at_grid = jax.jit(jax.vmap(_functions(network)[1], in_axes=(0, None)))(found.params, grid)
            drawn[precision] = np.asarray(at_grid, dtype=np.float64)
            lost |= found.diverged_at != NEVER
        frame = _epochs(outputs, drawn, targets, self.n_train, self.seeds)
        return frame.assign(N=curve_parameters(self.k), diverged=np.repeat(lost, self.epochs + 1))


def curve_parameters(k: int) -> int:
    """Return N = 20 k^2 + 41 k of a network of `DeepSimilarity`: 2 inputs, hidden sizes 20 k and k, no biases."""
    return FIRST_WIDTH * k**2 + (2 * FIRST_WIDTH + 1) * k


def _part_of(tell: Teller, name: str, before: float, share: float) -> Callable[[str, float], None]:
    """Return what tells of a part of an experiment, which begins where `before` of it is done and makes up `share`."""
    return lambda what, done: tell(f"{name}, {what}", before + share * done)


def _train(
    experiment: DeepScaling | DeepSimilarity,
    network: MLP,
    scratch: Path,
    points: Points,
    *,
    steps: int,
    every: int,
    batch: int | None = None,
    **recorded: Any,
) -> Trained:
    from ntk1bit.training.checkpoints import Checkpoint
    from ntk1bit.training.schedules import Training
    from ntk1bit.training.supervised import train

    optimiser, schedule = cast(Any, experiment.optimiser), cast(Any, experiment.schedule)
    training = Training(steps, experiment.rate, batch, optimiser=optimiser, schedule=schedule, every=every)
    checkpoint = Checkpoint(scratch.with_name(f"{scratch.name}.checkpoint"), repr(network), replace=True)
    init, apply = _functions(network)
    return train(init, apply, points.x, points.y, training, seeds=experiment.seeds, checkpoint=checkpoint, **recorded)


@functools.lru_cache(maxsize=8)
def _functions(network: MLP) -> tuple[Any, Any]:
    """Return init and apply of a network, the same objects each time, so that what was compiled is used again."""
    from ntk1bit.networks import mlp

    return functools.partial(mlp.init, network), functools.partial(mlp.apply, network)


def _epochs(
    outputs: dict[str, np.ndarray],
    drawn: dict[str, np.ndarray],
    targets: np.ndarray,
    n_train: int,
    seeds: tuple[int, ...],
) -> pd.DataFrame:
    """Make the rows of `similarity` from both precisions' outputs, (seeds, epochs + 1, points)."""
    count = outputs["full"].shape[1]
    parts = {"": slice(None, n_train), "test_": slice(n_train, None)}
    apart = outputs["one_bit"] - outputs["full"]
    columns: dict[str, Any] = {
        "seed": np.repeat(seeds, count),
        "epoch": np.tile(np.arange(count), len(seeds)),
        "apart_train": np.sqrt((apart[:, :, :n_train] ** 2).mean(axis=2)).ravel(),
        "apart_test": np.sqrt((apart[:, :, n_train:] ** 2).mean(axis=2)).ravel(),
    }
    for precision, found in outputs.items():
        for name, part in parts.items():
            columns[f"{name}loss_{precision}"] = ((found - targets)[:, :, part] ** 2).mean(axis=2).ravel()
        last = {(place + 1) * count - 1: values for place, values in enumerate(drawn[precision])}
        columns[f"grid_{precision}"] = [last.get(row, np.empty(0)) for row in range(count * len(seeds))]
    return pd.DataFrame(columns)
