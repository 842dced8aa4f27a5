"""The neural tangent kernel of any JAX function: exact, in blocks, layer by layer, with its gradients checked.

JAX is imported when a function of this package is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntk1bit.autodiff.infinite import infinite_ntk
    from ntk1bit.autodiff.layerwise import layerwise_ntk
    from ntk1bit.autodiff.tangent_kernel import linearize, ntk

_MODULES = {
    "infinite_ntk": "infinite",
    "layerwise_ntk": "layerwise",
    "linearize": "tangent_kernel",
    "ntk": "tangent_kernel",
}

__all__ = ["infinite_ntk", "layerwise_ntk", "linearize", "ntk"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
