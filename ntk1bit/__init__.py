"""Check claims about 1-bit networks with numbers that can fail.

`PACKAGES` lists the packages in the order in which data flows through them; a package imports only from those before
it. They are imported when first used, so `import ntk1bit` is quick.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ntk1bit.old_names import missing_name

__version__ = "0.2.0"

PACKAGES = (
    "old_names",
    "errors",
    "arguments",
    "files",
    "kernel_files",
    "array_files",
    "compiling",
    "processors",
    "printing",
    "streams",
    "tables",
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
__all__ = ["PACKAGES", "__version__"]


def __getattr__(name: str) -> ModuleType:
    if name in PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PACKAGES})
