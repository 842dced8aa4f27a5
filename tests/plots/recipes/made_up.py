"""Made-up results with the tables and measures that recipes read: power laws without noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec

from ntk1bit.claims.results import FORMAT, Results

WIDTHS = (64, 256, 1024, 4096)
DIMS = (8, 32, 128)
STEPS = (0, 1, 3, 10, 30, 100)
PRECISIONS = ("one_bit", "full")

Row = dict[str, Any]


def document(**outcomes: str) -> dict[str, Any]:
    """Return a verdicts.json in which every claim is supported, but for those given (dots and dashes of ids as `_`)."""
    from . import made_up_deep

    claims = [
        _c0(),
        _eq5(),
        _c1b(),
        _c1(),
        _c1_h(),
        _c1_k(),
        *_c11(),
        *_c12(),
        _c2(),
        _c2_law(),
        *_c3(),
        _c3b(),
        _c4(),
        _prop(),
    ]
    claims += made_up_deep.claims()
    for claim in claims:
        outcome = outcomes.get(claim["id"].replace(".", "_").replace("-", "_"), "supported")
        claim |= {"outcome": outcome, "standing": outcome}
        for finding in claim["findings"]:
            finding["outcome"] = outcome
    about: dict[str, Any] = {"made": "", "seconds": 0.0, "versions": {}, "machine": {}, "studies": {}}
    return {"format": FORMAT, "preset": "quick", "claims": claims} | about


def results(**outcomes: str) -> Results:
    """Return the same, read."""
    return msgspec.convert(document(**outcomes), Results)


def entry(name: str, tables: dict[str, list[Row]], exponents: dict[str, float]) -> dict[str, Any]:
    words = {"meaning": "", "span": "", "study": ""}
    measures = [
        {
            "kind": "estimate",
            "id": one,
            "label": one,
            "value": value,
            "low": value - 0.02,
            "high": value + 0.02,
            "seeds": 5,
        }
        | words
        | {"note": ""}
        for one, value in exponents.items()
    ]
    ours = ("C0", "C1-K", "C11-swing", "C11-pair", "C11-phases", "C12", "C12-remedies", "C2", "C2-law", "C3-paired")
    ours = (*ours, "C3b", "C4")
    source = (
        "ours" if name in ours else "W23, somewhere" if name.startswith(("C6", "C7", "C9", "C10")) else "D25, somewhere"
    )
    about = dict.fromkeys(("statement", "assumptions", "refuted_by", "rule", "ranges", "reason"), "")
    about |= {"title": "the floor is n^2 kappa^2/(m d), whatever eta", "source": source}
    findings = [finding("the exponent")]
    return {
        "id": name,
        "tables": tables,
        "measures": measures,
        "findings": findings,
        "context": [],
        "limits": [],
        "remarks": [],
    } | about


def finding(measure: str) -> dict[str, str]:
    return {"measure": measure, "label": measure, "rule": "", "why": ""}


def power(axes: dict[str, tuple[Any, ...]], value: Callable[[Row], float]) -> list[Row]:
    """Return a row for each combination of `axes`, with a value and an interval."""
    rows = [dict(zip(axes, one, strict=True)) for one in itertools.product(*axes.values())]
    return [row | {"value": value(row), "low": 0.9 * value(row), "high": 1.1 * value(row), "seeds": 5} for row in rows]


def _c0() -> dict[str, Any]:
    tasks = ("digits", "sphere-linear")
    distance = power({"task": tasks, "precision": PRECISIONS, "width": WIDTHS}, lambda r: r["width"] ** -0.5)
    against_d = [
        {"dim": d, "scale": s, "distance": 1 / d, "noise": 1e-3, "ratio": 0.75, "ratio_error": 1e-4}
        for d in DIMS
        for s in ("std", "absmean")
    ]
    exponents = {f"distance.m.{task}.{one}": -0.5 for task in tasks for one in PRECISIONS}
    return entry("C0", {"distance": distance, "limits against d": against_d}, exponents)


def _eq5() -> dict[str, Any]:
    rates = [
        {"dim": d, "radius": r, "adversary": 0.0 if r < 1e-3 else 0.1 * d * r, "condition": d * r, "bound": 2 * d * r}
        for d in DIMS
        for r in (3e-4, 1e-3, 3e-3)
    ]
    return entry("Eq.5", {"rates": rates}, {})


def _c1b() -> dict[str, Any]:
    size = {"c1": -1.0, "c2": -0.01, "c3": 0.2, "c4": 0.05}
    tables = {
        "terms against width": power(
            {"term": tuple(size), "precision": PRECISIONS, "width": WIDTHS}, lambda r: size[r["term"]]
        ),
        "terms by step": [{"width": w, "step": s, "loss": 1 / (1 + s)} | size for w in WIDTHS for s in STEPS],
        "C3 at the first step": [
            row | {"predicted": 0.21} for row in power({"dim": DIMS, "width": WIDTHS}, lambda _: 0.2)
        ],
    }
    one = entry("C1b", tables, {})
    one["findings"] = [finding(f"{term}.widest") for term in ("c3", "c4")]
    return one


def _c1() -> dict[str, Any]:
    inits = ("iid", "paired")
    drift = power({"init": inits, "precision": PRECISIONS, "width": WIDTHS}, lambda r: r["width"] ** -0.7)
    return entry("C1", {"drift": drift}, {f"drift.m.{p}.{i}": -0.7 for p in PRECISIONS for i in inits})


def _c1_h() -> dict[str, Any]:
    distance = power({"precision": PRECISIONS, "kernel": ("H",), "width": WIDTHS}, lambda r: r["width"] ** -0.2)
    names = ("from_h.m.widest", "from_h.m.full")
    return entry("C1-H", {"distance": distance}, dict.fromkeys(names, -0.2))


def _c1_k() -> dict[str, Any]:
    distance = power({"precision": ("one_bit",), "kernel": ("K_eff",), "width": WIDTHS}, lambda r: r["width"] ** -0.25)
    curves = ("loss", "loss_low", "loss_high", "loss_h", "loss_k_eff", "full_loss")
    convergence = [{"step": s} | dict.fromkeys(curves, 100 / (1 + s)) for s in STEPS]
    exponents = {"from_k.m.widest": -0.25}
    return entry("C1-K", {"distance": distance, "convergence": convergence}, exponents)


def _c11() -> list[dict[str, Any]]:
    of = [{"which": "networks", "width": m} for m in WIDTHS]
    of += [{"which": "limit", "width": None}, {"which": "frozen", "width": WIDTHS[-1]}]
    curves = [one | {"step": s, "loss": 4 / (1 + s)} for one in of for s in STEPS]
    amplitude = [
        {"dim": d, "eta_rel": rate, "width": m, "amplitude": d**-0.5, "recursion": d**-0.5, "ratio": 0.97, "share": 0.5}
        for d, rate, m in itertools.product(DIMS, (0.25, 0.5), WIDTHS)
    ]
    phases = [
        {"n_train": n, "dim": d, "lambda_ratio": d / n / 4, "limit": n / d**2, "network": 1.1 * n / d**2}
        for n, d in itertools.product((16, 32), (8, 16, 32))
    ]
    return [
        entry("C11-swing", {"loss against time": curves}, {"loss.m": 0.0}),
        entry("C11-pair", {"amplitude": amplitude}, {"amplitude.d8.0.5": 0.97}),
        entry("C11-phases", {"alternating part": phases}, {"factor": 1.1, "rank": -0.99}),
    ]


def _c12() -> list[dict[str, Any]]:
    rates = {"sgd": (0.4, 0.8), "batches": (0.4, 0.8), "momentum": (0.08, 0.04), "adam": (0.02, 0.01)}
    turns = {"sgd": -0.7, "batches": -0.2, "momentum": 0.4, "adam": 0.3}
    table = [
        {"kind": kind, "rate": rate, "measure": "autocorrelation", "width": m, "seeds": 5}
        | {"value": turns[kind] + rate / 9, "low": turns[kind] - 0.1, "high": turns[kind] + 0.2}
        for kind, both in rates.items()
        for rate in both
        for m in WIDTHS[:3]
    ]
    left = {"averaged_last": 0.02, "latents": 0.2, "freezing": 0.05, "decay": 1.4, "latent": 3.0}
    remedies = [
        {"kind": kind, "remedy": remedy, "points": one, "value": v, "low": 0.8 * v, "high": 1.2 * v, "seeds": 5}
        for kind in ("sgd", "adam")
        for remedy, share in left.items()
        if (kind, remedy) != ("adam", "latent")
        for one, v in (("train", share), ("test", 1.0))
    ]
    return [
        entry("C12", {"against width": table}, {"autocorrelation.sgd.0.4": -0.7}),
        entry("C12-remedies", {"remedies": remedies}, {"train.sgd.freezing": 0.05}),
    ]


def _c2() -> dict[str, Any]:
    tasks = ("sphere", "digits")
    tables = {
        "floor against width": power({"task": tasks, "width": WIDTHS}, lambda r: 1 / r["width"]),
        "full precision": power({"width": WIDTHS}, lambda _: 1e-13),
    }
    return entry("C2", tables, {f"floor.m.{task}": -1.0 for task in tasks})


def _c2_law() -> dict[str, Any]:
    powers = {"n": 2, "d": -1, "kappa": 2, "eta": 0}
    rest = power({"against": tuple(powers), "x": (8, 16, 32)}, lambda r: r["x"] ** powers[r["against"]])
    exponents = {f"floor.{name}": float(p) for name, p in powers.items()}
    return entry("C2-law", {"floor against the rest": rest}, exponents)


def _c3() -> list[dict[str, Any]]:
    made = []
    for name, init in (("C3", "iid"), ("C3-paired", "paired")):
        tables = {
            "digits": power({"width": WIDTHS}, lambda r: r["width"] ** -0.25),
            "sphere by dimension": power({"dim": DIMS, "width": WIDTHS}, lambda r: r["width"] ** -0.25 / r["dim"]),
            "digits by kappa": power({"kappa": (0.1, 0.3, 1.0), "width": WIDTHS}, lambda r: r["kappa"]),
        }
        measures = (
            f"gap.m.digits.{init}.widest",
            f"gap.m.sphere.{init}.widest",
            f"gap.d.sphere.{init}",
            f"gap.kappa.digits.{init}",
        )
        made.append(entry(name, tables, dict.fromkeys(measures, -0.25)))
    return made


def _c3b() -> dict[str, Any]:
    tasks = ("sphere", "digits")
    scatter = [
        {"precision": p, "dim": d, "width": w, "scatter": w**-0.25, "predicted": w**-0.25 if p == "one_bit" else None}
        for p in PRECISIONS
        for d in DIMS
        for w in WIDTHS
    ]
    tables = {
        "spread": power({"task": tasks, "precision": PRECISIONS, "width": WIDTHS}, lambda r: r["width"] ** -0.25),
        "flipped signs": power({"when": ("way down", "end"), "width": WIDTHS}, lambda r: r["width"] ** -0.5),
        "one-step scatter": scatter,
    }
    exponents = {f"spread.m.{task}.{one}": -0.25 for one in PRECISIONS for task in tasks}
    return entry("C3b", tables, exponents | {"flips.m.down": -0.5, "flips.m.end": -0.5})


def _c4() -> dict[str, Any]:
    tasks = ("sphere", "digits")
    grid = [64 * w for w in WIDTHS]
    tables = {
        "loss against width": power({"task": tasks, "width": WIDTHS}, lambda r: 1 / r["width"]),
        "fit band": [{"task": "sphere", "N": n, "estimate": 64 / n, "low": 60 / n, "high": 70 / n} for n in grid],
        "frontier": [{"compute": 1e6 * w, "loss": 1 / w, "width": w} for w in WIDTHS],
        "test loss against n": power({"precision": PRECISIONS, "n": (32, 64, 128)}, lambda r: r["n"] ** -0.5),
    }
    exponents = {f"loss.size.{task}": -1.0 for task in tasks}
    exponents["frontier.compute"] = -0.9
    exponents |= {f"test_loss.n.{one}": -0.5 for one in PRECISIONS}
    return entry("C4", tables, exponents)


def _prop() -> dict[str, Any]:
    return entry("4.3", {}, {"loss.size": -1.0})
