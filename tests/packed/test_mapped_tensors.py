from __future__ import annotations

from ntk1bit.packed.mapped_tensors import count_entries


def test_shapes_that_no_array_has_are_told_before_they_are_multiplied_out():
    assert count_entries(()) == 1
    assert count_entries((2, 3)) == 6
    assert count_entries((0, 5)) == 0
    for shape in ((-1,), (2**63,), (2**32, 2**32), (0, 2**62, 2**62), (1,) * 9):
        assert count_entries(shape) == -1
