"""Three hundred malformed command lines and spec files: exit code 2, one line, no traceback, nothing written."""

from __future__ import annotations

import random

import pytest
import tomli_w

from ntk1bit.cli import sweeping
from ntk1bit.cli.main import main
from ntk1bit.experiments import SweepSpec

OPTIONS = [
    "--widths",
    "--tasks",
    "--precisions",
    "--seeds",
    "--steps",
    "--n-train",
    "--n-test",
    "--dims",
    "--inits",
    "--scales",
    "--kappas",
    "--eta-rel",
    "--checkpoints",
    "--data-seed",
    "--spec",
    "--jobs",
]
# values that no option takes
JUNK = [
    "",
    " ",
    ",",
    "x",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0x10",
    "1e999",
    "64...128",
    "64..",
    "..",
    ":",
    "x4",
    "64..8:x2",
    "1;2",
    "½",
    "٣,٤",
    "\x00bad".replace("\x00", "\\0"),
    "$(true)",
    "a" * 5000,
    "9" * 400,
    "-",
    "--",
    "---",
    "'",
    '"',
    "[1, 2]",
    "{}",
    "None",
    "true",
    "null",
    "../..",
    "digits;f1",
    "one_bit+full",
    "1.5.2",
    "1e",
    "+",
    "-0x1",
    "\n",
    "\t",
]


def malformed_command(rng: random.Random) -> list[str]:
    kind = rng.randrange(6)
    if kind == 0:
        return [rng.choice(["swep", "sweeps", "-sweep", "fits", "", "SWEEP", *JUNK[3:8]]), *rng.sample(JUNK, 2)]
    if kind == 1:
        return [
            "sweep",
            rng.choice(["--width", "-w", "--", "--out"]) + rng.choice(["x", "=y", ""]) + "z",
            rng.choice(JUNK),
        ]
    if kind == 2:
        return [rng.choice(["summary", "plot"]), *rng.choices(["/nonexistent/run", *JUNK], k=rng.randrange(1, 4))]
    if kind == 3:
        return ["sweep", "surplus", rng.choice(OPTIONS), "1"]
    if kind == 4:
        return ["sweep", rng.choice(OPTIONS)]
    picked = rng.sample(OPTIONS, rng.randrange(1, 4))
    return ["sweep", *(word for option in picked for word in (option, rng.choice(JUNK)))]


def malformed_spec(rng: random.Random) -> bytes:
    settings = SweepSpec().as_dict()
    name = rng.choice(list(settings))
    kind = rng.randrange(5)
    if kind == 0:
        settings[rng.choice(["width", "Steps", "seed", "task_", "x"])] = 3
    elif kind == 1:
        settings[name] = rng.choice(["junk", -7, 1.5e300, True, {"a": 1}, [[]], ["x", 3], [float("nan")], [-1], 10**18])
        if name in ("kappas", "eta_rel"):
            settings[name] = rng.choice([0, -1.5, float("nan"), float("inf"), "1", [0.0]])
        if name in ("predictions", "terms"):
            settings[name] = rng.choice(["junk", -7, 1.5, [True], "true"])
        if name == "dims":
            settings[name] = rng.choice([[0], ["8"], [-3], [2.5], "8"])
    elif kind == 2:
        settings["widths"] = settings["widths"] * 2
    elif kind == 3:
        return tomli_w.dumps({rng.choice(["sweeep", "run", "Sweep"]): settings}).encode()
    else:
        text = bytearray(tomli_w.dumps({"sweep": settings}).encode())
        text[rng.randrange(2, len(text)) : 0] = rng.choice([b"\xff\xfe", b"[[", b"= =", b"\x00", b'"""'])
        del text[rng.randrange(len(text)) :]
        return bytes(text) + b"\n[sweep"
    return tomli_w.dumps({"sweep": settings}).encode()


def ends_with_one_line(capsys, arguments) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    err = "".join(line for line in err.splitlines(keepends=True) if not line.startswith("["))  # without progress
    shown = [word[:60] for word in arguments]
    assert ended.value.code == 2, (shown, out[:300], err[:300])
    assert err.startswith("ntk1bit: "), (shown, err[:300])
    assert err.count("\n") == 1, (shown, err[:300])
    assert "Traceback" not in err
    assert len(err) < 1500, (shown, err[:300])
    return err


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch):
    def trained(*_, **__):
        pytest.fail("a malformed command started a sweep")

    monkeypatch.setattr(sweeping, "run_shown", trained)


@pytest.mark.parametrize("block", range(3))
def test_malformed_command_lines(capsys, tmp_path, monkeypatch, block):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(block)
    for _ in range(50):
        ends_with_one_line(capsys, malformed_command(rng))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("block", range(3))
def test_malformed_spec_files(capsys, tmp_path, monkeypatch, block):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(1000 + block)
    for _ in range(50):
        (tmp_path / "spec.toml").write_bytes(malformed_spec(rng))
        ends_with_one_line(capsys, ["sweep", "--spec", "spec.toml", "--out", "run"])
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]
