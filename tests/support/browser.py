"""Pages in the system's Chromium, driven by Playwright: only its client is installed, never its own build of the browser."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
WAIT_MS = 120_000  # a stuck page fails the test, a slow one does not
READY = "document.documentElement?.dataset.ready !== undefined"


@dataclass
class Visit:
    """A page, the addresses that it requested, its console messages and its uncaught errors."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@contextmanager
def launched() -> Iterator[Browser]:
    """Headless Chromium; the test is skipped where none is installed."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed; `make chromium` installs it on Debian")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(SWITCHES), timeout=WAIT_MS)
        yield chromium
        chromium.close()


@contextmanager
def new_visit(browser: Browser) -> Iterator[Visit]:
    """An empty page without stored state; every request and message of it is recorded."""
    with browser.new_context(viewport={"width": 1300, "height": 1000}) as context:
        context.set_default_timeout(WAIT_MS)
        visit = Visit(context.new_page())
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on("console", lambda message: visit.messages.append(f"{message.type}: {message.text}"))
        visit.page.on("pageerror", lambda error: visit.messages.append(str(error)))
        yield visit


def open_file(page: Page, path: Path) -> None:
    """Open a file and wait until its script has run."""
    page.goto(path.as_uri())
    wait_until(page, READY)


def wait_until(page: Page, expression: str) -> None:
    """Wait until an expression is true in the page.

    Playwright's ``wait_for_function`` calls ``eval`` in the page when the first look is too early, and the pages forbid that.
    """
    for _ in range(WAIT_MS // 20):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"not true within {WAIT_MS} ms: {expression}")
