"""Looking up evidence in stored results by claim, table and measure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ntk1bit.errors import InputError
from proofs_numeric import results as stored


class Evidences:
    """The claims of stored results."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.claims: list[dict[str, Any]] = results["claims"]
        self.preset = str(results["preset"])

    def claim(self, name: str) -> dict[str, Any]:
        """Return a claim's entry.

        Raises
        ------
        InputError
            If the results do not have it.
        """
        for entry in self.claims:
            if entry["id"] == name:
                return entry
        raise InputError(f"these results do not have claim {name}; make them with: ntk1bit verify {name}")

    def table(self, claim: str, name: str) -> pd.DataFrame:
        """Return a table of a claim's evidence; `InputError` if it is not there."""
        return stored.table(self.claim(claim), name)

    def measure(self, claim: str, name: str) -> dict[str, Any]:
        """Return a measure of a claim's evidence; `InputError` if it is not there."""
        return stored.measure(self.claim(claim), name)

    def supported(self, claim: str) -> bool:
        """Say whether the claim's verdict is `supported`."""
        return self.claim(claim)["outcome"] == "supported"

    def refuted(self, claim: str) -> bool:
        """Say whether the claim's verdict is `refuted`."""
        return self.claim(claim)["outcome"] == "refuted"
