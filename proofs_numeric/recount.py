"""Judge anew from stored results, without training: `python -m proofs_numeric.recount`.

Claims that need no study (C7 and C7-table, which rest on counts, and those on W23's own numbers) are made again, and
added where they are new. C6, C6-energy and C6-energy-all rest on the losses of language.csv, whose six digits carry
differences to 1e-5 nats, and are estimated again. Every other claim is judged by the rules of today on the evidence
that is stored.
With `--publish` the figures and the page are written as well.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pandas as pd

from ntk1bit.claims import Number
from ntk1bit.claims.results import (
    ClaimEntry,
    Results,
    judge_together,
    read_results,
    table,
    write_results,
)
from ntk1bit.claims.results import measure as stored_measure
from ntk1bit.errors import InputError
from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.experiments.language_spec import LanguageSpec
from proofs_numeric import c6_bitnet
from proofs_numeric.catalogue import proofs
from proofs_numeric.data import Data
from proofs_numeric.page import RESULTS
from proofs_numeric.publish import NETWORKS, publish
from proofs_numeric.verification import judge, judge_again


def recount(results: Results, networks: pd.DataFrame) -> Results:
    """Return the results judged by today's rules, those that need no training made or estimated again.

    Parameters
    ----------
    results
        What verdicts.json holds.
    networks
        The networks behind it, as `ntk1bit.estimators.language.networks`.

    Raises
    ------
    InputError
        If the results lack a claim that is needed, the networks are not theirs, or their text cannot be read.
    """
    losses = results.claim(c6_bitnet.CLAIM.id)
    data = Data(Path(), languages={"language": stored_run(results, losses, networks)})
    from_losses = tuple(one.id for one in (c6_bitnet.CLAIM, c6_bitnet.CLAIM_ENERGY, c6_bitnet.CLAIM_ENERGY_ALL))
    stored = {entry.id: entry for entry in results.claims}
    claims = []
    for name, proof in proofs().items():
        if name in from_losses or not (proof.studies or proof.draws):
            claims.append(judge(proof, data))
        elif name in stored:
            claims.append(judge_again(stored[name]))
    return msgspec.structs.replace(results, claims=judge_together(claims))


def stored_run(results: Results, entry: ClaimEntry, networks: pd.DataFrame) -> LanguageRun:
    """Put a run together again from its stored tables: its networks at their best rates, and the search for these.

    Parameters
    ----------
    results, networks
        As in `recount`.
    entry
        The claim that holds what the search saw.

    Raises
    ------
    InputError
        If the networks are not those of the results.
    """
    spec = LanguageSpec.from_dict(results.studies["language"].settings)
    wanted = list(itertools.product(spec.arms, map(str, spec.shapes), spec.seeds))
    if list(networks[["arm", "size", "seed"]].itertuples(index=False, name=None)) != wanted:
        raise InputError(f"{NETWORKS} and verdicts.json are not of the same networks; verify anew")
    tried = table(entry, "rates tried")
    best = tried.loc[tried["best"]].to_dict("records")
    frame = pd.concat(
        [
            networks.assign(
                stage="seeds",
                evaluated=networks["arm"],
                arm=[arm if arm in spec.trained_arms else spec.quantised for arm in networks["arm"]],
            ),
            tried.assign(stage="search", evaluated=tried["arm"]),
        ],
        ignore_index=True,
    )
    rates = {(str(row["arm"]), str(row["size"])): float(row["rate"]) for row in best}
    trigram = stored_measure(entry, "trigram.loss").measure()
    assert isinstance(trigram, Number)
    return LanguageRun(spec, frame, rates, {"loss": trigram.value})


def main(arguments: Sequence[str] | None = None) -> int:
    """Recount the results of a folder; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proofs_numeric.recount", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"folder of verdicts.json and {NETWORKS}")
    parser.add_argument("--publish", action="store_true", help="then draw the figures and write the page")
    given = parser.parse_args(arguments)
    try:
        path = given.results / NETWORKS
        if not path.is_file():
            raise InputError(f"there is no {NETWORKS} in {given.results}; `make verify` writes it")
        found = recount(read_results(given.results), pd.read_csv(path))
        print(write_results(found, given.results))
        if given.publish:
            print(*publish(given.results, results=given.results)[0], sep="\n")
    except InputError as problem:
        print(f"proofs_numeric.recount: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
