"""The review page in a real browser, worked with keys as a person would; what it saves goes into a real root."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import Chromium
from report_example import MARKUP
from review_example import example_page
from roots import Picture, Source, open_root, rows, run_stages, take

from jobs.review import export_page
from jobs.review.page import render
from jobs.review.summary import summarise
from jobs.review.words import import_words, read_words
from jobs.views import create_views

pytestmark = pytest.mark.skipif(not chromium.found(), reason=f"none of {', '.join(chromium.NAMES)} is installed")

CODES = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
WORD = "document.getElementById('after').textContent.trim()"
JUDGED = "document.getElementById('count').textContent"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    """One that knows of no earlier work; downloads go to the test's folder."""
    with Chromium(tmp_path / "profile") as one:
        for domain in ("Page", "Network", "Runtime", "Log"):
            one.call(f"{domain}.enable")
        one.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        yield one
        one.call("Browser.close")  # at once, where a closed pipe alone may take its time


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "review.html"
    place.write_text(render(example_page()), encoding="utf-8")
    return place


def open_page(browser: Chromium, place: Path, name: str = "anna") -> None:
    browser.call("Page.navigate", url=place.as_uri())
    browser.wait_for("document.documentElement?.dataset.ready !== undefined")
    if name:
        browser.call("Input.insertText", text=name)
        press(browser, "Enter")
        browser.wait_for("document.querySelector('dialog[open]') === null && document.activeElement.id === 'stage'")


def press(browser: Chromium, *keys: str) -> None:
    for key in keys:
        hold(browser, key)
        release(browser, key)


def hold(browser: Chromium, key: str) -> None:
    text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
    browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=CODES.get(key, 0), **text)


def release(browser: Chromium, key: str) -> None:
    browser.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=CODES.get(key, 0))


def number(browser: Chromium) -> str:
    return browser.value("document.getElementById('number').textContent")


def download(browser: Chromium, folder: Path) -> Path:
    """Press save; the file."""
    before = set(folder.glob("*.json"))
    press(browser, "s")
    end = "document.getElementById('last').textContent.startsWith('Saved')"
    browser.wait_for(end)
    for _ in range(100):
        new = set(folder.glob("*.json")) - before
        if new:
            return new.pop()
        browser.value("new Promise(done => setTimeout(done, 100))")
    raise AssertionError("nothing was saved")


