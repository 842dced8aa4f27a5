from __future__ import annotations

import pytest

from ntk1bit.energy.counting import ARMS, NODES, Reading, count_operations, joules
from ntk1bit.energy.published import (
    GROUPS,
    REDUCTIONS,
    SIZES,
    TABLE_1,
    check_published,
    compare_published,
    count_readings,
    implied_costs,
    measure_energy,
    readings,
    size_joules,
)
from ntk1bit.energy.weight_memory import weight_bytes
from ntk1bit.errors import InputError

MACS = Reading(one_less=False)  # n additions to a sum of n terms


def test_all_full_precision_figures_are_reproduced_and_the_others_are_named():
    table = check_published()
    assert len(table) == 4 * len(TABLE_1) + len(REDUCTIONS)
    assert set(table["group"]) == set(GROUPS)
    assert all(row["agrees"] for row in table.to_dict("records") if row["group"] == "full precision")
    missed = [row for row in table.to_dict("records") if not row["agrees"]]
    assert [(row["size"], row["arm"], row["what"], row["printed"]) for row in missed] == [
        ("6.7B", "bitnet", "add", 0.04),
        ("30B", "bitnet", "add", 0.14),
        ("30B", "full16 / bitnet", "ratio", 38.8),
    ]
    assert all((row["short"] > 0) != row["agrees"] for row in table.to_dict("records"))


def test_figures_by_hand():
    table = check_published(MACS)
    by_key = {(r["size"], r["arm"], r["node"], r["what"]): r["recomputed"] for r in table.to_dict("records")}
    # 6.7B: 12 * 32 * 4096^2 * 512 linear and 2 * 32 * 512^2 * 4096 attention multiply-accumulates
    linear, attention = 3_298_534_883_328, 68_719_476_736
    assert by_key["6.7B", "full32", "7nm", "mul"] == pytest.approx((linear + attention) * 1.31e-12, rel=1e-13)
    assert by_key["6.7B", "bitnet", "7nm", "add"] == pytest.approx(linear * 7e-15 + attention * 1.6e-13, rel=1e-13)


def test_a_wrong_cost_or_count_would_show():
    """The comparison must be able to fail: energies one per cent off miss most figures."""
    found = size_joules()
    assert compare_published(found)["agrees"].tolist().count(True) >= 40
    off = found.assign(mul=1.01 * found["mul"], add=1.01 * found["add"])
    assert compare_published(off)["agrees"].tolist().count(True) < 25


def test_each_reduction_belongs_to_its_size():
    """Recomputed within half a per cent of what Fig. 1 prints at that size, and nowhere else: sizes differ by 12 %."""
    table = check_published()
    found = {row["size"]: row for row in table.to_dict("records") if row["group"] == "reduction"}
    assert list(found) == list(REDUCTIONS) == list(SIZES)
    for row in found.values():
        assert row["recomputed"] == pytest.approx(row["printed"], rel=5e-3)


def test_readings_are_all_tried_and_one_figure_is_left():
    every = list(readings())
    assert len(every) == len(set(every)) == 2 ** len(vars(Reading()))
    assert every[0] == Reading()
    found = count_readings()
    assert len(found) == len(every)
    assert found["total"].iloc[0] == found["total"].max() == 43
    assert found["missed"].iloc[0] == "6.7B bitnet 7nm add 0.04"
    assert found["missed"].str.contains("6.7B bitnet 7nm add 0.04").all()


def test_printed_energies_imply_the_printed_costs_but_for_bitnet_at_7_nm():
    found = implied_costs()
    assert len(found) == 11
    outside = found.loc[~found["inside"], ["source", "node", "format", "operation"]].to_numpy().tolist()
    assert outside == [["Table 1", "7nm", "int8", "add"], ["reductions", "7nm", "int8", "add"]]
    table, ratio = (
        found.loc[(found["node"] == "7nm") & (found["source"] == s)].iloc[-1] for s in ("Table 1", "reductions")
    )
    assert table["low"] > ratio["high"] > 0.007  # no cost serves both


def test_a_measurement_holds_every_arm_and_agrees_with_the_figures():
    shape = SIZES["6.7B"]
    frame = measure_energy(layers=32, width=4096, tokens=512, heads=32, vocabulary=16_000)
    assert len(frame) == len(ARMS) * 3 * len(NODES)
    row = frame.query("arm == 'bitnet' and model == 'w23' and node == '45nm'").iloc[0]
    assert (row["mul"], row["add"]) == tuple(joules(count_operations(shape, "bitnet"), "45nm"))
    assert row["parameters"] == 12 * 32 * 4096**2
    assert row["total_bytes"] == weight_bytes(shape, "bitnet").total


def test_missing_energies_are_told():
    with pytest.raises(InputError, match="are missing"):
        compare_published(size_joules().iloc[1:])
