"""Experiments that end the process that they run in, or take their run away."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from ntk1bit.experiments import Experiment


@dataclass(frozen=True)
class Fatal(Experiment):
    """Ends its worker, as the system does when memory runs out."""

    KIND: ClassVar[str] = "fatal"

    number: int

    @property
    def cost(self) -> float:
        return 100.0

    def run(self, scratch):  # noqa: ARG002
        os.kill(os.getpid(), signal.SIGKILL)
        return pd.DataFrame()


@dataclass(frozen=True)
class Vandal(Experiment):
    """Moves the folder of its own run away, or a part of it."""

    KIND: ClassVar[str] = "vandal"

    part: str

    @property
    def cost(self) -> float:
        return 1.0

    def run(self, scratch: Path) -> pd.DataFrame:
        folder = scratch.parent.parent
        (folder / self.part).rename(folder.parent / "elsewhere")
        return pd.DataFrame({"x": [1.0]})
