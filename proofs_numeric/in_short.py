"""What the verdicts add up to, a sentence each; a sentence is said only while the verdicts it rests on stand.

A sentence names the outcomes that it rests on: of claims, and, where it says more than that a claim is refuted, of
single findings, as ``claim/measure``. On the page the verdicts follow it, in the words of verdicts.json and with what
is left of them among all others, so that no reader takes it for more than they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from ntk1bit.claims.results import ClaimEntry, Results

_LIMITS = ("sphere16", "sphere32", "sphere64", "digits", "sphere32wide", "sphere256")  # the settings of C11

SENTENCES: tuple[tuple[dict[str, str], str], ...] = (
    (
        dict.fromkeys(("D.7", "Eq.5", "I.3", "5.1", "H.2"), "supported"),
        "D25's lemmas about the start and about a single step hold with room, most of them without the powers of d and "
        "D in their bounds. The printed argument for Eq. (5) has a gap; its conclusion has a proof here.",
    ),
    (
        {"I.6": "inconclusive"},
        "That weights at the start are bounded (Lemma I.6) has a proof here with its constant; that it fails rarely at "
        "every width and dimension takes more draws than were made.",
    ),
    (
        {"H.5-ball": "refuted", "I.2-rate": "refuted"},
        "At the rate of D25's own lemmas hardly any sign flips in a step: C3 then nearly cancels C1, so Lemma H.5's "
        "bound fails, and single steps do not all contract as Lemma I.2 says.",
    ),
    (
        {"C1": "supported"},
        "The kernel of a 1-bit network stays close to initialisation, the closer the wider it is, and its drift falls "
        "faster than D25's bounds say.",
    ),
    (
        {"C1b": "refuted", "C1b/c3.widest": "refuted"},
        "One step's error term C3 is not negligible, where D25's proof of convergence needs it to vanish.",
    ),
    (
        {"D25-steps": "refuted"},
        "Steps of the proofs do not hold as printed: relu is taken to be 1-Lipschitz in an argument that is not its "
        "own, a sign that flips is bounded by its mean, and C3 is said to vanish on average.",
    ),
    (
        {"C1b-K": "supported"},
        "C3 does not shrink with width: training is slower by a factor that the effective kernel K_eff predicts.",
    ),
    (
        {"C1-H": "refuted", "C1-K": "supported"},
        "While its loss falls by a first factor of ten a wide 1-bit network follows the dynamics of K_eff, not those "
        "of its own kernel H.",
    ),
    (
        {
            "C1-K-late": "refuted",
            "C1-K-late/excess.m.widest": "refuted",
            "C1-K-late/over_k.widest": "refuted",
        },
        "Later it does not: in mid-training its loss stays above that of K_eff's descent, by an amount that does not "
        "shrink with width.",
    ),
    (
        {
            "C1-K-late": "refuted",
            "C1-K-late/excess.m.widest": "inconclusive",
            "C1-K-late/over_k.widest": "refuted",
        },
        "Later it does not: in mid-training the loss of the widest networks is many times that of K_eff's descent; "
        "whether that excess vanishes with width is open.",
    ),
    (
        {"C11": "supported"},
        "What its outputs tend to, as m^-1/4, is a limit with memory, computed without a fitted constant; so does its "
        "loss in mid-training.",
    ),
    (
        {
            "C11": "inconclusive",
            **{f"C11/distance.m.{name}": "supported" for name in _LIMITS},
            **{f"C11/loss.over_limit.{name}": "supported" for name in ("sphere16", "digits", "sphere32wide")},
            **{f"C11/loss.m.{name}": "supported" for name in ("sphere64", "sphere256")},
        },
        "What its outputs after a few steps tend to, as m^-1/4, is a limit with memory, computed without a fitted "
        "constant; in five of six settings its loss in mid-training is the limit's too, in the sixth that is open.",
    ),
    (
        {"C11-swing": "supported"},
        "In mid-training outputs oscillate with period two, by an amount that neither width nor rate reduces; it goes "
        "when two outputs are averaged, or the backward patterns frozen.",
    ),
    (
        {
            "C11-swing": "refuted",
            "C11-swing/loss.m": "refuted",
            **{f"C11-swing/{measure}": "supported" for measure in ("loss.eta", "averaged.share", "frozen.share")},
        },
        "In mid-training outputs oscillate with period two, which no smaller rate reduces; it goes when two outputs "
        "are averaged, or the backward patterns frozen. At these widths the loss still falls, slowly.",
    ),
    (
        {"C11-late": "supported"},
        "Later the limit loses its oscillation, and the loss falls with width again.",
    ),
    (
        {"C11-pair": "supported"},
        "On two opposite inputs the oscillation stays, and its size is that of a closed form.",
    ),
    (
        {"C11-pair": "refuted", "C11-pair/recursion.off": "supported"},
        "On two opposite inputs the limit's oscillation has a closed form, of which networks have a part: they are not "
        "wholly caught in it.",
    ),
    (
        {"C11-frozen": "supported"},
        "With the backward patterns frozen at the start training follows K_eff throughout, up to m^-1/4.",
    ),
    (
        {"C11-phases": "supported"},
        "How much training oscillates, by n and d, is what the limit says, and goes with lambda_min/lambda_max.",
    ),
    (
        {"C11-floor": "supported"},
        "The floor of networks with frozen patterns is that of a process without a fitted constant.",
    ),
    (
        {"C11-spread": "supported"},
        "How trained outputs scatter off their training inputs, and how far from full precision's they end, has a size "
        "to which nothing is fitted.",
    ),
    (
        {"C11-layers": "supported"},
        "In deep networks, W23's BitLinear among them, each layer learns c times as fast as its straight-through "
        "gradient says, c being jump times density.",
    ),
    (
        {"C12": "supported"},
        "The oscillation reaches deep networks: their outputs turn back at every step of full-batch descent, too.",
    ),
    (
        {"C12-averages": "supported"},
        "In deep networks, with momentum and with Adam too, most of the late training loss is gone from the mean of a "
        "hundred outputs.",
    ),
    (
        {"C12-language-cures": "refuted", "C12-language-test": "supported"},
        "Of Transformers, remedies do not all halve what the oscillation adds: with gradient descent and momentum a "
        "rate that falls to 0 raises the training loss; none of them harms the loss on new text.",
    ),
    (
        {"C13": "supported"},
        "The kernel of a small Transformer moves the less the wider it is: in full precision, with BitLinear and with "
        "ternary weights.",
    ),
    (
        {"C13-steps": "supported"},
        "With W23's own gradient a step of BitLinear's matrices does sqrt(2/pi)/sigma times what that says, sigma "
        "being the size of their weights: the wider, the more.",
    ),
    (
        {"T4": "supported"},
        "On two opposite inputs it is proved, in whole numbers, that the limit stays away from descent with K_eff for "
        "ever.",
    ),
    (
        {"T3-lemmas": "supported", "T3-floor": "supported"},
        "With frozen patterns what D25 set out to prove has a proof, with constants, about K_eff in place of H.",
    ),
    (
        {"C1-surrogates": "supported", "C1-surrogates-size": "refuted"},
        "How the gradient of the sign is replaced changes the kernel at the start less than the bit does, but for a "
        "common factor, a learning rate; with that factor it changes it far more.",
    ),
    (
        {"RIVAL-flips": "supported"},
        "Late in training most flips of a sign undo a recent one, as is known of quantisation-aware training.",
    ),
    (
        {"C1-noise": "refuted"},
        "That the drift of the kernel is the noise of the activations that change did not stand the test of other "
        "data.",
    ),
    (
        {"C1-noise": "supported"},
        "The drift of the kernel is the noise of the activations that change, on data that its derivation had not "
        "seen.",
    ),
    (
        {"C1-K-late": "supported"},
        "It does so in mid-training as well.",
    ),
    (
        {"4.2": "supported"},
        "Theorem 4.2's conclusion is seen at widths far below what it requires: the wider the network, the lower the "
        "loss that it reaches.",
    ),
    (
        {"4.2-powers": "supported", "4.4-powers": "supported"},
        "In no variable does the width that a loss needs grow faster than Theorem 4.2 and Proposition 4.4 say.",
    ),
    (
        {"4.3-branch": "refuted"},
        "The branch alpha exp(-eta lambda C) of Proposition 4.3 is not how the loss falls early: with C = N n T "
        "the pace would have to grow with parameters and points, and it does not.",
    ),
    (
        {"C2": "inconclusive"},
        "At every width a 1-bit network's training loss all but stops falling, lower the wider the network; whether it "
        "is level there, and goes as one over the width to within a tenth in the exponent, is open.",
    ),
    (
        {"C2-law": "refuted", "C2-law/level.n": "refuted", "C2-law/level.d": "refuted"},
        "On random labels, over points and dimensions, it is not level: it still falls when training ends.",
    ),
    (
        {"C2": "supported"},
        "At every width a 1-bit network's training loss stops at a floor, which falls as one over the width; "
        "full precision has none above rounding.",
    ),
    (
        {"5.2": "supported", "C3": "refuted"},
        "Theorem 5.2's bound on the difference between both outputs holds, but from random starts the difference does "
        "not tend to 0 with width, as the text around it says.",
    ),
    (
        {"C3-paired": "supported"},
        "Without the random start the difference, over the size of the outputs, falls as the fourth root of the width.",
    ),
    (
        {"C3-paired": "refuted", "C3-paired/gap.d.sphere.paired": "refuted"},
        "Without the random start the difference, over the size of the outputs, does not fall with dimension: what "
        "falls there is the outputs.",
    ),
    (
        {"C3b": "supported", "C3b/scatter.over_law": "supported"},
        "Trained networks of different seeds differ by the fourth root of the width: the noise of flipped signs, whose "
        "size in one step is predicted without a fitted constant.",
    ),
    (
        {"4.3": "refuted"},
        "D25's scaling law (Proposition 4.3) has the wrong exponents in parameters, points and dimension; read as an "
        "upper bound it holds.",
    ),
    (
        {"4.4": "supported"},
        "The loss of a 1-bit Transformer block of which one feed-forward layer trains falls with width, as Proposition "
        "4.4 says, at widths far below what it requires.",
    ),
    (
        {"C5": "supported", "C5-ratio": "refuted"},
        "The loss of deep 1-bit networks on D25's functions falls with size, and so does its distance to full "
        "precision; but on the logarithmic axes of D25's Fig. 1 the two do not approach each other.",
    ),
    (
        {"C5": "supported", "C5-ratio": "supported"},
        "The loss of deep 1-bit networks on D25's functions falls with size and approaches that of full precision, on "
        "the logarithmic axes of D25's Fig. 1 too.",
    ),
    (
        {"C5": "refuted", "C5/loss.one_bit.size.depth3": "refuted"},
        "The loss of deep 1-bit networks on D25's functions does not fall with size at both depths, after the few "
        "thousand steps taken here; how it goes with size is decided by the learning rate as much as by anything else.",
    ),
    (
        {"C5-similar": "supported"},
        "On functions of one variable the outputs of both networks approach each other with size, on training and on "
        "test points.",
    ),
    (
        {"C5-similar": "refuted"},
        "On functions of one variable the outputs of both networks do not all approach each other with size.",
    ),
    (
        {"C6": "supported"},
        "Between character-level Transformers with 1-bit weights and in full precision the gap shrinks with size, and "
        "smaller ones predict the loss of the largest.",
    ),
    (
        {"C6-stable": "supported"},
        "A learning rate far too large for full precision costs 1-bit training less, measured by what each arm has to "
        "lose.",
    ),
    (
        {"C6-stable": "refuted"},
        "That 1-bit training is stable at larger learning rates did not show: at a rate far too large for full "
        "precision it loses more.",
    ),
    (
        {"C6-energy": "supported", "C6-energy-all": "refuted"},
        "For the energy of its arithmetic as W23 counts it, which leaves much out, the 1-bit Transformer has the lower "
        "loss; with all that a forward pass computes it has the higher one.",
    ),
    (
        {"C6-energy": "supported", "C6-energy-all": "supported"},
        "For the energy of its arithmetic the 1-bit Transformer has the lower loss.",
    ),
    (
        {"C6-energy": "refuted"},
        "For the energy of its arithmetic, as W23 counts it, the 1-bit Transformer does not have the lower loss.",
    ),
    (
        {"C7": "supported", "C7-table": "refuted"},
        "1-bit weights cut memory and the energy of arithmetic as W23 says, though not every printed figure of its "
        "energy table follows from the costs it prints.",
    ),
    (
        {"C7-trends": "supported", "C7-mul": "supported"},
        "The larger the model, the more energy BitNet saves by W23's counting, and most of what it saves is of "
        "multiplications.",
    ),
    (
        {"C7-norms": "supported", "C7-precise": "refuted"},
        "Norms and residual connections cost full precision next to nothing, as W23 says, but what BitNet leaves "
        "precise is not cheap in BitNet: at 7 nm attention's products take more than half of its energy up to 13B.",
    ),
    (
        {"C8": "supported", "C8-one": "refuted", "C8-kept": "supported"},
        "The variance of a BitLinear's output at the start is n beta^2 E[x^2], as W23 derives, and SubLN keeps it over "
        "depth; but for the usual starts it is 0.64 to 1.27, not about 1.",
    ),
    (
        {"W23-law": "inconclusive"},
        "A law fitted to W23's own small BitNets misses its large ones by less than 2 % of the loss; whether it "
        "predicts how much the loss still falls, six points do not settle.",
    ),
    (
        {"W23-gap": "supported", "W23-cost": "supported"},
        "On W23's own points the gap shrinks with size, but for one rise, and BitNet takes less energy for the same "
        "loss; it needs several times the weights for it, and what a 1-bit weight is worth falls with size.",
    ),
    (
        {"W23-table3": "refuted", "W23-table4": "inconclusive"},
        "By mean accuracy W23's BitNet is better than all quantised after training to 4 bits or fewer, but 4-bit "
        "GPTQ has the lower perplexity. W23 compares two quantisers of activations at rates a factor of eight apart, "
        "which cannot say which is better.",
    ),
    (
        {"C9": "supported"},
        "BitNet as written, against 16-bit Transformers with Pre-LN, follows W23's law: six sizes predict two, and the "
        "gap shrinks with size.",
    ),
    (
        {"C9": "refuted"},
        "BitNet as written does not scale as W23 says at our sizes: its gap to 16-bit Transformers with Pre-LN does "
        "not shrink, or six sizes do not predict two.",
    ),
    (
        {"C9-cost": "supported"},
        "It reaches a 16-bit network's loss with less energy, and has the lower loss at equal energy and at equal "
        "memory.",
    ),
    (
        {"C9-cost": "refuted"},
        "It is not competitive with 16 bits at our sizes on all of energy at equal loss, loss at equal energy and loss "
        "at equal memory.",
    ),
    (
        {"C9-int8": "supported"},
        "At equal energy its loss is lower than that of the better 8-bit quantisation after training.",
    ),
    (
        {"C9-int8": "refuted"},
        "At equal energy 8-bit quantisation after training has the lower loss, against W23's abstract.",
    ),
    (
        {"C9-choices": "supported"},
        "At equal energy it answers more questions about held-out text than a 16-bit network does.",
    ),
    (
        {"C9-choices": "refuted"},
        "At equal energy it answers fewer questions about held-out text than a 16-bit network does.",
    ),
    (
        {"C9-ptq": "supported"},
        "Networks quantised after training to 4, 2 or 1 bits are worse than BitNet at every size, the more so the "
        "fewer the bits.",
    ),
    (
        {"C9-ptq": "refuted"},
        "The orders of W23's Table 3 between training in 1 bit and quantising afterwards do not all hold.",
    ),
    (
        {"C10-table4": "supported"},
        "At rates of their own absmax has a lower loss than learned scales, and SubLN than Pre-LN.",
    ),
    (
        {"C10-table4": "refuted"},
        "At rates of their own the orders of W23's Table 4 do not all hold.",
    ),
    (
        {"C10-stable": "supported"},
        "1-bit Transformers stand learning rates at which full precision diverges.",
    ),
    (
        {"C10-stable": "refuted"},
        "1-bit Transformers diverge from no higher a learning rate on than full precision.",
    ),
    (
        {"C10-rate": "supported"},
        "Twice the rate that is best for full precision is better for 1 bit.",
    ),
    (
        {"C10-rate": "refuted"},
        "Twice the rate that is best for full precision is worse for 1 bit.",
    ),
    (
        {"C10-flips": "supported"},
        "A step of training leaves at least 99 of 100 weights' signs as they are, and a unit of learning rate changes "
        "fewest at the beginning.",
    ),
    (
        {"C10-flips": "refuted"},
        "Either a step changes more than one 1-bit weight of a hundred, or a unit of learning rate changes no fewer at "
        "the beginning.",
    ),
    (
        {"C10-further": "supported"},
        "A trained network, 1-bit or full-precision, can be trained further in 1 bit.",
    ),
)


def in_short(results: Results) -> list[str]:
    """Return the sentences whose verdicts stand, each with these in words."""
    entries = {entry.id: entry for entry in results.claims}
    return [
        f"{sentence} ({'; '.join(_in_words(entries[claim]) for claim in claims_of(needed))})"
        for needed, sentence in standing_sentences(outcomes_of(results))
    ]


def outcomes_of(results: Results) -> dict[str, str]:
    """Return the outcome of each claim by its id, and of each of its findings by ``claim/measure``."""
    outcomes: dict[str, str] = {}
    for entry in results.claims:
        outcomes[entry.id] = entry.outcome
        outcomes |= {f"{entry.id}/{one.measure}": one.outcome for one in (*entry.context, *entry.findings)}
    return outcomes


def standing_sentences(outcomes: Mapping[str, str]) -> list[tuple[dict[str, str], str]]:
    """Return the sentences all of whose outcomes are as they need them."""
    return [
        (needed, sentence)
        for needed, sentence in SENTENCES
        if all(outcomes.get(name) == outcome for name, outcome in needed.items())
    ]


def claims_of(needed: Mapping[str, str]) -> list[str]:
    """Return the claims that a sentence rests on, each once, in order."""
    return list(dict.fromkeys(name.partition("/")[0] for name in needed))


def _in_words(entry: ClaimEntry) -> str:
    rest = "" if entry.family_wise == entry.outcome else f", with all others {entry.family_wise}"
    return f"{entry.id}: {entry.words}{rest}"
