"""W23's printed energies: its sizes, its table, its reductions, and what its equations give instead.

Every figure is recomputed by one rule and compared at the digits that are printed; nothing is fitted to a cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from ntk1bit.energy.counting import (
    ARMS,
    COSTS,
    NODES,
    PRINTED,
    Arm,
    Format,
    ForwardPass,
    Model,
    Node,
    Reading,
    count_operations,
    joules,
)
from ntk1bit.energy.weight_memory import weight_bytes
from ntk1bit.errors import InputError

# W23, Table 5, and section 3.1 for the vocabulary, "16K", read as 16,000.
SIZES: dict[str, ForwardPass] = {
    name: ForwardPass(layers, width, heads=heads, vocabulary=16_000)
    for name, layers, width, heads in (
        ("125M", 12, 768, 12), ("350M", 24, 1024, 16), ("760M", 24, 1536, 16), ("1.3B", 24, 2048, 32),
        ("2.7B", 32, 2560, 32), ("6.7B", 32, 4096, 32), ("13B", 40, 5120, 40), ("30B", 48, 7168, 56),
    )
}  # fmt: skip
# W23, Table 1: joules of one forward pass of 512 tokens. Columns: 7 nm MUL, ADD, 45 nm MUL, ADD.
TABLE_1: dict[tuple[str, Arm], tuple[str, str, str, str]] = {
    ("6.7B", "full32"): ("4.41", "1.28", "12.46", "3.03"),
    ("6.7B", "full16"): ("1.14", "0.54", "3.70", "1.35"),
    ("6.7B", "bitnet"): ("0.02", "0.04", "0.08", "0.13"),
    ("13B", "full32"): ("8.58", "2.49", "24.23", "5.89"),
    ("13B", "full16"): ("2.23", "1.05", "7.20", "2.62"),
    ("13B", "bitnet"): ("0.04", "0.06", "0.12", "0.24"),
    ("30B", "full32"): ("20.09", "5.83", "56.73", "13.80"),
    ("30B", "full16"): ("5.21", "2.45", "16.87", "6.13"),
    ("30B", "bitnet"): ("0.06", "0.14", "0.20", "0.53"),
}
# W23, Fig. 1: energy of FP16 over BitNet's at 7 nm.
REDUCTIONS: dict[str, str] = {
    "125M": "8.8", "350M": "11.0", "760M": "15.0", "1.3B": "18.6", "2.7B": "21.7", "6.7B": "29.1", "13B": "32.9",
    "30B": "38.8",
}  # fmt: skip
# The choices of a `Reading`, in words.
CHOICES = {
    "one_less": "n-1 additions to a sum of n terms",
    "by_head": "attention head by head",
    "shared_inputs": "one scaled input for q, k and v",
    "biases": "biases",
    "residuals": "residual additions",
}
GROUPS = ("full precision", "BitNet", "reduction")
_COLUMNS: tuple[tuple[Node, str], ...] = (("7nm", "mul"), ("7nm", "add"), ("45nm", "mul"), ("45nm", "add"))
_TABLE_ARMS: tuple[Arm, ...] = ("full32", "full16", "bitnet")
_COUNTINGS: tuple[tuple[Model, bool], ...] = (("w23", False), ("exact", False), ("exact", True))  # and `wide`


def check_published(reading: Reading = PRINTED) -> pd.DataFrame:
    """Recompute every figure of W23's energies by its counting, and compare; see `compare_published`."""
    return compare_published(size_joules(reading))


def size_joules(reading: Reading = PRINTED) -> pd.DataFrame:
    """Return the energy of one forward pass of every size by W23's counting: layers, width, arm, node, mul, add (J)."""
    rows = []
    for shape in SIZES.values():
        for arm in _TABLE_ARMS:
            counts = count_operations(shape, arm, reading=reading)
            rows += [(shape.layers, shape.width, arm, node, *joules(counts, node)) for node in NODES]
    return pd.DataFrame(rows, columns=pd.Index(["layers", "width", "arm", "node", "mul", "add"]))


