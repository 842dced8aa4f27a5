"""Kernels of two-layer networks, their limits and spectra, the dynamics they predict, and the limit of 1-bit training.

The kernel of any JAX function is in `ntk1bit.autodiff`. What serves kernels of thousands of points is imported when it
is first used, as it loads pandas and SciPy's sparse solvers.
"""

from __future__ import annotations

import importlib
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

if TYPE_CHECKING:
    from ntk1bit.kernels.kernel_forms import Kernel
    from ntk1bit.kernels.large_spectra import (
        AlignmentEstimate,
        RefinedEigenvalues,
        SpectrumEnds,
        TraceEstimate,
        estimated_alignment,
        lanczos_ends,
        refined_eigenvalues,
        stochastic_trace,
    )
    from ntk1bit.kernels.nystrom import nystrom_factor
    from ntk1bit.kernels.spectral_densities import SpectralDensity, spectral_density

_MODULES = {
    "AlignmentEstimate": "large_spectra",
    "Kernel": "kernel_forms",
    "RefinedEigenvalues": "large_spectra",
    "SpectralDensity": "spectral_densities",
    "SpectrumEnds": "large_spectra",
    "TraceEstimate": "large_spectra",
    "estimated_alignment": "large_spectra",
    "lanczos_ends": "large_spectra",
    "nystrom_factor": "nystrom",
    "refined_eigenvalues": "large_spectra",
    "spectral_density": "spectral_densities",
    "stochastic_trace": "large_spectra",
}

__all__ = [
    "SLOWDOWN",
    "AlignmentEstimate",
    "CertifiedBound",
    "Decay",
    "FloorProcess",
    "Kernel",
    "KernelEstimate",
    "MeanField",
    "OppositeInputs",
    "OutputSpread",
    "Prediction",
    "RefinedEigenvalues",
    "Regression",
    "SpectralDensity",
    "Spectrum",
    "SpectrumEnds",
    "TraceEstimate",
    "alignment",
    "asymmetry",
    "certified_lambda_min",
    "class_kernels",
    "effective_ntk",
    "empirical_ntk",
    "estimated_alignment",
    "floor_process",
    "gaussian_effective_ntk",
    "gaussian_limit_ntk",
    "joint_matrix",
    "kernel_ratio",
    "kernel_regression",
    "lanczos_ends",
    "limit_ntk",
    "mean_field",
    "nystrom_factor",
    "opposite_inputs",
    "output_spread",
    "predict",
    "refined_eigenvalues",
    "spectral_density",
    "spectrum",
    "stochastic_trace",
    "symmetric_part",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
        raise missing_name(__name__, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_MODULES})
