"""An experiment that ends the process that it runs in."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
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
