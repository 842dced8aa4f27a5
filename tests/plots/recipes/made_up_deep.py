"""Made-up results of deep networks and Transformers, with the tables and measures that recipes read."""

from __future__ import annotations

from typing import Any

from .made_up import entry, power

SIZES = (24_576, 98_304, 393_216)
WIDTHS = (64, 256, 1024, 4096)
ARMS = {"full": 1.0, "bitnet": 1.1, "sign-ptq": 3.0}
W23_SIZES = {"1x16": 3_072, "1x32": 12_288, "2x48": 55_296, "3x64": 147_456, "3x96": 331_776}
W23_ARMS = {"fp16-preln": 1.0, "bitnet": 1.1, "absmax-w8a8": 1.01, "smoothquant-w8a8": 1.02, "absmax-w1a8": 2.0}


def claims() -> list[dict[str, Any]]:
    """Return the entries of claims on deep networks, Transformers and energy."""
    return [_feed_forward(), *_deep(), *_bitnet(), *_as_written(), *_c13(), _c7(), _c7_table()]


def _c13() -> list[dict[str, Any]]:
    arms = ("full", "bitnet", "b158")
    drift = power({"arm": arms, "width": WIDTHS}, lambda r: (2 + arms.index(r["arm"])) / r["width"])
    factor = {"full": 1.0, "b158": 0.588}
    at_start = power(
        {"arm": arms, "measure": ("ratio", "share"), "width": WIDTHS},
        lambda r: (factor[r["arm"]] if r["arm"] in factor else r["width"] ** 0.5) if r["measure"] == "ratio" else 0.5,
    )
    return [
        entry("C13", {"drift against width": drift}, {f"drift.m.{arm}": -1.0 for arm in arms}),
        entry("C13-steps", {"at the start": at_start}, {"ratio.m.bitnet": 0.5}),
    ]


def _feed_forward() -> dict[str, Any]:
    precisions = ("one_bit", "full")
    reached = power(
        {"precision": precisions, "width": WIDTHS}, lambda r: (32 if r["precision"] == "one_bit" else 0.1) / r["width"]
    )
    steps = [
        {"precision": p, "width": w, "step": s, "loss": 32 / (1 + s) + 1 / w}
        for p in precisions
        for w in WIDTHS
        for s in (0, 3, 30, 300)
    ]
    return entry(
        "4.4",
        {"loss against width": reached, "loss by step": steps},
        {"loss.m": -1.0},
    )


def _deep() -> list[dict[str, Any]]:
    precisions, curves = ("one_bit", "full"), ("bessel", "sine-step", "log-sine")
    axes = {"task": tuple(f"f{k}" for k in range(1, 7)), "depth": (3, 5), "precision": precisions, "N": SIZES}
    exponents = {f"loss.{precision}.size.depth{depth}": -0.5 for depth in (3, 5) for precision in precisions}
    scaling = power(axes, lambda r: (10 if r["precision"] == "one_bit" else 0.1) / r["N"])
    epochs = {"task": curves, "N": SIZES, "epoch": (0, 4, 8), "precision": precisions}
    losses = power(epochs | {"what": ("train loss", "test loss")}, lambda r: 1 / (1 + r["epoch"]))
    apart = power(
        epochs | {"precision": ("one_bit - full",), "what": ("train difference", "test difference")},
        lambda r: 1 / (1 + r["epoch"]),
    )
    after = power({"task": (*curves, "all"), "points": ("train", "test"), "N": SIZES}, lambda r: r["N"] ** -0.2)
    functions = [
        {"task": task, "N": SIZES[-1], "x": x, "target": x / 4, "one_bit": x / 5, "full": x / 4.5}
        for task in curves
        for x in (-3.0, 0.0, 3.0)
    ]
    found = {f"apart.size.{points}.{task}": -0.2 for task in curves for points in ("train", "test")}
    tables = {"against epochs": losses + apart, "after training": after, "functions": functions}
    return [
        entry("C5", {"loss against parameters": scaling}, exponents),
        entry("C5-ratio", {}, {}),
        entry("C5-similar", tables, found),
    ]


def _bitnet() -> list[dict[str, Any]]:
    losses = [
        {"arm": arm, "size": f"1x{n}", "parameters": n, "loss": (loss := times * 20 * n**-0.2)}
        | {
            "low": 0.99 * loss,
            "high": 1.01 * loss,
            "joules": (1 if arm == "full" else 0.2) * 1e-9 * n,
            "joules_exact": 2e-9 * n,
        }
        for arm, times in ARMS.items()
        for n in SIZES
    ]
    laws = [
        {
            "arm": arm,
            "parameters": n,
            "loss": (loss := ARMS[arm] * 20 * n**-0.2),
            "low": 0.98 * loss,
            "high": 1.02 * loss,
        }
        for arm in ("full", "bitnet")
        for n in SIZES
    ]
    gap = [{"N": n, "value": 2 * n**-0.2, "low": 1.9 * n**-0.2, "high": 2.1 * n**-0.2} for n in SIZES]
    excess = [
        {
            "arm": arm,
            "times": times,
            "excess": times / 10,
            "low": times / 11,
            "high": times / 9,
            "diverged": int(times > 20),
        }
        for arm in ("full", "bitnet")
        for times in (1.0, 4.0, 64.0)
    ]
    first = entry("C6", {"losses": losses, "laws": laws, "gap": gap}, {"gap.size": -0.2})
    trigram = {
        "kind": "number",
        "id": "trigram.loss",
        "label": "",
        "value": 2.0,
        "meaning": "",
        "span": "",
        "study": "",
    }
    first["measures"].append(trigram)
    return [
        first,
        entry("C6-stable", {"excess": excess}, {}),
        entry("C6-energy", {"loss against energy": losses}, {}),
    ]


