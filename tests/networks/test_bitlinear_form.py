from __future__ import annotations

import dataclasses

import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import Projection
from ntk1bit.networks.bitlinear_form import DEFAULT_FORM, FORMS, ROUNDED, W23, BitLinearForm, named_form


def test_the_defaults_are_the_papers_equations():
    assert BitLinearForm() == W23 == named_form("w23")
    assert (W23.sign_at_zero, W23.rounding, W23.gamma, W23.groups) == (-1, False, "tensor", 1)
    assert W23.shift == "as-written"


def test_the_papers_form_is_the_default_and_ours_is_named():
    assert DEFAULT_FORM is W23
    assert ROUNDED is named_form("rounded")
    assert (ROUNDED.sign_at_zero, ROUNDED.rounding, ROUNDED.gamma, ROUNDED.shift) == (1, True, "row", "nowhere")
    assert ROUNDED.surrogate == "identity"
    fields = {field.name: field.default for field in dataclasses.fields(Projection)}
    assert fields["form"] is DEFAULT_FORM


def test_named_forms_change_one_thing_of_the_papers():
    names = [name for name in FORMS if name.startswith("w23-")]
    assert len(names) == 3
    for name in names:
        changed = [field for field in vars(W23) if getattr(FORMS[name], field) != getattr(W23, field)]
        assert len(changed) == 1


def test_packed_inputs_are_integers_with_gamma_per_token():
    for form in FORMS.values():
        found = form.packed()
        assert (found.gamma, found.rounding) == ("row", True)
        assert dataclasses.replace(found, gamma=form.gamma, rounding=form.rounding) == form


def test_at_inference_gamma_is_per_token_and_nothing_else_changes():
    for form in FORMS.values():
        found = form.at_inference()
        assert found.gamma == "row"
        assert dataclasses.replace(found, gamma=form.gamma) == form


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_told_in_one_line():
    cases = [
        (lambda: named_form("w24"), "did you mean 'w23'"),
        (lambda: BitLinearForm(sign_at_zero=0), "-1 \\(W23\\) or 1 \\(D25\\), got 0"),  # pyright: ignore[reportArgumentType]
        (lambda: BitLinearForm(gamma="rows"), "did you mean 'row'"),  # pyright: ignore[reportArgumentType]
        (lambda: BitLinearForm(shift="never"), "shift"),  # pyright: ignore[reportArgumentType]
        (lambda: BitLinearForm(surrogate="signs"), "did you mean 'sign'"),  # pyright: ignore[reportArgumentType]
        (lambda: BitLinearForm(groups=0), "at least one group, got 0"),
        (lambda: BitLinearForm(groups=4).group_size(6), "4 groups do not divide 6 inputs"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
