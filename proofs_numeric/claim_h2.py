"""D25, Claim H.2: the loss after a step is the loss before it plus four terms.

**Statement.** L(t+1) = L(t) + C1 + C2 + C3 + C4, exactly; the terms are defined in `ntk1bit.networks.two_layer.terms`.

**Derivation.** L(t+1) - L(t) = <r, Delta f> + 1/2 norm(Delta f)^2 by expanding the square. Delta f is the sum over
neurons of what the straight-through estimator predicts (C1 on neurons that do not switch, C2 on those that do) and of
what it does not see (C3); C4 is the square. And C1 + C2 = -eta r^T H r by the definition of H. D25 splits the sums
otherwise: H.2-ball has its own terms, for which C1 = -eta r^T (H - H_perp) r.

**Experiment.** Two checks at every recorded step of every network of the studies below, in float64: the sum of the four
against a loss evaluated anew from the moved weights, and C1 + C2 against a kernel computed from activity bits. Both
sides are computed apart, so a wrong term shows.
"""

from __future__ import annotations

import pandas as pd

from ntk1bit.claims import AtMost, Claim, Evidence, Number, Reach
from ntk1bit.estimators.against_width import recorded_steps
from proofs_numeric.data import Data, highest
from proofs_numeric.proof import Proof
from proofs_numeric.studies import TERM_RATES

CLAIM = Claim(
    id="H.2",
    title="the step's four terms add up",
    statement="L(t+1) = L(t) + C1 + C2 + C3 + C4 exactly, and C1 + C2 = -eta r^T H(t) r.",
    source="D25, Claim H.2",
    assumptions="our split into four sums (see ntk1bit.networks.two_layer.terms); D25's is that of H.2-ball; float64.",
    refuted_by="a relative error above 1e-10",
    criteria=(AtMost("sum.error", 1e-10), AtMost("kernel.error", 1e-10)),
    labels={"sum.error": "error of the sum", "kernel.error": "error of C1 + C2 = -eta r^T H r"},
    reach=Reach(identity=True),
    ranges="rounding of float64",
)
_STUDIES = ("terms", "terms-dims", *(f"terms-rate-{rate:g}" for rate in TERM_RATES))


def evidence(data: Data) -> Evidence:
    """Find the largest errors over all recorded steps."""
    columns = ["identity_error", "kernel_error"]
    taken = pd.concat([pd.DataFrame(recorded_steps(data.frame(study))[columns]) for study in _STUDIES])
    total, kernel = (highest(taken[[name]]) for name in columns)  # NaN if any of them is
    span = f"{len(taken):,} steps"
    return Evidence(
        (
            Number("sum.error", "largest |L(t+1) - L(t) - C1 - C2 - C3 - C4| / L(t)", total, span, "terms"),
            Number("kernel.error", "largest error relative to eta r^T H r", kernel, span, "terms"),
        )
    )


PROOFS = (Proof(CLAIM, _STUDIES, evidence),)
