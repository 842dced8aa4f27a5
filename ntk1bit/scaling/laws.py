"""Scaling laws as declarations: a formula, its variables, its parameters with units, bounds and starts.

    from ntk1bit.scaling import Law, Parameter, register

    register(Law(
        name="log-power",
        formula="A * log(x)**-alpha",
        variables=("x",),
        parameters=(
            Parameter("A", starts=("loss*log(x)**alpha",)),
            Parameter("alpha", starts=(0.5, 1.0, 2.0), bounds=REAL, role="exponent", of="x"),
        ),
    ))

That is all a law of one's own needs: gradients, intervals, comparison and the command line follow from the formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.printing import number, short_lines
from ntk1bit.scaling.formula import Constant, Expression, evaluate_reference, names, parse, substitute
from ntk1bit.scaling.tape import Tape, compile_tape, log_prediction_reference, to_latent, to_natural

POSITIVE = (0.0, math.inf)
REAL = (-math.inf, math.inf)

Role = Literal["exponent", "amplitude", "floor", "scale", "rate", "other"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a law.

    Attributes
    ----------
    name
        As written in the formula.
    starts
        Values the grid of starts takes: numbers, or formulas of the data and of parameters with numeric starts. The
        data's names are `loss`, `loss_min`, `loss_max` and, for a variable x, `x` (geometric mean), `x_min`, `x_max`.
    bounds
        `POSITIVE` (fitted as its logarithm), `REAL`, (low, inf) or (low, high).
    role
        What it is; exponents get the checks of identification and are plotted.
    of
        The variable an exponent belongs to.
    unit
        In words, for reports.
    """

    name: str
    starts: tuple[float | str, ...]
    bounds: tuple[float, float] = POSITIVE
    role: Role = "other"
    of: str | None = None
    unit: str = ""


