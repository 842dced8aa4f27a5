"""`ntk1bit energy`: operations, energy and memory of Transformers by counting."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    import pandas as pd

    from ntk1bit.energy.counting import Arm

_SHOWN: tuple[Arm, ...] = ("full32", "full16", "bitnet")
_SIGN = {"add": "+", "mul": "*"}
_ARM_WORDS: dict[Arm, str] = {
    "full32": "FP32 throughout",
    "full16": "FP16 throughout",
    "int8-absmax": "linear maps multiply and add 8-bit integers, the rest is FP16",
    "bitnet": "linear maps add 8-bit integers, the rest is FP16",
    "b158": "as bitnet, without the weights that are zero",
    "sign-ptq": "linear maps add FP16, for inputs are not rounded; the rest is FP16",
}


def energy(
    layers: Annotated[int | None, typer.Option(help="Layers of one Transformer, in place of W23's eight.")] = None,
    width: Annotated[int | None, typer.Option(help="Its width d.")] = None,
    heads: Annotated[int | None, typer.Option(help="Its heads. Default: width/64, or 1.")] = None,
    vocabulary: Annotated[int, typer.Option(help="Its vocabulary; 0 leaves embedding and head out.")] = 0,
    tokens: Annotated[int, typer.Option(help="Tokens of one forward pass.")] = 512,
    activation: Annotated[
        Literal["gelu", "squared-relu"], typer.Option(help="Of the feed-forward part; counted by exact.")
    ] = "gelu",
    untied: Annotated[bool, typer.Option("--untied", help="The head has weights of its own.")] = False,
    arm: Annotated[
        Literal["full32", "full16", "int8-absmax", "bitnet", "b158", "sign-ptq", "all"] | None,
        typer.Option(help="How linear maps are computed. Default: full32, full16 and bitnet."),
    ] = None,
    model: Annotated[
        Literal["w23", "exact"], typer.Option(help="w23: products and scales, as W23; exact: everything.")
    ] = "w23",
    wide: Annotated[bool, typer.Option("--wide", help="Charge sums to 32-bit accumulators.")] = False,
    density: Annotated[float, typer.Option(help="Share of b158's weights that are not zero.")] = 2 / 3,
    published: Annotated[bool, typer.Option("--published", help="Recompute W23's printed figures instead.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV instead.")] = False,
) -> None:
    """Count operations, energy and memory of a Transformer's forward pass, for W23's sizes or one of your own.

    Energy is counts times published costs of an operation; moving data is not counted.

    Example: ntk1bit energy --layers 6 --width 384 --tokens 256 --arm all --model exact
    """
    from dataclasses import replace

    from ntk1bit.energy.counting import ARMS, ForwardPass
    from ntk1bit.energy.published import SIZES
    from ntk1bit.energy.tables import operations_table, totals_table
    from ntk1bit.errors import InputError

    own = (layers, width, heads, vocabulary or None)
    made = {"tokens": tokens, "activation": activation, "tied": not untied}
    if published:
        made_otherwise = made != {"tokens": 512, "activation": "gelu", "tied": True} or density != 2 / 3
        if any(one is not None for one in (*own, arm)) or made_otherwise or model != "w23" or wide:
            raise InputError("--published recomputes W23's figures at W23's settings; of other options it takes --csv")
        return _show_published(csv)
    if layers is None or width is None:
        if any(one is not None for one in own):
            raise InputError("one Transformer needs both --layers and --width; without options W23's sizes are counted")
        shapes = {name: replace(shape, **made) for name, shape in SIZES.items()}
    else:
        split = heads if heads is not None else (width // 64 if width > 0 and width % 64 == 0 else 1)
        shapes = {f"{layers}x{width}": ForwardPass(layers, width, heads=split, vocabulary=vocabulary, **made)}
    shown: tuple[Arm, ...] = _SHOWN if arm is None else ARMS if arm == "all" else (arm,)
    counted = operations_table(
        shapes, dict.fromkeys((*shown, "full32", "full16")), model=model, density=density, wide=wide
    )
    operations = counted.loc[counted["arm"].isin(shown)]
    if csv:
        operations.to_csv(sys.stdout, index=False)
        return None
    print(f"One forward pass of {tokens:,} tokens, counting {model!r}{', sums in 32 bits' if wide else ''}.\n")
    _print_totals(totals_table(counted, shapes), shown)
    print()
    if len(shapes) == 1:
        _print_kinds_by_arm(next(iter(shapes)), shown, operations)
    else:
        _print_kinds_by_size(tuple(shapes), operations.loc[operations["arm"] == shown[-1]])
    return None


def _print_totals(totals: pd.DataFrame, arms: tuple[Arm, ...]) -> None:
    """Print one line per size and arm: operations, energy and memory."""
    from ntk1bit.cli.tables import print_table
    from ntk1bit.printing import number

    lines = [
        (
            row["size"],
            number(row["parameters"], even=True),
            row["arm"],
            *(number(row[name], even=True) for name in ("adds", "muls", "joules_7nm", "joules_45nm")),
            *(f"{row[name]:.2f}" for name in ("over_full32", "over_full16")),
            *(f"{row[name] / 1e6:,.1f}" for name in ("linear_bytes", "total_bytes")),
        )
        for row in totals.loc[totals["arm"].isin(arms)].to_dict("records")
    ]
    head = ("size", "N", "arm", "adds", "muls", "J 7nm", "J 45nm", "full32/arm", "full16/arm", "linear MB", "all MB")
    print_table(head, lines)
    print(
        "\nN: weights of the linear maps. adds, muls: additions and multiplications. J: joules at the costs of a node."
    )
    print(
        "full32/arm, full16/arm: energy of that arm at 7nm over this arm's. linear MB: weights of the linear maps and"
    )
    print("their scales, in 10^6 bytes; all MB: also norms and, with a vocabulary, the embedding.")
    for arm in arms:
        print(f"{arm}: {_ARM_WORDS[arm]}.")


def _print_kinds_by_size(sizes: tuple[str, ...], operations: pd.DataFrame) -> None:
    """Print the operations of one arm by kind of layer, one column per size."""
    from ntk1bit.cli.tables import print_table
    from ntk1bit.printing import number

    print(f"Operations by kind of layer, arm {operations['arm'].iloc[0]} (--arm chooses another):\n")
    columns = [
        {(row["kind"], row["operation"], row["format"]): row["count"] for row in part.to_dict("records")}
        for _, part in operations.groupby("size", sort=False)
    ]
    lines = [
        (kind, _SIGN[op], form, *[number(c[kind, op, form], even=True) for c in columns])
        for kind, op, form in columns[0]
    ]
    print_table(("kind", "op", "format", *sizes), lines)


def _print_kinds_by_arm(size: str, arms: tuple[Arm, ...], operations: pd.DataFrame) -> None:
    """Print the operations of one size by kind of layer, with their formats, one column per arm."""
    from ntk1bit.cli.tables import print_table
    from ntk1bit.energy.counting import KINDS
    from ntk1bit.printing import number

    print(f"Operations of {size} by kind of layer, with the format they are done in:\n")
    texts = {
        (row["kind"], row["operation"], row["arm"]): f"{number(row['count'], even=True)} {row['format']}"
        for row in operations.to_dict("records")
    }
    keys = [(kind, op) for kind in KINDS for op in _SIGN if any((kind, op, arm) in texts for arm in arms)]
    lines = [(kind, _SIGN[op], *[texts.get((kind, op, arm), "") for arm in arms]) for kind, op in keys]
    print_table(("kind", "op", *arms), lines)


def _show_published(csv: bool) -> None:
    """Print W23's figures beside what its equations give, the costs they imply, and other readings."""
    from ntk1bit.cli.tables import print_table
    from ntk1bit.energy.published import GROUPS, check_published, count_readings, implied_costs

    table = check_published()
    if csv:
        table.to_csv(sys.stdout, index=False)
        return
    figures = table.to_dict("records")
    print("W23's printed energies (J for 512 tokens) and reductions, by its Eqs. 16 to 18 to the letter:\n")
    lines = []
    for row in figures:
        digits = int(row["digits"])
        printed, recomputed = f"{row['printed']:.{digits}f}", f"{row['recomputed']:.{digits + 3}f}"
        told = ("yes", "") if row["agrees"] else ("NO", f"{row['short']:.1g}")
        lines.append((*[row[n] for n in ("group", "size", "arm", "node", "what")], printed, recomputed, *told))
    print_table(("figures", "size", "arm", "node", "what", "printed", "recomputed", "agrees", "short by"), lines)
    print("\nagrees: recomputed rounds to what is printed; short by: how far it is from doing so.")
    print(f"\n{sum(row['agrees'] for row in figures)} of {len(figures)} figures are reproduced.")

    print("\nBetween what costs (pJ) all printed figures of a kind agree, beside the printed cost:\n")
    lines = []
    for row in implied_costs().to_dict("records"):
        operation, inside = f"{row['format']} {row['operation']}", "yes" if row["inside"] else "NO"
        bounds = f"{row['printed']:g}", f"{row['low']:.7f}", f"{row['high']:.7f}"
        lines.append((row["source"], row["node"], operation, *bounds, inside))
    print_table(("from", "node", "operation", "printed", "low", "high", "inside"), lines)

    found = count_readings().to_dict("records")
    words = {"one_less": "n-1 adds", "by_head": "by head", "shared_inputs": "qkv share", "biases": "biases"}
    words |= {"residuals": "residuals"}
    print(f"\nReadings of the equations, the best 10 of {len(found)}, and how many figures each reproduces:\n")
    lines = [
        (*["yes" if row[n] else "no" for n in words], *[row[group] for group in GROUPS], row["total"])
        for row in found[:10]
    ]
    print_table((*words.values(), *GROUPS, "all"), lines)
    print("\nn-1 adds: a sum of n terms takes n-1 additions. by head: attention's scores are a product a head.")
    print("qkv share: q, k and v read one scaled input. biases, residuals: their additions count.")
    print("To the letter: yes, no, no, no, no.")
    print(f"The best reading misses: {found[0]['missed']}.")
