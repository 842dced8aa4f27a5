"""W23's BitLinear as it is written, and where ours deviates from it: one description that a `Projection` carries.

    Wq  = Sign(W - alpha),  alpha = mean W                          Eqs. 1, 3; Sign(0) = -1 (Eq. 2)
    xq  = Clip(x Q_b/gamma, -Q_b + eps, Q_b - eps)                  Eqs. 4, 5; gamma = max|x|
    xq  = Clip((x - eta) Q_b/gamma, eps, Q_b - eps),  eta = min x   Eq. 6: before a non-linearity
    y   = beta gamma/Q_b  Wq xq(LN(x)),  beta = mean|W|             Eqs. 11, 12

`W23` is that, and the default of the arm `bitnet`; `ROUNDED` is ours, and any mixture of the two is a `BitLinearForm`.
`FORMS` names these and three that change one thing of `W23`.
What to know before `W23` is used:

- **Eq. 4 prints no rounding.** Then xq is a real number, and since gamma is the largest |x|, clipping moves the largest
  entries by eps and no other: beta gamma/Q_b scales all of it back, and the layer computes beta Sign(W - alpha) x to
  one part in 2^24. Activations have b bits only if they are rounded as well, which is our reading of Eq. 4
  (`rounding=True`), and what an 8-bit kernel needs: `packed.export` rounds. Rounded numbers are
  clipped to +-(Q_b - 1), the largest that b bits with a sign hold on both sides: eps = 1.
- **eps has no value in W23.** Here it is Q_b 2^-24, the distance from Q_b to the next float32 below it.
- **Eq. 6** subtracts eta, and Eq. 11 does not add it back: y has the term -eta beta Wq 1, whatever x is. With gamma =
  max|x| as printed, x - eta reaches max x - min x, up to 2 gamma, and what lies above gamma is cut: up to half of a
  normalised row. `shift="full-range"` takes gamma = max(x - eta), which maps x onto [0, Q_b], the range that W23 names
  there. Which layer of a Transformer stands before a non-linearity is open; in ours it is the first of the feed-forward
  pair, whose outputs go into the activation.
- **gamma and eta per tensor** depend on every row of a batch: rows are not independent, and a character sees later ones
  through them. W23 has them per tensor in training and per token at inference: `at_inference`.
- **Gradients.** W23 skips Sign and Clip and does not say whether alpha, beta, gamma and eta are differentiated.
  `"sign"`, the surrogate of `W23`, differentiates alpha and beta as they are written and nothing of Sign. gamma and eta
  are held in every form: without rounding or shift differentiating gamma would change the gradient by 2^-24.
- **Groups** (Eqs. 13 to 15) divide the fan-in: group g has its own columns of W and entries of x, and its own alpha,
  beta, gamma, eta and normalisation. (W23 calls W and x both n x m and divides axis n, which is the fan-in in Eq. 8.)
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from ntk1bit.errors import InputError, require_choice
from ntk1bit.networks.quantizers import SIGNS_AT_ZERO, SURROGATES, SignAtZero, Surrogate

Gamma = Literal["tensor", "row"]
GAMMAS: tuple[str, ...] = get_args(Gamma)
Shift = Literal["nowhere", "as-written", "full-range"]
SHIFTS: tuple[str, ...] = get_args(Shift)


@dataclass(frozen=True)
class BitLinearForm:
    """How a layer of the arm `bitnet` quantises; the defaults are W23's equations as they are printed.

    Attributes
    ----------
    sign_at_zero
        Sign(0): -1 (W23, Eq. 2), or +1.
    rounding
        Whether inputs are rounded to integers, which Eq. 4 does not print.
    gamma
        What the largest magnitude is taken over: ``"tensor"``, all rows that the layer is given at once (W23 in
        training), or ``"row"`` (W23 at inference: a token). The same for eta.
    shift
        Whether layers before a non-linearity shift their inputs by their minimum (Eq. 6): ``"nowhere"``,
        ``"as-written"`` with gamma = max|x|, or ``"full-range"`` with gamma = max(x - min x).
    groups
        G, at least 1; it divides the number of inputs (Eqs. 13 to 15).
    surrogate
        The straight-through estimator of weights where a call names none.

    Raises
    ------
    InputError
        For an unknown name, or fewer than one group.
    """

    sign_at_zero: SignAtZero = -1
    rounding: bool = False
    gamma: Gamma = "tensor"
    shift: Shift = "as-written"
    groups: int = 1
    surrogate: Surrogate = "sign"

    def __post_init__(self) -> None:
        """Refuse what no layer does."""
        if self.sign_at_zero not in SIGNS_AT_ZERO:
            raise InputError(f"sign_at_zero must be -1 (W23) or 1 (D25), got {self.sign_at_zero}")
        require_choice("gamma", self.gamma, GAMMAS)
        require_choice("shift", self.shift, SHIFTS)
        require_choice("surrogate", self.surrogate, SURROGATES)
        if self.groups < 1:
            raise InputError(f"a layer needs at least one group, got {self.groups}")

    def at_inference(self) -> BitLinearForm:
        """Return the same form with gamma and eta per token (W23, section 2.1)."""
        return dataclasses.replace(self, gamma="row")

    def packed(self) -> BitLinearForm:
        """Return the form that 8-bit kernels compute: that of inference, with inputs rounded to integers."""
        return dataclasses.replace(self, gamma="row", rounding=True)

    def group_size(self, inputs: int) -> int:
        """Return the number of inputs of a group.

        Raises
        ------
        InputError
            If the groups do not divide the inputs.
        """
        if inputs % self.groups:
            raise InputError(f"{self.groups} groups do not divide {inputs} inputs; give a divisor of {inputs}")
        return inputs // self.groups


W23 = BitLinearForm()
ROUNDED = BitLinearForm(sign_at_zero=1, rounding=True, gamma="row", shift="nowhere", surrogate="identity")
FORMS: dict[str, BitLinearForm] = {
    "w23": W23,
    "w23-8bit": dataclasses.replace(W23, rounding=True),
    "w23-unshifted": dataclasses.replace(W23, shift="nowhere"),
    "w23-full-range": dataclasses.replace(W23, shift="full-range"),
    "rounded": ROUNDED,
}
DEFAULT_FORM = W23  # of the arm `bitnet`


def named_form(name: str) -> BitLinearForm:
    """Return a form by its name in `FORMS`.

    Raises
    ------
    InputError
        For another name.
    """
    return FORMS[require_choice("form", name, FORMS)]
