"""The page of a verification: which claims fell, which stand, and the numbers that decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ntk1bit.claims import OUTCOMES
from ntk1bit.claims.verdict_file import (
    ClaimEntry,
    FindingEntry,
    MeasureEntry,
    StudyEntry,
    Verdicts,
    read_verdicts,
)
from ntk1bit.reports.figures import Picture, draw_claims, embedded
from ntk1bit.reports.page import (
    LEVEL,
    SHORT_TABLE,
    Html,
    anchor,
    bullets,
    element,
    estimate,
    fold,
    formula,
    join,
    link,
    number,
    page,
    pairs,
    records_table,
    section,
    table,
    text,
)

# Badges say their outcome in words; the sign and the border tell it again where colours are lost.
_SIGNS = {"refuted": "✕", "inconclusive": "?", "supported": "✓"}


def verdict_page(folder: Path) -> str:
    """Return the page of a verification.

    Parameters
    ----------
    folder
        Where `ntk1bit verify` wrote.

    Raises
    ------
    InputError
        If verdicts.json is missing or damaged.
    """
    results = read_verdicts(folder)
    pictures, remark = draw_claims(results)
    return page(
        f"Verdicts on {len(results['claims'])} claims ({results['preset']})", *_parts(results, pictures, remark)
    )


def _parts(results: Verdicts, pictures: Sequence[Picture], remark: str) -> list[Html]:
    claims = sorted(results["claims"], key=lambda claim: OUTCOMES.index(claim["outcome"]))
    homes = _homes(pictures, [claim["id"] for claim in claims])
    loose = [picture for picture in pictures if homes[picture.name] is None]
    studies = results["studies"]
    return [
        _header(results),
        element("p", remark, class_="aside") if remark else Html(""),
        _verdict_table(claims),
        *(_claim(claim, pictures, homes, studies) for claim in claims),
        section("More figures", *map(_figure, loose), anchor="more-figures") if loose else Html(""),
        _studies(studies),
        _circumstances(results),
    ]


def badge(outcome: str) -> Html:
    """Return an outcome as a badge."""
    sign = element("span", f"{_SIGNS[outcome]} ", aria_hidden="true")
    return element("span", element("span", sign, outcome), class_=f"badge {_slug(outcome)}")


def _header(results: Verdicts) -> Html:
    counts = Counter(claim["outcome"] for claim in results["claims"])
    shown = [element("li", element("b", counts[outcome]), badge(outcome)) for outcome in OUTCOMES]
    machine = results["machine"]
    byline = [f"preset {results['preset']}", f"{len(results['studies'])} studies", results["made"]]
    byline += [str(machine["processor"])] if machine.get("processor") else []
    return element(
        "header",
        element("h1", f"Verdicts on {len(results['claims'])} claims about 1-bit networks"),
        element("p", " · ".join(part for part in byline if part), class_="byline"),
        element("ul", *shown, class_="counts"),
        _caution(results["preset"]),
        element(
            "p",
            "Each claim comes with a rule that was fixed before its data were seen. A claim is refuted when any "
            "criterion of its rule is, supported when all are, and inconclusive otherwise. "
            f"Intervals are {LEVEL} over seeds.",
        ),
    )


def _caution(preset: str) -> Html:
    if preset != "quick":
        return Html("")
    return bullets(
        ["Quick has short ranges: it shows the machinery and the direction. The documents cite --preset standard."],
        class_="notes",
    )


def _verdict_table(claims: Sequence[ClaimEntry]) -> Html:
    rows = []
    for claim in claims:
        target = anchor("claim", claim["id"])
        rows.append(
            element(
                "tr",
                element("th", link(target, claim["id"]), scope="row"),
                element("td", formula(claim["title"])),
                element("td", badge(claim["outcome"])),
                element("td", formula(claim["reason"])),
                class_=_slug(claim["outcome"]),
            )
        )
    head = [element("th", name, scope="col") for name in ("Claim", "What it says", "Verdict", "What decided")]
    parts = element("thead", element("tr", *head)), element("tbody", *rows)
    body = element("div", element("table", *parts), class_="scroll", tabindex="0", role="group")
    return section("Verdicts", element("div", _filter(), body, class_="verdicts wide"), anchor="verdicts")


def _filter() -> Html:
    """Return a choice of what to show. Style sheets act on it, without a script; where they cannot, it is not shown."""
    choices = []
    for name in ("all", *OUTCOMES):
        choice = element("input", type="radio", name="show", id=f"show-{_slug(name)}", checked=name == "all")
        choices.append(element("label", choice, name))
    return element("fieldset", element("legend", "Show"), *choices, class_="filter")


def _claim(
    claim: ClaimEntry,
    pictures: Sequence[Picture],
    homes: Mapping[str, str | None],
    studies: Mapping[str, StudyEntry],
) -> Html:
    title = join([element("span", claim["id"], class_="id"), formula(claim["title"]), " ", badge(claim["outcome"])])
    about = [("Claim", claim["statement"]), ("Source", claim["source"]), ("Takes for granted", claim["assumptions"])]
    about += [("Would be refuted by", claim["refuted_by"]), ("Rule", claim["rule"])]
    here = [picture for picture in pictures if homes[picture.name] == claim["id"]]
    elsewhere = [p for p in pictures if claim["id"] in p.claims and homes[p.name] not in (None, claim["id"])]
    parts = [
        element("p", formula(claim["reason"]), class_="lede"),
        pairs((name, formula(value)) for name, value in about if value),
        _findings("Findings", claim["findings"]),
        *map(_figure, here),
        _see_also(elsewhere),
        _findings("Also judged, without a say in the verdict", claim["context"]),
        _measures(claim["measures"], studies),
        _titled("Remarks", bullets(formula(remark) for remark in claim["remarks"])),
        _tables(claim["tables"]),
        element("p", link("verdicts", "↑ all verdicts"), class_="aside back"),
    ]
    return section(title, *parts, anchor=anchor("claim", claim["id"]))


def _findings(title: str, findings: Sequence[FindingEntry]) -> Html:
    if not findings:
        return Html("")
    rows = [[formula(one["rule"]), badge(one["outcome"]), formula(one["why"])] for one in findings]
    return _titled(title, element("div", table(["Criterion", "Outcome", "Measured"], rows), class_="wide"))


def _measures(measures: Sequence[MeasureEntry], studies: Mapping[str, StudyEntry]) -> Html:
    if not measures:
        return Html("")
    rows: list[list[object]] = []
    notes: list[Html] = []
    for one in measures:
        name, meaning = one.get("label", ""), one.get("meaning", "")
        what = join([formula(name), element("span", formula(meaning), class_="meaning")]) if meaning else formula(name)
        kind = one.get("kind")
        if kind == "count":
            value: object = f"{one.get('failures', 0):,} failures of {one.get('trials', 0):,}"
        elif kind == "number":
            value = number(one.get("value"))
        else:
            value = estimate(one.get("value"), one.get("low"), one.get("high"))
        study = one.get("study", "")
        origin = link(anchor("study", study), study) if study in studies else text(study)
        rows.append([what, value, one.get("seeds", ""), formula(one.get("span", "")), origin])
        notes.append(formula(one.get("note", "")))
    head = ["Measure", f"Value [{LEVEL}]", "Seeds", "Over", "Study"]
    if any(notes):
        head.append("Note")
        rows = [[*row, note] for row, note in zip(rows, notes, strict=True)]
    made = element("div", table(head, rows, right=(1, 2)), class_="wide")
    if len(rows) > SHORT_TABLE:
        made = fold(f"{len(rows)} measures", made)
    return _titled("Measured", made)


def _tables(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Html:
    folds = [
        fold(formula(f"{name} ({len(records)} rows)"), records_table(records), data=True)
        for name, records in tables.items()
    ]
    return _titled("Tables", join(folds))


def _homes(pictures: Sequence[Picture], ids: Sequence[str]) -> dict[str, str | None]:
    """Return the claim in whose section each picture is shown: the first it names that is on the page."""
    return {one.name: next((name for name in one.claims if name in ids), None) for one in pictures}


def _figure(picture: Picture) -> Html:
    says = f"Figure {picture.name}: {picture.caption}"
    return embedded(picture.figure, formula(picture.caption), says=says, anchor=anchor("figure", picture.name))


def _see_also(pictures: Sequence[Picture]) -> Html:
    if not pictures:
        return Html("")
    links = [link(anchor("figure", one.name), one.name) for one in pictures]
    return element("p", join(["See also figure ", join(links, ", "), "."]), class_="aside")


def _studies(studies: Mapping[str, StudyEntry]) -> Html:
    if not studies:
        return Html("")
    parts = []
    for name, study in studies.items():
        cost = f"{number(study['cells'])} networks or measurements in {_duration(study['seconds'])}"
        settings = table(["Setting", "Value"], [[key, value] for key, value in study["settings"].items()])
        folded = fold("settings", settings, data=True) if study["settings"] else Html("")
        about = element("p", join([formula(study["purpose"]), ". ", cost, "."]))
        parts.append(section(name, about, folded, anchor=anchor("study", name), level=3))
    return section("Studies", *parts, anchor="studies")


def _circumstances(results: Verdicts) -> Html:
    machine = results["machine"]
    words = {"processor": "Processor", "cores": "Processors used", "memory_gb": "Memory, GB"}
    entries: list[tuple[object, object]] = [
        ("Made", results["made"]),
        ("Time of one core", _duration(results["seconds"])),
    ]
    entries += [
        (words.get(name, name), value if isinstance(value, str) else number(value)) for name, value in machine.items()
    ]
    versions = table(["Package", "Version"], [[name, str(value)] for name, value in results["versions"].items()])
    return section("Where and with what", pairs(entries), versions, anchor="circumstances")


def _titled(title: str, content: Html) -> Html:
    return join([element("h3", title), content]) if content else Html("")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    if seconds < 60:
        return f"{number(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _slug(outcome: str) -> str:
    return outcome.replace(" ", "-")
