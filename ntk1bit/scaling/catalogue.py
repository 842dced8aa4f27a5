"""The laws of the field, known by name."""

from __future__ import annotations

import math

from ntk1bit.scaling.laws import REAL, Law, Parameter, register


def _floor(*shares: float) -> Parameter:
    return Parameter("E", tuple(f"{share}*loss_min" for share in shares), role="floor", unit="loss")


def _amplitude(name: str, term: str, *starts: str) -> Parameter:
    """Return the amplitude of a term such as x**-alpha; starts are loss over term, times each of the shares given."""
    over = term.replace("**-", "**")
    unit = f"loss {over}".replace("**", "^").replace("*", " ")
    return Parameter(name, tuple(f"{share}loss*{over}" for share in starts), role="amplitude", unit=unit)


def _exponent(name: str, of: str, *starts: float) -> Parameter:
    return Parameter(name, starts, REAL, role="exponent", of=of)


def _scale_of(variable: str) -> Parameter:
    """Return a scale of Kaplan's law: where its term alone would give a share of the loss."""
    shares = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5)
    starts = tuple(f"{variable}*({share}*loss)**(1/alpha_{variable})" for share in shares)
    return Parameter(f"{variable}_c", starts, role="scale", unit=f"of {variable}")


register(
    Law(
        name="power",
        formula="A * x**-alpha",
        variables=("x",),
        parameters=(_amplitude("A", "x**-alpha", ""), _exponent("alpha", "x", 0.05, 0.25, 0.5, 1.0, 2.0)),
        reference="Hestness et al. 2017",
    )
)
register(
    Law(
        name="power+floor",
        formula="E + A * x**-alpha",
        variables=("x",),
        parameters=(
            _floor(0.1, 0.5, 0.9),
            _amplitude("A", "x**-alpha", "0.1*", "0.5*", ""),
            _exponent("alpha", "x", 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
        ),
        reference="Henighan et al. 2020; W23 (L(N) = a N^b + c)",
    )
)
register(
    Law(
        name="kaplan",
        formula="((N_c/N)**(alpha_N/alpha_D) + D_c/D)**alpha_D",
        variables=("N", "D"),
        parameters=(
            Parameter("alpha_N", (0.03, 0.1, 0.3, 1.0), role="exponent", of="N"),
            Parameter("alpha_D", (0.03, 0.1, 0.3, 1.0), role="exponent", of="D"),
            _scale_of("N"),
            _scale_of("D"),
        ),
        reference="Kaplan et al. 2020, Eq. 1.5",
    )
)
register(
    Law(
        name="chinchilla",
        formula="E + A * N**-alpha + B * D**-beta",
        variables=("N", "D"),
        parameters=(
            _floor(0.1, 0.5, 0.9),
            _amplitude("A", "N**-alpha", "0.02*", "0.2*", ""),
            _amplitude("B", "D**-beta", "0.02*", "0.2*", ""),
            _exponent("alpha", "N", 0.1, 0.25, 0.5, 1.0, 1.5),
            _exponent("beta", "D", 0.1, 0.25, 0.5, 1.0, 1.5),
        ),
        reference="Hoffmann et al. 2022, Eq. 2",
    )
)

HOFFMANN_STARTS: dict[str, tuple[float, ...]] = {
    "E": tuple(math.exp(e) for e in (-1.0, -0.5, 0.0, 0.5, 1.0)),
    "A": tuple(math.exp(a) for a in (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)),
    "B": tuple(math.exp(b) for b in (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)),
    "alpha": (0.0, 0.5, 1.0, 1.5, 2.0),
    "beta": (0.0, 0.5, 1.0, 1.5, 2.0),
}
"""The 4,500 starts of Hoffmann et al. 2022, App. D.3, for `fit(..., law="chinchilla", starts=HOFFMANN_STARTS)`."""

register(
    Law(
        name="max",
        formula="max(A * N**-alpha * D**gamma, F * exp(-g * C))",
        variables=("N", "D", "C"),
        parameters=(
            Parameter(
                "A",
                tuple(f"{share}*loss*N**alpha*D**-gamma" for share in (0.1, 0.5, 1.0)),
                role="amplitude",
                unit="loss N^alpha D^-gamma",
            ),
            _exponent("alpha", "N", 0.1, 0.25, 0.5, 1.0),
            _exponent("gamma", "D", 0.0, 1.0, 3.0),
            Parameter("F", ("loss", "loss_max", "3*loss_max"), role="amplitude", unit="loss"),
            Parameter("g", ("0.3/C", "3/C", "1/C_max", "10/C_max", "1/C_min"), role="rate", unit="per unit of C"),
        ),
        reference="D25, Prop 4.3",
    )
)


def _broken(
    name: str, places: tuple[tuple[float, ...], ...], bends: tuple[float, ...], widths: tuple[float, ...]
) -> Law:
    """Return a power law with a break for each of `places`, which are shares of the range of log x."""
    formula, parameters = "E + A * x**-alpha", []
    for i, shares in enumerate(places, start=1):
        formula += f" * (1 + (x/x_{i})**(1/f_{i}))**(-delta_{i}*f_{i})"
        starts = tuple(f"x_min**{1 - share}*x_max**{share}" for share in shares)
        parameters += [
            Parameter(f"x_{i}", starts, role="scale", unit="of x"),
            Parameter(f"delta_{i}", bends, (-10.0, 10.0), role="exponent", of="x"),
            Parameter(f"f_{i}", widths, (0.01, 10.0), unit="width of the break, in factors of e"),
        ]
    first = (
        _floor(0.01, 0.5, 0.9),
        _amplitude("A", "x**-alpha", "0.5*", ""),
        _exponent("alpha", "x", 0.05, 0.2, 0.5, 1.0),
    )
    return Law(name, formula, ("x",), (*first, *parameters), reference="Caballero et al. 2022, Eq. 1")


register(_broken("broken", ((0.25, 0.5, 0.75),), (-0.3, 0.3, 1.0), (0.1, 0.5)))
register(_broken("broken2", ((0.15, 0.4), (0.6, 0.85)), (-0.3, 0.5), (0.2,)))
