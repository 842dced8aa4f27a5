"""C7 and C7-table: 1-bit weights cut memory and energy, counted as W23 counts them.

**C7.** Packed 1-bit weights take at most 1/30 of float32's bytes in the linear maps of models with d >= 1024, and a
forward pass with them at most 1/8 of the energy of FP16, by W23's counting at its published costs, at every size.

**C7-table.** All energies and reductions that W23 prints follow from its Eqs. 16 to 18 and the costs it prints.

**Derivation.** Per layer and for T tokens the linear maps take 12 d^2 T multiply-accumulates and attention 2 T^2 d. In
FP16 each costs e = e_add + e_mul. In BitNet a linear one is one INT8 addition e_8, attention stays in FP16, and 18 d T
multiplications scale inputs and outputs. So, up to the one addition less that a sum takes,

    E(FP16)/E(BitNet) = e (12 d + 2 T)/(12 e_8 d + 2 e T + 18 e_mul):

the number of layers drops out. At 7 nm this is (6 d + T)/(0.084 d + T + 6.12): it grows with d towards e/e_8 = 71, and
at T = 512 attention, which is not quantised, holds it back: it is more than half of BitNet's energy up to d = 5120. For
memory one matrix of signs with its scale takes d^2/8 + 4 bytes against 4 d^2.

**What is not counted.** Moving data, which costs more than arithmetic on real chips. Norms, softmax, activations and
the head are left out by W23 and put back by the context criteria. W23 charges a sum of 8-bit numbers at the cost of
8-bit additions, though n of them need 8 + log2(n) bits: a context criterion charges all sums to 32-bit accumulators.

**Experiment.** Counts for W23's eight sizes, by its equations and of everything our Transformer does (tests hold these
against its own forward pass, in plain loops and as a program); matrices really packed; each printed figure
recomputed and compared at its printed digits. The verdict is on the equations to the letter; where they leave a choice,
all 32 readings are tried, each on all figures at once. Nothing here is drawn at random.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from ntk1bit.claims import AtMost, Claim, Count, Evidence, NoFailures, Number
from ntk1bit.cores import pack_signs
from ntk1bit.energy.counting import NODES, Reading
from ntk1bit.energy.published import (
    CHOICES,
    GROUPS,
    REDUCTIONS,
    SIZES,
    TABLE_1,
    compare_published,
    count_readings,
    figure_name,
    implied_costs,
    measure_energy,
)
from ntk1bit.energy.weight_memory import packed_bytes
from proofs_numeric.data import Data, highest
from proofs_numeric.proof import Proof

_FIGURES = 4 * len(TABLE_1) + len(REDUCTIONS)
_IDS = {"full precision": "full", "BitNet": "bitnet", "reduction": "reduction"}  # of the groups of figures
_OF_GROUP = {"full precision": 24, "BitNet": 12, "reduction": 8}
_COSTS = 11  # ten columns of Table 1 with a cost each, and the reductions
_COUNTINGS = {"w23": "", "exact": ", everything counted", "exact, wide": ", everything counted, sums in 32 bits"}
_PACKED_SHAPES = ((4096, 1024), (1024, 4096), (1000, 37), (1, 1))


def _id(counting: str) -> str:
    return counting.replace(", ", "-")


CLAIM = Claim(
    id="C7",
    title="1-bit weights cut memory and energy",
    statement="Linear maps of packed signs take at most 1/30 of float32's bytes where d >= 1024, and a forward pass of "
    "512 tokens takes at most 1/8 of FP16's energy at each of W23's eight sizes.",
    source="W23, Table 1",
    assumptions="energy is operations times the costs W23 prints, at 7 and 45 nm; moving data costs nothing.",
    refuted_by="one size above either bound, or packed matrices of another size than counted",
    criteria=(
        AtMost("bytes.linear", 1 / 30),
        AtMost("bytes.packed", 0.0),
        AtMost("energy.w23", 1 / 8),
    ),
    context=(
        AtMost("energy.exact", 1 / 8),
        AtMost("energy.exact-wide", 1 / 8),
        AtMost("bytes.whole.float32", 1 / 8),
        AtMost("bytes.whole.float16", 1 / 8),
    ),
    labels={
        **{f"energy.{_id(counting)}": f"energy, BitNet / FP16{words}" for counting, words in _COUNTINGS.items()},
        "bytes.linear": "bytes of linear maps, 1-bit / float32, d >= 1024",
        "bytes.whole.float32": "bytes of the whole model, 1-bit / float32",
        "bytes.whole.float16": "bytes of the whole model, 1-bit / float16",
        "bytes.packed": "bytes packed matrices differ from those counted",
    },
    ranges="a thirty-second and its scales; an eighth of the energy is W23's smallest saving, at 125M",
)
CLAIM_TABLE = Claim(
    id="C7-table",
    title="W23's energy table follows from the published costs",
    statement=f"All {_FIGURES} energies and reductions that W23 prints follow, to the printed digits, from its Eqs. 16 "
    "to 18 and the costs of its Table 2.",
    source="W23, Fig. 1, Tables 1 and 2, Eqs. 16 to 18",
    assumptions="the equations to the letter; attention's two products taken whole; sizes of W23's Table 5.",
    refuted_by="one figure that rounds to something else",
    criteria=(NoFailures("figures.all", _FIGURES),),
    context=(
        *(NoFailures(f"figures.{_IDS[group]}", trials) for group, trials in _OF_GROUP.items()),
        NoFailures("figures.best_reading", _FIGURES),
        NoFailures("costs", _COSTS),
    ),
    labels={
        "figures.all": "figures recomputed",
        **{f"figures.{_IDS[group]}": f"figures recomputed, {group}" for group in _OF_GROUP},
        "figures.best_reading": "figures recomputed, best of all readings",
        "costs": "printed costs against those the figures imply",
    },
    ranges="the printed figures themselves, to their last digit",
)


@functools.lru_cache(maxsize=1)
def counted_sizes() -> pd.DataFrame:
    """Count W23's eight sizes: the columns of `measure_energy` and the fields of each size beside them."""
    names = ("layers", "width", "tokens", "heads", "vocabulary")
    fields = [{name: getattr(shape, name) for name in names} for shape in SIZES.values()]
    return pd.concat([measure_energy(**one).assign(**one) for one in fields], ignore_index=True)


