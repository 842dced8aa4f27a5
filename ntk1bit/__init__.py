"""Check claims about 1-bit networks with numbers that can fail.

`PACKAGES` lists the packages in the order in which data flows through them; a package imports only from those before
it. They are imported when first used, so `import ntk1bit` is quick.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

PACKAGES = (
    "errors",
    "arguments",
    "files",
    "compiling",
    "processors",
    "cores",
    "data",
    "networks",
    "training",
    "kernels",
    "autodiff",
    "energy",
    "packed",
    "statistics",
    "scaling",
    "experiments",
    "estimators",
    "claims",
    "plots",
    "reports",
    "cli",
)
_MOVED = {  # names of 0.1.0, and where their contents are
    "deep": "experiments.deep, ntk1bit.estimators.deep and ntk1bit.plots.deep",
    "language": "experiments.language, ntk1bit.estimators.language and ntk1bit.plots.language",
    "nets": "networks, ntk1bit.training, ntk1bit.packed and ntk1bit.energy",
    "quantizers": "networks.quantizers",
    "styles": "plots.looks",
    "sweeps": "experiments",
    "tasks": "data",
    "two_layer": "networks.two_layer",
}

__all__ = ["PACKAGES", "__version__"]


def __getattr__(name: str) -> ModuleType:
    if name in PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MOVED:  # an ImportError, since `from ntk1bit import tasks` would drop the words of an AttributeError
        raise ImportError(f"ntk1bit.{name} is now ntk1bit.{_MOVED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *PACKAGES})
