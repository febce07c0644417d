"""The page of ``dualset report`` in a real browser, opened as a file."""

import re
from collections.abc import Iterator

import chromium
import pytest
from chromium import Chromium
from report_example import MARKUP, example_report

from jobs.report.page import render
from jobs.report.plots import draw_plots

pytestmark = pytest.mark.skipif(not chromium.found(), reason=f"none of {', '.join(chromium.NAMES)} is installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The example, drawn. The network domain is on from the start, so that no request goes unseen."""
    report = example_report()
    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(render(report, draw_plots(report.counts, report.texts, report.shifts)), encoding="utf-8")
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            browser.call(f"{domain}.enable")
        browser.call("Page.navigate", url=place.as_uri())
        browser.wait_for("document.documentElement?.dataset.ready !== undefined")
        yield browser


def test_nothing_but_the_file_is_asked_for(page: Chromium) -> None:
    urls = [event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"]
    assert urls, "the page itself"
    assert [url for url in urls if not re.match(r"file:///|data:|blob:", url)] == []
    assert sum(url.startswith("file:") for url in urls) == 1


def test_the_console_is_silent(page: Chromium) -> None:
    page.value("0")  # brings in what was said until now
    loud = [event for event in page.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    said = [event["params"] for event in page.events if event["method"] == "Runtime.consoleAPICalled"]
    loud += [one for one in said if one["type"] == "error"]
    assert loud == []


def test_pictures_decode_and_plots_are_drawn(page: Chromium) -> None:
    page.value("Promise.all([...document.images].map(image => image.decode()))")
    widths = page.value("[...document.querySelectorAll('.pic img')].map(image => image.naturalWidth)")
    assert widths == [64] * 8
    drawn = "e.querySelector('.cartesianlayer :is(.trace, .hm)')"
    empty = page.value(f"[...document.querySelectorAll('[data-plot]')].filter(e => !{drawn}).length")
    assert page.value("document.querySelectorAll('[data-plot]').length") == 9
    assert empty == 0


def test_a_mask_shows_on_hover_on_focus_and_on_request(page: Chromium) -> None:
    page.value("document.body.insertAdjacentHTML('beforeend', '<style>.mask { transition: none !important }</style>')")
    opacity = "getComputedStyle(document.querySelectorAll('.pic')[1].querySelector('.mask')).opacity"
    assert page.value(opacity) == "0"
    script = "(e => { e.scrollIntoView({behavior: 'instant', block: 'center'}); const b = e.getBoundingClientRect();"
    script += " return [b.x + b.width / 2, b.y + b.height / 2]; })"
    x, y = page.value(f"{script}(document.querySelectorAll('.pic')[1])")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.wait_for(f"{opacity} === '1'")
    assert page.value("document.querySelectorAll('.pic')[1].querySelector('use').getBBox().width") > 0, "there is a mask in it"
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    page.wait_for(f"{opacity} === '0'")
    page.value("document.querySelectorAll('.pic')[1].focus({preventScroll: true})")
    page.wait_for(f"{opacity} === '1'")
    page.value("document.activeElement.blur()")
    page.wait_for(f"{opacity} === '0'")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="m", text="m")
    page.wait_for(f"{opacity} === '1'")


def test_captions_are_text(page: Chromium) -> None:
    assert page.value("window.owned") is None
    assert page.value("document.querySelector('.text').textContent") == f"{MARKUP} 0"
    assert page.value("[...document.images].filter(image => !image.src.startsWith('data:')).length") == 0


def test_colours_follow_the_readers_scheme(page: Chromium) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        ink = page.value("getComputedStyle(document.body).color")
        # A plot is drawn again by the page's own listener.
        drawn = "getComputedStyle(document.querySelector('[data-plot=stages] .xtitle')).fill"
        page.wait_for(f"{drawn} === '{ink}'")
        colours.add(ink)
    assert len(colours) == 2