def check_packing() -> Number:
    """Pack matrices of signs and compare their bytes with those that are counted."""
    worst = 0
    for rows, columns in _PACKED_SHAPES:
        packed = pack_signs(np.random.default_rng(0).random((rows, columns)) < 0.5)
        worst = max(worst, abs(packed.nbytes - packed_bytes(rows, columns)))
    span = ", ".join(f"{rows} x {columns}" for rows, columns in _PACKED_SHAPES)
    meaning = "largest difference between the bytes of a packed matrix and those counted for it"
    return Number("bytes.packed", meaning, float(worst), span, "checks")


def evidence(_: Data) -> Evidence:
    """Compare energy and memory of the arms, size by size."""
    every = _with_names(counted_sizes())
    span = f"{len(SIZES)} sizes, d = {every['width'].min()}..{every['width'].max()}"
    shares = _shares(every)
    meaning = "largest ratio of joules over sizes, at 7 and 45 nm"
    measures = [
        Number(f"energy.{_id(counting)}", meaning, max(shares[counting].values()), span, "energy")
        for counting in _COUNTINGS
    ]
    one_each = every.loc[(every["counting"] == "w23") & (every["node"] == "7nm")]
    memory = {
        column: one_each.pivot_table(index=["width", "parameters", "size"], columns="arm", values=column, observed=True)
        for column in ("linear_bytes", "total_bytes")
    }
    linear, whole = memory["linear_bytes"], memory["total_bytes"]
    wide = linear.loc[linear.index.get_level_values("width") >= 1024]
    for name, ratio in (
        ("bytes.linear", wide["bitnet"] / wide["full32"]),
        ("bytes.whole.float32", whole["bitnet"] / whole["full32"]),
        ("bytes.whole.float16", whole["bitnet"] / whole["full16"]),
    ):
        meaning = "largest ratio over sizes; the whole model: also FP16 embedding and norms, head tied"
        measures.append(Number(name, meaning, highest(ratio), span, "energy"))
    sizes = list(SIZES)
    first, last = sizes[0], sizes[-1]
    remarks = []
    for counting, words in _COUNTINGS.items():
        share = shares[counting]
        enough = ", ".join(size for size in SIZES if share[size] <= 1 / 8) or "no size"
        remarks.append(
            f"BitNet / FP16{words}: {share[first]:.3g} at {first}, {share[last]:.3g} at {last}; "
            f"at most 1/8 at: {enough}."
        )
    tables = {"energy": _energy_table(every), "memory": _memory_table(linear, whole)}
    return Evidence((*measures, check_packing()), tables, tuple(remarks))


