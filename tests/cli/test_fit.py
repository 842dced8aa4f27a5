"""`ntk1bit fit` as a user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from ntk1bit.cli.fit import fit
from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec

app = typer.Typer()
app.command()(fit)
QUICK = ["--bootstrap", "50"]


def run(*arguments: str) -> str:
    """Return what is printed; raise what goes wrong."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def table(runs: pd.DataFrame, tmp_path: Path) -> str:
    path = tmp_path / "losses.csv"
    runs.rename(columns={"N": "params", "D": "tokens", "C": "flops"}).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def pairs(widths: pd.DataFrame, tmp_path: Path) -> str:
    path = tmp_path / "widths.parquet"
    both = [widths.assign(precision="full"), widths.assign(precision="one_bit", loss=widths["loss"] * 3)]
    pd.concat(both).rename(columns={"x": "width"}).to_parquet(path)
    return str(path)


def test_columns_are_guessed_and_shown(table: str) -> None:
    shown = run(table, "--law", "chinchilla", *QUICK)
    assert "columns: N = params, D = tokens, loss = loss" in shown
    assert "| alpha" in shown


def test_the_readme_line_works(table: str, tmp_path: Path) -> None:
    out, plot = tmp_path / "fit.json", tmp_path / "out.pdf"
    options = ["--N", "params", "--D", "tokens", "--loss", "loss", "--holdout", "0.3", "--against", "kaplan"]
    shown = run(table, "--law", "chinchilla", *options, "--frontier", "--plot", str(plot), "--out", str(out), *QUICK)
    assert "Held-out extrapolation" in shown
    assert plot.read_bytes().startswith(b"%PDF")
    assert json.loads(out.read_text())["fits"]["all"]["law"] == "chinchilla"


def test_the_law_follows_from_the_columns_and_it_is_said(table: str, pairs: str) -> None:
    shown = run(table, *QUICK)
    assert "law: chinchilla, for N = params, D = tokens; of these columns are also: --law kaplan" in shown
    assert "chosen from the columns alone, not by how well laws fit; --against compares laws" in shown
    assert "val_loss" not in shown
    assert "| beta" in shown
    explicit = run(table, "--law", "chinchilla", *QUICK)
    assert shown[shown.index("columns:") :] == explicit[explicit.index("columns:") :]
    assert "law: chinchilla" not in explicit
    shown = run(pairs, "--group", "precision", *QUICK)
    assert "law: power+floor, for one variable, x = width of 9 distinct values" in shown
    assert "law: kaplan" in run(table, "--against", "chinchilla", *QUICK)


def test_a_formula_is_a_law(table: str, pairs: str, tmp_path: Path) -> None:
    formula = "E + A*N^-alpha + B*tokens^-beta"
    shown = run(table, "--law", formula, "--against", "max(E + A*N^-alpha, B*tokens^-beta)", *QUICK)
    assert f"law: {formula}, variables N, tokens; parameters E, A, B positive, alpha, beta of any sign" in shown
    assert "columns: N = params, tokens = tokens, loss = loss" in shown
    assert "Laws by AICc" in shown
    out, plot = tmp_path / "fit.json", tmp_path / "fit.png"
    words = ["--law", "E + A*width^-alpha", "--fix", "E=0.02", "--group", "precision", "--holdout", "0.3"]
    run(pairs, *words, "--out", str(out), "--plot", str(plot), *QUICK)
    found = json.loads(out.read_text())["fits"]["full"]
    assert (found["formula"], found["fixed"]) == ("E + A*width^-alpha", {"E": 0.02})
    assert plot.stat().st_size > 1000


def test_parameters_can_be_held(table: str) -> None:
    shown = run(table, "--law", "chinchilla", "--fix", "E=1.8,alpha=0.35", *QUICK)
    assert "E = 1.8 held, alpha = 0.35 held" in shown
    assert "| alpha" not in shown


def test_groups(pairs: str, tmp_path: Path) -> None:
    shown = run(pairs, "--law", "power+floor", "--group", "precision", "--plot", str(tmp_path / "a.png"), *QUICK)
    assert "power+floor: one_bit" in shown
    assert "full - one_bit" in shown


def test_a_sweep_is_read_through_its_own_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sweep: Callable[..., pd.DataFrame]
) -> None:
    fake = ModuleType("ntk1bit.experiments")
    frame = sweep()
    loaded = SimpleNamespace(spec=SweepSpec(), frame=lambda _columns=None: frame, absent=pd.DataFrame(), untrusted=[])
    monkeypatch.setattr(fake, "open_run", lambda _path: loaded, raising=False)
    monkeypatch.setattr(fake, "SweepSpec", SweepSpec, raising=False)
    monkeypatch.setitem(sys.modules, "ntk1bit.experiments", fake)
    shown = run(str(tmp_path), "--law", "power", *QUICK)
    assert "x = N, loss = loss, group = precision" in shown
    assert "power: one_bit" in shown
    assert shown.count("rows of one seed are resampled together (3 clusters)") == 2
    assert "n_train" not in run(str(tmp_path), "--law", "power", "--x", "C", "--at", "16", "--measured", "test", *QUICK)


