"""Laws written as formulas: the same fits as the declared ones, and nothing of a formula is ever run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import Fit, fit, get_law, law_from_formula
from ntk1bit.scaling.written_laws import read_law


@pytest.mark.parametrize(
    "formula",
    ["E + A*x^-alpha", "A*x**b + E", "E + (x/x_c)^-alpha", "exp(a - b*log(x)) + E", "E + exp(a)*x^-b", "E + A/x^alpha"],
)
def test_writings_of_one_law_have_one_optimum(formula: str, widths: pd.DataFrame, floored: Fit) -> None:
    found = fit(widths, formula, bootstrap=0, cluster=())
    # the optimiser stops where the objective no longer changes in its tenth digit
    assert found.objective == pytest.approx(floored.objective, rel=1e-6)
    assert found.params["E"] == pytest.approx(floored.params["E"], rel=1e-4)


@pytest.mark.parametrize("name", ["chinchilla", "kaplan"])
def test_the_laws_of_the_catalogue_are_found_from_their_formulas_alone(name: str, runs: pd.DataFrame) -> None:
    declared = fit(runs, name, bootstrap=0)
    written = fit(runs, law_from_formula(get_law(name).formula), bootstrap=0)
    assert written.objective == pytest.approx(declared.objective, rel=1e-6)


def test_planted_exponents_come_back() -> None:
    x = np.geomspace(64, 65536, 11)
    frame = pd.DataFrame({"units": x, "loss": 0.3 + 5 * x**-0.6})
    found = fit(frame, "E + A*units^-alpha", bootstrap=0)
    assert found.params == pytest.approx({"E": 0.3, "A": 5.0, "alpha": 0.6}, rel=1e-4)  # no noise: the optimiser's


def test_names_are_variables_or_parameters() -> None:
    law = law_from_formula("E + A*N^-alpha + B*tokens^-beta", ("N", "tokens"))
    assert law.variables == ("N", "tokens")
    roles = {each.name: (each.role, each.of) for each in law.parameters}
    assert roles == {
        "E": ("floor", None),
        "A": ("amplitude", None),
        "alpha": ("exponent", "N"),
        "B": ("amplitude", None),
        "beta": ("exponent", "tokens"),
    }
    assert law.fix(alpha=-0.5).fixed == {"alpha": -0.5}  # of any sign


def test_names_of_laws_go_first_and_misspelt_ones_are_no_formulas() -> None:
    assert read_law("power+floor") is get_law("power+floor")
    assert read_law(get_law("power")) is get_law("power")
    with pytest.raises(InputError, match=r"did you mean 'power\+floor'"):
        read_law("power+flor")


def test_a_grid_of_starts_has_a_limit(runs: pd.DataFrame) -> None:
    law = law_from_formula(" + ".join(f"A{i}*N^-a{i}" for i in range(8)))
    assert len(law.starts(np.array([runs["N"]]), runs["loss"].to_numpy())) <= 2000


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch pwned') * x",
        "(lambda: x)()",
        "open('pwned', 'w')",
        "x.__class__.__mro__",
        "[x for x in (1,)]",
        "f'{x}' * 2",
        "x if x else A",
        "x; import os",
        "A * x^-alpha\nimport os",
        "exec('x')",
        "A := x * 2",
        "A * x @ x",
        "A * x^-alpha > 1",
        "max(*x) * A",
        "exp(x, A)",
        "exp(A=x) * 2",
        "'A' * x",
        "1j * A * x",
        "A * x ^ ^ 2",
        "A * 2",
        "x * 2",
        "(",
        "* *",
        "A * x * " + "9" * 400,
        "A * x * 1e999",
        "9" * 5000 + "*x",
        "(" * 400 + "A*x" + ")" * 400,
        "-" * 500 + "x*A",
        "+".join(["A*x"] * 200),
        "max(" + ",".join(["A*x"] * 200) + ")",
        "A*x^" + "^".join(["2"] * 300),
        "loss * x",
        "A*x\0",
    ],
)
def test_hostile_formulas_end_in_one_line_and_run_nothing(text: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        read_law(text, ["x"])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