def test_keys_judge_and_the_file_says_so(browser: Chromium, place: Path, tmp_path: Path) -> None:
    open_page(browser, place)
    press(browser, "a")
    assert (number(browser), browser.value(JUDGED)) == ("2 / 3", "1 of 3 judged")
    press(browser, "3", "9", "n")
    browser.call("Input.insertText", text="a blue 1 in it")
    press(browser, "Escape", "Enter")
    assert (number(browser), browser.value(JUDGED)) == ("3 / 3", "2 of 3 judged")
    press(browser, "r", "1", "1")  # a reason given by mistake and taken back
    found = read_words(str(download(browser, tmp_path)))
    assert found.reviewer == "anna"
    said = [(one.caption_id, one.verdict, one.reasons, one.note) for one in found.reviews]
    assert said == [
        ("0", "accept", [], ""),
        ("1", "reject", ["smear", "grammar"], "a blue 1 in it"),
        ("2", "reject", [], ""),
    ]
    loud = [event for event in browser.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    urls = [event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"]
    assert loud == [] and [url for url in urls if not url.startswith(("file:///", "data:", "blob:"))] == []


def test_the_last_verdict_ends_it_and_undo_takes_back(browser: Chromium, place: Path) -> None:
    open_page(browser, place)
    press(browser, "a", "4", "Enter", "a")
    assert browser.value("document.getElementById('done').open")
    press(browser, "Escape", "u")
    assert (number(browser), browser.value(JUDGED)) == ("3 / 3", "2 of 3 judged")
    press(browser, "u")
    assert (number(browser), browser.value(JUDGED)) == ("2 / 3", "1 of 3 judged")
    press(browser, "u", "u")
    assert (number(browser), browser.value(JUDGED)) == ("1 / 3", "0 of 3 judged")


def test_the_filter_is_silent_until_one_has_judged(browser: Chromium, place: Path) -> None:
    open_page(browser, place)
    shown = "document.getElementById('shown').innerText"
    assert browser.value(shown) == ""
    press(browser, "ArrowRight")
    assert number(browser) == "2 / 3" and browser.value(shown) == "", "only looked at"
    press(browser, "1")
    assert browser.value(shown) == "", "reasons are still being given"
    press(browser, "Enter", "ArrowLeft")
    assert "rejected: text checks" in browser.value(shown) and "residual 0.123" in browser.value(shown)
    assert "the filter had rejected it" in browser.value("document.body.innerText")


@pytest.mark.parametrize("blocked", [False, True], ids=["storage", "no storage"])
def test_work_survives_a_reload(browser: Chromium, place: Path, *, blocked: bool) -> None:
    if blocked:
        script = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError') }})"
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    open_page(browser, place)
    assert browser.value("document.getElementById('warning').hidden") is not blocked
    press(browser, "a", "7", "s")  # saved: else the browser asks before it leaves
    browser.value("document.documentElement.removeAttribute('data-ready')")
    browser.call("Page.reload")
    browser.wait_for("document.documentElement?.dataset.ready !== undefined")
    assert browser.value("document.querySelector('dialog[open]')") is None, "the name is known"
    assert (number(browser), browser.value(JUDGED)) == ("2 / 3", "2 of 3 judged")
    assert browser.value("document.querySelector('[data-reason=untrue]').ariaPressed") == "true"
    press(browser, "u")
    assert browser.value(JUDGED) == "1 of 3 judged", "so is the way back"


def test_masks_and_the_original_show_while_a_key_is_held(browser: Chromium, place: Path) -> None:
    open_page(browser, place)
    opacity = "getComputedStyle(document.querySelectorAll('.mask')[1]).opacity"
    assert browser.value(opacity) == "0"
    hold(browser, "m")
    assert browser.value(opacity) == "1" and browser.value("document.querySelectorAll('.mask path').length") == 2
    release(browser, "m")
    assert browser.value(opacity) == "0"
    same = "document.getElementById('dual').src === document.getElementById('original').src"
    assert not browser.value(same)
    hold(browser, "b")
    assert browser.value(same)
    release(browser, "b")
    assert not browser.value(same)


def test_captions_are_text(browser: Chromium, place: Path) -> None:
    open_page(browser, place)
    assert browser.value("window.owned") is None
    assert browser.value(WORD) == " ".join(f"{MARKUP} 0".split())
    assert browser.value("document.querySelector('.chip').textContent") == "dog"
    press(browser, "ArrowRight")
    assert browser.value("document.querySelector('.chip').textContent") == "<b>cat</b>"


def test_every_control_has_a_name_and_colours_follow_the_scheme(browser: Chromium, place: Path) -> None:
    open_page(browser, place)
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if node.get("role", {}).get("value") in ("button", "textbox", "image", "progressbar")]
    assert len(controls) > 15
    assert [node for node in controls if not node.get("ignored") and not node.get("name", {}).get("value")] == []
    colours = set()
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        colours.add(browser.value("getComputedStyle(document.body).color"))
    assert len(colours) == 2


def test_from_the_tables_to_the_page_and_back(browser: Chromium, spark: Any, tmp_path: Path) -> None:
    things = [("dog", (6, 10, 34, 50)), ("cat", (56, 12, 88, 52))]
    source = Source(tmp_path / "source").write(
        *(Picture(f"{i}.png", ["A dog next to a cat."], things, shade=30 * i) for i in range(2))
    )
    run = open_root(spark, tmp_path / "root")
    take(run, source)
    run_stages(run)
    pairs, _ = export_page(run.store, run.settings, str(tmp_path / "page.html"), random=1.0)
    assert pairs == 4, "nothing is left to say of a plate"
    open_page(browser, tmp_path / "page.html", name="ben")
    press(browser, "a", "3", "Enter", "a", "a")
    press(browser, "Escape")
    saved = download(browser, tmp_path)
    assert import_words(run.store, run.settings, [str(saved)]).written == 4
    (bad,) = [row for row in rows(run, "reviews") if row["verdict"] == "reject"]
    assert (bad["scope"], bad["reasons"], bad["reviewer"]) == ("image", ["smear"], "ben")
    create_views(run.store, run.settings)
    out = spark.sql("SELECT record_id, subset, reject_reasons FROM augmented WHERE NOT keep AND status = 'ok'").collect()
    assert [tuple(row) for row in out] == [(bad["record_id"], bad["subset"], ["person"])]
    (found,) = summarise(run.store).filters
    assert (found.precision.accepted, found.precision.judged) == (3, 4)
    again = json.loads(saved.read_text())
    assert len(again["reviews"]) == 4 and import_words(run.store, run.settings, [str(saved)]).written == 0
