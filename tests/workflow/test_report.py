"""The report in a browser: it opens without an error, and every figure and caption can be seen."""

from __future__ import annotations

import re
import shutil

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser can be driven")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: the report cannot be opened")


@pytest.fixture(scope="module")
def opened(study):
    """The report's page, and what went wrong in it so far."""
    run = study.snakemake("--report", "report.html")
    assert run.returncode == 0, run.stdout
    faults: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url[:200]))
        page.goto((study.folder / "report.html").as_uri())
        yield page, faults
        browser.close()


LINES = "tbody tr:has(a[iconname=eye])"


def lines(page, category: str) -> list[str]:
    """The lines of a category of the report."""
    # By the menu, as a reader would.
    page.evaluate("app.setView({navbarMode: 'menu'})")
    page.get_by_text(category, exact=True).click()
    page.locator(LINES).first.wait_for()
    return [" ".join(text.split()) for text in page.locator(LINES).all_inner_texts()]


def test_it_opens_and_says_how_it_was_made(opened):
    page, faults = opened
    page.get_by_text("Settings of this study").wait_for()
    text = page.inner_text("body")
    assert "model organism" in text and "random draws, seed 0" in text
    assert "{{" not in text and "{%" not in text
    assert faults == []


def test_every_figure_can_be_seen(opened, study):
    page, faults = opened
    figures = {path.stem for path in (study.folder / "results/figures").glob("*.svg")}
    listed = lines(page, "Figures")
    assert len(listed) == len(figures)
    assert listed == sorted(listed) and all(re.match(r"\d\d \w", line) for line in listed)
    shown = set()
    for number in range(len(listed)):
        page.locator(LINES).nth(number).locator("a[iconname=eye]").click()
        image = page.locator("img[src^='data:image/svg']").last
        image.wait_for()
        page.wait_for_function("image => image.complete", arg=image.element_handle())
        assert image.evaluate("image => image.naturalWidth") > 200
        shown.add(image.get_attribute("src"))
    assert len(shown) == len(figures)
    assert faults == []


def test_every_result_has_a_caption(opened):
    page, _ = opened
    captions = page.evaluate(
        "Object.fromEntries(Object.entries(results).map(([path, result]) => [path, result.caption]))"
    )
    assert {"results/tables/claims.html", "results/figures/copying_head.svg"} <= set(captions)
    for path, caption in captions.items():
        assert len(caption.split()) > 20 and "{%" not in caption, path


def test_the_tables_open_in_the_page(opened):
    page, faults = opened
    for category, words in (("Claims", "causal"), ("Masking", "organism"), ("Head scores", "phantom")):
        lines(page, category)
        page.locator(LINES).first.locator("a[iconname=eye]").click()
        page.frame_locator("iframe").locator("td, th", has_text=words).first.wait_for()
    assert faults == []