def _as_written() -> list[dict[str, Any]]:
    def height(arm: str, n: int) -> float:
        return W23_ARMS[arm] * (1.2 + 14 * n**-0.3)

    losses = [
        {"arm": arm, "size": size, "parameters": n, "loss": (loss := height(arm, n))}
        | {"low": loss - 0.02, "high": loss + 0.02, "joules": (0.3 if arm == "bitnet" else 1) * 1e-9 * (n + 3_000)}
        for arm in W23_ARMS
        for size, n in W23_SIZES.items()
    ]
    laws = [
        {"arm": arm, "parameters": n, "loss": (loss := height(arm, n)), "low": 0.98 * loss, "high": 1.02 * loss}
        for arm in ("fp16-preln", "bitnet")
        for n in W23_SIZES.values()
    ]
    better = [
        {"size": size, "method": "absmax-w8a8" if n < 50_000 else "smoothquant-w8a8"} for size, n in W23_SIZES.items()
    ]
    above = {8: -0.15, 4: 0.02, 2: 0.5, 1: 1.6}
    afterwards = [
        {"bits": bits, "size": size, "seeds": 5, "difference": value, "low": value - 0.03, "high": value + 0.03}
        | {"method": "absmax"}
        for bits, value in above.items()
        for size in W23_SIZES
    ]
    afterwards[-1] |= dict.fromkeys(("difference", "low", "high"), None)  # no seed has a finite loss
    return [
        entry("C9", {"losses": losses, "laws": laws}, {"gap.size": -0.2}),
        entry("C9-cost", {"loss against energy": losses}, {}),
        entry(
            "C9-int8",
            {
                "loss against energy": [row for row in losses if row["arm"] != "fp16-preln"],
                "better 8-bit method": better,
            },
            {},
        ),
        entry("C9-ptq", {"best method minus bitnet": afterwards}, {}),
        _rates(),
        entry("C10-table4", {}, _changes_of_the_layer()),
    ]


def _rates() -> dict[str, Any]:
    """Losses with the least at a rate of each arm's own, and divergence at 16 times that rate and beyond."""
    best = {"fp16-preln": 0.002, "bitnet": 0.008, "elastic": 0.004}
    rates = [0.001 * 2**k for k in range(9)]
    rows = [
        {"arm": arm, "parameters": W23_SIZES[size], "size": size, "rate": rate}
        | {"loss": None if rate > 24 * own else 2.2 + 0.1 * abs(rate / own - 1) ** 0.7, "train_loss": 2.0}
        | {"lost": 1.0 if rate > 24 * own else 0.4 if rate > 12 * own else 0.0}
        for arm, own in best.items()
        for size in ("1x32", "2x48", "3x64")
        for rate in rates
        if rate < 50 * own
    ]
    return entry("C10-rate", {"losses against rate": rows}, {})


def _changes_of_the_layer() -> dict[str, float]:
    pairs = {"subln": 0.3, "preln": 0.25}
    found = {f"elastic_minus_absmax.{norm}": value for norm, value in pairs.items()}
    found |= {f"preln_minus_subln.{arm}": 0.02 for arm in ("absmax", "elastic", "full", "fp16")}
    found |= {f"form.{form}": 0.01 for form in ("rounded", "unshifted", "full-range", "8bit")}
    return found | {f"groups.{count}": -0.005 * count for count in (2, 4, 8)} | {"fp16_minus_full.preln": 0.0}


def _c7() -> dict[str, Any]:
    sizes = (("125M", 8.5e7, 8.8), ("6.7B", 6.4e9, 29.1), ("30B", 3.0e10, 38.8))
    spent = {"full32": lambda n, _: 1e-9 * n, "full16": lambda n, _: 3e-10 * n, "bitnet": lambda n, r: 3e-10 * n / r}
    countings = ("w23", "exact", "exact, wide")
    energy = [
        {"size": size, "parameters": n, "arm": arm} | {f"{c}, 7nm (J)": joules(n, ratio) for c in countings}
        for size, n, ratio in sizes
        for arm, joules in spent.items()
    ]
    bits = {"full32": 32, "full16": 16, "int8-absmax": 8, "b158": 2, "bitnet": 1}
    memory = [
        {"size": size, "parameters": n, "bitnet, whole (GB)": n / 7e9}
        | {f"{arm}, linear (GB)": n * width / 8e9 for arm, width in bits.items()}
        for size, n, _ in sizes
    ]
    return entry("C7", {"energy": energy, "memory": memory}, {})


def _c7_table() -> dict[str, Any]:
    common = {"node": "7nm", "recomputed": 1.0, "short": 0.0}
    figures = [
        {"group": "BitNet", "size": size, "arm": "bitnet", "what": what, "printed": 0.05, "agrees": agrees} | common
        for size, agrees in (("6.7B", "no"), ("30B", "yes"))
        for what in ("mul", "add")
    ]
    figures += [
        {
            "group": "reduction",
            "size": "125M",
            "arm": "full16 / bitnet",
            "what": "ratio",
            "printed": 8.8,
            "agrees": "yes",
        }
        | common
    ]
    return entry("C7-table", {"figures": figures}, {})
