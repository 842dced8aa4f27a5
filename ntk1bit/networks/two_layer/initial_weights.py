"""Networks as they are drawn: whole, or a part of the neurons at a time, the same bits either way."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from ntk1bit.arguments import require_memory, whole
from ntk1bit.cores import half_blocks
from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.two_layer.network import INITS, Init, Weights

_ROWS = 4096  # neurons drawn at once on the way to what comes after them


def init(width: int, dim: int, *, seed: int, init: Init = "iid") -> Weights:
    """Draw a network: w_r(0) ~ N(0, I_d), a_r uniform on {-1, +1} (D25, section 3).

    Networks of different widths or dimensions are independent even at the same seed, so that estimates at
    different widths are.

    Parameters
    ----------
    width
        Number of neurons m >= 1; even for ``"paired"``.
    dim
        Input dimension d >= 1.
    seed
        Non-negative integer; the same (width, dim, seed, init) gives the same bits.
    init
        ``"iid"``: every neuron its own draw, so outputs start as O(kappa) random functions. ``"paired"``: neuron r and
        neuron r + m/2 share w and have a = +1 and -1, so the output starts at exactly 0.

    Raises
    ------
    InputError
        For a width or dimension below 1, an odd width with ``"paired"``, a negative seed, or an unknown `init`.
    """
    return DrawnWeights(width, dim, seed=seed, init=init).weights()


@dataclass(frozen=True)
class DrawnWeights:
    """The network of `init`, with the same arguments and errors, that is drawn where its weights are needed.

    For networks too wide to be held in memory.
    """

    width: int
    dim: int
    seed: int = field(kw_only=True)
    init: Init = field(default="iid", kw_only=True)

    def __post_init__(self) -> None:
        """Check the settings and keep whole numbers as such."""
        require_choice("init", self.init, INITS)
        for name, allowed, least in (
            ("width", "a whole number of at least 1", 1),
            ("dim", "a whole number of at least 1", 1),
            ("seed", "a non-negative integer", 0),
        ):
            object.__setattr__(self, name, whole(name, getattr(self, name), allowed=allowed, least=least))
        if self.init == "paired" and self.width % 2:
            raise InputError(
                f"a paired network needs an even width, got {self.width}; use {self.width + 1} or init 'iid'"
            )

    @functools.cached_property
    def a(self) -> Float32[np.ndarray, " m"]:
        """The output signs. Independent ones are drawn after all of w."""
        rng = self._rng()
        if self.init == "iid":
            passed = np.empty((min(_ROWS, self.width), self.dim), dtype=np.float32)
            for start in range(0, self.width, _ROWS):
                rng.standard_normal(out=passed[: self.width - start], dtype=np.float32)
        return self._signs(rng)

    def weights(self) -> Weights:
        """Draw all of it.

        Raises
        ------
        InputError
            If it is larger than this machine's memory.
        """
        size = 4.0 * self.width * self.dim
        what = f"a network of width {self.width} on {self.dim} features"
        require_memory(what, size, instead="take a smaller width")
        rng = self._rng()
        if self.init == "iid":
            w = rng.standard_normal((self.width, self.dim), dtype=np.float32)
        else:
            half = rng.standard_normal((self.width // 2, self.dim), dtype=np.float32)
            w = np.concatenate([half, half])
        return Weights(w, self._signs(rng))

    def parts(self, ranges: Sequence[tuple[int, int]] | None = None) -> Iterator[Weights]:
        """Draw it a part at a time: neurons (start, stop) of ranges that follow each other from neuron 0 on.

        No range may reach across the middle of the network (see `cores.half_blocks`); by default they are of at most
        4096 neurons and cover it. The weights of each are in an array that the next part overwrites.
        """
        ranges = half_blocks(self.width, _ROWS) if ranges is None else ranges
        room = np.empty((max(stop - start for start, stop in ranges), self.dim), dtype=np.float32)
        rng = self._rng()
        for start, stop in ranges:
            if self.init == "paired" and start == self.width // 2:
                rng = self._rng()
            w = room[: stop - start]
            rng.standard_normal(out=w, dtype=np.float32)
            yield Weights(w, self.a[start:stop])

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.width, self.dim])

    def _signs(self, rng: np.random.Generator) -> Float32[np.ndarray, " m"]:
        if self.init == "iid":
            return np.where(rng.random(self.width) < 0.5, -1, 1).astype(np.float32)
        ones = np.ones(self.width // 2, dtype=np.float32)
        return np.concatenate([ones, -ones])
