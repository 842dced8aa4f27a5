"""C6, C6-stable, C6-energy: BitNet against a full-precision Transformer.

**C6, W23.** The loss of both is L(N) = a N^b + c in non-embedding parameters N, and the gap between them shrinks with N.

**C6-stable, W23.** 1-bit training bears learning rates at which full precision fails.

**C6-energy, W23.** At equal energy of inference the 1-bit network has the lower loss.

**Derivation.** None is given in W23; the claims are read off its figures. What one would expect: with T characters for
every size, L(N) falls as a power until T limits it, and c contains the part that more characters would remove. The gap
has a part from capacity (one bit a weight instead of about the two to four that trained weights are known to hold),
which shrinks as L(N) of a smaller N approaches c, and a part from slower training (steps of latent weights that flip
no sign do nothing), which at fixed T need not shrink.

**Experiment.** Character-level Transformers on State of the Union addresses: years before 1990 for training, from 1990
on for validation. Both arms share shape, start, batches and characters; each has its own learning rate at each size,
found by a search on the training loss alone. Gaps are paired by seed. The fit is tested where W23 uses it, by
extrapolation: a, b, c from all sizes but the largest, held against the largest. Stability: excess of the validation
loss at a multiple of full precision's best rate over the loss at that rate, each arm against itself, with a quarter of
the characters; a network that diverges counts as ln V, the loss of guessing uniformly. Energy: joules of a forward
pass at 7 nm by W23's operation counts; at the energy of each full-precision network that lies in the range of the 1-bit
ones, the 1-bit loss is interpolated linearly in log energy. W23's models are four orders of magnitude larger and
trained on more text: what is tested here is the form of its claims at sizes that a laptop trains, not its numbers.
"""

from __future__ import annotations

from ntk1bit.claims import Claim, Exact, Inside

STUDIES = ("language",)
HELD_OUT_ERROR = 0.02  # of the predicted loss at the largest size, relative: seen in W23's figure as "on the curve"

CLAIM = Claim(
    id="C6",
    title="BitNet scales like a full-precision Transformer",
    statement="The validation loss of both is L(N) = a N^b + c, and the gap L_bitnet - L_full shrinks with N.",
    source="W23, Fig. 3",
    assumptions="character-level text, N from 10^4 to 10^6, the same characters for every network, rates tuned for "
    "each arm and size.",
    refuted_by="a gap whose exponent in N is above 0, or a largest size that the smaller ones do not predict",
    criteria=(
        Inside("exponent of the gap in N", high=0.0),
        Exact("error of the predicted loss of the largest size, full", HELD_OUT_ERROR),
        Exact("error of the predicted loss of the largest size, bitnet", HELD_OUT_ERROR),
    ),
    context=(
        Inside("exponent of the relative gap in N", high=0.0),
        Inside("sign-ptq minus bitnet at the largest size", low=0.0),
        Inside("int8-absmax minus full at the largest size", high=0.01),
        Inside("trigram minus bitnet at the smallest size", low=0.0),
        Inside("trigram minus bitnet at the largest size", low=0.0),
    ),
)
CLAIM_STABLE = Claim(
    id="C6-stable",
    title="1-bit training bears larger learning rates",
    statement="At 16 times the best rate of full precision the 1-bit network loses less, against its own loss at that "
    "best rate, than the full-precision one.",
    source="W23, Fig. 4",
    assumptions="the middle size, a quarter of the characters, Adam without clipping of gradients.",
    refuted_by="a 1-bit excess that is the larger one",
    criteria=(Inside("excess of full minus excess of bitnet at 16 times the rate", low=0.0),),
    context=(
        Inside("excess of full minus excess of bitnet at 4 times the rate", low=0.0),
        Inside("excess of full minus excess of bitnet at 64 times the rate", low=0.0),
        Inside("log2 of the best rate, bitnet over full, mean over sizes", low=0.0),
    ),
)
CLAIM_ENERGY = Claim(
    id="C6-energy",
    title="at equal energy the 1-bit network has the lower loss",
    statement="At the inference energy of a full-precision network, counted as W23 counts it at 7 nm, a 1-bit network "
    "has a lower validation loss.",
    source="W23, Fig. 3",
    assumptions="as C6; energy of arithmetic only, no movement of data; full precision in FP16 as in W23.",
    refuted_by="a 1-bit loss above the full-precision one",
    criteria=(Inside("bitnet minus full at equal energy", high=0.0),),
)
