"""Good, damaged and malicious files of every kind that the program reads, for command lines made at random."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from ntk1bit.packed.file_format import save

from ..packed.made_up import random_model
from ..reports.documents import small_run
from .test_verify_files import MINE

ROOT = Path(__file__).parents[2]
STEERING = "\x1b[2J\x1b]0;t\x07\u202e\x9b31m"  # clears a terminal, names its window, turns the line around, colours it
SWEEP = '[sweep]\ntasks = "sphere-linear"\nwidths = [16, 32]\nsteps = 10\nn_train = 8\nn_test = 4\nseeds = [0, 1]\n'


def make_files(folder: Path) -> None:
    """Fill a folder with files and finished runs."""
    _tables(folder)
    _arrays(folder)
    _texts(folder)
    small_run(folder / "run", widths=(16, 32), tasks=("sphere-linear",))
    small_run(folder / "begun", widths=(16,), tasks=("sphere-linear",), finish=False)
    _verification(folder / "verdicts")
    (folder / "folder").mkdir()
    (folder / "nothing").write_bytes(b"")
    (folder / "loop").symlink_to("loop")


def _tables(folder: Path) -> None:
    rng = np.random.default_rng(0)
    n, d = 10 ** rng.uniform(6, 9, 24), 10 ** rng.uniform(8, 11, 24)
    losses = pd.DataFrame({"N": n, "D": d, "loss": 1.7 + 400 * n**-0.34 + 410 * d**-0.28, "arm": ["a", "b"] * 12})
    losses.to_csv(folder / "losses.csv", index=False)
    losses.to_parquet(folder / "losses.parquet")
    losses.rename(columns={"arm": f"arm{STEERING}"}).replace("b", f"b{STEERING}\n").to_csv(
        folder / "steering.csv", index=False
    )
    own = pd.DataFrame(rng.normal(size=(20, 3)), columns=["a", f"b{STEERING}", "c"]).assign(y=["u", "v"] * 10)
    own.to_csv(folder / "own.csv", index=False)
    (folder / "bomb.csv.gz").write_bytes(gzip.compress(b"\0" * 3_000_000))
    (folder / "deep.jsonl").write_text('{"N": ' + "[" * 3000 + "]" * 3000 + "}\n")
    (folder / "half.parquet").write_bytes((folder / "losses.parquet").read_bytes()[:-40])
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 20)


def _arrays(folder: Path) -> None:
    rng = np.random.default_rng(1)
    np.savez_compressed(folder / "own.npz", x=rng.normal(size=(20, 3)), y=rng.normal(size=20))
    np.savez(folder / "objects.npz", x=np.array([None]), y=np.zeros(1))
    save(random_model(), folder / "model.npz")
    save(random_model("ab c\n", "a model"), folder / "plain.npz")
    (folder / "half.npz").write_bytes((folder / "model.npz").read_bytes()[:-500])
    np.save(stream := io.BytesIO(), np.zeros(1_000_000, np.uint8))
    with zipfile.ZipFile(folder / "model.npz") as good, zipfile.ZipFile(folder / "bomb.npz", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name) if name != "note.npy" else stream.getvalue(), zipfile.ZIP_DEFLATED)


def _texts(folder: Path) -> None:
    (folder / "text.txt").write_text("It was the best of times, it was the worst of times. " * 200)
    (folder / "text.gz").write_bytes(gzip.compress(b"It was the best of times. " * 200))
    (folder / "spec.toml").write_text(SWEEP)
    (folder / "claim.toml").write_text(MINE)
    (folder / "steering.toml").write_text(MINE.replace("drift falls", r"drift\u001b[2J\u202e falls"))
    (folder / "deep.toml").write_text("a = " + "[" * 3000 + "]" * 3000)
    (folder / "huge.toml").write_text(SWEEP.replace("steps = 10", f"steps = {'9' * 5000}"))
    (folder / "long.toml").write_text(SWEEP.replace("steps = 10", f"steps = {10**400}"))


def _verification(folder: Path) -> None:
    folder.mkdir()
    content = json.loads((ROOT / "results" / "standard" / "verdicts.json").read_text(encoding="utf-8"))
    content["claims"] = content["claims"][:1]
    (folder / "verdicts.json").write_text(json.dumps(content))
    deep = folder.with_name("deep-verdicts")
    deep.mkdir()
    (deep / "verdicts.json").write_text("[" * 3000 + "]" * 3000)
