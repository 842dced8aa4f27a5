"""Which processors this process may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def usable_processors() -> int:
    """Count the processors this process may run on; all of the machine's where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """Return what the maker calls the processor, where the system says it; else its architecture."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8", errors="replace").splitlines() if about.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.processor()])[0] or platform.machine()
