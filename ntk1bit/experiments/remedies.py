"""What the experiments on late oscillations share: window, remedies in the training, mean of weights, columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ntk1bit.errors import InputError

if TYPE_CHECKING:
    from ntk1bit.training.oscillation import Oscillation
    from ntk1bit.training.schedules import Training

LOSSES = ("loss", "averaged", "averaged_last")  # of `training.Oscillation`, on training and on test points
OF_TRAINING = ("autocorrelation", "flips", "flipped", "returned")  # on training points alone


def require_window(window: int, steps: int) -> None:
    """Refuse a window at the end of a training that is shorter than two steps or longer than the training.

    Raises
    ------
    InputError
        If it is.
    """
    if not 2 <= window <= steps:
        raise InputError(f"window must be from 2 to the {steps} steps of the training, got {window}")


def require_freezable(remedy: str, weights: str, *, signs: bool) -> None:
    """Refuse to freeze weights that are no signs (`training.freezing` says why).

    Raises
    ------
    InputError
        If the remedy is ``"freezing"`` without `signs`; `weights` names what there is.
    """
    if remedy == "freezing" and not signs:
        raise InputError(f"freezing is of signs, not of {weights} weights; take another remedy")


def window_stops(window: int, steps: int) -> tuple[int, ...]:
    """Return the steps to look at: the start, then every step of the window."""
    return (0, *range(steps - window + 1, steps + 1))


def remedied_training(remedy: str, one_bit_layers: tuple[bool, ...] | None, **settings: Any) -> Training:
    """Return a training with `settings` at a constant rate, changed as a remedy says.

    Parameters
    ----------
    remedy
        ``"decay"``: the rate falls to 0 along a straight line; ``"freezing"`` of weights that oscillate; by any other
        the training is not changed.
    one_bit_layers
        As in `freezing.FreezingTraining`.
    settings
        Of a `Training`.

    Raises
    ------
    InputError
        As `Training`.
    """
    from ntk1bit.training.freezing import FreezingTraining
    from ntk1bit.training.schedules import Training

    settings["schedule"] = "linear" if remedy == "decay" else "constant"
    return FreezingTraining(**settings, one_bit_layers=one_bit_layers) if remedy == "freezing" else Training(**settings)


def last_windows(monitors: Sequence[Oscillation]) -> pd.DataFrame:
    """Return what each monitor saw in its last window, a row each; NaN where a network diverged before."""
    ends = [monitor.frame().iloc[-1:].reset_index(drop=True).reindex([0]) for monitor in monitors]
    return pd.concat(ends, ignore_index=True)


class WeightsMean:
    """The mean of a network's weights, latent ones included, over the steps of a window, in the memory of one copy.

    Parameters
    ----------
    window
        How many steps there will be.
    """

    def __init__(self, window: int) -> None:
        self.window, self.count = window, 0
        self._sum: Any = None

    def add(self, params: Any) -> None:
        """Take in the weights after one more step, whose buffers may be used again after that."""
        import jax

        part = jax.tree.map(lambda a: a / self.window, params)
        self._sum = part if self._sum is None else jax.tree.map(lambda a, b: a + b, self._sum, part)
        self.count += 1

    @property
    def mean(self) -> Any:
        """A pytree as the weights; None before the window is full, as where training ended by divergence."""
        return self._sum if self.count == self.window else None
