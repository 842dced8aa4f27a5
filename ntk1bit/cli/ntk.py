"""`ntk1bit ntk`: kernels of one two-layer network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ntk1bit.cli.options import Features, NormaliseInputs, Split, Target


def ntk(
    task: Annotated[
        str, typer.Option(help="Name of a task (ntk1bit sweep --list shows them), or a file of your own data.")
    ] = "digits",
    target: Target = None,
    features: Features = None,
    split: Split = None,
    normalise: NormaliseInputs = None,
    width: Annotated[int, typer.Option(help="Number of hidden neurons m.")] = 4096,
    precision: Annotated[Literal["one_bit", "full"], typer.Option(help="Precision of the network.")] = "one_bit",
    limit: Annotated[bool, typer.Option("--limit", help="Also the infinite-width limit.")] = False,
    effective: Annotated[bool, typer.Option("--effective", help="Also the effective kernel K_eff.")] = False,
    spectrum: Annotated[bool, typer.Option("--spectrum", help="Also eigenvalues and a certified lambda_min.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the kernels to this .npz file.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw heat map and eigenvalues: .png, .pdf or .svg, by the ending.")
    ] = None,
    init: Annotated[Literal["iid", "paired"], typer.Option(help="Initialisation.")] = "iid",
    kappa: Annotated[float, typer.Option(help="Output scale.")] = 1.0,
    scale: Annotated[Literal["std", "absmean"], typer.Option(help="Scale of the quantiser.")] = "std",
    seed: Annotated[int, typer.Option(help="Seed of the network and of Monte Carlo.")] = 0,
    n_train: Annotated[
        int | None, typer.Option(help="Number of points n; 256 if not given, or all that your own data have.")
    ] = None,
    data_seed: Annotated[int, typer.Option(help="Seed of the data.")] = 0,
    samples: Annotated[int, typer.Option(help="Neurons drawn for --limit and --effective.")] = 1_000_000,
) -> None:
    """Measure the neural tangent kernel H of a two-layer network on a task.

    Example: ntk1bit ntk --task digits --width 4096 --limit --effective --spectrum --out H.npz --plot H.png
    """
    from ntk1bit.cli.own_tasks import task_of
    from ntk1bit.cli.progress import progress_bar
    from ntk1bit.files import FIGURES, writable_file
    from ntk1bit.kernels.measure import ENDINGS, NetworkSettings, measure, require_room
    from ntk1bit.plots.kernels import draw_measurement

    settings = NetworkSettings(
        width=width, precision=precision, init=init, kappa=kappa, scale=scale, seed=seed, samples=samples
    )
    if out is not None:
        writable_file("--out", out, ENDINGS)
    if plot is not None:
        writable_file("--plot", plot, FIGURES)
    asked = {"limit": limit, "effective": effective, "with_spectrum": spectrum}
    if n_train is not None:
        require_room(min(n_train, 2**63), **asked)  # so many points take minutes to draw
    data = task_of(task, n_train, data_seed, target=target, features=features, split=split, normalise=normalise)
    with progress_bar() as bar:
        measured = measure(data.x, data.y, settings, **asked, progress=bar)
        if effective or spectrum:
            bar("eigenvalues and certificate", 0.0)
        rows = list(measured.rows())
    for name, value in rows:
        print(f"{name:36} {value}")
    if out is not None:
        measured.save(out)
    if plot is not None:
        draw_measurement(measured, plot)
