"""Eigenvalues of the kernels of one network: 1-bit, full precision, and 1-bit with signs rounded at random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from ntk1bit.cores.threads import single_threaded_blas
from ntk1bit.experiments.on_data_sets import OnDataSets
from ntk1bit.kernels.empirical import empirical_ntk
from ntk1bit.kernels.spectra import spectrum
from ntk1bit.kernels.stochastic import rounded_ntk
from ntk1bit.networks import two_layer

KERNELS = ("one_bit", "full", "rounded")


@dataclass(frozen=True)
class KernelSpectra(OnDataSets):
    """Draw data sets, each with a network of its own, and decompose its kernels at the start."""

    KIND: ClassVar[str] = "kernel-spectra"

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return len(self.seeds) * (0.1 + 5e-10 * self.width * self.n_train**2)

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row for each seed and kernel: `kernel`, one of `KERNELS`; `data_seed`, the seed again; `rounding`, up to which
        an eigenvalue cannot be told from 0; `eigenvalues`, over their sum, n of them, the largest first.
        """
        found = []
        with single_threaded_blas():
            for seed in self.seeds:
                x = self.data_set(seed).x
                weights = two_layer.init(self.width, x.shape[1], seed=seed)
                for kernel in KERNELS:
                    if kernel == "rounded":
                        matrix = rounded_ntk(x, weights)
                    else:
                        matrix = empirical_ntk(x, weights, precision="one_bit" if kernel == "one_bit" else "full")
                    about = spectrum(matrix, computed_in=np.float64)
                    total = float(about.eigenvalues.sum())
                    found.append(
                        {
                            "seed": seed,
                            "data_seed": seed,
                            "kernel": kernel,
                            "rounding": about.rounding / total,
                            "eigenvalues": about.eigenvalues / total,
                        }
                    )
        return pd.DataFrame(found)
