from __future__ import annotations

import re
from pathlib import Path

import pytest

from ntk1bit.errors import InputError
from ntk1bit.estimators.measured import MEASURES, measure_definition, require_recorded
from ntk1bit.estimators.moments import MOMENTS
from ntk1bit.experiments import SweepSpec
from ntk1bit.experiments.predictions import COLUMNS
from ntk1bit.experiments.two_layer import CHECKPOINT_COLUMNS, TERM_COLUMNS

DOCUMENT = Path(__file__).parents[2] / "docs" / "claims.md"


def test_measures_read_what_sweeps_store_with_the_option_that_they_name():
    options = {"--predictions": COLUMNS, "--terms": TERM_COLUMNS, "--n-test": ("test_loss", "test_outputs")}
    always = {"step", "loss", "eta", *CHECKPOINT_COLUMNS}
    for name, one in MEASURES.items():
        assert set(one.columns) <= {*always, *options.get(one.option, ())}, name
        assert one.option == "" or set(one.columns) & set(options[one.option]), name


def test_every_column_of_a_checkpoint_is_a_measure():
    assert {*CHECKPOINT_COLUMNS, *COLUMNS, "loss", "test_loss"} <= set(MEASURES)


def test_a_misspelt_measure_names_those_that_exist():
    with pytest.raises(InputError, match=r"did you mean 'drift'.*loss, loss_share") as told:
        measure_definition("drfit")
    assert all(name in str(told.value) for name in MEASURES)


@pytest.mark.parametrize(
    ("measure", "settings", "told"),
    [
        ("from_h", {}, "predictions = true"),
        ("c3", {}, "terms = true"),
        ("gap", {"n_test": 0}, "test inputs"),
        ("from_h_test", {"predictions": True, "n_test": 0}, "test inputs"),
        ("gap", {"precisions": ("one_bit",)}, "lacks full"),
    ],
)
def test_a_sweep_without_the_measure_is_refused_with_what_to_ask_for(measure, settings, told):
    with pytest.raises(InputError, match=told) as problem:
        require_recorded(MEASURES[measure], SweepSpec(**settings))
    assert "\n" not in str(problem.value)


def test_a_sweep_with_the_measure_passes():
    everything = SweepSpec(predictions=True, terms=True)
    for one in MEASURES.values():
        require_recorded(one, everything)


def test_the_document_has_the_tables_that_the_program_prints():
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = {name: row.strip(" |") for name, row in re.findall(r"^\| `([\w ]+)` \| (.*)\|$", text, re.M)}
    for name, one in MEASURES.items():
        needs = {"": "", "--n-test": "test inputs"}.get(one.option, f"`{one.option}`")
        assert rows[name] == f"{one.meaning} | {one.recorded_at} | {one.source} | {needs}".strip(" |"), name
    for name, what in MOMENTS.items():
        assert rows[name] == what
