"""Compiled code on disk: filed by processor and source, found again quickly, and not made silently."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import ntk1bit
from ntk1bit import compiling
from ntk1bit.errors import InputError

PROGRAM = """
import sys
import numpy as np
from ntk1bit import cores
sys.stderr.isatty = lambda: {terminal}
x = np.ones((20, 40), np.float32)
cores.sign_matmul(x, cores.pack_signs(np.ones((30, 40), bool)))
cores.pack_neurons(np.ones((30, 40), np.float32))
print(cores.seconds_compiling())
"""


def run(tmp_path, *, terminal=False, cpu=None):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    if cpu is not None:
        environment |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    program = PROGRAM.format(terminal=terminal)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout), done.stderr


def test_compiled_code_is_kept_and_only_run_where_it_was_made_for(tmp_path):
    seconds, said = run(tmp_path, terminal=True)
    assert seconds > 0
    assert said.count("compiling kernels") == 1
    seconds, said = run(tmp_path, terminal=True)
    assert seconds == 0
    assert said == ""
    seconds, said = run(tmp_path, terminal=False, cpu="x86-64")
    assert seconds > 0  # nothing that was made for this processor is run on a lesser one
    assert said == ""  # no terminal, no notice


def test_the_cache_key_names_processor_features_source_and_settings(monkeypatch):
    class Codegen:
        def __init__(self, *magic: str) -> None:
            self.magic_tuple = lambda: magic  # numba's description of the target

    def name(*magic: str, signature: str = "signature") -> str:
        return compiling._PackageCache(run)._file_name(signature, Codegen(*magic))

    narrow = name("x86_64", "haswell", "+avx2")
    others = [
        name("x86_64", "haswell", "+avx2,+avx512f"),
        name("x86_64", "haswell", "+avx2", signature="other"),
        name("x86_64", "broadwell", "+avx2"),
    ]
    monkeypatch.setattr(compiling, "_source_hash", lambda package: "changed")
    others.append(name("x86_64", "haswell", "+avx2"))
    monkeypatch.undo()
    monkeypatch.setattr(compiling.config, "OPT", 0)
    others.append(name("x86_64", "haswell", "+avx2"))
    monkeypatch.undo()
    assert narrow == name("x86_64", "haswell", "+avx2")
    assert len({narrow, *others}) == 6


def test_a_change_of_any_source_of_the_package_is_noticed_and_its_place_is_not(tmp_path):
    for place in ("here", "there", "changed"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "kernel.py").write_text("one")
        (tmp_path / place / "piece.py").write_text("two" if place == "changed" else "three")
    here, there, changed = (compiling._source_hash(tmp_path / place) for place in ("here", "there", "changed"))
    assert here == there != changed


QUANTIZE = """
import numpy as np
from ntk1bit import cores
from ntk1bit.compiling import kernels_on_disk
packed = cores.pack_neurons(np.linspace(-1, 1, 1200, dtype=np.float32).reshape(30, 40))
print(cores.seconds_compiling(), kernels_on_disk().look().damaged, *map(float.hex, map(float, packed.mu)))
"""


def quantize(folder):
    """Return the time of compiling, how many damaged files there were, and numbers that the kernel computes."""
    done = subprocess.run(
        [sys.executable, "-c", QUANTIZE],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    seconds, damaged, *numbers = done.stdout.split()
    return float(seconds), int(damaged), numbers


def test_a_damaged_file_is_compiled_again_once(tmp_path):
    """A power cut leaves a file empty or cut short; numba's own cache then failed for good."""
    seconds, damaged, numbers = quantize(tmp_path)
    assert seconds > 0
    (kept,) = tmp_path.rglob("*.kernel")
    kept.write_bytes(kept.read_bytes()[:-1])
    again, damaged, same = quantize(tmp_path)
    assert again > 0
    assert damaged == 1
    assert same == numbers
    assert quantize(tmp_path) == (0, 0, numbers)


def test_where_nothing_can_be_kept_kernels_are_compiled(tmp_path):
    (tmp_path / "file").touch()
    seconds, _, numbers = quantize(tmp_path / "file")
    assert seconds > 0
    assert len(numbers) == 30


def test_kernels_are_functions_of_modules():
    """What a kernel closes over would not be part of the name of its file."""
    assert all(each.py_func.__closure__ is None for each in dispatchers())


PLAIN_PROGRAM = """
import numpy as np, pandas as pd
from ntk1bit import cores, scaling
from ntk1bit.data import tasks
from ntk1bit.networks import two_layer
task = tasks.load("digits", n_train=8, n_test=4, seed=0)
run = two_layer.train(task.x, task.y, two_layer.init(40, 64, seed=0), precision="one_bit", steps=3)
active = two_layer.packed_activation_patterns(task.x, run.final)
assert (cores.bit_gram(active) == cores.bit_gram_reference(active)).all()
n = np.geomspace(1e3, 1e6, 9)
fit = scaling.fit(pd.DataFrame({"N": n, "loss": 2 * n**-0.5}), "power", x="N", bootstrap=0)
print(cores.settings().backend, *map(float.hex, [*run.loss, fit.estimate[1]]))
"""


