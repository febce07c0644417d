"""The review page in a real browser, driven by keys as a person would; what it saves is imported into a real root."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from jobs.engine.views import create_views
from jobs.look.review import export_page
from jobs.look.review.page import render
from jobs.look.review.summary import summarise
from jobs.look.review.verdicts import import_verdicts, read_verdicts
from tests.support.browser import READY, Visit, new_visit, open_file, wait_until
from tests.support.report_example import MARKUP
from tests.support.review_example import example_page
from tests.support.roots import Picture, Source, open_root, rows, run_stages, take

CAPTION = "document.getElementById('after').textContent.trim()"
JUDGED = "document.getElementById('count').textContent"
NUMBER = "document.getElementById('number').textContent"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    with new_visit(browser) as visit:
        yield visit


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "review.html"
    path.write_text(render(example_page()), encoding="utf-8")
    return path


def open_page(page: Page, path: Path, name: str = "anna") -> None:
    open_file(page, path)
    page.keyboard.insert_text(name)
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelector('dialog[open]') === null && document.activeElement.id === 'stage'")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def counters(page: Page) -> tuple[str, str]:
    """Which pair is shown, and how many are judged."""
    return page.evaluate(NUMBER), page.evaluate(JUDGED)


def download(page: Page, folder: Path) -> Path:
    """Press save and return the file's path."""
    with page.expect_download() as saving:
        page.keyboard.press("s")
    wait_until(page, "document.getElementById('last').textContent.startsWith('Saved')")
    path = folder / saving.value.suggested_filename
    saving.value.save_as(path)
    return path


def test_keys_judge_and_the_saved_file_has_the_verdicts(visit: Visit, path: Path, tmp_path: Path) -> None:
    page = visit.page
    open_page(page, path)
    press(page, "a")
    assert counters(page) == ("2 / 3", "1 of 3 judged")
    press(page, "3", "9", "n")
    page.keyboard.insert_text("a blue 1 in it")
    press(page, "Escape", "Enter")
    assert counters(page) == ("3 / 3", "2 of 3 judged")
    press(page, "r", "1", "1")  # a reason set by mistake and cleared
    saved = read_verdicts(str(download(page, tmp_path)))
    assert saved.reviewer == "anna"
    reviews = [(review.caption_id, review.verdict, review.reasons, review.note) for review in saved.reviews]
    assert reviews == [
        ("0", "accept", [], ""),
        ("1", "reject", ["smear", "grammar"], "a blue 1 in it"),
        ("2", "reject", [], ""),
    ]
    assert visit.messages == []
    assert [url for url in visit.requests if not url.startswith(("file:///", "data:", "blob:"))] == []


def test_the_last_verdict_ends_the_review_and_undo_takes_it_back(page: Page, path: Path) -> None:
    open_page(page, path)
    press(page, "a", "4", "Enter", "a")
    assert page.evaluate("document.getElementById('done').open")
    press(page, "Escape", "u")
    assert counters(page) == ("3 / 3", "2 of 3 judged")
    press(page, "u")
    assert counters(page) == ("2 / 3", "1 of 3 judged")
    press(page, "u", "u")
    assert counters(page) == ("1 / 3", "0 of 3 judged")


def test_the_filters_decision_is_hidden_until_the_pair_is_judged(page: Page, path: Path) -> None:
    open_page(page, path)
    shown = "document.getElementById('shown').innerText"
    assert page.evaluate(shown) == ""
    press(page, "ArrowRight")
    assert page.evaluate(NUMBER) == "2 / 3" and page.evaluate(shown) == "", "merely viewed"
    press(page, "1")
    assert page.evaluate(shown) == "", "reasons are still being entered"
    press(page, "Enter", "ArrowLeft")
    assert "rejected: text checks" in page.evaluate(shown) and "residual 0.123" in page.evaluate(shown)
    assert "the filter had rejected it" in page.evaluate("document.body.innerText")


