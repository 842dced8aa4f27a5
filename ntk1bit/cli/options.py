"""Options that several commands have, declared once, and help texts whose defaults and names are read from the code."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import typer
from typer.core import TyperArgument, TyperOption

Preset = Literal["smoke", "quick", "standard", "thorough"]

Run = Annotated[Path, typer.Argument(help="Folder of a run: of sweep, train-lm, deep or verify.")]
RunFolder = Annotated[Path | None, typer.Option("--out", help="Folder of the run. Default: a folder in runs/.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a run of which anything is missing or left out.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; run and write nothing.")]
Seeds = Annotated[
    str | None, typer.Option("--seeds", help="A count (5 is 0,1,2,3,4), a range (0..4) or a list (0,3,7).")
]
Target = Annotated[
    str | None,
    typer.Option(
        help="Of a table of your own data: the column of targets. species=setosa sets one class against the others, "
        "'species=*' each in turn."
    ),
]
Features = Annotated[str | None, typer.Option(help="Of such a table: columns of inputs; all others if not given.")]
Split = Annotated[
    str | None,
    typer.Option(
        help="Of your own data: share of rows to train on, or a column that says train or test; 0.75 if not given."
    ),
]
NormaliseInputs = Annotated[
    Literal["sphere", "standard", "none"] | None,
    typer.Option(
        "--normalise",
        help="Of your own data. sphere, if not given: centred rows of unit norm, as D25's theory assumes; standard: "
        "features of mean 0 and variance 1/d; none: as they are.",
    ),
]


class Running(NamedTuple):
    """How cells are run: the options that every command has which runs any; see `experiments.workers.Workers`."""

    executor: Annotated[
        Literal["local", "dask", "slurm", "pbs", "sge", "lsf", "oar", "moab", "htcondor"],
        typer.Option(help="Where cells run: processes of this machine, Dask, or jobs of a batch system."),
    ] = "local"
    jobs: Annotated[int | None, typer.Option("--jobs", help="Processes. Default: one per core.")] = None
    scheduler: Annotated[
        str | None, typer.Option(help="With dask: a scheduler that runs already, such as tcp://host:8786.")
    ] = None
    workers: Annotated[int | None, typer.Option(help="With a batch system: how many workers to ask it for.")] = None
    cluster_settings: Annotated[
        Path | None, typer.Option(help="With a batch system: TOML file with its settings, in a table such as [slurm].")
    ] = None
    collect: Annotated[
        bool, typer.Option("--collect", help="Workers see no common folder: send results through the scheduler.")
    ] = False
    memory: Annotated[
        str | None,
        typer.Option(help="What the arrays of a cell may take, such as 500MB or 2GB: wide networks then use a file."),
    ] = None


AS_USUAL = Running()


def runs_cells(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `Running` in place of its parameter `running`."""
    hints = get_type_hints(command, include_extras=True)
    parameters = list[inspect.Parameter]()
    for name, one in inspect.signature(command).parameters.items():
        if name == "running":
            asked = get_type_hints(Running, include_extras=True)
            parameters += [
                one.replace(name=each, annotation=asked[each], default=Running._field_defaults[each])
                for each in Running._fields
            ]
        else:
            parameters.append(one.replace(annotation=hints[name]))

    @functools.wraps(command)
    def given(**options: Any) -> Any:
        running = Running(**{name: options.pop(name) for name in Running._fields})
        return command(**options, running=running)

    annotations = {one.name: one.annotation for one in parameters}
    given.__annotations__ = annotations
    setattr(given, "__signature__", inspect.Signature(parameters))  # noqa: B010 - functions have no such attribute yet
    return given


def _sweep() -> Mapping[str, str]:
    from ntk1bit.cli.lists import written
    from ntk1bit.experiments import SweepSpec

    return {name: written(value) for name, value in SweepSpec().as_dict().items()}


def _fit() -> Mapping[str, str]:
    from ntk1bit.scaling import law_names

    return {"laws": ", ".join(law_names())}


_DEFAULTS: Mapping[str, Callable[[], Mapping[str, str]]] = {"fit": _fit, "sweep": _sweep}


def fill_in_defaults(command: str, parameters: Iterable[object]) -> None:
    """Replace names in braces in a command's help texts by the defaults in the code.

    This imports the code, so it is done when the help of this command is asked for, and not for `ntk1bit --help`.
    """
    read = _DEFAULTS.get(command)
    values = read() if read is not None else {}
    for one in parameters:
        if isinstance(one, TyperOption | TyperArgument) and one.help:
            one.help = one.help.format_map(values)
