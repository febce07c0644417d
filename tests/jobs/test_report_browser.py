"""The page of ``dualset report`` in a real browser, opened as a file."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from jobs.look.report.page import render
from jobs.look.report.plots import draw_plots
from tests.support.browser import Visit, new_visit, open_file, wait_until
from tests.support.report_example import MARKUP, example_report


@pytest.fixture(scope="module")
def visit(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """The example report, open in the browser."""
    report = example_report()
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(report, draw_plots(report.counts, report.texts, report.shifts)), encoding="utf-8")
    with new_visit(browser) as visit:
        open_file(visit.page, path)
        yield visit


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


def test_only_the_file_is_requested(visit: Visit) -> None:
    assert visit.requests, "the page itself"
    assert [url for url in visit.requests if not re.match(r"file:///|data:|blob:", url)] == []
    assert sum(url.startswith("file:") for url in visit.requests) == 1


def test_the_console_is_silent(visit: Visit) -> None:
    visit.page.evaluate("0")  # flushes the events that have arrived so far
    assert visit.messages == []


def test_pictures_decode_and_plots_are_drawn(page: Page) -> None:
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    widths = page.evaluate("[...document.querySelectorAll('.pic img')].map(image => image.naturalWidth)")
    assert widths == [64] * 8
    trace = "e.querySelector('.cartesianlayer :is(.trace, .hm)')"
    empty = page.evaluate(f"[...document.querySelectorAll('[data-plot]')].filter(e => !{trace}).length")
    assert page.locator("[data-plot]").count() == 9
    assert empty == 0


def test_a_mask_shows_on_hover_on_focus_and_on_request(page: Page) -> None:
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<style>.mask { transition: none !important }</style>')")
    picture = page.locator(".pic").nth(1)
    mask = picture.locator(".mask")
    expect(mask).to_have_css("opacity", "0")
    picture.hover()
    expect(mask).to_have_css("opacity", "1")
    assert picture.locator("use").first.evaluate("use => use.getBBox().width") > 0, "there is a mask in it"
    page.mouse.move(1, 1)
    expect(mask).to_have_css("opacity", "0")
    picture.focus()
    expect(mask).to_have_css("opacity", "1")
    picture.blur()
    expect(mask).to_have_css("opacity", "0")
    page.keyboard.down("m")
    expect(mask).to_have_css("opacity", "1")
    page.keyboard.up("m")


def test_captions_are_text(page: Page) -> None:
    assert page.evaluate("window.owned") is None
    assert page.evaluate("document.querySelector('.text').textContent") == f"{MARKUP} 0"
    assert page.evaluate("[...document.images].filter(image => !image.src.startsWith('data:')).length") == 0


def test_colours_follow_the_readers_scheme(page: Page) -> None:
    inks = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ink = page.evaluate("getComputedStyle(document.body).color")
        # A plot is drawn again by the page's own listener.
        wait_until(page, f"getComputedStyle(document.querySelector('[data-plot=stages] .xtitle')).fill === '{ink}'")
        inks.add(ink)
    assert len(inks) == 2
