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


def lines(page, category: str) -> list[str]:
    """The lines of a category of the report."""
    page.evaluate("name => app.showCategory(name)", category)
    page.wait_for_selector("tbody tr")
    return [" ".join(text.split()) for text in page.locator("tbody tr").all_inner_texts()]


def test_it_opens_and_says_how_it_was_made(opened):
    page, faults = opened
    page.get_by_text("Settings of this study").wait_for()
    text = page.inner_text("body")
    assert "model organism" in text and "lengths 256, 448 tokens" in text and "2 random draws" in text
    assert "{{" not in text and "{%" not in text
    assert faults == []


def test_every_figure_can_be_seen(opened, study):
    page, faults = opened
    figures = {path.stem for path in (study.folder / "results/figures").glob("*.svg")}
    listed = lines(page, "Figures")
    assert len(listed) == len(figures)
    assert listed == sorted(listed) and all(re.match(r"\d\d \w", line) for line in listed)
    for number in range(len(listed)):
        page.locator("tbody tr").nth(number).locator("a[iconname=eye]").click()
        image = page.locator("img[src^='data:image'], iframe[src^='data:image'], embed, object").last
        image.wait_for()
        assert image.bounding_box()["width"] > 200
    assert faults == []


def test_every_result_has_a_caption(opened):
    page, faults = opened
    for category in ("Claims", "Figures", "Head scores", "Masking"):
        for number in range(len(lines(page, category))):
            lines(page, category)
            page.locator("tbody tr").nth(number).locator("a[iconname=information-circle]").click()
            page.wait_for_timeout(200)
            assert len(page.inner_text("body").split()) > 60
    assert faults == []
