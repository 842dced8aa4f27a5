"""Verdicts and small runs made for tests, and a reader of pages that checks their form."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path
from typing import Any

from ntk1bit.claims.results import FORMAT, digest_of
from ntk1bit.experiments import SweepSpec
from ntk1bit.experiments.runner import compute
from ntk1bit.experiments.store import Store

VOID = ("meta", "img", "input", "link", "br")  # elements without an end tag
# markup, quotes, a comment, a control character and a lone surrogate: what must come out as it went in, or not at all
NASTY = "<script>alert(1)</script> \"a\" 'b' & <!-- \x07 \ud800 ]]> </style></title>"


class Reader(html.parser.HTMLParser):
    """Collects a page's tags, attributes and words, and complains of tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


def assert_complete_in_itself(page: str) -> None:
    """Check that a page names nothing outside itself, and that every link within it leads somewhere."""
    read = Reader(page)
    for word in ("http://", "https://", "url(", "@import", "<script", "<iframe", "<object"):
        assert word not in page
    for attribute in ("srcset", "data", "action", "background", "poster"):
        assert read.values(attribute) == []
    assert all(value.startswith("data:image/") for value in read.values("src"))
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    assert all(value.startswith("#") and value[1:] in ids for value in read.values("href"))


def finding(outcome: str, measure: str = "the exponent") -> dict[str, Any]:
    return {
        "outcome": outcome,
        "measure": "drift.m",
        "label": measure,
        "rule": f"{measure} is at most -0.5",
        "why": "-0.2 [-0.3, -0.1]",
        "power": "tells a value 0.1 beyond a bound with probability 0.8",
        "p": 0.001,
        "adjusted": 0.02,
    }


def claim(name: str, outcome: str, **fields: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": name,
        "title": f"title of {name}",
        "statement": "The kernel drift falls as m^-1/2.",
        "source": "D25, Lemma 4.1",
        "assumptions": "1000 steps.",
        "refuted_by": "a larger exponent",
        "rule": "the exponent is at most -0.5",
        "ranges": "a pilot",
        "outcome": outcome,
        "standing": outcome,
        "limits": [],
        "reason": f"reason of {name}",
        "findings": [finding(outcome)],
        "context": [finding("supported", "a weaker reading")],
        "measures": [],
        "tables": {},
        "remarks": [],
    }
    return entry | fields


def estimate(name: str, **fields: Any) -> dict[str, Any]:
    numbers = {"value": -0.2, "low": -0.3, "high": -0.1, "seeds": 5}
    words = {"meaning": f"meaning of {name}", "span": "m = 64..1024, 5 values", "study": "digits", "note": ""}
    words["units"] = "networks on one data set"
    return {"kind": "estimate", "id": name.replace(" ", "."), "label": name} | words | numbers | fields


def document(*claims: dict[str, Any]) -> dict[str, Any]:
    """Return a whole verdicts.json, by default with each outcome once and each kind of measure."""
    measures = [
        estimate("the exponent"),
        estimate("no estimate", value=None, low=None, high=None, note="too few widths"),
        {
            "kind": "count",
            "id": "cases",
            "label": "cases",
            "meaning": "",
            "failures": 3,
            "trials": 12345,
            "span": "",
            "study": "",
        }
        | {"note": "", "settings": [[3, 345], [0, 12000]]},
        {
            "kind": "number",
            "id": "error",
            "label": "error",
            "meaning": "of the sum",
            "value": 1.5e-12,
            "span": "",
            "study": "digits",
        },
    ]
    tables = {
        "drift": [{"width": 64, "value": 0.25, "low": None}, {"width": 128, "value": 0.125, "other": "x"}],
        "nothing": [],
    }
    every = claims or (
        claim("S1", "supported"),
        claim("R1", "refuted", measures=measures, tables=tables, remarks=["A remark to read."]),
        claim("I1", "inconclusive"),
    )
    return {
        "format": FORMAT,
        "preset": "standard",
        "made": "2030-01-02T03:04:05+00:00",
        "seconds": 1234.5,
        "versions": {"numpy": "2.9.9"},
        "machine": {"processor": "a processor", "cores": 2, "memory_gb": 7.8},
        "studies": {
            "digits": {
                "purpose": "digits against width",
                "settings": {"widths": [64, 128]},
                "cells": 12,
                "seconds": 3.5,
            }
        },
        "claims": list(every),
    }


def verification(folder: Path, *claims: dict[str, Any], **fields: Any) -> Path:
    """Write a verification folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verdicts.json").write_text(as_stored(document(*claims) | fields))
    return folder


def as_stored(content: dict[str, Any]) -> str:
    """Return the text of a verdicts.json with this content and its digest."""
    return json.dumps(content | {"digest": digest_of(content)})


def made_dirty(value: Any, name: str = "") -> Any:
    """Return a document with `NASTY` behind every text in it that may be any text and is looked up nowhere."""
    if isinstance(value, str):
        return value + NASTY if value and name not in ("outcome", "standing", "kind", "study") else value
    if isinstance(value, list):
        return [made_dirty(entry) for entry in value]
    return {key: made_dirty(entry, key) for key, entry in value.items()} if isinstance(value, dict) else value


def small_run(folder: Path, *, finish: bool = True, **settings: Any) -> SweepSpec:
    """Train a small sweep within this process, or only begin it."""
    sizes: dict[str, Any] = {"widths": (16, 32, 64), "seeds": (0, 1), "steps": 20, "n_train": (16,), "n_test": 8}
    spec = SweepSpec(**(sizes | settings))
    Store(folder).open(spec)
    for one in spec.first_stage.experiments if finish else ():
        compute(folder, one)
    return spec
