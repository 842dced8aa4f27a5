"""Reports as a browser shows them: pictures drawn, nothing fetched, nothing wider than the window.

A page allows no script, so what the browser made of it is read from a copy with one script let in, which writes what it
sees into the title.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ntk1bit.reports.sweep_report import sweep_page
from ntk1bit.reports.verdict_report import verdict_page

from .documents import small_run, verification
from .test_verdict_report import three_figures

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 120  # a start takes one or two; the rest is for a machine that is busy with other tests

LOOK = """<script>
const refused = [];
addEventListener("securitypolicyviolation", event => refused.push(event.violatedDirective));
addEventListener("load", () => {
  const images = [...document.images];
  const rows = [...document.querySelectorAll(".verdicts tbody tr")];
  const shown = () => rows.filter(row => row.getClientRects().length).map(row => row.className);
  const all = shown();
  const choice = document.getElementById("show-refuted");
  if (choice) choice.checked = true;
  document.title = JSON.stringify({
    images: images.length,
    drawn: images.filter(one => one.complete && one.naturalWidth > 0).length,
    fetched: performance.getEntriesByType("resource").map(one => one.name).filter(name => !name.startsWith("data:")),
    refused: refused,
    wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    high: document.documentElement.scrollHeight,
    font: getComputedStyle(document.querySelector("h1")).fontWeight,
    all: all,
    chosen: shown(),
  });
});
</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"none of {', '.join(BROWSERS)} is on PATH, and this test is not to be passed over where CI=true")
    if found is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is on PATH")
    return found


def look(browser: str, page: str, folder: Path, *, width: int = 1200) -> dict[str, Any]:
    """Open a copy of a page in a new browser that can reach no host, and return what it made of it."""
    policy = re.search(r'content="(default-src [^"]*)"', page)
    assert policy is not None
    let_in = policy[0].replace("default-src", "script-src 'unsafe-inline'; default-src")
    seen = page.replace(policy[0], let_in).replace("<title>", f"{LOOK}<title>", 1)
    (folder / "copy.html").write_text(seen, encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"]
    command += [f"--window-size={width},900", "--dump-dom", (folder / "copy.html").as_uri()]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        dumped, _ = started.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)  # the browser and the processes it started, which share its session
        raise
    title = re.search(r"<title>(.*?)</title>", dumped, re.DOTALL)
    assert title is not None, dumped[:500]
    return json.loads(html.unescape(title[1]))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    small_run(folder / "sweep", widths=(16, 32, 64), seeds=(0, 1))
    verdicts = verdict_page(verification(folder / "verification"), draw=three_figures)
    return {"sweep": (sweep_page(folder / "sweep"), 1), "verification": (verdicts, 3)}


@pytest.mark.parametrize("width", [1200, 500])  # 500 is as narrow as the browser's window gets
@pytest.mark.parametrize("kind", ["sweep", "verification"])
def test_a_page_is_whole_without_a_network(browser, pages, tmp_path, kind, width):
    page, images = pages[kind]
    seen = look(browser, page, tmp_path, width=width)
    assert (seen["images"], seen["drawn"]) == (images, images)
    assert seen["fetched"] == []
    assert seen["refused"] == []
    assert seen["wider"] <= 0
    assert seen["high"] > 900
    assert seen["font"] == "650"  # the style sheet is read
    if kind == "verification":
        assert seen["all"] == ["refuted", "inconclusive", "supported"]
        assert seen["chosen"] == ["refuted"]


def test_the_look_would_see_what_is_wrong(browser, pages, tmp_path):
    """The check of the checks: a picture from elsewhere, one that is damaged, and something wider than the window."""
    page, images = pages["sweep"]
    more = '<img src="http://elsewhere.invalid/a.png"><img src="data:image/png;base64,AAAA">'
    bad = page.replace("<main>", f'<main>{more}<div style="width: 3000px">wide</div>')
    seen = look(browser, bad, tmp_path)
    assert (seen["images"], seen["drawn"]) == (images + 2, images)
    assert seen["fetched"] == ["http://elsewhere.invalid/a.png"]  # what a page asks for counts, had or not
    assert seen["refused"] == ["img-src"]
    assert seen["wider"] > 0
