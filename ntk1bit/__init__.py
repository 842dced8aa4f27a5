"""Check claims about 1-bit networks with numbers that can fail.

The rooms, in the order data flows through them: `cores`, `tasks`, `quantizers`, `two_layer`, `kernels`, `nets`,
`estimators`, `scaling`, `sweeps`, `claims`, `plots`, `cli`. A room imports only from rooms before it. Rooms are
imported when first used, so `import ntk1bit` is quick.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "autodiff",
    "claims",
    "cores",
    "data",
    "energy",
    "errors",
    "estimators",
    "experiments",
    "kernels",
    "networks",
    "packed",
    "plots",
    "reports",
    "scaling",
    "training",
)

__all__ = ["__version__"]


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
