"""What one stored result is made of: an experiment, its key, and what it costs."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd

from ntk1bit.errors import require_choice
from ntk1bit.experiments.plain_fields import PlainFields

E = TypeVar("E", bound="Experiment")
KEY_LENGTH = 20
_KINDS: dict[str, type[Experiment]] = {}  # every class with a KIND that has been imported
_MOST_TOGETHER = 64  # experiments computed in one call: what a stop loses, and what keeps one process busy
_TOGETHER_BYTES = 2**30  # of their memory; a constant, so that groups are the same on every machine


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
    LENGTH
        The field that says how long it trains, in which time and storage are linear; empty where there is none.
    TIMELESS
        Fields that its time does not depend on.
    ALONE
        Whether it can run without results of others, so that a plan can measure it.
    LATER
        Fields that are no part of key and stored settings where they have their default (see `PlainFields`).
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1
    ALWAYS: ClassVar[tuple[str, ...]] = ()
    CHECKPOINT: ClassVar[str] = ""
    LENGTH: ClassVar[str] = ""
    TIMELESS: ClassVar[tuple[str, ...]] = ("seed", "seeds", "data_seed", "rate", "kappa", "eta_rel")
    ALONE: ClassVar[bool] = True

    def __init_subclass__(cls, **more: Any) -> None:
        """Make the kind known by its word, so that stored experiments are read back as what they were."""
        super().__init_subclass__(**more)
        if "KIND" in vars(cls):
            _KINDS[cls.KIND] = cls

    @property
    def key(self) -> str:
        """A hash of kind, version and `stored_settings`: the name on disk."""
        return key_of(self.KIND, self.VERSION, self.stored_settings)

    @property
    def stored_settings(self) -> dict[str, Any]:
        """The fields as its result's file holds them, of which the key is made: those that are `telling`."""
        fields, telling = self.as_dict(), self.telling
        return {name: fields[name] for name in telling}

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

    def reads(self, scratch: Path) -> tuple[Path, ...]:  # noqa: ARG002 - few read anything
        """Return the files of the run's folder that `run` reads with this scratch path, if they are there.

        A worker that does not see the folder is given them (`--collect`).
        """
        return ()

    def memory_within(self, limit: int | None) -> int:  # noqa: ARG002
        """Predict the bytes of arrays at the peak of a run under `limits.memory_limit(limit)`.

        A kind that can do with less memory than `memory` says so here; others need as much as ever.

        Raises
        ------
        InputError
            Where a kind keeps to a limit, if this one is too small for it.
        """
        return self.memory

    @property
    def together(self) -> Hashable:
        """What experiments share that can be computed in one call of `run_together`; None to be computed alone."""
        return None

    @classmethod
    def run_together(cls, experiments: Sequence[Any], scratches: Sequence[Path]) -> list[pd.DataFrame]:
        """Compute several results at once: what `run` returns for each. Kinds that say `together` have their own."""
        return [one.run(scratch) for one, scratch in zip(experiments, scratches, strict=True)]

    @property
    def alike(self) -> tuple[object, ...]:
        """What its time depends on: experiments for which it is equal take equally long and share what is compiled."""
        settings = {name: value for name, value in vars(self).items() if name not in self.TIMELESS}
        return (self.KIND, *settings.values(), len(getattr(self, "seeds", ())))

    @property
    def shortest(self) -> int:
        """The least value of the field `LENGTH` with which all its parts still run."""
        return 1

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


def groups(experiments: Iterable[E]) -> list[tuple[E, ...]]:
    """Put experiments into the groups that are computed in one call, most of them alone, in the order of their firsts.

    A group holds at most 64 experiments and 1 GiB of their memory. The same experiments give the same groups.
    """
    made: list[list[E]] = []
    growing: dict[Hashable, list[E]] = {}
    for one in experiments:
        shared = one.together
        group = None if shared is None else growing.get((type(one), shared))
        if (
            group is None
            or len(group) == _MOST_TOGETHER
            or sum(other.memory for other in group) + one.memory > _TOGETHER_BYTES
        ):
            group = []
            made.append(group)
            growing[type(one), shared] = group
        group.append(one)
    return [tuple(group) for group in made]


def key_of(kind: str, version: int, settings: Mapping[str, Any]) -> str:
    """Return the key of an experiment of this kind, version and `stored_settings`."""
    return hashlib.sha256(json.dumps([kind, version, settings], sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def experiment_of(kind: str, settings: Mapping[str, Any]) -> Experiment:
    """Make an experiment of the word for its kind and its fields, as a file holds them.

    Raises
    ------
    InputError
        For an unknown kind or field, or a value of the wrong type.
    """
    return _KINDS[require_choice("kind of experiment", kind, sorted(_KINDS))].from_dict(settings)
