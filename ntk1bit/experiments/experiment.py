"""What one stored result is made of: an experiment, its key, and what it costs."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ntk1bit.errors import require_choice
from ntk1bit.experiments.plain_fields import PlainFields

_KINDS: dict[str, type[Experiment]] = {}  # every class with a KIND that has been imported


@dataclass(frozen=True)
class Experiment(PlainFields, ABC):
    """One training or measurement: its fields are all that its result depends on, seeds included.

    A kind is a frozen dataclass that adds its fields, the class constants below, `cost` and `run`. Its module imports
    what is heavy (JAX) inside `run`, so that plans and stored results can be read without it.

    Class constants
    ---------------
    KIND
        The word that names the kind in stored files and in spec.toml.
    VERSION
        Raised when results mean something else, so that stored ones are not taken for new ones.
    ALWAYS
        Columns that `Store.frame` returns whichever others are chosen.
    CHECKPOINT
        A column that has values only in the rows recorded in full; none where all rows are.
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1
    ALWAYS: ClassVar[tuple[str, ...]] = ()
    CHECKPOINT: ClassVar[str] = ""

    def __init_subclass__(cls, **more: Any) -> None:
        """Make the kind known by its word, so that stored experiments are read back as what they were."""
        super().__init_subclass__(**more)
        if "KIND" in vars(cls):
            _KINDS[cls.KIND] = cls

    @property
    def key(self) -> str:
        """A hash of kind, version and fields: the name on disk."""
        return key_of(self.KIND, self.VERSION, self.as_dict())

    @property
    def label(self) -> str:
        """A few words for a person: what is shown while it runs, or when it fails."""
        return self.KIND

    @property
    @abstractmethod
    def cost(self) -> float:
        """Rough seconds of one processor."""

    @property
    def memory(self) -> int:
        """Predicted bytes of arrays at the peak; 0 where that is unknown."""
        return 0

    @abstractmethod
    def run(self, scratch: Path) -> pd.DataFrame:
        """Compute the result: numbers, words, and lists of numbers.

        Parameters
        ----------
        scratch
            RUN/cells/<key>, a path without an ending under which files with endings of their own may be kept:
            checkpoints to resume from, and what is too large for a frame.

        Returns
        -------
        The result. Where a training can diverge, the column `diverged` says whether it did.
        """


def key_of(kind: str, version: int, settings: Mapping[str, Any]) -> str:
    """Return the key of an experiment of this kind, version and `as_dict`."""
    return hashlib.sha256(json.dumps([kind, version, settings], sort_keys=True).encode()).hexdigest()[:20]


def experiment_of(kind: str, settings: Mapping[str, Any]) -> Experiment:
    """Make an experiment of the word for its kind and its fields, as a file holds them.

    Raises
    ------
    InputError
        For an unknown kind or field, or a value of the wrong type.
    """
    return _KINDS[require_choice("kind of experiment", kind, sorted(_KINDS))].from_dict(settings)
