from __future__ import annotations

from ntk1bit.autodiff.frameworks.opened import evaluation_flags, told


def test_flags_are_those_that_a_call_names():
    def call(x, train, *, deterministic=None, inference=False):
        return x

    assert evaluation_flags(call) == {"train": False, "deterministic": True, "inference": True}
    assert evaluation_flags(lambda x, **named: x) == {}
    assert evaluation_flags(lambda training, /: training) == {}  # cannot be given by keyword
    assert evaluation_flags(max) == {}
    assert told({"train": False}) == ("train=False is passed",)
