from __future__ import annotations

import re
from pathlib import Path

import pytest

from ntk1bit.claims import Claim, RunClaim
from ntk1bit.claims.claim_files import read_claim_file
from ntk1bit.claims.run_criteria import KINDS
from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec, open_run

DOCUMENT = Path(__file__).parents[2] / "docs" / "claims.md"
CLAIM = '[claim]\nid = "mine"\ntitle = "t"\nstatement = "s"\n'
EXPONENT = '[[criterion]]\nkind = "exponent"\nmeasure = "drift"\nat = "largest"\nhigh = 5.0\n'
WHERE = 'where = {precision = "one_bit", init = "iid"}\n'
PYTHON = "from ntk1bit.claims import *\n"
OWN = PYTHON + 'CLAIM = Claim("own", "t", "s", "", "", "", (IntervalWithin("x", high=1.0),))\n'


def written(folder, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path) -> str:
    with pytest.raises(InputError) as told:
        read_claim_file(path)
    message = str(told.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_the_files_of_the_document_are_read_and_judged(tmp_path, sweep):
    first, second = re.findall(r"^```toml\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    run = open_run(sweep[0])
    found = read_claim_file(written(tmp_path, first))
    assert found.short_of(run.spec) == []
    assert found.judge(run, "run").measures
    asked = read_claim_file(written(tmp_path, first + second)).sweep
    assert isinstance(asked, SweepSpec)
    assert asked.widths == (64, 128, 256, 512)


def test_every_kind_and_setting_is_read(tmp_path, sweep):
    text = CLAIM + 'source = "x"\nassumptions = "y"\nrefuted_by = "z"\nrun = "runs/mine"\n'
    text += EXPONENT + WHERE + 'low = -9\nseeds = 3\nlabel = "p"\n'
    text += '[[criterion]]\nkind = "level"\nmeasure = "gap"\nhigh = 9\nwidth = 64\nwhere = {init = "iid"}\n'
    text += '[[criterion]]\nkind = "ratio"\nmeasure = "drift"\nat = "end"\nwhere = {init = "iid"}\nlow = 0\n'
    text += 'of = {precision = "one_bit"}\nover = {precision = "full"}\n'
    text += (
        '[[criterion]]\nkind = "count"\nmeasure = "loss"\nat = "start"\nabove = 1e9\nbelow = 0\nrate = 0.9\n' + WHERE
    )
    found = read_claim_file(written(tmp_path, text))
    assert isinstance(found.claim, RunClaim)
    assert [one.KIND for one in found.claim.criteria] == [*KINDS]
    assert found.run == Path("runs/mine")
    entry = found.judge(open_run(sweep[0]), "run")
    assert [one.outcome for one in entry.findings] == ["supported"] * 4
    assert (entry.source, entry.assumptions, entry.refuted_by) == ("x", "y", "z")
    assert read_claim_file(written(tmp_path, 'run = "runs/mine"\n' + CLAIM + EXPONENT)).run == Path("runs/mine")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no table [claim]"),
        ("[claim", "not valid TOML"),
        ("claim = 3", "no table [claim]"),
        ('id = "mine"', "unknown part of a claim file 'id'"),
        (CLAIM, "add one under [[criterion]]"),
        (CLAIM.replace('title = "t"\n', "") + EXPONENT, "[claim] needs title"),
        (CLAIM + 'tilte = "t"\n' + EXPONENT, "did you mean 'title'"),
        (CLAIM.replace('"mine"', "3") + EXPONENT, "id of a claim must be text"),
        (CLAIM.replace('"mine"', '""') + EXPONENT, "needs an id"),
        (CLAIM + "[criterion]\n", "[[criterion]]"),
        (CLAIM + "[[criterion]]\n", "criterion 1: it needs a kind, one of: exponent, level, ratio, count"),
        (CLAIM + EXPONENT.replace("exponent", "exponnt"), "did you mean 'exponent'"),
        (CLAIM + EXPONENT.replace('"exponent"', "3"), "unknown kind 3"),
        (CLAIM + EXPONENT.replace("drift", "drfit"), "did you mean 'drift'"),
        (CLAIM + EXPONENT.replace('measure = "drift"\n', ""), "the setting 'measure' is missing"),
        (CLAIM + EXPONENT.replace("largest", "lagest"), "unknown moment"),
        (CLAIM + EXPONENT.replace("high", "hgih"), "did you mean 'high'"),
        (CLAIM + EXPONENT.replace("high = 5.0\n", ""), "give low, high or both"),
        (CLAIM + EXPONENT.replace("5.0", '"5"'), "high must be a number"),
        (CLAIM + EXPONENT.replace("5.0", "true"), "high must be a number"),
        (CLAIM + EXPONENT.replace("5.0", "nan"), "low < high"),
        (CLAIM + EXPONENT + "rate = 0.1\n", "unknown setting 'rate'"),
        (CLAIM + EXPONENT + 'where = "iid"\n', "must be a table"),
        (CLAIM + EXPONENT + "where = {widht = 3}\n", "unknown setting of networks"),
        (CLAIM + EXPONENT + "[swep]\n", "did you mean 'sweep'"),
        (CLAIM + EXPONENT + "[sweep]\nwidth = 3\n", "[sweep]: unknown setting 'width'"),
        (CLAIM + EXPONENT + "[sweep]\nwidths = [64, 64]\n", "repeated values"),
        (CLAIM + "run = 3\n" + EXPONENT, "must be the folder of a run"),
        ('run = "a"\n' + CLAIM + 'run = "b"\n' + EXPONENT, "named twice"),
        (CLAIM + 'run = "a"\n' + EXPONENT + "[sweep]\n", "keep one of them"),
    ],
)
def test_what_is_wrong_in_a_toml_file_is_told_in_a_line(tmp_path, text, told):
    assert told in complaint(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\n", "defines no CLAIM"),
        ("CLAIM = 3\n", "CLAIM is a int"),
        ("\n\nimport nothing_of_this_name\n", "line 3: ModuleNotFoundError"),
        ("\ndef f(:\n", "line 2: SyntaxError"),
        ("def f():\n    return 1 / 0\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "line 1: SystemExit: 3"),
        (PYTHON + 'CLAIM = RunClaim("a", "t", "s", (\n    Exponent("drfit", high=1),))\n', "line 3: unknown measure"),
        (PYTHON + 'CLAIM = RunClaim(id="a")\n', "line 2: TypeError"),
        (OWN, "needs a function evidence(frame)"),
        (PYTHON + 'CLAIM = RunClaim("a", "t", "s", Exponent("drift", high=1))\ndef evidence(f): ...\n', "leave out"),
        (PYTHON + 'CLAIM = RunClaim("a", "t", "s", Exponent("drift", high=1))\nSWEEP = {}\n', "SWEEP must be a"),
        (PYTHON + 'CLAIM = RunClaim("a", "t", "s", Exponent("drift", high=1))\nRUN = 3\n', "folder of a run"),
    ],
)
def test_what_is_wrong_in_a_python_file_is_told_in_a_line(tmp_path, text, told):
    assert told in complaint(written(tmp_path, text, "mine.py"))


