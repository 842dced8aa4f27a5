"""Kernels of two-layer networks, their limits and spectra, the dynamics they predict, and the limit of 1-bit training.

The kernel of any JAX function is in `ntk1bit.autodiff`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntk1bit.kernels.certified import CertifiedBound, certified_lambda_min
from ntk1bit.kernels.dynamics import Prediction, Regression, kernel_regression, predict
from ntk1bit.kernels.effective import (
    SLOWDOWN,
    asymmetry,
    effective_ntk,
    gaussian_effective_ntk,
    kernel_ratio,
    symmetric_part,
)
from ntk1bit.kernels.empirical import empirical_ntk
from ntk1bit.kernels.joint import class_kernels, joint_matrix
from ntk1bit.kernels.limits import KernelEstimate, gaussian_limit_ntk, limit_ntk
from ntk1bit.kernels.mean_fields import MeanField, mean_field
from ntk1bit.kernels.opposite_pairs import OppositeInputs, opposite_inputs
from ntk1bit.kernels.poisson_floor import FloorProcess, floor_process
from ntk1bit.kernels.spectra import Decay, Spectrum, alignment, spectrum
from ntk1bit.kernels.spreads import OutputSpread, output_spread
from ntk1bit.old_names import missing_name

__all__ = [
    "SLOWDOWN",
    "CertifiedBound",
    "Decay",
    "FloorProcess",
    "KernelEstimate",
    "MeanField",
    "OppositeInputs",
    "OutputSpread",
    "Prediction",
    "Regression",
    "Spectrum",
    "alignment",
    "asymmetry",
    "certified_lambda_min",
    "class_kernels",
    "effective_ntk",
    "empirical_ntk",
    "floor_process",
    "gaussian_effective_ntk",
    "gaussian_limit_ntk",
    "joint_matrix",
    "kernel_ratio",
    "kernel_regression",
    "limit_ntk",
    "mean_field",
    "opposite_inputs",
    "output_spread",
    "predict",
    "spectrum",
    "symmetric_part",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        raise missing_name(__name__, name)
