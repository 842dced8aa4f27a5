"""What trains: a network in motion, in packed bits on the cores, or plainly in NumPy as their reference.

Both do the same: forward (f, and which neurons are active on which inputs), descend, and compare with the start. The
activation patterns they speak of are those of the last forward pass, `active`; those that a step uses are `backward`:

    straight_through   1[z_r(x_i) >= 0] of the forward pass, `active` itself
    latent             1[<w_r, x_i> >= 0] of the latent weights, anew after every step; in full precision z is <w, x>
    frozen             1[z_r(x_i) >= 0] of the first forward pass, at every step
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int64

from ntk1bit import cores
from ntk1bit.networks.quantizers import Scale, centred_scale
from ntk1bit.networks.two_layer.initial_weights import DrawnWeights
from ntk1bit.networks.two_layer.latents import InMemory, Latents
from ntk1bit.networks.two_layer.network import (
    STRAIGHT_THROUGH,
    Activity,
    Precision,
    Weights,
    activity_in,
    blocks,
    coactive_counts,
    output_factor,
    reference_forward,
)


class PackedEngine:
    """Trains float32 weights on the cores: packed signs forward, packed activation patterns backward.

    Weights are taken in the ranges of `Latents`, all at once where they are in memory. A step, the new signs and the
    forward pass that follows go together through one range after the other. Sums over neurons are added up block by
    block, and the blocks when all are there, so the ranges do not change a bit.
    """

    def __init__(
        self,
        x: np.ndarray,
        weights: Weights | Latents,
        precision: Precision,
        kappa: float,
        scale: Scale,
        activity: Activity = STRAIGHT_THROUGH,
    ) -> None:
        self.x = x
        self.latents = InMemory(weights) if isinstance(weights, Weights) else weights
        self.precision: Precision = precision
        self.scale: Scale = scale
        width = self.latents.shape[0]
        self.factor = output_factor(width, kappa, np.dtype(np.float32))
        self.total: np.ndarray | None = None
        self.activity: Activity = activity_in(precision, activity)
        self.active: list[cores.PackedBits] = []
        self.backward: list[cores.PackedBits] = self.active if self.activity == STRAIGHT_THROUGH else []
        self.neurons: list[cores.PackedNeurons] = []  # none in full precision
        every = cores.half_blocks(width)
        self.blocks = [
            [(begin - start, end - start) for begin, end in every if start <= begin < stop]
            for start, stop in self.latents.ranges
        ]

    @property
    def weights(self) -> Weights:
        """The network as it is now."""
        return self.latents.whole()

    def forward(self) -> np.ndarray:
        """Return f(X), (n,) float32, and remember the activation patterns."""
        if self.total is None:
            sums = []
            for index in range(len(self.blocks)):
                w = self.latents.read(index)
                if self.precision == "one_bit":
                    self.neurons.append(cores.pack_neurons(w, scale=self.scale))
                forward = self._forward(self.x, index, w)
                self.active.append(forward.active)
                if self.activity == "latent":
                    self.backward.append(self._latent_patterns(index, w))
                elif self.activity == "frozen":
                    self.backward.append(forward.active)
                sums.append(forward.sums)
            self.total = cores.sum_of_halves(np.concatenate(sums))
        return (self.factor * self.total).astype(np.float32)

    def descend(self, residual: np.ndarray, eta: float) -> None:
        """Take one step, after a forward pass; a 1-bit network is quantised and packed again in the same pass."""
        weighted_inputs = residual[:, None] * self.x
        step = eta * float(self.factor)
        sums = []
        for index, (start, stop) in enumerate(self.latents.ranges):
            w, a, active = self.latents.read(index), self.latents.a[start:stop], self.backward[index]
            if self.precision == "one_bit":
                self.neurons[index] = cores.descend_one_bit(w, a, active, weighted_inputs, step=step, scale=self.scale)
            else:
                cores.descend_full(w, a, active, weighted_inputs, step=step)
            self.latents.write(index)
            forward = self._forward(self.x, index, w)
            self.active[index] = forward.active
            if self.activity == "latent":
                self.backward[index] = self._latent_patterns(index, w)
            sums.append(forward.sums)
        self.total = cores.sum_of_halves(np.concatenate(sums))

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Return f on other inputs."""
        indices = range(len(self.blocks))
        sums = [self._forward(x, index, None if self.neurons else self.latents.read(index)).sums for index in indices]
        return (self.factor * cores.sum_of_halves(np.concatenate(sums))).astype(np.float32)

    def counts(self) -> np.ndarray:
        """Return the number of neurons active on both inputs of each pair, (n, n) int32."""
        return functools.reduce(np.add, map(cores.bit_gram, self.active))

    def mark_start(self) -> None:
        """Remember the present activation patterns and signs."""
        self.start_active, self.start_signs = list(self.active), list(self._signs())

    def activation_changes(self) -> Int64[np.ndarray, " n"]:
        """Count, for each input, the neurons whose activation differs from the start."""
        pairs = zip(self.active, self.start_active, strict=True)
        return np.sum([cores.count_differences_by_column(now, start) for now, start in pairs], axis=0)

    def flips(self) -> int:
        """Count the signs q(w) that differ from the start."""
        return sum(cores.count_differences(*pair) for pair in zip(self._signs(), self.start_signs, strict=True))

    def radius(self, start: Weights | DrawnWeights) -> float:
        """Return the largest distance of a neuron from where it was at the start."""
        ranges = self.latents.ranges
        return max(furthest(self.latents.read(index), part.w) for index, part in enumerate(start.parts(ranges)))

    def _forward(self, x: np.ndarray, index: int, w: np.ndarray | None) -> cores.BlockSums:
        """Pass inputs through a range of neurons: the packed ones, or in full precision those of weights `w`."""
        start, stop = self.latents.ranges[index]
        a, blocks = self.latents.a[start:stop], self.blocks[index]
        if self.neurons or w is None:
            return cores.block_sums_one_bit(x, self.neurons[index], a, blocks)
        return cores.block_sums_full(x, w, a, blocks)

    def _latent_patterns(self, index: int, w: np.ndarray) -> cores.PackedBits:
        """Return which neurons of a range would be active on which inputs with their latent weights."""
        start, stop = self.latents.ranges[index]
        return cores.block_sums_full(self.x, w, self.latents.a[start:stop], self.blocks[index]).active

    def _signs(self) -> Iterator[cores.PackedSigns]:
        for index in range(len(self.blocks)):
            kept = self.neurons[index] if self.neurons else None
            yield (kept or cores.pack_neurons(self.latents.read(index), scale=self.scale)).signs


