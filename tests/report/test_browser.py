"""The report as a reader sees it: opened by a real browser, wide and narrow."""

import os
import shutil
from pathlib import Path

import pytest

from ..plots import fakes

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (1280, 390)
UNPLEASANT = "tanh <script>alert(1)</script> & $x_1"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    from vanishing_jax.report import write_report

    lstm = fakes.diagnosis(num_steps=64, n=24, num_sequences=8, rate=-0.05)
    no_gates = fakes.history(64, gates=())
    relu = fakes.diagnosis(
        num_steps=64, n=16, num_sequences=6, rate=-0.5, zeros=True, activations=no_gates
    )
    return write_report(
        tmp_path_factory.mktemp("report") / "report.html",
        {"LSTM, 32 units": lstm, UNPLEASANT: relu},
        title="Do the gradients vanish?",
        configuration={
            "task": {"name": "adding", "length": 64},
            "path": "/a/very/long/path/without/any/space/" + "x" * 120,
        },
        table=[{"recipe": "tanh", "accuracy": 0.125, "steps to 90 %": float("inf")}],
    )


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_in_a_browser(report, browser, width, tmp_path):
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url[:80]))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri(), wait_until="load")

    images = page.evaluate(
        """Array.from(document.images, image => {
            const box = image.getBoundingClientRect();
            return [image.complete, image.naturalWidth, box.width, box.height, image.alt.length];
        })"""
    )
    widest = page.evaluate("document.documentElement.scrollWidth")
    # Cells whose right edge is cut, by the page or by a region that scrolls sideways.
    cut = page.evaluate(
        """Array.from(document.querySelectorAll("th, td"), cell => {
            const region = cell.closest(".scroll").getBoundingClientRect();
            const over = cell.scrollWidth > cell.clientWidth && cell.clientWidth > 0;
            const right = cell.getBoundingClientRect().right;
            return over || right > region.right + 1 ? cell.innerText : "";
        }).filter(Boolean)"""
    )
    labels = page.evaluate(
        """Array.from(document.querySelectorAll("td[data-label]"), cell =>
            getComputedStyle(cell, "::before").content.replaceAll('"', ""))"""
    )
    folder = Path(os.environ.get("VANISHING_JAX_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    screenshot = folder / f"report-{width}.png"
    page.screenshot(path=screenshot, full_page=True)
    page.close()

    assert problems == []
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]
    assert len(images) == 1 + 11 + 10  # the overlay; the second network has no gates
    assert all(complete and min(sizes) > 0 for complete, *sizes in images)
    assert widest <= width and cut == []
    assert labels
    if width < 640:  # rows are blocks, each value behind its label
        assert {"rate (nats per step)", "horizon", "what was changed"} <= set(labels)
    else:
        assert set(labels) == {"none"}
    assert screenshot.stat().st_size > 50_000


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_of_mitigations_in_a_browser(browser, width, tmp_path):
    from vanishing_jax.studies.table._data import table_data
    from vanishing_jax.studies.table._pages import mitigation_html

    from ..studies.table.test_pages import fake

    path = tmp_path / "table.html"
    path.write_text(mitigation_html(table_data(fake())))
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    widest = page.evaluate("document.documentElement.scrollWidth")
    cut = page.evaluate(
        """Array.from(document.querySelectorAll("th, td"), cell => {
            const right = cell.closest(".scroll").getBoundingClientRect().right;
            const over = cell.getBoundingClientRect().right > right + 1;
            return over || cell.scrollWidth > cell.clientWidth + 1 ? cell.innerText : "";
        }).filter(Boolean)"""
    )
    page.close()
    assert requests == [path.as_uri()]
    assert widest <= width and cut == []
