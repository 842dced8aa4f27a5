"""Kernels of two-layer networks, of their limits, their spectra, and the dynamics they predict.

The kernel of any JAX function is in `ntk1bit.autodiff`.
"""

from __future__ import annotations

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
from ntk1bit.kernels.limits import KernelEstimate, gaussian_limit_ntk, limit_ntk
from ntk1bit.kernels.spectra import Decay, Spectrum, alignment, spectrum

__all__ = [
    "SLOWDOWN",
    "CertifiedBound",
    "Decay",
    "KernelEstimate",
    "Prediction",
    "Regression",
    "Spectrum",
    "alignment",
    "asymmetry",
    "certified_lambda_min",
    "effective_ntk",
    "empirical_ntk",
    "gaussian_effective_ntk",
    "gaussian_limit_ntk",
    "kernel_ratio",
    "kernel_regression",
    "limit_ntk",
    "predict",
    "spectrum",
    "symmetric_part",
]


def __getattr__(name: str) -> object:
    if name in ("infinite_ntk", "layerwise_ntk", "linearize", "ntk"):  # where they were in 0.1.0
        raise ImportError(f"ntk1bit.kernels.{name} is now ntk1bit.autodiff.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
