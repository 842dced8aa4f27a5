from __future__ import annotations

from ntk1bit.experiments.language_spec import LanguageSpec

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
