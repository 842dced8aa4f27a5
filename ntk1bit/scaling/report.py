"""Everything one `ntk1bit fit` found, and its forms on paper: JSON, CSV, Markdown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ntk1bit.errors import InputError
from ntk1bit.files import write_whole
from ntk1bit.printing import number, short_lines
from ntk1bit.scaling.allocation import Frontier, disagreement
from ntk1bit.scaling.result import Fit
from ntk1bit.statistics import LEVEL

FORMATS = (".json", ".csv", ".md")
_MARKS = re.compile(r"[\\`*|<]|(?<![^\W_])_|_(?![^\W_])")  # underscores within words are no marks


@dataclass(frozen=True, eq=False)
class Report:
    """The results of one command.

    Attributes
    ----------
    fits
        By group (one, named "all", without groups).
    level
        Nominal coverage of the intervals.
    differences, laws, extrapolation, frontiers
        Parameter differences between the first group and the others, laws ranked by AICc, held-out errors by law and
        distance, and routes to the compute-optimal allocation of each group, where they were asked for.
    left_out
        A sentence for each reason why rows or cells were not fitted, with their number and names.
    remarks
        Sentences about columns and routes: which others might have been meant, which variables the law ignores, which
        routes to the frontier the runs do not show.
    group
        The column whose values are fitted apart, if one is.
    """

    fits: Mapping[Hashable, Fit]
    level: float = LEVEL
    differences: pd.DataFrame | None = None
    laws: pd.DataFrame | None = None
    extrapolation: pd.DataFrame | None = None
    frontiers: tuple[Frontier, ...] = field(default=())
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    group: str | None = None

    def __repr__(self) -> str:
        """Say in at most ten lines what was found; `markdown()` has all of it."""
        fits = [f"{'' if len(self.fits) == 1 else f'{name}: '}{_in_one_line(fit)}" for name, fit in self.fits.items()]
        tables = [f"{title}: {len(table)} rows" for title, table in self._tables().values()]
        routes = [f"frontier by the {each.route} route" for each in self.frontiers]
        asked = "; ".join(tables + routes)
        return short_lines(["Report, in full by markdown()", *fits[:5], *([asked] if asked else []), *self.left_out])

    def _repr_markdown_(self) -> str:
        """Return the whole report, for notebooks."""
        return self.markdown()

    def parameters(self) -> pd.DataFrame:
        """Return one row for each group and parameter."""
        parts = [fit.to_frame(self.level).assign(group=str(name)) for name, fit in self.fits.items()]
        table = pd.concat(parts, ignore_index=True)
        return table.loc[:, ["group", *(name for name in table.columns if name != "group")]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; infinities and NaN become None."""
        content: dict[str, Any] = {
            "level": self.level,
            "group": self.group,
            "left_out": list(self.left_out),
            "remarks": list(self.remarks),
            "fits": {
                str(name): {**fit.summary(), "parameters": fit.to_frame(self.level).to_dict("records")}
                for name, fit in self.fits.items()
            },
        }
        for name, (_, table) in self._tables().items():
            content[name] = table.to_dict("records")
        if self.frontiers:
            content["frontier"] = [
                {
                    **each.labels,
                    "cost": each.cost,
                    "exponents": each.exponents(self.level).to_dict("records"),
                    "table": each.table(self.level).to_dict("records"),
                }
                for each in self.frontiers
            ]
            content["frontier_disagreement"] = disagreement(self.frontiers, self.level).to_dict("records")
        return _plain(content)

    def _tables(self) -> dict[str, tuple[str, pd.DataFrame]]:
        """Return the tables that were asked for, with their titles, by their names in JSON."""
        differences = None if self.differences is None else self.differences.reset_index()
        tables = {
            "differences": ("Difference of the groups", differences),
            "laws": ("Laws by AICc", self.laws),
            "extrapolation": ("Held-out extrapolation", self.extrapolation),
        }
        return {name: (title, table) for name, (title, table) in tables.items() if table is not None}

    def markdown(self) -> str:
        """Return the report as Markdown."""
        about = [*(f"- left out: {line}" for line in self.left_out), *(f"- note: {line}" for line in self.remarks)]
        lines = [*about, ""] if about else []
        grouped = self.group is not None or len(self.fits) > 1
        for name, fit in self.fits.items():
            lines += [*_fit_markdown(name, fit, self.level, grouped=grouped), ""]
        tables = list(self._tables().values())
        if self.frontiers:
            tables += [
                ("Compute-optimal exponents", pd.concat([each.exponents(self.level) for each in self.frontiers])),
                ("Compute-optimal allocation", pd.concat([each.table(self.level) for each in self.frontiers])),
                ("Disagreement of the routes", disagreement(self.frontiers, self.level)),
            ]
        for title, table in tables:
            if len(table):
                note = f" ({100 * self.level:g} % intervals)" if "low" in table or "N_opt_low" in table else ""
                lines += [f"## {title}{note}", "", markdown_table(table), ""]
        return "\n".join(lines).rstrip() + "\n"

    def write(self, path: Path | str) -> None:
        """Write the report; the suffix chooses the form, and CSV holds the parameters alone."""
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in FORMATS:
            raise InputError(f"cannot write {path.name!r}: choose a name that ends in {', '.join(FORMATS)}")
        if suffix == ".csv":
            text = self.parameters().to_csv(index=False)
        elif suffix == ".json":
            text = json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n"
        else:
            text = self.markdown()
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error.strerror}; choose another place") from None


