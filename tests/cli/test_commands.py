from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys

import pytest

from ntk1bit.cli.main import main
from ntk1bit.experiments import open_run

SWEEP = [
    "sweep",
    "--widths",
    "16..128",
    "--seeds",
    "2",
    "--steps",
    "20",
    "--n-train",
    "16",
    "--n-test",
    "8",
    "--jobs",
    "1",
]


def call(capsys, *arguments):
    """Run the program in this process; return its exit code, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    return ended.value.code, out, err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small run"
    with pytest.raises(SystemExit) as ended:
        main([*SWEEP, "--inits", "iid,paired", "--out", str(folder)])
    assert ended.value.code == 0
    return str(folder)


def test_sweep_says_how_it_ended_and_what_comes_next(capsys, tmp_path):
    code, out, err = call(capsys, *SWEEP, "--out", str(tmp_path / "run"))
    assert code == 0
    assert "16 cells: 16 trained" in out
    assert "ntk1bit summary" in out
    assert "Traceback" not in err
    code, out, _ = call(capsys, *SWEEP, "--out", str(tmp_path / "run"))
    assert (code, "16 were there" in out) == (0, True)
    code, out, _ = call(capsys, *SWEEP, "--seeds", "3", "--out", str(tmp_path / "run"))
    assert (code, "8 trained" in out, "16 were there" in out) == (0, True, True)
    code, _, err = call(capsys, *SWEEP[:-2], "--steps", "21", "--out", str(tmp_path / "run"))
    assert code == 2
    assert "steps: 20 there, 21 asked for" in err


def test_dry_run_prints_the_plan_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(capsys, *SWEEP, "--dry-run")
    assert code == 0
    for word in ("cells", "operations", "memory", "time", "folder"):
        assert word in out
    assert list(tmp_path.iterdir()) == []


def test_a_spec_file_is_read_and_options_override_it(capsys, tmp_path):
    (tmp_path / "my.toml").write_text("[sweep]\nwidths = [16, 32]\nsteps = 50\nseeds = [4]\nn_train = 9\nn_test = 3\n")
    code, _, _ = call(
        capsys,
        "sweep",
        "--spec",
        str(tmp_path / "my.toml"),
        "--steps",
        "5",
        "--jobs",
        "1",
        "--out",
        str(tmp_path / "r"),
    )
    assert code == 0
    code, out, _ = call(capsys, "summary", str(tmp_path / "r"), "--settings")
    assert code == 0
    assert "4 of 4 cells, 5 steps" in out
    assert "n_train" in out


def test_activities_are_trained_summarised_and_refused_in_a_line(capsys, tmp_path):
    folder = str(tmp_path / "run")
    asked = [*SWEEP, "--widths", "16,32", "--activities", "straight_through,latent,frozen"]
    assert call(capsys, *asked, "--out", folder)[0] == 0
    code, out, _ = call(capsys, "summary", folder)
    assert code == 0
    assert "16 of 16 cells" in out  # two widths and seeds, three 1-bit networks and one in full precision
    for words in ("loss 1-bit frozen", "loss 1-bit latent", "gap (end) latent", "drift full "):
        assert words in out
    assert "full frozen" not in out
    for words, message in (
        (["--activity", "frozn"], "unknown activity 'frozn' (did you mean 'frozen'?)"),
        (["--activity", "frozen", "--terms"], "terms decompose the straight-through step, and activity 'frozen'"),
    ):
        code, out, err = call(capsys, *SWEEP, *words, "--out", str(tmp_path / "none"))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
    assert not (tmp_path / "none").exists()


def test_the_default_folder_is_the_same_for_the_same_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(capsys, *SWEEP)[0] == 0
    assert call(capsys, *SWEEP)[0] == 0
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_summary_as_tables_csv_and_json(capsys, run):
    code, out, _ = call(capsys, "summary", run)
    assert code == 0
    for word in ("drift 1-bit", "drift full", "gap (end)", "spread", "Exponents", "init paired", "95 %"):
        assert word in out
    code, out, err = call(capsys, "summary", run, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert {row["kind"] for row in rows} == {"value", "exponent"}
    assert "use 5 or more" in err
    code, out, _ = call(capsys, "summary", run, "--json")
    document = json.loads(out)
    assert document["cells"] == {"asked": 32, "finished": 32}
    assert document["lacking"] == {"diverged": 0, "failed": 0, "unfinished": 0, "unreadable": 0}
    drifts = [row for row in document["exponents"] if row["quantity"] == "drift"]
    assert len(drifts) == 4
    assert all(row["exponent"] < 0 for row in drifts)


def test_plot_writes_one_file_for_each_group_and_the_ending_says_the_format(capsys, run, tmp_path):
    for ending, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
        code, out, _ = call(capsys, "plot", run, "--out", str(tmp_path / f"one{ending}"))
        assert code == 0
        assert out.split() == [str(tmp_path / f"one-{i}{ending}") for i in (1, 2)]
        assert (tmp_path / f"one-2{ending}").read_bytes().startswith(magic)
    assert len(list(tmp_path.iterdir())) == 4
    for wrong in ("one", "one.xyz", "no/one.png"):
        code, _, err = call(capsys, "plot", run, "--out", str(tmp_path / wrong))
        assert (code, err.count("\n")) == (2, 1)


def test_an_unfinished_run_can_be_read(capsys, run, tmp_path):
    import shutil
    from pathlib import Path

    partial = tmp_path / "partial"
    shutil.copytree(run, partial)
    paths = sorted(Path(partial, "cells").iterdir())
    for path in paths[:20]:
        path.unlink()
    paths[20].write_bytes(b"PAR1")
    code, out, _ = call(capsys, "summary", str(partial))
    assert code == 0
    assert "11 of 32 cells, 20 steps" in out
    assert "left out" in out
    assert call(capsys, "plot", str(partial))[0] == 0
    for path in paths[20:]:
        path.unlink()
    code, out, _ = call(capsys, "summary", str(partial))
    assert (code, "no finished cells" in out) == (0, True)
    code, _, err = call(capsys, "plot", str(partial))
    assert (code, "no finished cells" in err) == (2, True)


def test_doctor(capsys):
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    for word in ("numpy", "openblas", "neural-tangents", "threads"):
        assert word in out


def test_tasks_can_be_listed(capsys):
    code, out, _ = call(capsys, "sweep", "--list")
    assert code == 0
    assert "sphere-teacher" in out


@pytest.mark.parametrize("command", [[], ["sweep"], ["summary"], ["plot"], ["doctor"]])
def test_every_command_has_help_with_an_example(capsys, command):
    code, out, _ = call(capsys, *command, "--help")
    assert code == 0
    assert "Example: ntk1bit" in out


def test_version_and_no_arguments(capsys):
    code, out, _ = call(capsys, "--version")
    assert (code, out.count(".")) == (0, 2)
    code, out, _ = call(capsys)
    assert (code, "Commands:" in out) == (0, True)


def test_help_loads_nothing_heavy():
    """`ntk1bit --help` is to answer at once: what makes it slow is what it imports."""
    code = (
        "import sys; from ntk1bit.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'pandas', 'matplotlib', 'numba', 'jax', 'scipy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_not_an_error(run):
    command = f"{sys.executable} -m ntk1bit summary '{run}' | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert all(line.startswith("[") for line in done.stderr.splitlines())  # lines of progress, and nothing else


def test_an_unwritable_place_is_told_in_a_line(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = call(capsys, *SWEEP, "--out", str(tmp_path / "file" / "run"))
    assert (code, err.count("\n")) == (2, 1)
    assert "Traceback" not in err


def test_bench_hands_values_on_that_begin_with_a_hyphen(capsys, tmp_path, monkeypatch):
    given: list[str] = []
    monkeypatch.setattr("benchmarks.__main__.main", lambda arguments: given.extend(arguments) or 0)
    monkeypatch.chdir(tmp_path)
    assert call(capsys, "bench", "--only", "-x", "--out", "-r.csv")[0] == 0
    assert given == ["--only=-x", "--threads=1,2", "--rounds=9", "--out=-r.csv"]


@pytest.mark.parametrize("command", ["summary", "plot", "report", "fit"])
@pytest.mark.parametrize("fault", ["missing", "foreign"])
def test_strict_refuses_what_is_named_otherwise(capsys, run, tmp_path, command, fault):
    """Six points became five, and the exponent another, without a word."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    fitted = [
        one for one in open_run(run).experiments if (vars(one)["init"], vars(one)["precision"]) == ("iid", "full")
    ]
    cell = folder / "cells" / f"{fitted[0].key}.parquet"
    if fault == "missing":
        cell.unlink()
    else:
        cell.with_name("0123456789abcdef0123.parquet").write_bytes(b"of another run")
    words = {
        "plot": ["--out", str(tmp_path / "run.png"), "--panels", "drift"],
        "report": ["--out", str(tmp_path / "run.html")],
        "fit": ["--law", "power", "--bootstrap", "0", "--where", "init=iid,precision=full"],
    }
    arguments = [command, str(folder), *words.get(command, [])]
    code, out, err = call(capsys, *arguments)
    told = out + err + (tmp_path / "run.html").read_text() if command == "report" else out + err
    assert code == 0
    assert "is of no experiment of this run" in told if fault == "foreign" else "nfinished" in told
    before = sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    code, out, err = call(capsys, *arguments, "--strict")
    assert (code, out) == (2, "")
    assert "is not whole, which --strict refuses" in err
    assert err.count("\n") == 1
    assert sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()) == before
