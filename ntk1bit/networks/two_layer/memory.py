"""The memory that training takes, with all weights in memory and with a part of them at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ntk1bit.cores.blocks import BLOCK
from ntk1bit.errors import InputError
from ntk1bit.networks.two_layer.network import STRAIGHT_THROUGH, Activity

MOST_ROWS = 1 << 14  # neurons at once: more do not make it faster


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of the arrays of one training of float32 weights, predicted.

    Attributes
    ----------
    width, dim
        Of the network, m and d.
    n_train, n_test
        Numbers of inputs.
    steps, checkpoints
        How long the training is, and how often it is recorded.
    activity
        As in `two_layer.train`: ``"latent"`` keeps the patterns of the latent weights beside those of z. (Those of
        ``"frozen"`` are the ones at the start, with which every training compares.)
    """

    width: int
    dim: int
    n_train: int
    n_test: int
    steps: int
    checkpoints: int
    activity: Activity = STRAIGHT_THROUGH

    @property
    def whole(self) -> int:
        """With everything in memory: weights now and at the start, packed signs and activation patterns, kernels."""
        latent, active = self.width * self.dim, self.width * self.n_train
        of_latents = self._latent_sets * self.width * _words(self.n_train)
        return 8 * latent + 5 * (latent + active) // 8 + of_latents + 32 * self.width + self._of_data

    @property
    def least(self) -> int:
        """With as few neurons at a time as there can be."""
        return min(self.whole, self.in_parts(BLOCK))

    def in_parts(self, rows: int) -> int:
        """With the weights of `rows` neurons at a time in memory.

        Of all neurons there are the activation patterns and signs, now and at the start, those patterns of the latent
        weights that a step uses, scale, mean, output sign, and the sums of blocks; of those at a time the weights, now
        and at the start, and what the step, the forward pass, the Gram matrix of bits and the comparison of patterns
        make of them.
        """
        patterns, signs = _words(self.n_train), _words(self.dim)
        blocks = 8 * (self.n_train + self.n_test + 32) + 2048  # their sums, and objects of Python if each is a part
        of_all = (2 + self._latent_sets) * patterns + 2 * signs + 12 + blocks // BLOCK
        at_a_time = 8 * self.dim + signs + 12 + 4 * patterns + 2 * _words(self.n_test) + 128
        return self.width * of_all + min(rows, self.width) * at_a_time + self._of_data

    def rows_within(self, limit: int | None) -> int | None:
        """Return how many neurons to take at a time within a limit in bytes; None where all of them fit.

        Raises
        ------
        InputError
            If not even the fewest fit.
        """
        if limit is None or self.whole <= limit:
            return None
        if limit < self.least:
            raise InputError(
                f"width {self.width} with {self.n_train} training inputs takes at least {megabytes(self.least)} of "
                f"memory, and the limit is {of_limit(limit)}; raise it, or take a smaller width or fewer inputs"
            )
        fixed = self.in_parts(0)
        each = self.in_parts(1) - fixed
        return min(max((limit - fixed) // each // BLOCK, 1) * BLOCK, MOST_ROWS)

    @property
    def _latent_sets(self) -> int:
        """How many sets of patterns of the latent weights are kept."""
        return int(self.activity == "latent")

    @property
    def _of_data(self) -> int:
        kernels = 6 * 8 * self.n_train**2
        data = 16 * (self.n_train + self.n_test) * self.dim
        recorded = 8 * self.checkpoints * (self.n_train + self.n_test) * 3 + 32 * self.steps
        return kernels + data + recorded


def megabytes(size: int) -> str:
    """Write a number of bytes in MB, rounded up, so that the number is enough."""
    return f"{math.ceil(size / 1e6)} MB"


def of_limit(limit: int) -> str:
    """Write a limit in MB, and one below that in bytes, as whoever gave it forgot the unit."""
    return f"{limit / 1e6:.4g} MB" if limit >= 1e6 else f"{limit} bytes"


def _words(bits: int) -> int:
    """Return the bytes of the words of so many bits of one neuron."""
    return -(-bits // 32) * 4
