"""Everything one `ntk1bit fit` found, and its forms on paper: JSON, CSV, Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.scaling.frontier import Frontier, disagreement
from ntk1bit.scaling.result import Fit

FORMATS = (".json", ".csv", ".md")


@dataclass(frozen=True, eq=False)
class Report:
    """The results of one command.

    Attributes
    ----------
    fits
        By group (one, named "all", without groups).
    level
        Nominal coverage of the intervals.
    differences
        Parameter differences between the first two groups, if there are any.
    laws
        Laws ranked by AICc, if several were fitted.
    extrapolation
        Held-out errors by law and distance, if asked for.
    frontiers
        Routes to the compute-optimal allocation, if asked for.
    left_out
        A sentence for each reason why rows or cells were not fitted, with their number and names.
    remarks
        Sentences about columns: which others might have been meant, which variables the law ignores.
    """

    fits: Mapping[Hashable, Fit]
    level: float = 0.95
    differences: pd.DataFrame | None = None
    laws: pd.DataFrame | None = None
    extrapolation: pd.DataFrame | None = None
    frontiers: tuple[Frontier, ...] = field(default=())
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def parameters(self) -> pd.DataFrame:
        """Return one row for each group and parameter."""
        parts = [fit.to_frame(self.level).assign(group=str(name)) for name, fit in self.fits.items()]
        table = pd.concat(parts, ignore_index=True)
        return table.loc[:, ["group", *(name for name in table.columns if name != "group")]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; infinities and NaN become None."""
        content: dict[str, Any] = {
            "level": self.level,
            "left_out": list(self.left_out),
            "remarks": list(self.remarks),
            "fits": {
                str(name): {**fit.summary(), "parameters": fit.to_frame(self.level).to_dict("records")}
                for name, fit in self.fits.items()
            },
        }
        if self.differences is not None:
            content["differences"] = self.differences.reset_index().to_dict("records")
        if self.laws is not None:
            content["laws"] = self.laws.to_dict("records")
        if self.extrapolation is not None:
            content["extrapolation"] = self.extrapolation.to_dict("records")
        if self.frontiers:
            content["frontier"] = [
                {
                    "route": each.route,
                    "cost": each.cost,
                    "exponents": each.exponents(self.level).to_dict("records"),
                    "table": each.table(self.level).to_dict("records"),
                }
                for each in self.frontiers
            ]
            content["frontier_disagreement"] = disagreement(self.frontiers, self.level).to_dict("records")
        return _plain(content)

    def markdown(self) -> str:
        """Return the report as Markdown."""
        about = [*(f"- left out: {line}" for line in self.left_out), *(f"- note: {line}" for line in self.remarks)]
        lines = [*about, ""] if about else []
        for name, fit in self.fits.items():
            lines += [*_fit_markdown(name, fit, self.level, grouped=len(self.fits) > 1), ""]
        percent = f"{100 * self.level:g} %"
        tables = {
            "Difference of the groups": None if self.differences is None else self.differences.reset_index(),
            "Laws by AICc": self.laws,
            "Held-out extrapolation": self.extrapolation,
        }
        if self.frontiers:
            tables |= {
                "Compute-optimal exponents": pd.concat([each.exponents(self.level) for each in self.frontiers]),
                "Compute-optimal allocation": pd.concat([each.table(self.level) for each in self.frontiers]),
            }
            if len(self.frontiers) > 1:
                tables["Disagreement of the routes"] = disagreement(self.frontiers, self.level)
        for title, table in tables.items():
            if table is not None and len(table):
                note = f" ({percent} intervals)" if "low" in table or "N_opt_low" in table else ""
                lines += [f"## {title}{note}", "", markdown_table(table), ""]
        return "\n".join(lines).rstrip() + "\n"

    def write(self, path: Path) -> None:
        """Write the report; the suffix chooses the form, and CSV holds the parameters alone."""
        if path.suffix.lower() not in FORMATS:
            raise InputError(f"cannot write {path.name!r}: choose a name that ends in {', '.join(FORMATS)}")
        suffix = path.suffix.lower()
        if suffix == ".csv":
            text = self.parameters().to_csv(index=False)
        elif suffix == ".json":
            text = json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n"
        else:
            text = self.markdown()
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error.strerror}; choose another place") from None


def markdown_table(table: pd.DataFrame) -> str:
    """Return a table in Markdown, numbers to four digits."""
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    head = [str(name) for name in table.columns]
    width = [max(len(row[j]) for row in [head, *rows]) for j in range(len(head))]
    lines = [head, ["-" * w for w in width], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, width, strict=True)) + " |" for line in lines
    )


def _fit_markdown(name: Hashable, fit: Fit, level: float, *, grouped: bool) -> list[str]:
    data, residuals = fit.observations, fit.residual_diagnostics
    title = f"## {fit.law.name}: {name}" if grouped else f"## {fit.law.name}"
    ranges = ", ".join(f"{column} {low:.4g} .. {high:.4g}" for column, (low, high) in data.ranges().items())
    resampled = "points" if data.cluster is None else f"{data.clusters} clusters"
    lines = [
        title,
        "",
        f"`{data.loss_name} = {fit.law.formula}` with {', '.join(f'{v} = {c}' for v, c in data.x.items())}"
        + (f", {', '.join(f'{k} = {v:g} held' for k, v in fit.law.fixed.items())}" if fit.law.fixed else ""),
        "",
        _parameter_table(fit, level),
        "",
        f"- {data.points} points; {ranges}; {len(fit.replicates)} bootstrap replicates of {resampled}",
        f"- objective (sum of Huber, delta {fit.settings.delta:g}) {fit.objective:.8g}; AICc {fit.aicc:.2f}; "
        f"{fit.starts.reached_best} of {fit.starts.tried} starts reached it",
        f"- log residuals: robust std {residuals['robust_std']:.3g}, largest {residuals['largest']:.3g}, "
        f"{residuals['outliers']} outliers",
    ]
    if fit.flat_directions:
        pairs = ", ".join(f"{a} and {b} ({value:+.3f})" for a, b, value in fit.flat_directions)
        lines.append(f"- hardly told apart (rank correlation): {pairs}")
    return lines + [f"- **warning:** {line}" for line in fit.warnings]


def _parameter_table(fit: Fit, level: float) -> str:
    percent = f"{100 * level:g} %"
    table = fit.to_frame(level)
    shown = {"parameter": table["parameter"], "estimate": table["estimate"]}
    if "low" in table:
        shown["std. error"] = table["std_error"]
        for label, low, high in ((f"{percent} percentile", "low", "high"), (f"{percent} BCa", "bca_low", "bca_high")):
            shown[label] = pd.Series(
                [f"{_cell(a)} .. {_cell(b)}" for a, b in zip(table[low], table[high], strict=True)]
            )
    shown["unit"] = table["unit"]
    return markdown_table(pd.DataFrame(shown))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
