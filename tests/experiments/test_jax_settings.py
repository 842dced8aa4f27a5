from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pandas as pd

from ntk1bit.experiments import ExperimentList, Store
from ntk1bit.experiments.deep import DeepSimilarity
from ntk1bit.experiments.jax_settings import our_jax_settings
from ntk1bit.experiments.runner import compute

ONE = DeepSimilarity(task="bessel", k=1, epochs=2, seeds=(0,))


def computed(folder: Path) -> pd.DataFrame:
    store = Store(folder)
    store.open(ExperimentList((ONE,)))
    compute(folder, ONE)
    return store.frame([ONE])


def test_settings_of_the_user_change_no_number(tmp_path):
    """Under JAX_ENABLE_X64 the same cell had other numbers under the same key."""
    usual = computed(tmp_path / "usual")
    with jax.enable_x64(True), jax.default_prng_impl("rbg"):
        with jax.debug_nans(True):
            pd.testing.assert_frame_equal(computed(tmp_path / "other"), usual, check_exact=True)
        plain = ONE.run(tmp_path / "plain")
        assert jnp.ones(1).dtype == jnp.float64  # the setting is as it was
    assert not plain["loss_full"].equals(usual["loss_full"])  # without ours they do matter
    jax.config.update("jax_random_seed_offset", 7)
    try:
        pd.testing.assert_frame_equal(computed(tmp_path / "offset"), usual, check_exact=True)
        assert getattr(jax.config, "jax_random_seed_offset", None) == 7
    finally:
        jax.config.update("jax_random_seed_offset", 0)


def test_variables_of_the_user_are_overruled_and_jax_is_loaded_for_them_alone():
    code = (
        "import sys\n"
        "from ntk1bit.experiments.jax_settings import our_jax_settings\n"
        "with our_jax_settings():\n"
        "    print(sys.modules['jax'].config.jax_enable_x64 if 'jax' in sys.modules else 'not loaded')\n"
    )
    told = {}
    for name, more in (("none", {}), ("x64", {"JAX_ENABLE_X64": "1"})):
        call = [sys.executable, "-c", code]
        told[name] = subprocess.run(call, capture_output=True, text=True, check=True, env=os.environ | more).stdout
    assert told == {"none": "not loaded\n", "x64": "False\n"}


def test_a_body_that_fails_leaves_settings_as_they_were():
    with jax.enable_x64(True):
        try:
            with our_jax_settings():
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        assert jnp.ones(1).dtype == jnp.float64
