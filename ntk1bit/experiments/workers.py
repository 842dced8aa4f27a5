"""Which executor experiments run on, as the options of a command say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.executors import workers as local_workers

EXECUTORS = ("local", "dask", "slurm", "pbs", "sge", "lsf", "oar", "moab", "htcondor")


@dataclass(frozen=True)
class Workers:
    """Which executor, and its settings: the options of every command that runs experiments.

    Attributes
    ----------
    executor
        ``"local"``: processes of this machine; ``"dask"``: Dask's; or a batch system whose jobs dask-jobqueue hands in,
        such as ``"slurm"``.
    jobs
        Processes of this machine.
    scheduler
        Of Dask, one that runs already, such as tcp://host:8786.
    workers
        Of a batch system, how many to ask for.
    cluster_settings
        Of a batch system, a TOML file with a table of its settings.
    collect
        Whether workers see no common folder, so that results come back through the scheduler.
    memory
        Bytes that the arrays of one experiment may take, `memory` of `run_all`; no limit if not given.

    Raises
    ------
    InputError
        For an unknown executor, or settings that do not go together.
    """

    executor: str = "local"
    jobs: int = 1
    scheduler: str | None = None
    workers: int | None = None
    cluster_settings: Path | None = None
    collect: bool = False
    memory: int | None = None

    def __post_init__(self) -> None:
        """Check that the settings go together."""
        require_choice("executor", self.executor, EXECUTORS)
        batch = self.executor not in ("local", "dask")
        if self.scheduler is not None and self.executor != "dask":
            raise InputError(f"--scheduler goes with --executor dask, not with {self.executor}")
        for option, value in (("--workers", self.workers), ("--cluster-settings", self.cluster_settings)):
            if value is not None and not batch:
                raise InputError(f"{option} is of a batch system: give --executor {' or '.join(EXECUTORS[2:])} with it")
        if self.collect and self.executor == "local":
            raise InputError("--collect is for workers that do not see the folder; local ones do: leave it out")
        if batch and (self.workers is None or self.workers < 1):
            raise InputError(f"--executor {self.executor} needs --workers, how many to ask for, at least 1")

    @property
    def places(self) -> int:
        """How many experiments run at once; those of this machine's `jobs` where a scheduler has its own workers."""
        return self.workers or self.jobs

    @contextmanager
    def opened(self, *, note: Callable[[str], None] = print) -> Iterator[Executor]:
        """Lend the executor; what it has started ends with the body.

        Parameters
        ----------
        note
            Called with a remark for the user.

        Raises
        ------
        InputError
            If it cannot be had: a library that is not installed, a scheduler that does not answer, wrong settings.
        """
        if self.executor == "local":
            with local_workers(self.jobs) as pool:
                yield pool
            return
        try:
            from ntk1bit.experiments import dask_executor
        except ImportError:
            raise InputError(f"--executor {self.executor} needs Dask: pip install 'ntk1bit[cluster]'") from None
        given = {"collect": self.collect, "memory": self.memory, "note": note}
        if self.executor == "dask":
            opening = dask_executor.dask_executor(scheduler=self.scheduler, jobs=self.jobs, **given)
        else:
            assert self.workers is not None
            opening = dask_executor.batch_executor(
                self.executor, workers=self.workers, settings=self.cluster_settings, **given
            )
        with opening as pool:
            yield pool