@pytest.mark.parametrize("blocked", [False, True], ids=["storage", "no storage"])
def test_work_survives_a_reload(page: Page, path: Path, *, blocked: bool) -> None:
    if blocked:
        script = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError') }})"
        page.add_init_script(script)
    open_page(page, path)
    assert page.evaluate("document.getElementById('warning').hidden") is not blocked
    press(page, "a", "7", "s")  # saved, or the browser would ask before it leaves the page
    page.evaluate("document.documentElement.removeAttribute('data-ready')")
    page.reload()
    wait_until(page, READY)
    assert page.evaluate("document.querySelector('dialog[open]')") is None, "the name is known"
    assert counters(page) == ("2 / 3", "2 of 3 judged")
    assert page.evaluate("document.querySelector('[data-reason=untrue]').ariaPressed") == "true"
    press(page, "u")
    assert page.evaluate(JUDGED) == "1 of 3 judged", "and so is the undo history"


def test_masks_and_the_original_show_while_a_key_is_held(page: Page, path: Path) -> None:
    open_page(page, path)
    opacity = "getComputedStyle(document.querySelectorAll('.mask')[1]).opacity"
    assert page.evaluate(opacity) == "0"
    page.keyboard.down("m")
    assert page.evaluate(opacity) == "1" and page.evaluate("document.querySelectorAll('.mask path').length") == 2
    page.keyboard.up("m")
    assert page.evaluate(opacity) == "0"
    is_original = "document.getElementById('dual').src === document.getElementById('original').src"
    assert not page.evaluate(is_original)
    page.keyboard.down("b")
    assert page.evaluate(is_original)
    page.keyboard.up("b")
    assert not page.evaluate(is_original)


def test_captions_are_text(page: Page, path: Path) -> None:
    open_page(page, path)
    assert page.evaluate("window.owned") is None
    assert page.evaluate(CAPTION) == " ".join(f"{MARKUP} 0".split())
    assert page.evaluate("document.querySelector('.chip').textContent") == "dog"
    press(page, "ArrowRight")
    assert page.evaluate("document.querySelector('.chip').textContent") == "<b>cat</b>"


def test_every_control_has_a_name_and_colours_follow_the_scheme(page: Page, path: Path) -> None:
    open_page(page, path)
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if node.get("role", {}).get("value") in ("button", "textbox", "image", "progressbar")]
    assert len(controls) > 15
    assert [node for node in controls if not node.get("ignored") and not node.get("name", {}).get("value")] == []
    colours = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours.add(page.evaluate("getComputedStyle(document.body).color"))
    assert len(colours) == 2


def test_from_the_tables_to_the_page_and_back(page: Page, spark: Any, tmp_path: Path) -> None:
    things = [("dog", (6, 10, 34, 50)), ("cat", (56, 12, 88, 52))]
    source = Source(tmp_path / "source").write(
        *(Picture(f"{i}.png", ["A dog next to a cat."], things, shade=30 * i) for i in range(2))
    )
    run = open_root(spark, tmp_path / "root")
    take(run, source)
    run_stages(run)
    pairs, _ = export_page(run.store, run.settings, str(tmp_path / "page.html"), random=1.0)
    assert pairs == 4, "with everything removed there is no text left"
    open_page(page, tmp_path / "page.html", name="ben")
    press(page, "a", "3", "Enter", "a", "a")
    press(page, "Escape")
    saved = download(page, tmp_path)
    assert import_verdicts(run.store, run.settings, [str(saved)]).written == 4
    (bad,) = [row for row in rows(run, "reviews") if row["verdict"] == "reject"]
    assert (bad["scope"], bad["reasons"], bad["reviewer"]) == ("image", ["smear"], "ben")
    create_views(run.store, run.settings)
    out = spark.sql("SELECT record_id, subset, reject_reasons FROM augmented WHERE NOT keep AND status = 'ok'").collect()
    assert [tuple(row) for row in out] == [(bad["record_id"], bad["subset"], ["person"])]
    (estimate,) = summarise(run.store).filters
    assert (estimate.precision.hits, estimate.precision.total) == (3, 4)
    verdict_file = json.loads(saved.read_text())
    assert len(verdict_file["reviews"]) == 4 and import_verdicts(run.store, run.settings, [str(saved)]).written == 0