def compare_published(found: pd.DataFrame) -> pd.DataFrame:
    """Compare energies with W23's printed ones.

    Parameters
    ----------
    found
        Columns layers, width, arm, node, mul and add (J), a row for each of W23's sizes, `_TABLE_ARMS` and nodes.

    Returns
    -------
    One row per printed figure. Columns group (of `GROUPS`), size, arm, node, what (``"mul"``, ``"add"`` in J, or
    ``"ratio"``), printed, digits (after the point), recomputed, agrees (recomputed rounds to what is printed) and short
    (how far recomputed lies from where it would).

    Raises
    ------
    InputError
        If a size, arm or node is missing.
    """
    energies = _energies(found)
    rows = []
    for (size, arm), printed in TABLE_1.items():
        group = "BitNet" if arm == "bitnet" else "full precision"
        for (node, operation), text in zip(_COLUMNS, printed, strict=True):
            rows.append((group, size, arm, node, operation, *_compare(text, energies[size, arm, node][operation])))
    ratios = _ratios(energies)
    for size, text in REDUCTIONS.items():
        rows.append(("reduction", size, "full16 / bitnet", "7nm", "ratio", *_compare(text, ratios[size])))
    names = ["group", "size", "arm", "node", "what", "printed", "digits", "recomputed", "agrees", "short"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def count_readings() -> pd.DataFrame:
    """Try every reading of W23's equations on all its figures.

    Returns
    -------
    One row per reading, best first. Columns: the fields of `Reading`, figures reproduced of each of `GROUPS`, total,
    and missed: the figures that are not.
    """
    rows = []
    for reading in readings():
        table = check_published(reading)
        good = [row["group"] for row in table.to_dict("records") if row["agrees"]]
        missed = ", ".join(figure_name(row) for row in table.to_dict("records") if not row["agrees"])
        rows.append(
            vars(reading) | {group: good.count(group) for group in GROUPS} | {"total": len(good), "missed": missed}
        )
    return pd.DataFrame(rows).sort_values("total", ascending=False, kind="stable", ignore_index=True)


def readings() -> Iterator[Reading]:
    """Yield every combination of the choices, the printed one first."""
    first = vars(PRINTED)
    for flips in itertools.product((False, True), repeat=len(first)):
        yield Reading(**{name: value != flip for (name, value), flip in zip(first.items(), flips, strict=True)})


def figure_name(row: Mapping[str, object]) -> str:
    """Name a figure: `6.7B bitnet 7nm add 0.04`, `30B reduction 38.8`."""
    printed = f"{row['printed']:.{row['digits']}f}"
    if row["group"] == "reduction":
        return f"{row['size']} reduction {printed}"
    return f"{row['size']} {row['arm']} {row['node']} {row['what']} {printed}"


def implied_costs(reading: Reading = PRINTED) -> pd.DataFrame:
    """Find the cost of an operation that W23's printed energies imply, and whether its printed cost lies there.

    The cells of a column hold counts times one cost, rounded, so each gives an interval. BitNet's additions are INT8
    except those of FP16, which are taken at their printed cost; so are all other operations behind its reductions.

    Returns
    -------
    One row per source, node, format and operation. Columns source, node, format, operation, printed, low and high (pJ:
    what all its cells allow; low > high when none serves all), inside.
    """
    ranges: dict[tuple[str, Node, Format, str], list[tuple[float, float]]] = {}
    formats: dict[Arm, Format] = {"full32": "fp32", "full16": "fp16", "bitnet": "int8"}
    for (size, arm), printed in TABLE_1.items():
        counts = count_operations(SIZES[size], arm, reading=reading)
        form = formats[arm]
        for (node, operation), text in zip(_COLUMNS, printed, strict=True):
            if arm == "bitnet" and operation == "mul":
                continue  # no INT8 multiplications
            own = _own(counts, form, operation)
            rest = getattr(joules(counts, node), operation) - own * getattr(COSTS[node][form], operation) * 1e-12
            low, high = _bounds(text)
            ranges.setdefault(("Table 1", node, form, operation), []).append(
                ((low - rest) / own * 1e12, (high - rest) / own * 1e12)
            )
    for size, text in REDUCTIONS.items():
        whole = joules(count_operations(SIZES[size], "full16", reading=reading), "7nm").total
        counts = count_operations(SIZES[size], "bitnet", reading=reading)
        own = _own(counts, "int8", "add")
        rest = joules(counts, "7nm").total - own * COSTS["7nm"]["int8"].add * 1e-12
        low, high = _bounds(text)
        ranges.setdefault(("reductions", "7nm", "int8", "add"), []).append(
            ((whole / high - rest) / own * 1e12, (whole / low - rest) / own * 1e12)
        )
    rows = []
    for (source, node, form, operation), intervals in ranges.items():
        cost = getattr(COSTS[node][form], operation)
        low, high = max(low for low, _ in intervals), min(high for _, high in intervals)
        rows.append((source, node, form, operation, cost, low, high, low <= cost <= high))
    names = ["source", "node", "format", "operation", "printed", "low", "high", "inside"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def measure_energy(*, layers: int, width: int, tokens: int, heads: int, vocabulary: int) -> pd.DataFrame:
    """Count energy and memory of one size, in every arm, by both countings, at both nodes.

    Returns
    -------
    One row per arm, counting, accumulator and node. Columns arm, model, wide, node, mul and add (J), parameters,
    linear_bytes (with their scales), total_bytes.
    """
    shape = ForwardPass(layers, width, tokens, heads=heads, vocabulary=vocabulary)
    rows = []
    for arm in ARMS:
        memory = weight_bytes(shape, arm)
        for model, wide in _COUNTINGS:
            counts = count_operations(shape, arm, model=model, wide=wide)
            for node in NODES:
                energy = dict(zip(("mul", "add"), joules(counts, node), strict=True))
                rows.append(
                    {"arm": arm, "model": model, "wide": wide, "node": node, **energy, "parameters": shape.parameters}
                    | {"linear_bytes": memory.linear + memory.scales, "total_bytes": memory.total}
                )
    return pd.DataFrame(rows)


def _energies(found: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, float]]:
    by_shape = {(shape.layers, shape.width): size for size, shape in SIZES.items()}
    energies = {
        (by_shape[row["layers"], row["width"]], row["arm"], row["node"]): {"mul": row["mul"], "add": row["add"]}
        for row in found.to_dict("records")
        if (row["layers"], row["width"]) in by_shape
    }
    missing = [key for key in itertools.product(SIZES, _TABLE_ARMS, NODES) if key not in energies]
    if missing:
        raise InputError(
            f"energies of {' '.join(missing[0])} and {len(missing) - 1} more are missing; count them first"
        )
    return energies


def _ratios(energies: Mapping[tuple[str, str, str], Mapping[str, float]]) -> dict[str, float]:
    def total(size: str, arm: str) -> float:
        return sum(energies[size, arm, "7nm"].values())

    return {size: total(size, "full16") / total(size, "bitnet") for size in SIZES}


def _compare(text: str, recomputed: float) -> tuple[float, int, float, bool, float]:
    digits = len(text.partition(".")[2])
    low, high = _bounds(text)
    return (
        float(text),
        digits,
        recomputed,
        f"{recomputed:.{digits}f}" == text,
        max(low - recomputed, recomputed - high, 0.0),
    )


def _bounds(text: str) -> tuple[float, float]:
    """Return between what values a number lies that is printed as `text`."""
    half = 0.5 * 10.0 ** -len(text.partition(".")[2])
    return float(text) - half, float(text) + half


def _own(counts: pd.DataFrame, form: Format, operation: str) -> float:
    return float(np.sum(counts.loc[(counts["format"] == form) & (counts["operation"] == operation), "count"]))
