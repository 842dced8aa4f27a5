from __future__ import annotations

import os

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff.block_files import open_folder
from ntk1bit.errors import InputError

OF = {"network": "a" * 64, "x": "b" * 64, "block": 7, "trace_outputs": True}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, jnp.bfloat16])
def test_blocks_come_back_as_they_were(tmp_path, dtype):
    block = np.array([[1.5, -0.0, np.inf], [2.0**-20, 7.0, -3.0]]).astype(dtype)
    with open_folder(tmp_path / "deep" / "kernel", OF) as kept:
        assert kept.read("0-0", block.shape, block.dtype) is None
        kept.write("0-0", block)
    with open_folder(str(tmp_path / "deep" / "kernel"), OF) as kept:
        found = kept.read("0-0", block.shape, block.dtype)
        assert found is not None
        assert (found.dtype, found.shape, found.tobytes()) == (block.dtype, block.shape, block.tobytes())
        assert kept.damaged == 0


def test_what_is_no_such_block_is_set_aside(tmp_path):
    block = np.ones((2, 3), np.float32)
    with open_folder(tmp_path / "one", OF) as one, open_folder(tmp_path / "other", OF | {"block": 8}) as other:
        for name in ("of another kernel", "of another shape", "text"):
            one.write(name, block)
        os.replace(tmp_path / "one/blocks/of another kernel.npz", tmp_path / "other/blocks/of another kernel.npz")
        (tmp_path / "one/blocks/text.npz").write_text("no arrays")
        assert other.read("of another kernel", (2, 3), block.dtype) is None
        assert one.read("of another shape", (2, 2), block.dtype) is None
        assert one.read("text", (2, 3), block.dtype) is None
        assert (one.damaged, other.damaged) == (2, 1)
        assert len(list((tmp_path / "one/set_aside").iterdir())) == 2
        assert one.read("text", (2, 3), block.dtype) is None  # gone
        assert one.damaged == 2


def test_folders_that_cannot_be_used_are_refused_in_a_line(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".DS_Store").touch()
    (tmp_path / "mine" / "thesis.txt").touch()
    (tmp_path / "file").touch()
    refused = {
        tmp_path / "mine": "holds 'thesis.txt' and is no kernel's folder; give an empty one",
        tmp_path / "file": "cannot keep blocks in .*file: .*; those that are there stay: set that right",
    }
    for folder, message in refused.items():
        with pytest.raises(InputError, match=message) as told, open_folder(folder, OF):
            pass
        assert "\n" not in str(told.value)
    another = pytest.raises(InputError, match="another process computes a kernel in")
    with open_folder(tmp_path / "held", OF), another, open_folder(tmp_path / "held", OF):
        pass
    of_others = pytest.raises(InputError, match=r"with other network, block \(7\); give the same again")
    with of_others, open_folder(tmp_path / "held", OF | {"network": "c" * 64, "block": 8}):
        pass


def test_half_written_blocks_are_cleared(tmp_path):
    with open_folder(tmp_path, OF):
        left = tmp_path / "blocks" / ".0-0.npz.writing-1-2"
        left.write_bytes(b"half")
    with open_folder(tmp_path, OF):
        assert not left.exists()


def test_a_full_disk_is_told_of_in_a_line(tmp_path, monkeypatch):
    def refuse(path, data):
        raise OSError(28, "No space left on device", str(path))

    with open_folder(tmp_path, OF) as kept:
        monkeypatch.setattr("ntk1bit.array_files.write_whole", refuse)
        with pytest.raises(InputError, match=r"blocks in .*0-0.npz: No space left on device; those that are there"):
            kept.write("0-0", np.ones((1, 1)))