def evidence_table(_: Data) -> Evidence:
    """Recompute every printed figure, and ask which reading and which costs would give it."""
    counted = counted_sizes()
    counted = counted.loc[(counted["model"] == "w23") & ~counted["wide"]]
    figures = compare_published(counted)
    readings, costs = count_readings(), implied_costs()
    best = readings.to_dict("records")[0]
    study, span = "energy", "W23's Table 1 (6.7B, 13B, 30B) and the eight reductions of its Fig. 1"
    missed = "figures that do not round to what is printed"
    measures = [Count("figures.all", missed, _misses(figures), len(figures), span, study)]
    for group in GROUPS:
        part = figures.loc[figures["group"] == group]
        measures.append(Count(f"figures.{_IDS[group]}", missed, _misses(part), len(part), span, study))
    measures += [
        Count(
            "figures.best_reading",
            f"{missed}, by the reading of the equations, out of {len(readings)}, that gives the most",
            len(figures) - int(best["total"]),
            len(figures),
            span,
            "checks",
        ),
        Count(
            "costs",
            "costs of an operation outside the interval that all figures it is behind allow",
            sum(not row["inside"] for row in costs.to_dict("records")),
            len(costs),
            "costs of Table 2 by source of the figures",
            "checks",
        ),
    ]
    shown = figures.assign(agrees=["yes" if row["agrees"] else "no" for row in figures.to_dict("records")])
    tables = {
        "figures": pd.DataFrame(shown.drop(columns="digits")),
        "implied costs": costs.assign(inside=["yes" if one else "no" for one in costs["inside"]]),
        "readings": _readings_table(readings),
    }
    return Evidence(tuple(measures), tables, _remarks(figures, best, costs))


PROOFS = (Proof(CLAIM, (), evidence), Proof(CLAIM_TABLE, (), evidence_table))


def _remarks(figures: pd.DataFrame, best: dict[str, object], costs: pd.DataFrame) -> tuple[str, ...]:
    remarks = [
        f"Not reproduced: {figure_name(row)}; recomputed {row['recomputed']:.5g}, {row['short']:.1g} too far "
        "off to round to it."
        for row in figures.to_dict("records")
        if not row["agrees"]
    ]
    choices = ", ".join(words for name, words in CHOICES.items() if best[name])
    remarks.append(
        f"The reading with the most figures ({choices}) gives {best['total']} of {len(figures)} and misses: "
        f"{best['missed'] or 'none'}. It was chosen by its success, so it says what W23 may have counted, and no more."
    )
    remarks += [
        f"{row['source']} at {row['node']}: the figures need {row['low']:.5g} to {row['high']:.5g} pJ for one "
        f"{row['format']} {row['operation']}; {row['printed']:g} is printed."
        for row in costs.to_dict("records")
        if not row["inside"]
    ]
    return tuple(remarks)


def _shares(every: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return BitNet's energy over FP16's by counting and size: the larger of both nodes."""
    joules = {
        (row["counting"], row["size"], row["node"], row["arm"]): row["joules"] for row in every.to_dict("records")
    }
    return {
        counting: {
            size: max(joules[counting, size, node, "bitnet"] / joules[counting, size, node, "full16"] for node in NODES)
            for size in SIZES
        }
        for counting in _COUNTINGS
    }


def _with_names(counted: pd.DataFrame) -> pd.DataFrame:
    """Add the size's name, the counting's and the sum of joules."""
    names = {(shape.layers, shape.width): size for size, shape in SIZES.items()}
    rows = counted.to_dict("records")
    size = pd.Categorical([names[row["layers"], row["width"]] for row in rows], categories=list(SIZES), ordered=True)
    counting = [f"{row['model']}, wide" if row["wide"] else row["model"] for row in rows]
    return counted.assign(size=size, counting=counting, joules=counted["mul"] + counted["add"])


def _energy_table(every: pd.DataFrame) -> pd.DataFrame:
    kept = every.loc[every["arm"].isin(["full32", "full16", "bitnet"])]
    column = [f"{row['counting']}, {row['node']} (J)" for row in kept.to_dict("records")]
    table = kept.assign(column=column).pivot_table(
        index=["size", "parameters", "arm"], columns="column", values="joules", observed=True
    )
    shown = [f"{counting}, {node} (J)" for counting in _COUNTINGS for node in ("7nm", "45nm")]
    return _plain(pd.DataFrame(table[shown]))


def _memory_table(linear: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    table = pd.concat(
        [
            linear.add_suffix(", linear (GB)") / 1e9,
            whole[["full32", "full16", "bitnet"]].add_suffix(", whole (GB)") / 1e9,
        ],
        axis=1,
    )
    return _plain(pd.DataFrame(table)).drop(columns="width")


def _readings_table(readings: pd.DataFrame) -> pd.DataFrame:
    words = {name: ["yes" if one else "no" for one in readings[name]] for name in vars(Reading())}
    return pd.DataFrame(readings.assign(**words).drop(columns="missed"))


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    flat = table.reset_index()
    flat.columns = pd.Index([str(name) for name in flat.columns])
    return flat.assign(size=[str(size) for size in flat["size"]])


def _misses(figures: pd.DataFrame) -> int:
    return sum(not row["agrees"] for row in figures.to_dict("records"))
