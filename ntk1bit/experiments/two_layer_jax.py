"""The same two-layer network trained in JAX, for accelerators; networks of one shape are trained in one program."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ntk1bit.experiments.two_layer import TwoLayer

_APART = ("seed", "init", "kappa")  # fields in which networks trained in one program may differ


@dataclass(frozen=True)
class TwoLayerJax(TwoLayer):
    """A `TwoLayer` network trained by `ntk1bit.training.two_layer`: another kind, as its last bits are others."""

    KIND: ClassVar[str] = "two-layer-jax"

    @property
    def memory(self) -> int:
        """Predicted bytes at the peak: weights now, at the start, quantised and their steps; activities; kernels."""
        latent, activity = self.width * self.dim, self.width * max(self.n_train, self.n_test)
        return super().memory + 4 * (6 * latent + 5 * activity)

    @property
    def together(self) -> Hashable:
        """Everything but seed, init and output scale."""
        return tuple((name, value) for name, value in self.as_dict().items() if name not in _APART)

    def run(self, scratch: Path) -> pd.DataFrame:
        """Train the network alone; returns what `TwoLayer.run` does."""
        return self.run_together([self], [scratch])[0]

    def memory_within(self, limit: int | None) -> int:  # noqa: ARG002 - weights are on the device, whole
        """Predict the bytes of arrays at the peak, which a limit does not lower."""
        return self.memory

    @classmethod
    def run_together(cls, experiments: Sequence[Any], scratches: Sequence[Path]) -> list[pd.DataFrame]:
        """Train networks side by side; returns for each what `TwoLayer.run` does.

        Raises
        ------
        InputError
            If some network has no neuron that is active on any input.
        """
        # several processes may share a device, of which the first would else take three quarters
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        from ntk1bit.training.two_layer import train_side_by_side

        networks: Sequence[TwoLayerJax] = experiments
        first = networks[0]
        task, (precision, scale) = first.data(scratches[0]), first.quantiser
        starts = [one.start().weights() for one in networks]
        trajectories = train_side_by_side(
            task.x,
            task.y,
            starts,
            precision=precision,
            kappas=[one.kappa for one in networks],
            scale=scale,
            activity=first.descends_by,
            eta_rel=first.eta_rel,
            steps=first.steps,
            x_test=task.x_test,
            record=first.checkpoints,
        )
        return [
            one.frame(task, start, trajectory)
            for one, start, trajectory in zip(networks, starts, trajectories, strict=True)
        ]
