from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ntk1bit.cli.summarising import _explain_gaps, _print_exponents
from ntk1bit.estimators import AgainstWidth, Overview
from ntk1bit.statistics import PowerFit


def test_a_floor_is_printed_with_its_interval_whether_or_not_it_is_seen(capsys):
    plain = PowerFit(True, "", -0.5, -0.6, -0.4, widths=5, smallest=64.0, largest=512.0)
    unseen = replace(plain, floor=0.0, floor_high=0.125, note="no floor in sight (it would be below 0.125)")
    level = PowerFit(False, "level near 0.2 [0.1, 0.3]; too little lies above it to give an exponent")
    table = pd.DataFrame({"width": [64], "value": [1.0], "low": [0.9], "high": [1.1], "seeds": [5]})
    settings = {"precision": "one_bit", "scale": "std"}
    found = (
        AgainstWidth("gap", "", settings, table, plain, unseen),
        AgainstWidth("loss", "", settings, table, plain, level),
    )
    _print_exponents(Overview(found, (), ()).exponents())
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "m^p" in line]
    assert len(lines) == 4
    power, floored, _, refused = (" ".join(line) for line in lines)
    assert "-0.500 [-0.600, -0.400] 64..512, 5 widths" in power
    assert "-0.500 [-0.600, -0.400] 0 [0, 0.125] 64..512, 5 widths no floor in sight" in floored
    assert "level near 0.2 [0.1, 0.3]" in refused


def test_what_is_missing_from_a_table_is_explained_under_it(capsys):
    gap = np.nan
    rows = [
        ("steps to 0.1", 4.0, 3.0, 5.0, 3),
        ("steps to 0.01", gap, gap, gap, 3),
        ("rate", gap, gap, gap, 3),
        ("loss", 0.5, gap, gap, 1),
    ]
    table = pd.DataFrame(rows, columns=["quantity", "value", "low", "high", "seeds"])
    _explain_gaps(table)
    assert capsys.readouterr().out.splitlines() == [
        "- no value (steps to 0.01): the loss of some seed does not get there within the steps that were run",
        "- no value (rate): the loss of some seed does not fall to a tenth of its start",
        "[?] no interval: one seed; two or more give one",
    ]
    _explain_gaps(table.assign(seeds=2))
    assert "[?] no interval: too few seeds: without one" in capsys.readouterr().out
    _explain_gaps(table.iloc[:1])
    assert capsys.readouterr().out == ""
