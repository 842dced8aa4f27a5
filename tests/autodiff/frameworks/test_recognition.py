from __future__ import annotations

import subprocess
import sys

import equinox as eqx
import jax
import numpy as np
import pytest

from ntk1bit.autodiff.frameworks.recognition import library_of, open_network
from ntk1bit.errors import InputError


def test_what_has_been_imported_is_recognised():
    assert library_of(eqx.nn.Linear(2, 2, key=jax.random.key(0))) == "equinox"
    assert library_of(lambda p, x: x) == "function"
    linen, nnx, hk = (pytest.importorskip(name) for name in ("flax.linen", "flax.nnx", "haiku"))
    assert library_of(linen.Dense(2)) == "linen"
    assert library_of(nnx.Linear(2, 2, rngs=nnx.Rngs(0))) == "nnx"
    assert library_of(hk.transform(lambda x: x)) == "haiku"
    assert library_of(hk.transform_with_state(lambda x: x)) == "haiku"


@pytest.mark.parametrize("module", [3, None, np.ones(2), eqx.nn.Linear])
def test_what_is_no_network_is_refused(module):
    with pytest.raises(InputError, match=r"no network: .*give an Equinox, Flax"):
        library_of(module)


def test_parameters_beside_those_that_a_module_holds_are_refused():
    with pytest.raises(InputError, match=r"\(Linear\) holds its own parameters; leave params out"):
        open_network(eqx.nn.Linear(2, 2, key=jax.random.key(0)), "equinox", params={}, state=None)


def test_asking_imports_no_library():
    code = (
        "import sys, numpy as np; from ntk1bit.autodiff import module_ntk; "
        "module_ntk(lambda p, x: x @ p, np.ones((2, 3)), params=np.ones((3, 1))); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'flax', 'haiku', 'equinox')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
