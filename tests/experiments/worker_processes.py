"""Which of the processes are workers that experiments run in."""

from __future__ import annotations

from collections.abc import Iterable

import psutil


def workers_among(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return the workers, without those that have ended, or that nobody has waited for yet (zombies)."""
    found = []
    for one in processes:
        try:
            if "spawn_main" in " ".join(one.cmdline()):
                found.append(one)
        except psutil.NoSuchProcess:  # ZombieProcess too
            continue
    return found
