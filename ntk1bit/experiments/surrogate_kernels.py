"""How far the kernels of one 1-bit network under several surrogates lie apart, beside what quantising changes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.cores.threads import single_threaded_blas
from ntk1bit.errors import InputError
from ntk1bit.experiments.on_data_sets import OnDataSets
from ntk1bit.kernels.empirical import empirical_ntk
from ntk1bit.kernels.surrogates import distance, shape, surrogate_ntk
from ntk1bit.networks import two_layer

SURROGATES = ("identity", "clipped", "tanh")  # whose pairs are compared
QUANTISING = ("identity", "full")  # the 1-bit kernel H and that of the same weights in full precision, H'
STEEPER = ("identity", "steep")
PAIRS = (*itertools.combinations(SURROGATES, 2), STEEPER, QUANTISING)


@dataclass(frozen=True)
class SurrogateKernels(OnDataSets):
    """Draw data sets, each with networks of its own, and measure the distances between kernels of one network.

    Attributes
    ----------
    networks
        Networks on a data set, at least 2: distances are averaged over them, and limits estimated from pairs.

    Raises
    ------
    InputError
        For fewer than two networks.
    """

    KIND: ClassVar[str] = "surrogate-kernels"

    networks: int = 2

    def __post_init__(self) -> None:
        """Refuse what has no pair of networks."""
        super().__post_init__()
        if self.networks < 2:
            raise InputError(f"networks must be 2 or more, since limits come from pairs, got {self.networks}")

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        dim = self.dim or 64
        return (
            len(self.seeds) * self.networks * (0.02 + 3 * 3e-11 * self.width * self.n_train * dim * (self.n_train + 32))
        )

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each seed and pair of kernels A, B, whose names `pair` joins: `data_seed`, the seed again; `distance`,
        norm_F(A - B)/sqrt(norm_F(A) norm_F(B)), and `shape`, min_c norm_F(A - c B)/norm_F(A), the same with A and B
        exchanged, both averaged over networks; `limit_distance` and `limit_shape`, estimates of the squares of both at
        infinite width, of either sign, from products of kernels of different networks.
        """
        found = []
        with single_threaded_blas():
            for seed in self.seeds:
                x = self.data_set(seed).x
                networks = [self._kernels(x, seed, index) for index in range(self.networks)]
                for one, other in PAIRS:
                    pairs = [(kernels[one], kernels[other]) for kernels in networks]
                    limits = [limit_squares(*two) for two in itertools.combinations(pairs, 2)]
                    found.append(
                        {
                            "seed": seed,
                            "data_seed": seed,
                            "pair": f"{one}-{other}",
                            "distance": float(np.mean([distance(*pair) for pair in pairs])),
                            "shape": float(np.mean([shape(*pair) for pair in pairs])),
                            "limit_distance": float(np.mean([limit[0] for limit in limits])),
                            "limit_shape": float(np.mean([limit[1] for limit in limits])),
                        }
                    )
        return pd.DataFrame(found)

    def _kernels(self, x: Float[np.ndarray, "n d"], seed: int, index: int) -> dict[str, Float[np.ndarray, "n n"]]:
        """Return the kernels at kappa = 1 of one network by name; that of full precision is of the same weights."""
        weights = two_layer.init(self.width, x.shape[1], seed=1000 * seed + index)
        names = {name for pair in PAIRS for name in pair} - {"full"}
        kernels = {name: surrogate_ntk(x, weights, surrogate=name) for name in sorted(names)}
        return kernels | {"full": empirical_ntk(x, weights, precision="full")}


def limit_squares(
    one: tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]],
    other: tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]],
) -> tuple[float, float]:
    """Estimate the squares of `distance` and `shape` between the means of two kernels over networks.

    The mean over networks is the kernel of infinite width. <A_1, B_2> of two independent networks has the inner product
    of the means as its mean, so no noise of the networks is taken for a distance: what is found may be below 0, and
    ratios of such products are off by O(1/m) of themselves at most.

    Parameters
    ----------
    one, other
        The kernels A and B of either network.
    """
    (a1, b1), (a2, b2) = one, other
    aa, bb = float(np.vdot(a1, a2)), float(np.vdot(b1, b2))
    apart = float(np.vdot(a1 - b1, a2 - b2)) / np.sqrt(aa * bb)
    return apart, 1 - float(np.vdot(a1, b2)) * float(np.vdot(a2, b1)) / (aa * bb)
