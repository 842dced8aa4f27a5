"""Compiled code on disk: filed by processor and source, found again quickly, and not made silently."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from ntk1bit import compiling

PROGRAM = """
import sys, time
import numpy as np
start = time.perf_counter()
from ntk1bit import cores
sys.stderr.isatty = lambda: {terminal}
x = np.ones((20, 40), np.float32)
cores.sign_matmul(x, cores.pack_signs(np.ones((30, 40), bool)))
cores.pack_neurons(np.ones((30, 40), np.float32))
print(cores.seconds_compiling(), time.perf_counter() - start)
"""


def run(tmp_path, *, terminal=False, cpu=None):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    if cpu is not None:
        environment |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    program = PROGRAM.format(terminal=terminal)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    compiling_seconds, total = map(float, done.stdout.split())
    return compiling_seconds, total, done.stderr


def test_compiled_code_is_kept_and_only_run_where_it_was_made_for(tmp_path):
    seconds, _, said = run(tmp_path, terminal=True)
    assert 0 < seconds < 60  # 2 s alone on a core; tests may share it
    assert said.count("compiling kernels") == 1
    seconds, total, said = run(tmp_path, terminal=True)
    assert seconds == 0
    assert said == ""
    assert total < 5  # 0.5 s alone on a core; tests may share it
    seconds, _, said = run(tmp_path, terminal=False, cpu="x86-64")
    assert seconds > 0  # nothing that was made for this processor is run on a lesser one
    assert said == ""  # no terminal, no notice


def test_the_cache_key_names_processor_features_and_source():
    class Codegen:
        def __init__(self, *magic: str) -> None:
            self.magic_tuple = lambda: magic  # numba's description of the target

    cache = compiling._RoomCache(run)
    narrow = cache._index_key("signature", Codegen("x86_64", "haswell", "+avx2"))
    wide = cache._index_key("signature", Codegen("x86_64", "haswell", "+avx2,+avx512f"))
    assert narrow != wide
    assert compiling._source_hash(Path(__file__).parent) in narrow


PLAIN_PROGRAM = """
import numpy as np, pandas as pd
from ntk1bit import cores, scaling, tasks, two_layer
task = tasks.load("digits", n_train=8, n_test=4, seed=0)
run = two_layer.train(task.x, task.y, two_layer.init(40, 64, seed=0), precision="one_bit", steps=3)
active = two_layer.packed_activities(task.x, run.final)
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
    assert backend == "portable"
    assert plain.stderr == ""
    expected = [float.fromhex(number) for number in here.stdout.split()[1:]]
    # float32 sums of 64 terms in another order, over three steps that may flip a sign: measured 2e-6; alpha is 0.5
    np.testing.assert_allclose([float.fromhex(number) for number in numbers], expected, rtol=1e-4)
    doctor = subprocess.run(
        [sys.executable, "-m", "ntk1bit", "doctor"], env=environment, capture_output=True, text=True, check=True
    )
    assert "NUMBA_DISABLE_JIT is set" in doctor.stdout