def test_seeds_are_clusters_unless_declined(pairs: str, tmp_path: Path) -> None:
    out = tmp_path / "fit.json"
    found = {}
    for words in ([], ["--cluster", "seed"], ["--cluster", "none"]):
        run(pairs, "--law", "power", "--group", "precision", "--out", str(out), *QUICK, *words)
        found[" ".join(words[1:])] = json.loads(out.read_text())
    kinds = {words: {each["cluster"] for each in content["fits"].values()} for words, content in found.items()}
    assert kinds == {"": {"seed"}, "seed": {"seed"}, "none": {None}}
    assert found[""]["differences"] == found["seed"]["differences"] != found["none"]["differences"]
    told = {words: "resampled together" in json.dumps(content["fits"]) for words, content in found.items()}
    assert told == {"": True, "seed": False, "none": False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv"], "no file or run"),
        (["{table}", "--law", "__import__('os')*N"], "cannot use .* in the formula"),
        (["{table}", "--law", "A*size^-alpha"], "has no variable; call them x, N, D, C or as columns"),
        (["{table}", "--law", "A*N^-alpha", "--x", "params"], "no variable x"),
        (["{table}", "--loss", "step"], "no column 'step'"),
        (["{table}", "--against", "power"], "different variables"),
        (["{table}", "--law", "chinchila"], "did you mean 'chinchilla'"),
        (["{table}", "--law", "chinchilla", "--N", "parms"], "did you mean 'params'"),
        (["{table}", "--law", "power", "--N", "params"], "no variable N"),
        (["{table}", "--law", "chinchilla", "--loss", "lss"], "no column 'lss'"),
        (["{table}", "--law", "chinchilla", "--group", "precision"], "no column 'precision'"),
        (["{table}", "--law", "chinchilla", "--bootstrap", "3"], "at least 20"),
        (["{table}", "--law", "chinchilla", "--level", "95"], "between 0 and 1"),
        (["{table}", "--law", "chinchilla", "--holdout", "30", "--bootstrap", "0"], "share between 0 and 1"),
        (["{table}", "--law", "chinchilla", "--against", "power", "--bootstrap", "0"], "different variables"),
        (["{table}", "--law", "chinchilla", "--plot", "fit.doc"], r"ends in \.pdf"),
        (["{table}", "--law", "chinchilla", "--out", "none/fit.md"], "no folder"),
        (["{table}", "--law", "chinchilla", "--threads", "0"], "threads must be 1"),
        (["{table}", "--law", "chinchilla", "--cost", "0"], "cost must be"),
        (["{table}", "--law", "power", "--x", "params", "--frontier", "--bootstrap", "0"], "law of N and D"),
        (["{table}", "--law", "max", "--at", "first"], "choose one of: last, best"),
        (["{table}", "--law", "max", "--measured", "dev"], "choose one of: train, test"),
        (["{table}", "--law", "max", "--fix", "gama=0"], "did you mean 'gamma'"),
        (["{table}", "--law", "max", "--fix", "gamma"], "parameter=number"),
        (["{table}", "--law", "max", "--where", "C"], "column=value"),
        (["{table}", "--seed", "-1", "--x", "params"], "seed must be"),
        (["{table}", "--law", "power", "--fix", "self=1"], "unknown parameter of law 'power' 'self'"),
        (["{table}", "--law", "power", "--fix", "A=1,A=2"], "names A twice"),
        (["{table}", "--at", "\u00b2"], "choose one of: last, best"),
        (["{table}", "--at", "9" * 30], "choose one of: last, best"),
        (["{table}", "--at", "16"], "--at is for the folder of a sweep"),
        (["{table}", "--measured", "test"], "--measured is for the folder of a sweep"),
        (["{table}", "--law", "chinchilla", "--cost", "6"], "ask for it with --frontier"),
        (["{table}", "--out", "{table}"], "is the table itself"),
        (["{table}", "--law", "chinchilla", "--bootstrap", "9" * 15], "do not fit into memory"),
        (
            ["{table}", "--law", "chinchilla", "--bootstrap", "0", "--frontier", "--cost", "1e300"],
            "beyond what float64 holds",
        ),
    ],
)
def test_mistakes_are_one_line(table: str, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run(*(each.replace("{table}", table) for each in arguments))
    assert "\n" not in str(caught.value)


def test_mistakes_are_told_before_the_work(table: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        run(table, "--law", "chinchilla", "--plot", str(tmp_path / "none" / "a.pdf"), "--bootstrap", "1000000")


def test_ends_of_runs_are_fitted_without_a_frontier_nobody_asked_for(
    make_curves: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    path = tmp_path / "curves.csv"
    curves = make_curves(0.01)
    curves.assign(x=6 * curves["N"] * curves["D"]).drop(columns=["N", "D"]).to_csv(path, index=False)
    shown = run(str(path), "--law", "power", "--x", "x", "--run", "run", *QUICK)
    assert "40 points" in shown
    assert "Compute-optimal" not in shown


def test_places_that_cannot_be_written_are_told_before_the_work(table: str, tmp_path: Path) -> None:
    (tmp_path / "taken.pdf").mkdir()
    for option, name in (("--plot", "taken.pdf"), ("--plot", "no/fit.pdf"), ("--plot", "fit.xyz"), ("--out", "fit")):
        with pytest.raises(InputError, match=r"cannot write|no folder"):
            run(table, "--law", "chinchilla", option, str(tmp_path / name), "--bootstrap", "1000000")


def test_groups_of_a_sweep_do_not_pool_precisions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sweep: Callable[..., pd.DataFrame]
) -> None:
    frame = sweep()
    frame["kappa"] = 1.0 + frame["seed"] % 2
    fake = ModuleType("ntk1bit.experiments")
    loaded = SimpleNamespace(spec=SweepSpec(), frame=lambda _columns: frame, absent=pd.DataFrame(), untrusted=[])
    monkeypatch.setattr(fake, "open_run", lambda _path: loaded, raising=False)
    monkeypatch.setattr(fake, "SweepSpec", SweepSpec, raising=False)
    monkeypatch.setitem(sys.modules, "ntk1bit.experiments", fake)
    with pytest.raises(InputError, match="several precisions"):
        run(str(tmp_path), "--group", "kappa", *QUICK)
    with pytest.raises(InputError, match="--run is for tables"):
        run(str(tmp_path), "--run", "seed", *QUICK)
