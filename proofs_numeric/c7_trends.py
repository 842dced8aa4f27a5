"""C7-trends, C7-mul, C7-norms and C7-precise: where the energy goes, and how that changes with size.

**C7-trends.** The larger the model, the more BitNet saves (W23, Fig. 1), and the less attention's products cost beside
the linear maps (section 2: "much smaller [...] as the model grows larger").

**C7-mul.** Multiplications take most of the energy of full precision, and BitNet saves most there (section 2.3).

**C7-norms.** The cost of residual connections and layer normalisation is "negligible" (section 2).

**C7-precise.** That, and a low cost of attention, in BitNet itself. Both are W23's reasons to leave these parts
precise, and it is in BitNet that their precision has its price.

**Derivation.** Per layer and token, for width d and T tokens, in multiply-accumulates (`c7_energy` has their costs):

    linear maps     12 d^2
    attention       2 T d       scores and values
    norms           21 d        over rows of d, d, d and 4 d entries
    residuals       2 d         additions only

The linear maps grow as d^2 and the rest as d. So attention's products take T/(6 d) of the operations of the linear
maps, 0.11 at d = 768 and 0.012 at d = 7168, and norms and residuals about 22/(12 d + 2 T) of those of full precision,
0.2 % at most. The number of layers drops out.

A multiplication takes e_mul/(e_add + e_mul) of the energy of a multiply-accumulate: 0.68 in FP16 at 7 nm, 0.73 at 45
nm, 0.78 and 0.80 in FP32. Of the linear maps BitNet saves all multiplications and most of each addition, so what it
saves is divided as their energy was.

In BitNet a linear map costs e/e_8 = 71 times less (50 times at 45 nm), and what is left precise costs what it did. At 7
nm attention's share is then T/(0.084 d + T + 6.12): 0.88 at d = 768, one half at d = 6000. It falls with d as in full
precision, but from far above. Norms and residuals are at most 10.8/(0.084 d + T + 6.12): 2 % at d = 768.

**How the words are read.** "Negligible" is at most 1 %: less than C1b allows, a tenth, which is context. "Much smaller"
is at most a tenth, at the largest size. In BitNet attention only has to take no more than half of the energy. What is
left precise is FP16 here, as W23's Table 1 needs it; section 2 says "e.g. 8-bit", which a context criterion charges.

**Experiment.** Counts at W23's eight sizes and costs; nothing is drawn at random. Savings, multiplications and
attention are counted by Eqs. 16 to 18. These leave out norms and residuals, which are counted of our Transformer,
without its head: W23 does not count it, and with it their shares would be smaller. Our full-precision Transformer has
the norms of BitNet, four a layer, as q, k and v read one normalised input; a plain one has two, which cost less; a norm
for each of q, k and v would make 27 d of the 21 d.

**What was known.** These are counts, and the formulas above and C7's tables were known before the rules were written:
rules that could fail, not rules that were blind.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from ntk1bit.claims import AtMost, Claim, Evidence, Number
from ntk1bit.energy.counting import COSTS, NODES, Arm, Model, Node
from ntk1bit.energy.published import REDUCTIONS, SIZES
from ntk1bit.energy.tables import operations_table
from proofs_numeric.data import Data
from proofs_numeric.proof import Proof

NEGLIGIBLE = 0.01  # "negligible": of operations, or of energy
MUCH_SMALLER = 0.1  # "much smaller": of what it is compared with
_HALF = 0.5
_OF_C1B = 0.1  # what C1b reads as negligible
_FULL: dict[Arm, str] = {"full32": "FP32", "full16": "FP16"}
_COUNTINGS: dict[str, tuple[Model, bool]] = {"w23": ("w23", False), "exact": ("exact", False), "wide": ("exact", True)}
_LINEAR = ("qkv", "attention output", "ff up", "ff down")
_ATTENTION = ("attention scores", "attention values")
_NORMS = ("norms", "residuals")
_BIT = (*_LINEAR, "scales")  # what BitLinear does, its norm left out
_SPAN = f"{len(SIZES)} sizes, d = 768..7168, 512 tokens"
_STUDY = "energy"
_ASSUMED = "energy is operations times the costs W23 prints; moving data costs nothing; 512 tokens"

CLAIM_TRENDS = Claim(
    id="C7-trends",
    title="savings grow, the share of attention shrinks",
    statement="From each of W23's eight sizes to the next the savings, energy of FP16 over BitNet's, rise, and "
    "attention's two products fall as a share of FP16's operations and of BitNet's energy; at the largest size they "
    "take at most a tenth of the operations of the linear maps.",
    source="W23, Fig. 1, section 2",
    assumptions=f"{_ASSUMED} at every size; W23's 'QKV transformation' is attention's products.",
    refuted_by="one step to the next size that goes the other way, or more than a tenth at 30B",
    criteria=(
        AtMost("savings.step", 1.0),
        AtMost("attention.full16.step", 1.0),
        AtMost("attention.bitnet.step", 1.0),
        AtMost("attention.largest", MUCH_SMALLER),
    ),
    context=(
        AtMost("savings.exact.step", 1.0),
        AtMost("savings.wide.step", 1.0),
        AtMost("savings.printed.step", 1.0),
        AtMost("attention.every", MUCH_SMALLER),
    ),
    labels={
        "savings.step": "savings, this size / next size",
        "savings.exact.step": "savings, everything counted, this size / next size",
        "savings.wide.step": "savings, everything counted, sums in 32 bits, this size / next size",
        "savings.printed.step": "savings, as printed, this size / next size",
        "attention.full16.step": "attention's share of FP16's operations, next size / this size",
        "attention.bitnet.step": "attention's share of BitNet's energy, next size / this size",
        "attention.largest": "attention / linear maps, operations, at 30B",
        "attention.every": "attention / linear maps, operations",
    },
    ranges="1 is no change; a tenth is our reading of 'small'",
)
CLAIM_MUL = Claim(
    id="C7-mul",
    title="multiplications take most of the energy",
    statement="At each of W23's eight sizes additions take at most half of the energy of FP32 and of FP16, and BitNet "
    "saves no more energy in additions than in multiplications.",
    source="W23, section 2.3, Table 1",
    assumptions=f"{_ASSUMED}; products of matrices only, at 7 and 45 nm.",
    refuted_by="one size, format or node at which additions take more than half, or save more than multiplications",
    criteria=(AtMost("additions.full", _HALF), AtMost("additions.saved", 0.0)),
    context=(
        AtMost("additions.left", 1.0),
        AtMost("multiplications.linear", _HALF),
        AtMost("multiplications.bitnet", _HALF),
    ),
    labels={
        "additions.full": "additions' share of the energy of full precision",
        "additions.saved": "energy saved in additions minus that in multiplications, over full precision's",
        "additions.left": "share of multiplications' energy that is left in BitNet, over that of additions'",
        "multiplications.linear": "multiplications' share of the energy of BitNet's linear maps",
        "multiplications.bitnet": "multiplications' share of BitNet's energy",
    },
    ranges="one half is 'the major part'",
)
CLAIM_NORMS = Claim(
    id="C7-norms",
    title="norms and residuals are cheap in full precision",
    statement="At each of W23's eight sizes norms and residual additions take at most 1 % of the operations and of the "
    "energy of an FP16 Transformer.",
    source="W23, section 2",
    assumptions=f"{_ASSUMED}; 'negligible' is read as at most 1 %; the head is left out.",
    refuted_by="one size at which they take more than 1 %",
    criteria=(AtMost("norms.operations", NEGLIGIBLE), AtMost("norms.energy", NEGLIGIBLE)),
    labels={
        "norms.operations": "norms and residuals, share of FP16's operations",
        "norms.energy": "norms and residuals, share of FP16's energy",
    },
    ranges="a hundredth, our reading of 'negligible'",
)
CLAIM_PRECISE = Claim(
    id="C7-precise",
    title="what BitNet leaves precise costs little in BitNet",
    statement="At each of W23's eight sizes attention's two products take at most half of BitNet's energy, and norms "
    "and residual additions at most 1 %.",
    source="W23, section 2, as reasons to leave these parts precise",
    assumptions=f"{_ASSUMED}; what is left precise is FP16, as in W23's Table 1.",
    refuted_by="one size at which attention takes more than half, or norms and residuals more than 1 %",
    criteria=(AtMost("attention.bitnet", _HALF), AtMost("norms.bitnet", NEGLIGIBLE)),
    context=(
        AtMost("attention.bitnet.largest", _HALF),
        AtMost("attention.bitnet.int8", _HALF),
        AtMost("norms.bitnet.largest", NEGLIGIBLE),
        AtMost("norms.bitnet", _OF_C1B),
        AtMost("precise.bitnet", _HALF),
    ),
    labels={
        "attention.bitnet": "attention's share of BitNet's energy",
        "attention.bitnet.largest": "attention's share of BitNet's energy at 30B",
        "attention.bitnet.int8": "attention's share of BitNet's energy, were it in 8 bits",
        "norms.bitnet": "norms' and residuals' share of BitNet's energy",
        "norms.bitnet.largest": "norms' and residuals' share of BitNet's energy at 30B",
        "precise.bitnet": "share of all that is left precise, everything counted",
    },
    ranges="one half and a hundredth, our readings of 'small' and 'negligible'",
)


@functools.lru_cache(maxsize=1)
def counted_parts() -> pd.DataFrame:
    """Count W23's eight sizes part by part: `operations_table`, with a column counting (of `_COUNTINGS`)."""
    parts = [
        operations_table(SIZES, (*_FULL, "bitnet"), model=model, wide=wide).assign(counting=name)
        for name, (model, wide) in _COUNTINGS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def evidence_trends(_: Data) -> Evidence:
    """Compare each size with the next: what is saved, and attention beside the rest."""
    counted = counted_parts()
    savings = {
        counting: [
            _sums(counted, node, counting, "full16") / _sums(counted, node, counting, "bitnet") for node in NODES
        ]
        for counting in _COUNTINGS
    }
    printed = np.array([float(REDUCTIONS[size]) for size in SIZES])
    beside = _sums(counted, "count", "w23", "full16", _ATTENTION) / _sums(counted, "count", "w23", "full16", _LINEAR)
    operations = _share(counted, "count", "w23", "full16", _ATTENTION)
    energy = [_share(counted, node, "w23", "bitnet", _ATTENTION) for node in NODES]
    of_savings, of_shares = "joules of FP16 over BitNet's, largest over sizes, at 7 and 45 nm", "largest over sizes"
    measures = (
        *(
            _largest(name, of_savings, [_steps(1 / one) for one in savings[counting]])
            for name, counting in (
                ("savings.step", "w23"),
                ("savings.exact.step", "exact"),
                ("savings.wide.step", "wide"),
            )
        ),
        _largest("savings.printed.step", "the eight ratios of W23's Fig. 1, largest over sizes", [_steps(1 / printed)]),
        _largest("attention.full16.step", f"of all operations, {of_shares}", [_steps(operations)]),
        _largest("attention.bitnet.step", f"of all joules, {of_shares}, at 7 and 45 nm", map(_steps, energy)),
        _largest("attention.largest", "multiplications and additions", [beside[-1:]], "30B"),
        _largest("attention.every", "multiplications and additions, largest over sizes", [beside]),
    )
    table = _by_size(
        {
            **_per_node("FP16 / BitNet", savings["w23"]),
            "attention / linear maps, operations": beside,
            "attention, share of FP16's operations": operations,
            **_per_node("attention, share of BitNet's energy", energy),
        }
    )
    remark = (
        "In BitNet attention's products take more than half of the energy at: "
        f"{_sizes(energy[0] > _HALF)} (7 nm), {_sizes(energy[1] > _HALF)} (45 nm)."
    )
    return Evidence(measures, {"trends": table}, (remark,))


def evidence_mul(_: Data) -> Evidence:
    """Divide energies, and what is saved of them, into additions and multiplications."""
    counted = counted_parts()
    full, saved, left, linear, whole = [], [], [], [], []
    columns: dict[str, np.ndarray] = {}
    for node in NODES:
        add, mul = _both(counted, node, "bitnet")
        add_linear, mul_linear = _both(counted, node, "bitnet", _BIT)
        linear.append(mul_linear / (add_linear + mul_linear))
        whole.append(mul / (add + mul))
        for arm, name in _FULL.items():
            add_full, mul_full = _both(counted, node, arm)
            full.append(add_full / (add_full + mul_full))
            saved.append(((add_full - add) - (mul_full - mul)) / (add_full + mul_full))
            left.append((mul / mul_full) / (add / add_full))
            less = (mul_full - mul) / (add_full - add + mul_full - mul)
            columns |= {f"{name}, {node}": 1 - full[-1], f"saved of {name}, {node}": less}
        columns |= {f"BitNet, {node}": whole[-1], f"BitNet's linear maps, {node}": linear[-1]}
    nodes, arms = "largest over sizes, at 7 and 45 nm", "largest over sizes, FP32 and FP16, at 7 and 45 nm"
    measures = (
        _largest("additions.full", f"joules of additions over all, {arms}", full),
        _largest("additions.saved", f"in joules, {arms}", saved),
        _largest("additions.left", f"in joules, {arms}", left),
        _largest("multiplications.linear", f"joules of scaling over those of products and scaling, {nodes}", linear),
        _largest("multiplications.bitnet", f"joules of multiplications over all, {nodes}", whole),
    )
    at = _sizes(np.max(whole, axis=0) <= _HALF)
    remark = f"Additions dominate the energy of all of BitNet's products, attention's among them, only at: {at}."
    return Evidence(measures, {"share of multiplications in energy": _by_size(columns)}, (remark,))


def evidence_norms(_: Data) -> Evidence:
    """Count norms and residual additions in a forward pass of full precision."""
    counted = _without_head(counted_parts())
    operations = _share(counted, "count", "exact", "full16", _NORMS)
    energy = [_share(counted, node, "exact", "full16", _NORMS) for node in NODES]
    measures = (
        _largest("norms.operations", "of all operations but the head's, largest over sizes", [operations]),
        _largest("norms.energy", "of all joules but the head's, largest over sizes, at 7 and 45 nm", energy),
    )
    columns = {"of operations": operations, **_per_node("of energy", energy)}
    return Evidence(measures, {"norms and residuals, share of FP16": _by_size(columns)})


def evidence_precise(_: Data) -> Evidence:
    """Count what BitNet leaves precise in BitNet's own energy."""
    counted = _without_head(counted_parts())
    attention = [_share(counted, node, "w23", "bitnet", _ATTENTION) for node in NODES]
    norms = [_share(counted, node, "exact", "bitnet", _NORMS) for node in NODES]
    in_int8 = [_share(_attention_in_int8(counted), node, "w23", "bitnet", _ATTENTION) for node in NODES]
    precise = [1 - _share(counted, node, "exact", "bitnet", _BIT) for node in NODES]
    of_sizes, of_largest = "of all joules, largest over sizes, at 7 and 45 nm", "of all joules, at 7 and 45 nm"
    measures = (
        _largest("attention.bitnet", of_sizes, attention),
        _largest("attention.bitnet.largest", of_largest, [one[-1:] for one in attention], "30B"),
        _largest("attention.bitnet.int8", of_sizes, in_int8),
        _largest("norms.bitnet", f"{of_sizes}, without the head", norms),
        _largest("norms.bitnet.largest", f"{of_largest}, without the head", [one[-1:] for one in norms], "30B"),
        _largest("precise.bitnet", f"{of_sizes}, without the head: all but products with 1 bit and scaling", precise),
    )
    table = _by_size(
        {
            **_per_node("attention", attention),
            **_per_node("attention, were it in 8 bits", in_int8),
            **_per_node("norms and residuals", norms),
            **_per_node("all that is precise", precise),
        }
    )
    remarks = tuple(
        f"{what} of BitNet's energy, at both nodes, only at: {_sizes(np.max(shares, axis=0) <= bound)}."
        for what, shares, bound in (
            ("Attention's products take at most half", attention, _HALF),
            ("Norms and residuals take at most 1 %", norms, NEGLIGIBLE),
        )
    )
    return Evidence(measures, {"share of BitNet's energy": table}, remarks)


PROOFS = (
    Proof(CLAIM_TRENDS, (), evidence_trends),
    Proof(CLAIM_MUL, (), evidence_mul),
    Proof(CLAIM_NORMS, (), evidence_norms),
    Proof(CLAIM_PRECISE, (), evidence_precise),
)


def _sums(
    counted: pd.DataFrame,
    what: Literal["count"] | Node,
    counting: str,
    arm: Arm,
    kinds: Iterable[str] | None = None,
    operation: str | None = None,
) -> np.ndarray:
    """Return for each size its operations or, for a node, their joules: all, or of some kinds or one operation."""
    chosen = (counted["counting"] == counting) & (counted["arm"] == arm)
    if kinds is not None:
        chosen &= counted["kind"].isin(list(kinds))
    if operation is not None:
        chosen &= counted["operation"] == operation
    column = "count" if what == "count" else f"joules_{what}"
    return counted.loc[chosen].groupby("size")[column].sum().reindex(list(SIZES)).to_numpy(np.float64)


def _share(
    counted: pd.DataFrame, what: Literal["count"] | Node, counting: str, arm: Arm, kinds: Iterable[str]
) -> np.ndarray:
    return _sums(counted, what, counting, arm, kinds) / _sums(counted, what, counting, arm)


def _both(
    counted: pd.DataFrame, node: Node, arm: Arm, kinds: Iterable[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return joules of additions and of multiplications, by W23's counting."""
    add, mul = (_sums(counted, node, "w23", arm, kinds, operation) for operation in ("add", "mul"))
    return add, mul


def _attention_in_int8(counted: pd.DataFrame) -> pd.DataFrame:
    """Charge attention's products at the costs of 8-bit integers: section 2 says that precise is "e.g. 8-bit"."""
    chosen = counted["kind"].isin(list(_ATTENTION))
    charged = counted.copy()
    for node in NODES:
        each = [getattr(COSTS[node]["int8"], operation) for operation in counted.loc[chosen, "operation"]]
        charged.loc[chosen, f"joules_{node}"] = counted.loc[chosen, "count"] * each * 1e-12
    return charged


def _without_head(counted: pd.DataFrame) -> pd.DataFrame:
    return counted.loc[counted["kind"] != "head"]


def _steps(values: np.ndarray) -> np.ndarray:
    """Return each value over the one before."""
    return values[1:] / values[:-1]


def _largest(name: str, meaning: str, columns: Iterable[np.ndarray], span: str = _SPAN) -> Number:
    return Number(name, meaning, max(float(column.max()) for column in columns), span, _STUDY)


def _sizes(chosen: np.ndarray) -> str:
    return ", ".join(size for size, one in zip(SIZES, chosen, strict=True) if one) or "no size"


def _per_node(name: str, columns: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}, {node}": column for node, column in zip(NODES, columns, strict=True)}


def _by_size(columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    front = {"size": list(SIZES), "width": [shape.width for shape in SIZES.values()]}
    return pd.DataFrame({**front, **columns})
