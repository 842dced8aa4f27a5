"""What trains: a network in motion, in packed bits on the cores, or plainly in NumPy as their reference.

Both do the same: forward (f, and which neurons are active on which inputs), descend, and compare with the start. The
activation patterns they speak of are those of the last forward pass.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from ntk1bit import cores
from ntk1bit.networks.quantizers import Scale, centred_scale
from ntk1bit.networks.two_layer.network import (
    Precision,
    Weights,
    blocks,
    coactive_counts,
    evaluate,
    output_factor,
    reference_forward,
)


class PackedEngine:
    """Trains float32 weights on the cores: packed signs forward, packed activation patterns backward."""

    def __init__(self, x: np.ndarray, weights: Weights, precision: Precision, kappa: float, scale: Scale) -> None:
        self.x, self.weights = x, weights
        self.precision: Precision = precision
        self.scale: Scale = scale
        self.kappa = kappa
        self.factor = output_factor(weights, kappa)
        self.neurons = cores.pack_neurons(weights.w, scale=scale) if precision == "one_bit" else None

    def forward(self) -> np.ndarray:
        """Return f(X), (n,) float32, and remember the activation patterns."""
        w, a = self.weights
        if self.neurons is None:
            forward = cores.forward_full(self.x, w, a)
        else:
            forward = cores.forward_one_bit(self.x, self.neurons, a)
        self.active = forward.active
        return (self.factor * forward.total).astype(np.float32)

    def descend(self, residual: np.ndarray, eta: float) -> None:
        """Take one step; a 1-bit network is quantised and packed again in the same pass over its weights."""
        w, a = self.weights
        weighted_inputs = residual[:, None] * self.x
        step = eta * float(self.factor)
        if self.neurons is None:
            cores.descend_full(w, a, self.active, weighted_inputs, step=step)
        else:
            self.neurons = cores.descend_one_bit(w, a, self.active, weighted_inputs, step=step, scale=self.scale)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Return f on other inputs."""
        return evaluate(x, self.weights, precision=self.precision, kappa=self.kappa, scale=self.scale)

    def counts(self) -> np.ndarray:
        """Return the number of neurons active on both inputs of each pair, (n, n) int32."""
        return cores.bit_gram(self.active)

    def mark_start(self) -> None:
        """Remember the present activation patterns and signs."""
        self.start_active, self.start_signs = self.active, self._signs()

    def activation_changes(self) -> Int64[np.ndarray, " n"]:
        """Count, for each input, the neurons whose activation differs from the start."""
        return cores.count_differences_by_column(self.active, self.start_active)

    def flips(self) -> int:
        """Count the signs q(w) that differ from the start."""
        return cores.count_differences(self._signs(), self.start_signs)

    def _signs(self) -> cores.PackedSigns:
        neurons = self.neurons or cores.pack_neurons(self.weights.w, scale=self.scale)
        return neurons.signs


class ReferenceEngine:
    """Trains in plain NumPy, in the weights' dtype (float32 or float64), a block of neurons at a time."""

    def __init__(self, x: np.ndarray, weights: Weights, precision: Precision, kappa: float, scale: Scale) -> None:
        self.x, self.weights = x, weights
        self.precision: Precision = precision
        self.scale: Scale = scale
        self.kappa = kappa
        self.factor = output_factor(weights, kappa)

    def forward(self) -> np.ndarray:
        """Return f(X), (n,), and remember the activation patterns."""
        self.active, total = reference_forward(self.x, self.weights, precision=self.precision, scale=self.scale)
        return self.factor * total

    def descend(self, residual: np.ndarray, eta: float) -> None:
        """Take one step."""
        weighted_inputs = residual[:, None] * self.x
        w, a = self.weights
        step = self.x.dtype.type(eta) * self.factor
        for block in blocks(slice(0, self.weights.width)):
            move = self.active[block].astype(self.x.dtype) @ weighted_inputs
            move *= (step * a[block])[:, None]
            w[block] -= move

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Return f on other inputs."""
        _, total = reference_forward(x, self.weights, precision=self.precision, scale=self.scale)
        return self.factor * total

    def counts(self) -> np.ndarray:
        """Return the number of neurons active on both inputs of each pair, (n, n) int64."""
        return coactive_counts(self.active)

    def mark_start(self) -> None:
        """Remember the present activation patterns and signs."""
        self.start_active, self.start_signs = self.active.copy(), self._signs()

    def activation_changes(self) -> Int64[np.ndarray, " n"]:
        """Count, for each input, the neurons whose activation differs from the start."""
        return np.count_nonzero(self.active != self.start_active, axis=0).astype(np.int64)

    def flips(self) -> int:
        """Count the signs q(w) that differ from the start."""
        return int(np.count_nonzero(self._signs() != self.start_signs))

    def _signs(self) -> Bool[np.ndarray, "m d"]:
        signs = np.empty(self.weights.w.shape, dtype=bool)
        for block in blocks(slice(0, self.weights.width)):
            signs[block] = centred_scale(self.weights.w[block])[0] >= 0
        return signs


Engine = PackedEngine | ReferenceEngine
