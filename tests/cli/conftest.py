from __future__ import annotations

import pytest

from ..scaling.conftest import make_curves, runs, sweep, widths

__all__ = ["make_curves", "runs", "sweep", "widths"]


@pytest.fixture(autouse=True)
def _plans_are_rough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the calibration of `--dry-run` and `plan`, which takes half a minute."""
    monkeypatch.setattr("ntk1bit.experiments.calibration.SECONDS", 0.0)
