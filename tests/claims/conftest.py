from __future__ import annotations

import pytest

from ntk1bit.experiments import SweepSpec

from ..reports.documents import small_run


@pytest.fixture(scope="session")
def sweep(tmp_path_factory) -> tuple[str, SweepSpec]:
    """A small run that is whole, and what it was asked for."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    spec = small_run(
        folder,
        tasks=("sphere-linear",),
        widths=(16, 32, 64, 128),
        seeds=(0, 1, 2, 3, 4),
        inits=("iid", "paired"),
    )
    return str(folder), spec