def test_without_a_compiler_kernels_run_as_plain_python():
    """NUMBA_DISABLE_JIT is how one steps through kernels, or measures which lines ran."""
    here = subprocess.run([sys.executable, "-c", PLAIN_PROGRAM], capture_output=True, text=True, check=True)
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", PLAIN_PROGRAM]
    plain = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    backend, *numbers = plain.stdout.split()
    assert backend == "blas"
    assert plain.stderr == ""
    expected = [float.fromhex(number) for number in here.stdout.split()[1:]]
    # float32 sums of 64 terms in another order, over three steps that may flip a sign: measured 2e-6; alpha is 0.5
    np.testing.assert_allclose([float.fromhex(number) for number in numbers], expected, rtol=1e-4)
    doctor = subprocess.run(
        [sys.executable, "-m", "ntk1bit", "doctor"], env=environment, capture_output=True, text=True, check=True
    )
    assert "NUMBA_DISABLE_JIT is set" in doctor.stdout


def dispatchers() -> Iterator[Dispatcher]:
    """All kernels and pieces of kernels, each once."""
    root = Path(ntk1bit.__file__).parent
    for source in sorted(root.rglob("*.py")):
        if "from ntk1bit.compiling import" in source.read_text(encoding="utf-8"):
            module = importlib.import_module(".".join(source.relative_to(root.parent).with_suffix("").parts))
            yield from (
                each for each in vars(module).values() if isinstance(each, Dispatcher) and made_in(each, module)
            )


def made_in(dispatcher, module):
    return dispatcher.py_func.__module__ == module.__name__


def is_kernel(dispatcher):
    return isinstance(dispatcher._cache, compiling._PackageCache)


def test_kernels_do_not_call_each_other():
    """A kernel is stored with its own code; what it would call might come from disk, or not."""
    found = list(dispatchers())
    assert len(found) > 40
    for each in filter(is_kernel, found):
        used = [each.py_func.__globals__.get(name) for name in each.py_func.__code__.co_names]
        assert not [other for other in used if isinstance(other, Dispatcher) and is_kernel(other)], each


PIECES = """
import numpy as np
from ntk1bit import cores
from ntk1bit.cores import neurons
cores.pack_neurons(np.ones((30, 40), np.float32))
for compiled in neurons._quantize.overloads.values():
    for function in compiled.library.get_defined_functions():
        if function.linkage.name == "linkonce_odr":
            print(neurons._quantize.py_func.__name__, function.name)
"""


def test_the_pieces_of_a_kernel_bear_its_name(tmp_path):
    """A weak symbol under a piece's own name would be taken from whichever code was loaded first."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PIECES], env=environment, capture_output=True, text=True, check=True)
    weak = [line.split() for line in done.stdout.splitlines()]
    ours = [(kernel, name) for kernel, name in weak if "7ntk1bit" in name]
    assert ours
    for kernel, name in ours:
        assert f".in._ZN7ntk1bit5cores7neurons{len(kernel)}{kernel}" in name


FITS = """
import sys, hashlib, warnings
import numpy as np
{first}
from ntk1bit.scaling import fit
from tests.scaling.synthetic import BESIROGLU, chinchilla_design, draw_losses, width_design
warnings.simplefilter("ignore")
runs = draw_losses(chinchilla_design(60), "chinchilla", BESIROGLU, noise=0.01, outliers=0.03, seed=1)
widths = draw_losses(width_design(), "power+floor", {{"E": 0.02, "A": 3.0, "alpha": 0.8}}, noise=0.05, seed=3)
digest = hashlib.sha256()
for frame, law, x in ((runs, "chinchilla", ("N", "D")), (runs, "kaplan", ("N", "D")), (widths, "broken", "x")):
    found = fit(frame, law, x=x, bootstrap=20)
    for part in (found.latent, found.latent_replicates, found.starts.objectives, found.jackknife):
        digest.update(part.tobytes())
    digest.update(str((found.starts.reached_best, found.gradient)).encode())
print(digest.hexdigest())
"""
# Calls the objective by itself, so that it and its pieces are compiled, or loaded, before the solver.
OBJECTIVE_FIRST = """
from ntk1bit.scaling.laws import get_law
from ntk1bit.scaling.objective import objective_and_gradient
tape = get_law("power").tape
work = tuple(np.zeros(shape) for shape in (9, 9, (9, 4), (9, 4), (9, 4), 4, 4))
objective_and_gradient(tuple(tape), np.ones(2), work, 1e-3, 0.5, 4, np.ones(2))
"""


@pytest.mark.slow
def test_code_from_disk_gives_the_bits_of_code_just_compiled(tmp_path):
    def bits(folder, first=""):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / folder)}
        program = FITS.format(first=first)
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            cwd=Path(__file__).parents[1],  # where the drawn tables of the tests can be imported from
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    compiled = bits("whole")
    assert bits("whole") == compiled  # all of it from disk
    assert bits("other", OBJECTIVE_FIRST) == compiled  # the objective compiled first
    for file in (tmp_path / "other").rglob("*lbfgs*"):
        file.unlink()
    assert bits("other", OBJECTIVE_FIRST) == compiled  # the objective from disk, the solver compiled
    assert bits("other") == compiled


def test_features_to_compile_for_are_read_as_llvm_reads_them(monkeypatch):
    monkeypatch.setattr(compiling.config, "CPU_FEATURES", "+avx2,+fma,-avx2", raising=False)
    assert compiling.chosen_features() == {"fma"}
    for given, expected in ((None, None), ("", frozenset())):
        monkeypatch.setattr(compiling.config, "CPU_FEATURES", given, raising=False)
        assert compiling.chosen_features() == expected
    for given in ("avx2", "+avx2, +fma"):
        monkeypatch.setattr(compiling.config, "CPU_FEATURES", given, raising=False)
        with pytest.raises(InputError, match="must be flags such as"):
            compiling.chosen_features()
