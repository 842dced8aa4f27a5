"""The neural tangent kernel of any JAX function: exact, in blocks, layer by layer, with its gradients checked.

`module_ntk` takes networks of Equinox, Flax, Haiku and PyTorch as they are.
For thousands of inputs: as an operator, by random projections, or its diagonal alone; and the kernel of a loss. JAX is
imported when a function of this package is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ntk1bit.old_names import missing_name

if TYPE_CHECKING:
    from ntk1bit.autodiff.arriving_steps import expected_ratio, step_ratios
    from ntk1bit.autodiff.diagonals import ntk_diagonal
    from ntk1bit.autodiff.forecasts import TrainingForecast, predict_then_train
    from ntk1bit.autodiff.infinite import infinite_ntk
    from ntk1bit.autodiff.kernel_watch import KernelWatch
    from ntk1bit.autodiff.losses import LossKernel, loss_kernel, loss_operator
    from ntk1bit.autodiff.module_kernels import KernelRecord, describe_module, module_ntk
    from ntk1bit.autodiff.operators import NtkOperator, ntk_operator
    from ntk1bit.autodiff.projections import gradient_features
    from ntk1bit.autodiff.quantised_networks import quantize
    from ntk1bit.autodiff.surrogate_distances import surrogate_sensitivity
    from ntk1bit.autodiff.tangent_kernel import linearize, ntk
    from ntk1bit.autodiff.worker_kernels import ntk_on_workers

_MODULES = {
    "KernelRecord": "module_kernels",
    "KernelWatch": "kernel_watch",
    "LossKernel": "losses",
    "NtkOperator": "operators",
    "TrainingForecast": "forecasts",
    "describe_module": "module_kernels",
    "expected_ratio": "arriving_steps",
    "gradient_features": "projections",
    "infinite_ntk": "infinite",
    "linearize": "tangent_kernel",
    "loss_kernel": "losses",
    "loss_operator": "losses",
    "module_ntk": "module_kernels",
    "ntk": "tangent_kernel",
    "ntk_diagonal": "diagonals",
    "ntk_on_workers": "worker_kernels",
    "ntk_operator": "operators",
    "predict_then_train": "forecasts",
    "quantize": "quantised_networks",
    "step_ratios": "arriving_steps",
    "surrogate_sensitivity": "surrogate_distances",
}

__all__ = [
    "KernelRecord",
    "KernelWatch",
    "LossKernel",
    "NtkOperator",
    "TrainingForecast",
    "describe_module",
    "expected_ratio",
    "gradient_features",
    "infinite_ntk",
    "linearize",
    "loss_kernel",
    "loss_operator",
    "module_ntk",
    "ntk",
    "ntk_diagonal",
    "ntk_on_workers",
    "ntk_operator",
    "predict_then_train",
    "quantize",
    "step_ratios",
    "surrogate_sensitivity",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise missing_name(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
