"""One command goes from a verification to results, figures and page, and refuses what the documents do not cite."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from msgspec.structs import replace

from ntk1bit.claims.results import FILE, read_results, write_results
from ntk1bit.cli.main import main
from ntk1bit.errors import InputError
from ntk1bit.estimators.language import networks
from proofs_numeric import publish as publishing
from proofs_numeric.changes import FILE as CHANGES
from proofs_numeric.page import PAGE, RESULTS
from proofs_numeric.publish import COVERAGE, NETWORKS, publish
from proofs_numeric.studies import Study
from proofs_numeric.verification import Work, verify


@pytest.fixture
def verified(tmp_path):
    """A folder as a verification leaves it."""
    folder = tmp_path / "verify-standard"
    write_results(read_results(RESULTS), folder)
    (folder / "studies" / "language").mkdir(parents=True)
    (folder / "studies" / "language" / "networks.csv").write_bytes((RESULTS / NETWORKS).read_bytes())
    return folder


@pytest.fixture
def places(tmp_path):
    return {"results": tmp_path / "results", "figures": tmp_path / "figures", "page": tmp_path / "page.md"}


def test_results_figures_and_page_are_written(verified, places, monkeypatch):
    def one_figure(results, folder):
        """Drawing all of them is tested elsewhere."""
        return write_figures(results, folder, ["verdicts"])

    write_figures = publishing.write_figures
    monkeypatch.setattr(publishing, "write_figures", one_figure)
    places["results"].mkdir()
    shutil.copy(RESULTS / CHANGES, places["results"])  # what is stored beside the verdicts stays
    written, left_out = publish(verified, **places)
    assert left_out == []
    assert places["page"].read_text() == PAGE.read_text()
    assert (places["results"] / FILE).read_bytes() == (verified / FILE).read_bytes()
    assert (places["results"] / NETWORKS).read_bytes() == (RESULTS / NETWORKS).read_bytes()
    assert {path.name for path in places["figures"].iterdir()} == {"verdicts.pdf", "verdicts.png"}
    assert (places["page"].parent / COVERAGE).is_file()
    assert len(written) == 6
    assert all(path.is_file() for path in written)
    again, _ = publish(places["results"], **places)  # its figures and page only
    assert {path.name for path in again} == {"verdicts.pdf", "verdicts.png", "page.md", COVERAGE.name}


def test_what_the_documents_do_not_cite_is_refused_and_nothing_is_written(verified, places):
    found = read_results(verified)
    for words, less in (("quick", replace(found, preset="quick")), ("lack", replace(found, claims=found.claims[1:]))):
        write_results(less, verified)
        with pytest.raises(InputError, match=words):
            publish(verified, **places)
    write_results(found, verified)
    (verified / "studies" / "language" / "networks.csv").unlink()
    with pytest.raises(InputError, match=r"networks\.csv"):
        publish(verified, **places)
    assert not any(place.exists() for place in places.values())


def test_a_verification_leaves_the_table_of_language_models_that_is_published(finished, tmp_path):
    run, place = finished[1], tmp_path / "studies" / "language"
    shutil.copytree(finished[0], place)
    (place / "networks.csv").unlink(missing_ok=True)
    work = [Work(Study("language", "language models", run.spec), 1.0)]
    found = verify({}, work, preset="quick", folder=tmp_path)
    assert list(found.studies) == ["language"]
    assert len(pd.read_csv(place / "networks.csv")) == len(networks(run))


@pytest.mark.parametrize("arguments", [["--preset", "quick"], ["C1", "--preset", "standard"]])
def test_the_command_refuses_before_anything_runs(arguments, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verify", *arguments, "--publish", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "--publish needs all claims" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