def markdown_table(table: pd.DataFrame) -> str:
    """Return a table in Markdown, numbers to four digits, text as it stands (see `literal_markdown`)."""
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    head = [literal_markdown(str(name)) for name in table.columns]
    width = [max(len(row[j]) for row in [head, *rows]) for j in range(len(head))]
    lines = [head, ["-" * w for w in width], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, width, strict=True)) + " |" for line in lines
    )


def literal_markdown(text: str) -> str:
    """Escape what Markdown would read as marks, so that a label is shown letter by letter, on one line."""
    one_line = "\\n".join(text.splitlines()) if text.splitlines() != [text] else text
    return _MARKS.sub(r"\\\g<0>", one_line)


def _fit_markdown(name: Hashable, fit: Fit, level: float, *, grouped: bool) -> list[str]:
    data, residuals = fit.observations, fit.residual_diagnostics
    law = literal_markdown(fit.law.name)
    title = f"## {law}: {literal_markdown(str(name))}" if grouped else f"## {law}"
    ranges = ", ".join(
        f"{column} {number(low, 4)} .. {number(high, 4)}" for column, (low, high) in data.ranges().items()
    )
    resampled = "points" if data.cluster is None else f"{data.clusters} clusters"
    parts = fit.jackknife_parts if len(fit.replicates) else None
    lines = [
        title,
        "",
        f"`{data.loss_name} = {fit.law.formula}` with {', '.join(f'{v} = {c}' for v, c in data.x.items())}"
        + (f", {', '.join(f'{k} = {v:g} held' for k, v in fit.law.fixed.items())}" if fit.law.fixed else ""),
        "",
        _parameter_table(fit, level),
        "",
        f"- {data.points} points; {ranges}; {len(fit.replicates)} bootstrap replicates of {resampled}"
        + (f"; for BCa, {parts} random parts of them left out in turn" if parts and parts < data.clusters else ""),
        f"- objective (sum of Huber, delta {fit.request.delta:g}) {fit.objective:.8g}; AICc {fit.aicc:.2f}; "
        f"{fit.starts.reached_best} of {fit.starts.tried} starts reached it",
        f"- log residuals: robust std {residuals['robust_std']:.3g}, largest {residuals['largest']:.3g}, "
        f"{residuals['outliers']} outliers",
    ]
    if fit.flat_directions:
        pairs = ", ".join(f"{a} and {b} ({value:+.3f})" for a, b, value in fit.flat_directions)
        lines.append(f"- hardly told apart (rank correlation): {pairs}")
    return lines + [f"- **warning:** {line}" for line in fit.warnings]


def _in_one_line(fit: Fit) -> str:
    return f"{fit.law.name}: " + ", ".join(f"{name} = {number(value, 4)}" for name, value in fit.params.items())


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
        return "" if math.isnan(value) else number(value, 4)
    return literal_markdown(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
