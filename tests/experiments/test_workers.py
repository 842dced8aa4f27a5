from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import dask.config
import pytest

from ntk1bit.cli.options import Running
from ntk1bit.errors import InputError
from ntk1bit.experiments.dask_executor import BATCH_SYSTEMS
from ntk1bit.experiments.workers import EXECUTORS, Workers


def test_executors_are_those_that_the_commands_know():
    assert get_args(get_type_hints(Running)["executor"]) == EXECUTORS
    assert ("local", "dask", *BATCH_SYSTEMS) == EXECUTORS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"executor": "cloud"}, "unknown executor .cloud.; choose one of: local, dask, slurm"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "--scheduler goes with --executor dask"),
        ({"executor": "dask", "workers": 3}, "--workers is of a batch system"),
        ({"cluster_settings": Path("a.toml")}, "--cluster-settings is of a batch system"),
        ({"collect": True}, "--collect is for workers that do not see the folder"),
        ({"executor": "pbs"}, "--executor pbs needs --workers"),
        ({"executor": "slurm", "workers": 0}, "at least 1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Workers(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"executor": "dask", "scheduler": "tcp://127.0.0.1:1"}, "no scheduler answers at tcp://127.0.0.1:1"),
        ({"executor": "dask", "scheduler": "nonsense"}, "no scheduler answers at nonsense: missing port number"),
        ({"executor": "dask", "scheduler": "nonsense://"}, "no scheduler answers at nonsense"),
        ({"executor": "sge", "workers": 1}, "by qsub, which is not on this machine"),
    ],
)
def test_what_cannot_be_had_is_told_in_a_line(settings, message, monkeypatch):
    monkeypatch.setenv("PATH", "")
    quick = dask.config.set({"distributed.comm.timeouts.connect": "1s"})
    with quick, pytest.raises(InputError, match=message) as told, Workers(**settings).opened():
        pass
    assert "\n" not in str(told.value)
