from __future__ import annotations

from pathlib import Path

import pytest

from ntk1bit.language.run import LanguageRun, run_language
from ntk1bit.language.spec import LanguageSpec

TINY = LanguageSpec(
    text="pydoc",
    sizes=("1x8", "1x12", "1x16"),
    arms=("full", "bitnet", "int8-absmax", "sign-ptq"),
    tokens=6_400,  # one look at the loss, so that one program is compiled a size and arm
    batch=4,
    context=16,
    seeds=(0, 1),
    rate_rounds=1,
    windows=32,
    stability=(16.0,),
)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LanguageRun]:
    folder = tmp_path_factory.mktemp("language") / "run"
    return folder, run_language(TINY, folder, jobs=1)