class ReferenceEngine:
    """Trains in plain NumPy, in the weights' dtype (float32 or float64), a block of neurons at a time."""

    def __init__(
        self,
        x: np.ndarray,
        weights: Weights | Latents,
        precision: Precision,
        kappa: float,
        scale: Scale,
        activity: Activity = STRAIGHT_THROUGH,
    ) -> None:
        self.x = x
        self.weights = weights if isinstance(weights, Weights) else weights.whole()
        self.precision: Precision = precision
        self.scale: Scale = scale
        self.activity: Activity = activity_in(precision, activity)
        self.backward: np.ndarray | None = None
        self.factor = output_factor(self.weights.width, kappa, self.weights.w.dtype)

    def forward(self) -> np.ndarray:
        """Return f(X), (n,), and remember the activation patterns."""
        self.active, total = reference_forward(self.x, self.weights, precision=self.precision, scale=self.scale)
        if self.activity == "latent":
            self.backward, _ = reference_forward(self.x, self.weights, precision="full", scale=self.scale)
        elif self.activity == STRAIGHT_THROUGH or self.backward is None:
            self.backward = self.active
        return self.factor * total

    def descend(self, residual: np.ndarray, eta: float) -> None:
        """Take one step, after a forward pass."""
        assert self.backward is not None
        weighted_inputs = residual[:, None] * self.x
        w, a = self.weights
        step = self.x.dtype.type(eta) * self.factor
        for block in blocks(slice(0, self.weights.width)):
            move = self.backward[block].astype(self.x.dtype) @ weighted_inputs
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

    def radius(self, start: Weights | DrawnWeights) -> float:
        """Return the largest distance of a neuron from where it was at the start."""
        return max(furthest(self.weights.w, part.w) for part in start.parts())

    def _signs(self) -> Bool[np.ndarray, "m d"]:
        signs = np.empty(self.weights.w.shape, dtype=bool)
        for block in blocks(slice(0, self.weights.width)):
            signs[block] = centred_scale(self.weights.w[block])[0] >= 0
        return signs


def furthest(now: Float[np.ndarray, "rows d"], start: Float[np.ndarray, "rows d"]) -> float:
    """Return the largest distance between the weights of one neuron in two networks."""
    found = 0.0
    for block in blocks(slice(0, len(now))):
        away = np.subtract(now[block], start[block], dtype=np.float64)
        found = max(found, float(np.einsum("rk,rk->r", away, away).max(initial=0.0)))
    return float(np.sqrt(found))


Engine = PackedEngine | ReferenceEngine