@dataclass(frozen=True)
class Law:
    """A scaling law.

    Attributes
    ----------
    name
        As given to `fit`.
    formula
        The predicted loss as text; see `formula.parse`.
    variables
        Names of the covariates, all positive.
    parameters
        In the order results list them.
    reference
        Where the law comes from.
    fixed
        Parameters of the formula held at a value; see `fix`.

    Raises
    ------
    InputError
        If the formula cannot be read, or its names are not exactly the variables and parameters.
    """

    name: str
    formula: str
    variables: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    reference: str = ""
    fixed: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Say in a few lines what the law is: its formula, variables, parameters, and where it comes from."""
        held = "".join(f", {name} = {number(value)} held" for name, value in self.fixed.items())
        lines = [
            f"Law {self.name}: loss = {self.formula}",
            f"of {', '.join(self.variables)}; parameters {', '.join(self.parameter_names)}{held}",
            self.reference,
        ]
        return short_lines(line for line in lines if line)

    def __post_init__(self) -> None:
        """Refuse a declaration whose formula, names or bounds do not fit together."""
        declared = [*self.variables, *self.parameter_names, *self.fixed]
        if len(set(declared)) < len(declared):
            raise InputError(f"law {self.name!r} declares a name twice among {', '.join(declared)}")
        used = set(names(parse(self.formula)))
        if unknown := used - set(declared):
            raise InputError(
                f"the formula of law {self.name!r} uses {', '.join(sorted(unknown))}, which is neither a variable nor "
                "a parameter; declare it"
            )
        if unused := set(self.parameter_names) - used:
            raise InputError(f"law {self.name!r} declares {', '.join(sorted(unused))}, which its formula does not use")
        if not self.parameters:
            raise InputError(f"law {self.name!r} has no parameters left to fit")
        for parameter in self.parameters:
            if not (parameter.bounds[0] < parameter.bounds[1]) or (
                math.isinf(parameter.bounds[0]) and not math.isinf(parameter.bounds[1])
            ):
                raise InputError(
                    f"bounds {parameter.bounds} of parameter {parameter.name!r} are not usable; give POSITIVE, REAL, "
                    "(low, inf) or (low, high)"
                )
            if not parameter.starts:
                raise InputError(f"parameter {parameter.name!r} of law {self.name!r} has no starts; give at least one")
        _ = self.tape

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def expression(self) -> Expression:
        """The parsed formula, with fixed parameters as numbers."""
        return substitute(parse(self.formula), self.fixed)

    @cached_property
    def tape(self) -> Tape:
        """The compiled log-prediction."""
        bounds = {parameter.name: parameter.bounds for parameter in self.parameters}
        return compile_tape(self.expression, bounds=bounds, variables=self.variables)

    @property
    def exponents(self) -> tuple[Parameter, ...]:
        """The parameters that are exponents."""
        return tuple(parameter for parameter in self.parameters if parameter.role == "exponent")

    def fix(self, **values: float) -> Law:
        """Return the law with some parameters held at given values.

        Raises
        ------
        InputError
            If a name is not a parameter or a value is outside its bounds.
        """
        for name, value in values.items():
            require_choice(f"parameter of law {self.name!r}", name, self.parameter_names)
            low, high = next(parameter.bounds for parameter in self.parameters if parameter.name == name)
            if not low <= value <= high or math.isinf(value):
                raise InputError(f"{name} = {value} lies outside its bounds ({low}, {high})")
        kept = tuple(parameter for parameter in self.parameters if parameter.name not in values)
        fixed = {**self.fixed, **{name: float(value) for name, value in values.items()}}
        label = ", ".join(f"{name}={value:g}" for name, value in fixed.items())
        return replace(self, name=f"{self.name.partition('[')[0]}[{label}]", parameters=kept, fixed=fixed)

    def log_predict(
        self, latent: Float[np.ndarray, " *batch p"], columns: Sequence[Float[np.ndarray, " ..."]]
    ) -> Float[np.ndarray, " ..."]:
        """Return log predictions (..., n) for latent parameters (..., p); columns broadcast to (..., n)."""
        return log_prediction_reference(self.tape, latent, columns)

    def latent(self, natural: Float[np.ndarray, " *batch p"]) -> Float[np.ndarray, " *batch p"]:
        """Map natural parameters to those the optimiser uses."""
        parts = [to_latent(natural[..., j : j + 1], each.bounds) for j, each in enumerate(self.parameters)]
        return np.concatenate(parts, axis=-1)

    def natural(self, latent: Float[np.ndarray, " *batch p"]) -> Float[np.ndarray, " *batch p"]:
        """Map the optimiser's parameters to natural ones."""
        parts = [to_natural(latent[..., j : j + 1], each.bounds) for j, each in enumerate(self.parameters)]
        return np.concatenate(parts, axis=-1)

    def starts(
        self,
        columns: Float[np.ndarray, "k n"],
        loss: Float[np.ndarray, " n"],
        overrides: Mapping[str, Sequence[float | str]] | None = None,
    ) -> Float[np.ndarray, "t p"]:
        """Return the full grid of starts, as latent parameters; undefined points are left out.

        The data scale the starts; `overrides` gives other ones for some parameters, in natural units.
        """
        overrides = overrides or {}
        for name in overrides:
            require_choice(f"parameter of law {self.name!r}", name, self.parameter_names)
        summary = {"loss": np.exp(np.mean(np.log(loss))), "loss_min": np.min(loss), "loss_max": np.max(loss)}
        for name, column in zip(self.variables, columns, strict=True):
            summary |= {name: np.exp(np.mean(np.log(column))), f"{name}_min": column.min(), f"{name}_max": column.max()}
        points = _grid(
            {each.name: overrides.get(each.name, each.starts) for each in self.parameters}, {**summary, **self.fixed}
        )
        grid = np.array([[point[name] for name in self.parameter_names] for point in points])
        latent = self.latent(grid.reshape(-1, len(self.parameters)))
        latent = latent[np.isfinite(latent).all(axis=1)]
        if len(latent) == 0:
            raise InputError(f"law {self.name!r} has no usable start on these data; give other starts")
        return latent


def _grid(starts: Mapping[str, Sequence[float | str]], known: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every combination of starts; those written as formulas may use parameters that have numbers only."""
    derived = {name for name, choices in starts.items() if any(isinstance(each, str) for each in choices)}
    allowed = [*known, *(name for name in starts if name not in derived)]
    points = [known]
    for name in sorted(starts, key=lambda name: name in derived):
        choices = [parse(each) if isinstance(each, str) else Constant(float(each)) for each in starts[name]]
        for choice in choices:
            if unknown := set(names(choice)) - set(allowed):
                raise InputError(
                    f"a start of {name!r} uses {', '.join(sorted(unknown))}; allowed are parameters with numeric "
                    f"starts and {', '.join(allowed)}"
                )
        points = [{**point, name: float(evaluate_reference(each, point))} for point in points for each in choices]
    return points


_REGISTRY: dict[str, Law] = {}


def register(law: Law, *, replace: bool = False) -> Law:
    """Make a law known by its name, and return it; a name that is taken is refused unless `replace` is true."""
    if law.name in _REGISTRY and not replace:
        raise InputError(f"a law named {law.name!r} exists; choose another name or pass replace=True")
    _REGISTRY[law.name] = law
    return law


def law_names() -> list[str]:
    """List the laws `fit` knows by name."""
    return list(_REGISTRY)


def get_law(law: str | Law) -> Law:
    """Return a law by name, or the law itself; a name that no law has is refused with the choices."""
    return law if isinstance(law, Law) else _REGISTRY[require_choice("law", law, _REGISTRY)]
