from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from ntk1bit.errors import InputError
from ntk1bit.kernels import Kernel, joint_matrix

RNG = np.random.default_rng(0)
FACTOR = RNG.standard_normal((6, 4))
ENTRIES = FACTOR @ FACTOR.T


def test_all_forms_say_the_same():
    forms = [Kernel(matrix=ENTRIES), Kernel(factor=FACTOR), Kernel(operator=aslinearoperator(ENTRIES))]
    v = RNG.standard_normal((6, 2))
    for kernel, form in zip(forms, ("matrix", "factor", "operator"), strict=True):
        assert (kernel.form, kernel.size) == (form, 6)
        np.testing.assert_allclose(kernel.dense(), ENTRIES, atol=1e-14)
        np.testing.assert_allclose(np.asarray(kernel.as_operator() @ v), ENTRIES @ v, atol=1e-13)
        np.testing.assert_allclose(np.asarray(kernel.as_operator() @ v[:, 0]), ENTRIES @ v[:, 0], atol=1e-13)
        np.testing.assert_allclose(np.asarray(kernel.as_operator().T @ v), ENTRIES @ v, atol=1e-13)


def test_several_outputs_are_joined():
    j = RNG.standard_normal((3, 2, 9))
    theta = np.einsum("iop,jqp->ijoq", j, j)
    kernel = Kernel(matrix=theta)
    assert kernel.size == 6
    np.testing.assert_array_equal(kernel.dense(), joint_matrix(theta))


@pytest.mark.parametrize("held", [{"matrix": ENTRIES}, {"factor": FACTOR.astype(np.float32)}])
def test_a_file_holds_all_of_it(held, tmp_path):
    kernel = Kernel(**held, about={"function": "f", "seed": 3}, quality={"stated_error": 0.1}, diagonal=np.ones(6))
    kernel.save(tmp_path / "k.npz")
    found = Kernel.load(str(tmp_path / "k.npz"))
    assert (found.form, found.about, found.quality) == (kernel.form, kernel.about, kernel.quality)
    np.testing.assert_array_equal(found.dense(), kernel.dense())
    assert found.diagonal is not None
    np.testing.assert_array_equal(found.diagonal, np.ones(6))
    for name, array in held.items():
        assert getattr(found, name).dtype == array.dtype


def test_bfloat16_is_kept_in_float32(tmp_path):
    Kernel(factor=FACTOR.astype(ml_dtypes.bfloat16)).save(tmp_path / "k.npz")
    np.testing.assert_array_equal(Kernel.load(tmp_path / "k.npz").factor, FACTOR.astype(ml_dtypes.bfloat16))


def test_what_it_says_of_itself():
    kernel = Kernel(factor=FACTOR, about={"function": "<lambda>", "seed": 3}, quality={"stated_error": 0.125})
    table = kernel.to_frame().set_index("quantity")["value"]
    assert (table["form"], table["rows"], table["seed"], table["stated_error"]) == ("factor", 6, 3, 0.125)
    assert "stated_error 0.125" in repr(kernel)
    assert len(repr(kernel).splitlines()) <= 10
    page = kernel._repr_html_()
    assert "0.125" in page
    assert "&lt;lambda&gt;" in page


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named(tmp_path):
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({}, "one of them; got none"),
        ({"matrix": ENTRIES, "factor": FACTOR}, "one of them"),
        ({"matrix": np.ones((2, 3))}, r"matrix of a kernel cannot have shape \(2, 3\)"),
        ({"matrix": np.ones((2, 2, 3))}, "cannot have shape"),
        ({"factor": np.ones((0, 3))}, "cannot have shape"),
        ({"operator": aslinearoperator(np.ones((2, 3)))}, "cannot have shape"),
        ({"factor": np.ones((2, 2), complex)}, "real numbers"),
        ({"factor": FACTOR, "diagonal": np.ones(2)}, "diagonal of a kernel of 6 rows"),
    ]
    for given, message in mistakes:
        with pytest.raises(InputError, match=message):
            Kernel(**given)
    with pytest.raises(InputError, match="operator is a program"):
        Kernel(operator=aslinearoperator(ENTRIES)).save(tmp_path / "k.npz")
    with pytest.raises(InputError, match=r"must end in \.npz"):
        Kernel(factor=FACTOR).save(tmp_path / "k.txt")


def test_other_files_are_refused_in_a_line(tmp_path):
    path = tmp_path / "k.npz"
    with pytest.raises(InputError, match="cannot read"):
        Kernel.load(path)
    Kernel(factor=FACTOR).save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"PK", whole[:-40], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a whole kernel file"):
            Kernel.load(path)
    for arrays in (
        {"x": np.ones(3)},
        {"format": np.array(1), "about": np.array("{}"), "quality": np.array("{}")},
        {"format": np.array(1), "about": np.array("no JSON"), "quality": np.array("{}"), "factor": FACTOR},
        {"format": np.array(1), "about": np.array("{}"), "quality": np.array('{"a": "b"}'), "factor": FACTOR},
        {"format": np.array(1), "about": np.array("{}"), "quality": np.array("{}"), "factor": np.array(["a"])},
        {"format": np.array(9), "factor": FACTOR},
    ):
        np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="not a whole kernel file"):
            Kernel.load(path)