def test_what_is_no_claim_file_is_refused(tmp_path):
    assert "must end in .toml or .py" in complaint(written(tmp_path, "", "mine.txt"))
    (tmp_path / "folder.toml").mkdir()
    assert "is a folder" in complaint(tmp_path / "folder.toml")
    assert "No such file" in complaint(tmp_path / "none.py")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\0")
    assert "UTF-16" in complaint(tmp_path / "bytes.toml")


def test_a_python_file_measures_itself(tmp_path, sweep):
    text = OWN + (
        "from ntk1bit.claims import IntervalEstimate\n"
        "from helper import VALUE\n"
        "def evidence(frame):\n"
        "    return Evidence((IntervalEstimate('x', '', VALUE, 0.1, 0.3, frame['seed'].nunique(), '', 'run'),))\n"
    )
    (tmp_path / "helper.py").write_text("VALUE = 0.2\n")
    found = read_claim_file(written(tmp_path, text, "mine.py"))
    assert isinstance(found.claim, Claim)
    assert found.judge(open_run(sweep[0]), "run").outcome == "supported"
    assert found.short_of(SweepSpec(seeds=(0, 1))) == ["2 seeds, and a finding needs 5"]
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"mine.py", "helper.py"}


@pytest.mark.parametrize(
    ("body", "told"),
    [("return frame['nothing']", "line 4: KeyError: 'nothing'"), ("return 3", "must return an Evidence, got int")],
)
def test_evidence_that_fails_is_told_with_its_line(tmp_path, sweep, body, told):
    found = read_claim_file(written(tmp_path, OWN + f"def evidence(frame):\n    {body}\n", "mine.py"))
    with pytest.raises(InputError, match=re.escape(told)):
        found.judge(open_run(sweep[0]), "run")
