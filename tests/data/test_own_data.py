from __future__ import annotations

import contextlib
import gzip
import io
import re
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.data import Task, own_data, tasks
from ntk1bit.data.own_data import fetch, from_arrays, is_own, keep, look_in, save
from ntk1bit.data.own_files import from_file, looks_like_file
from ntk1bit.errors import InputError

ROWS = 40


def table(rows=ROWS, dim=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, dim))
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(dim)]).assign(y=2 * x[:, 0] - x[:, 1])


def same(a, b):
    assert a.digest == b.digest
    for name in ("x", "y", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_file_of_any_form_gives_the_bits_of_its_arrays(tmp_path):
    frame = table()
    x, y = frame[["x0", "x1", "x2"]].to_numpy(), frame["y"].to_numpy()
    expected = from_arrays("mine", x, y, seed=3)
    assert (expected.n_train, expected.n_test, expected.seed) == (30, 10, 3)
    frame.to_csv(tmp_path / "mine.csv", index=False)  # pandas writes the shortest text that reads back exactly
    frame.to_csv(tmp_path / "mine.tsv", index=False, sep="\t")
    (tmp_path / "mine.csv.gz").write_bytes(gzip.compress((tmp_path / "mine.csv").read_bytes()))
    frame.to_parquet(tmp_path / "mine.parquet")
    frame.to_json(tmp_path / "mine.jsonl", orient="records", lines=True, double_precision=15)
    for name in ("mine.csv", "mine.tsv", "mine.csv.gz", "mine.parquet"):
        (task,) = from_file(tmp_path / name, target="y", seed=3)
        assert task.name == "mine"
        same(task, expected)
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    (task,) = from_file(tmp_path / "mine.npz", seed=3)
    same(task, expected)
    same(from_arrays("mine", frame[["x0", "x1", "x2"]], frame["y"], seed=3), expected)
    same(from_arrays("other", x.tolist(), y[:, None], seed=3), expected)


def test_test_points_may_be_given_apart(tmp_path):
    frame = table()
    side = np.where(np.arange(ROWS) % 4 == 0, "test", "Train")
    frame.assign(side=side).to_csv(tmp_path / "mine.csv", index=False)
    (task,) = from_file(tmp_path / "mine.csv", target="y", split="side")
    assert (task.n_train, task.n_test) == (30, 10)
    x, y = frame[["x0", "x1", "x2"]].to_numpy(), frame["y"].to_numpy()
    apart: dict[str, Any] = {
        "x": x[side == "Train"],
        "y": y[side == "Train"],
        "x_test": x[side == "test"],
        "y_test": y[side == "test"],
    }
    np.savez(tmp_path / "mine.npz", **apart)
    same(from_file(tmp_path / "mine.npz")[0], task)
    same(from_arrays("mine", **apart), task)
    with pytest.raises(InputError, match="30 usable points to train on and 10 to test on"):
        from_arrays("mine", **apart, n_train=31)


def test_a_split_of_all_rows_leaves_no_test_points():
    frame = table()
    assert from_arrays("mine", frame[["x0", "x1"]], frame["y"], split=1.0).n_test == 0


def test_normalisations_do_what_they_say():
    frame = table()
    x, y = 5.0 + 3.0 * frame[["x0", "x1", "x2"]].to_numpy(), frame["y"].to_numpy()
    sphere, standard, none = (from_arrays("mine", x, y, normalise=how) for how in ("sphere", "standard", "none"))
    np.testing.assert_allclose(np.linalg.norm(sphere.x, axis=1), 1.0, atol=1e-6)  # float32
    assert not any("unit norm" in note for note in sphere.notes)
    np.testing.assert_allclose(standard.x.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(standard.x.var(axis=0), 1 / 3, rtol=1e-5)
    order = np.random.default_rng(0).permutation(ROWS)
    np.testing.assert_array_equal(none.x, x[order][10:].astype(np.float32))
    for task in (standard, none):
        assert any(f"{ROWS} of {ROWS} inputs are not of unit norm" in note for note in task.notes)
    constant = np.column_stack([x, np.ones(ROWS)])
    task = from_arrays("mine", constant, y, normalise="standard")
    assert not task.x[:, 3].any()
    assert any("1 of 4 features are constant" in note for note in task.notes)


def test_duplicates_leave_the_shares_of_the_split():
    frame = table()
    x = np.concatenate([frame[["x0", "x1", "x2"]].to_numpy()] * 2)
    task = from_arrays("mine", x, np.concatenate([frame["y"]] * 2), centre_inputs=False)
    assert (task.n_train, task.n_test) == (30, 10)
    assert any(f"dropped {ROWS} inputs" in note for note in task.notes)


def test_each_class_in_turn(tmp_path):
    frame = table().drop(columns="y").assign(kind=np.array(["a b", "c", "d"])[np.arange(ROWS) % 3])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    found = from_file(tmp_path / "mine.csv", target="kind=*")
    assert [task.name for task in found] == ["mine.a-b", "mine.c", "mine.d"]
    np.testing.assert_array_equal(sum(task.y for task in found), -1.0)  # one +1 and two -1 in every row
    (one,) = from_file(tmp_path / "mine.csv", target="kind=a b")
    same(one, found[0])
    for name in map(keep, found):
        assert is_own(name)


def test_a_kept_task_is_loaded_by_name_and_from_a_run(tmp_path, monkeypatch):
    frame = table()
    task = from_arrays("mine", frame[["x0", "x1", "x2"]], frame["y"], seed=5, normalise="standard")
    name = keep(task)
    assert name == f"mine@{task.digest}"
    first = tasks.load(name, n_train=7, n_test=2)
    np.testing.assert_array_equal(first.x, task.x[:7])
    np.testing.assert_array_equal(first.y_test, task.y_test[:2])
    with pytest.raises(InputError, match="has 30 points to train on and 10 to test on"):
        tasks.load(name, n_train=31, n_test=2)
    save(name, tmp_path)
    monkeypatch.setattr(own_data, "_held", {})
    monkeypatch.setattr(own_data, "_places", {})
    with pytest.raises(InputError, match="are not here"):
        fetch(name)
    look_in(tmp_path)
    again = fetch(name)
    same(again, task)
    assert (again.name, again.seed, again.notes, again.normalise) == ("mine", 5, task.notes, "standard")


def test_kept_data_that_were_damaged_or_exchanged_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(own_data, "_places", {})
    frame = table()
    names = [keep(from_arrays("mine", frame[["x0", "x1", "x2"]], frame["y"], seed=seed)) for seed in (0, 1)]
    for name in names:
        save(name, tmp_path)
    first, second = (tmp_path / "data" / f"{name}.npz" for name in names)
    whole = first.read_bytes()
    look_in(tmp_path)
    rng = np.random.default_rng(0)
    damages = [whole[:-50], b"", b"no archive", whole[: len(whole) // 2]]
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        damages.append(bytes(damaged))
    for damage in damages:
        first.write_bytes(damage)
        monkeypatch.setattr(own_data, "_held", {})
        refused = pytest.raises(InputError, match=rf"^{re.escape(str(first))}[^\n]*$")
        with contextlib.suppress(InputError):  # a bit of the archive's own bookkeeping, or of the notes, may be passed
            assert f"mine@{fetch(names[0]).digest}" == names[0]
            continue
        with refused:
            fetch(names[0])
    shutil.copy(second, first)
    monkeypatch.setattr(own_data, "_held", {})
    with pytest.raises(InputError, match="holds other data than its name says"):
        fetch(names[0])


def test_names_of_files_and_of_tasks():
    assert all(map(looks_like_file, ["a.csv", "a.csv.gz", "b/digits", "x.NPZ", "t.parquet", "./digits"]))
    assert not any(map(looks_like_file, ["digits", "sphere-linear", "f1", "mine@0123456789ab"]))
    frame = table()
    for name in ("a b", "a/b", "a@b", "a,b", "", "x" * 101):
        with pytest.raises(InputError, match="name must be"):
            keep(from_arrays(name, frame[["x0", "x1"]], frame["y"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros((ROWS, 2))}, "needs targets (n,)"),
        ({"y": np.eye(4)[np.arange(ROWS) % 4]}, "argmax"),
        ({"y": np.arange(3.0)}, "needs inputs (n, d) and targets (n,)"),
        ({"x": np.zeros(ROWS)}, "x[:, None]"),
        ({"x": np.zeros((ROWS, 2, 2))}, "flatten images"),
        ({"x": [["a", "b"]] * ROWS}, "not numbers"),
        ({"x": np.full((ROWS, 2), np.nan)}, "NaN"),
        ({"split": 0.0}, "split must be a share"),
        ({"split": 1.5}, "split must be a share"),
        ({"normalise": "unit"}, "choose one of: sphere, standard, none"),
        ({"seed": -1}, "non-negative"),
        ({"x_test": np.zeros((3, 3))}, "only one of x_test and y_test"),
        ({"x_test": np.zeros((3, 2)), "y_test": np.zeros(3)}, "(n_test, 3)"),
        ({"y": [["a"], ["b", "c"]]}, "rows of different lengths"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_arrays_that_are_no_data(change, message):
    frame = table()
    given: dict[str, Any] = {"x": frame[["x0", "x1", "x2"]].to_numpy(), "y": frame["y"].to_numpy()} | change
    with pytest.raises(InputError) as caught:
        from_arrays("mine", **given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def _npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _csv(*rows, header="a,b,y"):
    return "\n".join([header, *rows]).encode()


GOOD = ["1,2,3", "4,1,6", "2,5,1", "7,3,2"]
MALFORMED = {
    # name: (file, content, options, part of the message)
    "nothing there": ("absent.csv", None, {}, "there is no file"),
    "empty": ("m.csv", b"", {}, "empty"),
    "blank lines": ("m.csv", b"\n\n \n", {}, "empty"),
    "header only": ("m.csv", _csv(), {}, "no rows"),
    "one row": ("m.csv", _csv("1,2,3"), {}, "needs 2"),
    "one feature": ("m.csv", _csv("1,3", "2,5", "4,1", header="a,y"), {}, "inputs of one feature all are"),
    "two equal rows": ("m.csv", _csv("1,2,3", "1,2,3"), {}, "nothing to learn"),
    "text in numbers": ("m.csv", _csv(*GOOD, "x,2,3"), {}, "1 of 2 columns of inputs are not numbers: a"),
    "text in every column": ("m.csv", _csv("p,q,1", "r,s,2"), {}, "2 of 2 columns"),
    "NaN in words": ("m.csv", _csv(*GOOD, "NaN,2,3"), {}, "1 of 5 rows have no number in some column (a)"),
    "blank input": ("m.csv", _csv(*GOOD, ",2,3"), {}, "1 of 5 rows have no number in some column (a)"),
    "blank target": ("m.csv", _csv(*GOOD, "1,2,"), {}, "no target in 1 of 5 rows"),
    "infinite": ("m.csv", _csv(*GOOD, "1e999,2,3"), {}, "NaN or infinity"),
    "too large for float32": ("m.csv", _csv(*GOOD, "1e300,2,3"), {"normalise": "none"}, "too large for float32"),
    "words as targets": ("m.csv", _csv("1,2,u", "4,1,v", "2,5,w"), {}, "3 classes (u, v, w)"),
    "constant target": ("m.csv", _csv("1,2,3", "4,1,3", "2,5,3"), {}, "nothing to learn"),
    "constant inputs": ("m.csv", _csv("1,2,3", "1,2,4", "1,2,5"), {}, "equal to the mean of the training inputs"),
    "zero row": ("m.csv", _csv(*GOOD, "0,0,3"), {"normalise": "none"}, "zero vector"),
    "short row": ("m.csv", _csv(*GOOD, "1,2"), {}, "no target"),
    "long row": ("m.csv", _csv(*GOOD, "1,2,3,4"), {}, "line 6 has 4 cells"),
    "column twice": ("m.csv", _csv(*GOOD, header="a,a,y"), {}, "several columns named a"),
    "no header": ("m.csv", b"1,2,3\n4,1,6\n2,5,1\n", {}, "no column 'y'"),
    "decimal commas": ("m.csv", b"a;b;y\n1,5;2,5;3,1\n4,5;1,5;6,1\n2,5;5,5;1,2\n", {}, "decimal point"),
    "thousands": ("m.csv", b"a;b;y\n1 000;2;3\n4 000;1;6\n2 000;5;1\n", {}, "not numbers"),
    "a semicolon in a cell": ("m.csv", _csv(*GOOD, "1;5,2,3"), {}, "first '1;5' in row 4)"),
    "percent": ("m.csv", _csv("1%,2,3", "4%,1,6", "2%,5,1"), {}, "not numbers"),
    "dates": ("m.csv", _csv("2020-01-01,2,3", "2020-01-02,1,6", "2020-01-03,5,1"), {}, "not numbers"),
    "UTF-16": ("m.csv", "a,b,y\n1,2,3\n".encode("utf-16"), {}, "UTF-16"),
    "latin-1": ("m.csv", "a,b,y\n1,2,é\n".encode("latin-1"), {}, "not UTF-8"),
    "null bytes": ("m.csv", b"a,b,y\n1,\x00,3\n", {}, ""),
    "open quote": ("m.csv", b'a,b,y\n"1,2,3\n4,1,6\n', {}, ""),
    "10^6 columns": ("m.csv", ",".join(["c"] * 10**6).encode() + b"\n1,2\n", {}, "1,000,000 columns"),
    "one column": ("m.csv", b"y\n1\n2\n3\n", {}, "no column of inputs"),
    "binary": ("m.csv", bytes(range(256)) * 4, {}, ""),
    "gzip that is none": ("m.csv.gz", b"a,b,y\n1,2,3\n", {}, "cannot read"),
    "other ending": ("m.xlsx", b"PK", {}, "give a table (.csv"),
    "npy": ("m.npy", b"\x93NUMPY", {}, "or an .npz file"),
    "JSON of a list of numbers": ("m.json", b"[1, 2, 3]", {}, "not an object"),
    "JSON columns": ("m.json", b'{"a": [1, 2], "y": [1, 2]}', {}, "object of columns"),
    "JSON lines cut": ("m.jsonl", b'{"a": 1, "y": 2}\n{"a": 1, "y"', {}, "line 2 is not JSON"),
    "JSON nested": ("m.jsonl", b'{"a": [1, 2], "y": 2}\n{"a": [1, 3], "y": 3}\n', {}, "not numbers"),
    "parquet that is none": ("m.parquet", b"PAR1 no", {}, "Parquet"),
    "no target named": ("m.csv", _csv(*GOOD), {"target": None}, "Name it with --target; the table has a, b, y"),
    "target misspelt": ("m.csv", _csv(*GOOD), {"target": "z"}, "no column 'z'"),
    "class unknown": ("m.csv", _csv(*GOOD), {"target": "y=9"}, "unknown class"),
    "too many classes": (
        "m.csv",
        _csv(*(f"{i},{i * i},{i}" for i in range(1, 150))),
        {"target": "y=*"},
        "149 classes",
    ),
    "feature unknown": ("m.csv", _csv(*GOOD), {"features": ["q"]}, "no column 'q'"),
    "feature is target": ("m.csv", _csv(*GOOD), {"features": ["a", "y"]}, "cannot be both"),
    "split column unknown": ("m.csv", _csv(*GOOD), {"split": "part"}, "no column 'part'"),
    "split column of numbers": ("m.csv", _csv(*GOOD), {"split": "a"}, "must say train or test"),
    "all rows test": ("m.csv", _csv("test,2,3", "test,1,6"), {"split": "a"}, "test of every row"),
    "split is no share": ("m.csv", _csv(*GOOD), {"split": 2.0}, "split must be a share"),
    "npz without arrays": ("m.npz", _npz(a=np.zeros(3)), {"target": None}, "lacks the array x and y; it has a"),
    "npz without x": ("m.npz", _npz(y=np.arange(3.0)), {"target": None}, "lacks the array x"),
    "npz wrong lengths": ("m.npz", _npz(x=np.ones((4, 2)), y=np.arange(3.0)), {"target": None}, "(4, 2) and (3,)"),
    "npz of one axis": ("m.npz", _npz(x=np.ones(4), y=np.arange(4.0)), {"target": None}, "x[:, None]"),
    "npz of words": ("m.npz", _npz(x=np.array([["a"]]), y=np.arange(1.0)), {"target": None}, "not numbers"),
    "npz complex": ("m.npz", _npz(x=np.ones((3, 1), complex), y=np.arange(3.0)), {"target": None}, "complex"),
    "npz with NaN": ("m.npz", _npz(x=np.full((3, 1), np.nan), y=np.arange(3.0)), {"target": None}, "NaN"),
    "npz one-hot": ("m.npz", _npz(x=np.ones((4, 2)), y=np.eye(4)), {"target": None}, "argmax"),
    "npz half a test": (
        "m.npz",
        _npz(x=np.ones((3, 2)), y=np.arange(3.0), x_test=np.ones((1, 2))),
        {"target": None},
        "only one of x_test and y_test",
    ),
    "npz cut": (
        "m.npz",
        _npz(x=np.ones((3, 2)), y=np.arange(3.0))[:200],
        {"target": None},
        ".npz file of plain arrays",
    ),
    "npz that is none": ("m.npz", b"no archive", {"target": None}, ".npz file of plain arrays"),
    "npz with a target": ("m.npz", _npz(x=np.ones((3, 2)), y=np.arange(3.0)), {}, "leave out target"),
    "npz of no rows": ("m.npz", _npz(x=np.ones((0, 2)), y=np.ones(0)), {"target": None}, "no rows"),
    "npz of no features": ("m.npz", _npz(x=np.ones((3, 0)), y=np.arange(3.0)), {"target": None}, "d >= 1"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_end_in_one_line_that_names_them(tmp_path, case):
    assert len(MALFORMED) >= 60
    name, content, options, message = MALFORMED[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        from_file(tmp_path / name, **({"target": "y"} | options))
    said = str(caught.value)
    assert "\n" not in said
    assert name in said
    assert message in said


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    for name, mark in (("plain.csv", b""), ("marked.csv", b"\xef\xbb\xbf")):
        (tmp_path / name).write_bytes(mark + table().to_csv(index=False).encode())
    same(*(from_file(tmp_path / name, target="y")[0] for name in ("plain.csv", "marked.csv")))


def test_a_task_prints_in_one_line():
    frame = table()
    task = from_arrays("mine", frame[["x0", "x1"]], frame["y"])
    assert repr(task) == "Task('mine', n = 30, n_test = 10, d = 2, unit rows)"
    assert isinstance(task, Task)


def test_what_a_file_was_and_what_outweighs_its_columns_is_said(tmp_path):
    frame = table()
    frame.to_csv(tmp_path / "index.csv")  # with a first column without a name that counts the rows
    (task,) = from_file(tmp_path / "index.csv", target="y", seed=2)
    first, *others = task.notes
    assert first.startswith("read from index.csv: target y; 4 inputs: Unnamed: 0, x0, x1, x2; 0.75 of the rows")
    assert "data seed 2, normalise sphere" in first
    assert any("column Unnamed: 0 counts the rows" in note for note in others)
    assert any("column Unnamed: 0 has 9" in note and "--normalise standard" in note for note in others)
    (task,) = from_file(tmp_path / "index.csv", target="y", features=["x0", "x1"], normalise="standard")
    assert not any("column" in note for note in task.notes)


@pytest.mark.parametrize("stray", ["NA", "?", "n/a", "inf"])
def test_a_stray_word_among_numbers_is_no_class(tmp_path, stray):
    frame = table().astype(object)
    frame.loc[4, "y"] = stray
    frame.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(
        InputError, match=f"1 of 40 targets in column 'y' are no numbers, first '{re.escape(stray)}' in row 4"
    ):
        from_file(tmp_path / "mine.csv", target="y")


def test_names_keep_their_letters(tmp_path):
    frame = table().assign(y=np.array(["猫", "犬", "鳥"])[np.arange(ROWS) % 3])
    frame.to_csv(tmp_path / "ä b.csv", index=False)
    assert [task.name for task in from_file(tmp_path / "ä b.csv", target="y=*")] == ["ä-b.犬", "ä-b.猫", "ä-b.鳥"]


def _packed(**arrays):
    np.savez_compressed(stream := io.BytesIO(), **arrays)
    return stream.getvalue()


HOSTILE = {
    "objects": (_npz(x=np.array([[None]]), y=np.zeros(1)), "holds objects"),
    "records": (_npz(x=np.zeros(3, [("a", "f8")]), y=np.zeros(3)), "holds records"),
    "more than memory": (_packed(x=np.zeros((1000, 100)), y=np.zeros(1000)), "its data would take"),
    "more than memory, unpacked": (_npz(x=np.zeros((1000, 100), np.uint8), y=np.zeros(1000)), "its data would take"),
    "no archive": (b"x" * 100, "not a .npz file"),
    "complex": (_npz(x=np.ones((3, 2)) * 1j, y=np.zeros(3)), "complex"),
    "dates": (_npz(x=np.zeros((3, 2), "M8[s]"), y=np.zeros(3)), "not numbers"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_that_do_harm_are_refused_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setattr("ntk1bit.arguments.free_memory", lambda: 1e6)
    content, message = HOSTILE[name]
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        from_file(tmp_path / "m.npz")
    assert "\n" not in str(caught.value)


def test_other_byte_orders_orders_of_entries_and_packing_make_the_same_task(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    (tmp_path / "m.npz").write_bytes(_npz(x=x, y=y))
    expected = from_file(tmp_path / "m.npz")[0].digest
    for content in (_packed(x=x, y=y), _npz(x=np.asfortranarray(x.astype(">f8")), y=y.astype(">f8"))):
        (tmp_path / "m.npz").write_bytes(content)
        assert from_file(tmp_path / "m.npz")[0].digest == expected
