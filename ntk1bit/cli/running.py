"""How cells are run: from the options of a command to the workers that it asks for."""

from __future__ import annotations

from ntk1bit.cli.lists import read_bytes
from ntk1bit.cli.options import Running
from ntk1bit.cli.progress import usable_jobs
from ntk1bit.errors import InputError
from ntk1bit.experiments.workers import Workers


def workers_of(running: Running) -> Workers:
    """Return the workers that options ask for.

    Raises
    ------
    InputError
        For options that do not go together, or are out of range.
    """
    local = running.executor == "local" or (running.executor == "dask" and running.scheduler is None)
    if running.jobs is not None and not local:
        raise InputError("--jobs is of processes of this machine: leave it out where a scheduler has its own workers")
    return Workers(
        executor=running.executor,
        jobs=usable_jobs(running.jobs),
        scheduler=running.scheduler,
        workers=running.workers,
        cluster_settings=running.cluster_settings,
        collect=running.collect,
        memory=None if running.memory is None else read_bytes(running.memory, option="--memory"),
    )
