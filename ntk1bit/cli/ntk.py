"""`ntk1bit ntk`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def ntk(
    task: Annotated[str, typer.Option(help="Name of a task; `ntk1bit sweep --task list` shows them.")] = "digits",
    width: Annotated[int, typer.Option(help="Number of hidden neurons m.")] = 4096,
    precision: Annotated[Literal["one_bit", "full"], typer.Option(help="Precision of the network.")] = "one_bit",
    limit: Annotated[bool, typer.Option("--limit", help="Also the infinite-width limit.")] = False,
    effective: Annotated[bool, typer.Option("--effective", help="Also the effective kernel K_eff.")] = False,
    spectrum: Annotated[bool, typer.Option("--spectrum", help="Also eigenvalues and a certified lambda_min.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the kernels to this .npz file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write heat map and eigenvalues to this picture. Default: --out with .png.")
    ] = None,
    init: Annotated[Literal["iid", "paired"], typer.Option(help="Initialisation.")] = "iid",
    kappa: Annotated[float, typer.Option(help="Output scale.")] = 1.0,
    scale: Annotated[Literal["std", "absmean"], typer.Option(help="Scale of the quantiser.")] = "std",
    seed: Annotated[int, typer.Option(help="Seed of the network and of Monte Carlo.")] = 0,
    n_train: Annotated[int, typer.Option(help="Number of points.")] = 256,
    data_seed: Annotated[int, typer.Option(help="Seed of the data.")] = 0,
    samples: Annotated[int, typer.Option(help="Neurons drawn for --limit and --effective.")] = 1_000_000,
) -> None:
    """Measure the neural tangent kernel of a two-layer network on a task.

    Example: ntk1bit ntk --task digits --width 4096 --limit --effective --spectrum --out H.npz
    """
    from ntk1bit.data import tasks
    from ntk1bit.kernels.measure import Settings, measure, require_writable
    from ntk1bit.plots.kernels import draw_measurement, require_picture

    settings = Settings(
        width=width, precision=precision, init=init, kappa=kappa, scale=scale, seed=seed, samples=samples
    )
    picture = out.with_suffix(".png") if plot is None and out is not None else plot
    if out is not None:
        require_writable(out)
    if picture is not None:
        require_picture(picture)
    data = tasks.load(task, n_train=n_train, n_test=0, seed=data_seed)
    measured = measure(data.x, data.y, settings, limit=limit, effective=effective, with_spectrum=spectrum)
    for name, value in measured.rows():
        print(f"{name:36} {value}")
    if out is not None:
        measured.save(out)
    if picture is not None:
        draw_measurement(measured, picture)
