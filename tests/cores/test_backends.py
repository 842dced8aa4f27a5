from __future__ import annotations

import threading

import pytest

from ntk1bit import cores
from ntk1bit.cores import backends
from ntk1bit.cores.threads import run_pieces
from ntk1bit.errors import InputError


def test_the_choice_ends_with_the_block():
    before = cores.settings()
    with cores.using(backend="blas", threads=3) as inside:
        assert cores.settings() == inside == cores.CoreSettings(backend="blas", threads=3)
        with cores.using(threads=1):
            assert cores.settings() == cores.CoreSettings(backend="blas", threads=1)
        assert cores.settings() == inside
    assert cores.settings() == before


def test_the_choice_stays_in_its_thread():
    seen = []
    with cores.using(threads=7):
        thread = threading.Thread(target=lambda: seen.append(cores.settings().threads))
        thread.start()
        thread.join()
    assert seen != [7]


def test_unknown_choices_are_refused():
    with (
        pytest.raises(InputError, match="unknown backend 'vectrs' \\(did you mean 'vectors'"),
        cores.using(backend="vectrs"),
    ):
        pass
    with pytest.raises(InputError, match="threads must be 1 or more, got 0"), cores.using(threads=0):
        pass


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("avx2 fma avx512f", ("avx2", "vectors", "blas")),  # the rest of AVX-512 is missing
        ("avx512f avx512bw avx512dq avx512vl avx2 fma", ("avx512", "avx2", "vectors", "blas")),
        ("neon", ("neon", "vectors", "blas")),
        ("sse4.2", ("vectors", "blas")),
    ],
)
def test_a_processor_gets_the_backends_it_can_run(features, expected, monkeypatch):
    monkeypatch.setattr(backends, "cpu_features", lambda: frozenset(features.split()))
    backends.available_backends.cache_clear()
    try:
        assert cores.available_backends() == expected
        missing = next(name for name in cores.BACKENDS if name not in expected)
        with pytest.raises(InputError, match=f"cannot run the backend '{missing}'"), cores.using(backend=missing):
            pass
    finally:
        backends.available_backends.cache_clear()


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ("avx2 fma", "has avx2, fma; faster with avx512f"),
        ("neon", "has neon"),
        ("avx512f avx512bw avx512dq avx512vl", "faster int8 products and kernels with avx512vnni, avx512vpopcntdq"),
        ("sse4.2", "no instruction set known here; faster with avx512f"),
    ],
)
def test_the_reason_for_a_backend(features, words, monkeypatch):
    monkeypatch.setattr(backends, "cpu_features", lambda: frozenset(features.split()))
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+this")
    backends.available_backends.cache_clear()
    try:
        assert words in backends.reason()
        assert "NUMBA_CPU_FEATURES=+this" in backends.reason()
    finally:
        backends.available_backends.cache_clear()


def test_only_lesser_processors_can_be_taken_for_this_one():
    for name in backends.LESSER:
        assert {"NUMBA_CPU_FEATURES", "OPENBLAS_CORETYPE"} < set(backends.environment_of(name))
    with pytest.raises(InputError, match="unknown lesser processor 'neon'"):
        backends.environment_of("neon")


def test_every_piece_runs_once_and_errors_come_through():
    for threads in (1, 2, 5):
        done: list[int] = []
        run_pieces(done.append, 100, threads=threads, work_ns=1e9)
        assert sorted(done) == list(range(100))

    def fail(index: int) -> None:
        if index == 5:
            raise ValueError("piece 5")

    for threads in (1, 2):
        with pytest.raises(ValueError, match="piece 5"):
            run_pieces(fail, 50, threads=threads, work_ns=1e9)


def test_small_work_stays_on_the_calling_thread():
    seen: set[int] = set()
    run_pieces(lambda _: seen.add(threading.get_ident()), 50, threads=4, work_ns=1e3)
    assert seen == {threading.get_ident()}
