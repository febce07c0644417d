"""The report over a small root with hostile captions: its counts, its measurements, and what it must not reveal."""

import html
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jobs.engine.stream import Run
from jobs.look.report import write_report
from jobs.look.report.gallery import doubt_sql, gather_gallery
from jobs.look.report.gather import BINS, gather, name_tables
from jobs.look.report.page import lines, render, shown_settings
from jobs.look.report.pictures import draw_small, svg_path
from jobs.look.report.plots import draw_plots
from jobs.look.report.shift import BANDWIDTH, SCALE, compare, gather_shift
from jobs.look.report.texts import gather_texts
from jobs.settings import Policy, Settings
from tests.support.report_example import MARKUP, block, example_report
from tests.support.roots import Picture, Source, open_root, rows, run_stages, take
from tests.support.tiny_models import clip_files, picture


def page_of(report: Any) -> str:
    return render(report, draw_plots(report.counts, report.texts, report.shifts))


def outside_scripts(page: str) -> str:
    return re.sub(r"<script.*?</script>|<style>.*?</style>", "", page, flags=re.S)


# --- the page, without Spark


def test_nothing_of_the_data_is_markup_and_nothing_is_fetched() -> None:
    page = page_of(example_report())
    assert "<script>window" not in page and "owned" in page
    assert html.escape(MARKUP, quote=False).replace('"', "&#34;").replace("'", "&#39;") in page
    tags = set(re.findall(r"<(?:img|script|link|iframe|use|a)\b[^>]*>", outside_scripts(page)))
    addresses = {value for tag in tags for value in re.findall(r'(?:src|href)="([^"]*)"', tag)}
    assert addresses and not [value for value in addresses if not value.startswith(("#", "data:image/webp;base64,"))]
    assert "default-src 'none'" in page
    nonce = re.search(r"script-src 'nonce-([^']+)'", page)
    assert nonce and re.findall(r"<script(?! [^>]*nonce=\"" + re.escape(nonce[1]) + ")", with_empty_scripts(page)) == []


def with_empty_scripts(page: str) -> str:
    """The page with its script tags emptied: plotly's source contains the word in a string."""
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.S)


def test_names_in_plots_are_no_tags() -> None:
    report = example_report()
    report.counts.reasons.append({"reason": "<a href='https://example.org'>x</a>", "pairs": 1})
    plots = draw_plots(report.counts, report.texts, report.shifts)
    assert plots["reasons"]["data"][0]["y"][1] == "&lt;a href='https://example.org'&gt;x&lt;/a&gt;"


def test_a_plot_without_data_is_left_out_with_its_reason() -> None:
    page = page_of(example_report(shifts=[], no_shift="no embedder: not measured.", texts=[], families=[]))
    assert "No embedder: not measured." in page
    assert 'data-plot="shift"' not in page and 'data-plot="lengths"' not in page
    assert "No family has a component" in page


def test_a_lattice_has_a_line_for_each_removal() -> None:
    for n in (1, 2, 3, 4):
        cells = [SimpleNamespace(subset=subset) for subset in range(1 << n)]
        levels = [[cell for cell in cells if cell.subset.bit_count() == level] for level in range(n + 1)]
        family: Any = SimpleNamespace(levels=levels, labels=["x"] * n)
        drawn = [line for level in range(n) for line in lines(family, level)["lines"]]
        assert len(drawn) == n << (n - 1)
        assert {bit for *_, bit in drawn} == set(range(n))


def test_settings_are_shown_without_secrets() -> None:
    tree = Settings().model_dump(mode="json")
    tree["extractor"] |= {"kind": "openai", "base_url": "http://user:secret@host:8000/v1?key=secret"}
    tree["spark"]["conf"] = {"spark.hadoop.fs.s3a.secret.key": "secret"}
    tree["inpainter"]["radius"] = 7.0
    shown = shown_settings([("extract", ("extractor",), json.dumps(tree)), ("inpaint", ("inpainter", "codec"), json.dumps(tree))])
    assert shown == [
        ("extractor.base_url", "http://host:8000/v1", ""),
        ("extractor.kind", "openai", "rules"),
        ("inpainter.radius", 7.0, 5.0),
    ]


def test_outlines_are_paths_of_numbers() -> None:
    path = svg_path([block(0, 20), block(40, 60)], 24, 32)
    assert re.fullmatch(r"(M\d+ \d+(L\d+ \d+)+Z){2}", path)
    assert svg_path([], 24, 32) == ""
    small = draw_small(picture(height=480, width=640), 256, [{"masks": [block(0, 20)]}])
    assert (small["width"], small["height"]) == (256, 192) and small["picture"][8:12] == b"WEBP"
    assert set(draw_small(None, 256, []).values()) == {None}


# --- the distance


def slow_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 4 of Gretton et al. 2012 with the kernel of CMMD, pair by pair."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * BANDWIDTH**2)))

    n = len(x)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    return SCALE * sum(k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i]) for i, j in pairs) / (n * (n - 1))


def unit(rows_: np.ndarray) -> np.ndarray:
    return rows_ / np.linalg.norm(rows_, axis=1, keepdims=True)


def test_the_distance_is_the_published_one() -> None:
    draw = np.random.default_rng(0)
    x, y = unit(draw.normal(size=(12, 5))), unit(draw.normal(size=(12, 5)) + 1)
    assert compare(x, y)[0] == pytest.approx(slow_mmd(x, y), rel=1e-6)


def test_equal_sets_are_at_no_distance_and_a_shift_is_above_the_floor() -> None:
    draw = np.random.default_rng(1)
    x = unit(draw.normal(size=(40, 16)))
    distance, low, high, floor = compare(x, x)
    assert distance == pytest.approx(0, abs=1e-9) and low == pytest.approx(0, abs=1e-9) == high
    assert floor[0] < 0 < floor[2], "halves of one set differ by chance only"
    distance, low, high, floor = compare(x, unit(x + 0.5))
    assert floor[2] < low < distance < high


def test_the_estimate_is_unbiased_for_few_records() -> None:
    draw = np.random.default_rng(2)
    distances = [compare(unit(draw.normal(size=(8, 16))), unit(draw.normal(size=(8, 16))))[0] for _ in range(150)]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(len(distances)), (
        "a biased estimate would always be above zero"
    )
    assert min(distances) < 0 < max(distances)


# --- over tables

HOSTILE = "A dog next to a cat. <script>window.owned = 1</script> {{ 7 * 7 }}"


@pytest.fixture(scope="module")
def run(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Ten pictures of a dog and a cat, one of nothing, one whose file is missing; scored by a tiny random CLIP."""
    things = [("dog", (6, 10, 34, 50)), ("cat", (56, 12, 88, 52))]
    pictures = [Picture(f"{i}.png", [f"A dog next to a cat {i}.", HOSTILE], things, shade=9 * i) for i in range(10)]
    pictures += [Picture("none.png", ["A view of nothing."], shade=99), Picture("gone.png", ["A dog."], things, data=None)]
    source = Source(tmp_path_factory.mktemp("source")).write(*pictures)
    model, checkpoint = clip_files(tmp_path_factory.mktemp("clip"))
    root = tmp_path_factory.mktemp("root")
    run = open_root(spark, root, f"embedder.model={model}", f"embedder.checkpoint={checkpoint}")
    take(run, source)
    run_stages(run)
    name_tables(run.store, run.settings)
    return run


def test_counts_are_those_of_the_tables(run: Run) -> None:
    counts = gather(run.store, run.settings)
    scores = [row for row in rows(run, "scores") if row["subset"] != 0]
    kept = [row for row in scores if row["keep"]]
    totals = counts.totals
    assert (totals["listed"], totals["images"], totals["families"]) == (12, 11, 10)
    assert (totals["planned"], totals["duals"]) == (30, 30)
    assert (totals["pairs"], totals["kept"]) == (len(scores), len(kept))
    assert totals["kept_duals"] == len({(row["record_id"], row["subset"]) for row in kept})
    assert [(row["table"], row["status"], row["rows"]) for row in counts.quarantine][0] == ("images", "missing_file", 1)
    assert counts.steps[0] == ("pairs", len(scores)) and counts.steps[-1][1] == len(kept), "the last step counts the kept pairs"
    for measure in counts.measures:
        values = [float(row[measure.name]) for row in scores if row["status"] == "ok" and row[measure.name] is not None]
        assert (sum(measure.kept) + sum(measure.rejected), measure.low, measure.high) == (
            len(values),
            min(values),
            max(values),
        ), measure.name
        assert len(measure.kept) == BINS
    assert {"clip_true", "clip_drop", "clip_image", "edited_fraction", "text_ok"} <= {measure.name for measure in counts.measures}
    assert sum(row["images"] for row in counts.coverage) == 40
    assert [row["stage"] for row in counts.stages][0] == "ingest" and len(counts.stages) == 8


def test_another_policy_is_another_filter(run: Run) -> None:
    strict = run.settings.model_copy(update={"policy": Policy(max_edited_fraction=0.0)})
    counts = gather(run.store, strict)
    assert counts.totals["kept"] == 0 and ("after edited_fraction", 0) in counts.steps
    name_tables(run.store, run.settings)


def test_the_gallery_holds_what_was_asked_for_and_no_more(run: Run) -> None:
    policy = run.settings.policy
    clip = sorted(row["clip_drop"] for row in rows(run, "scores", "clip_drop") if row["clip_drop"] is not None)
    limit = clip[len(clip) // 2]
    settings = run.settings.model_copy(update={"policy": policy.model_copy(update={"min_clip_drop": limit})})
    gallery = gather_gallery(run.store, settings, families=5, seed=0, doubtful=0.4)
    assert [family.doubtful for family in gallery] == [True, True, False, False, False]
    assert gallery[0].doubt is not None and gallery[0].doubt <= (gallery[1].doubt or 0)
    assert len({family.record_id for family in gallery}) == 5
    for family in gallery:
        assert [cell.subset for cell in family.cells] == [0, 1, 2, 3]
        assert [len(level) for level in family.levels] == [1, 2, 1]
        assert all(cell.picture and cell.width == 96 for cell in family.cells)
        assert all(outline.startswith("M") for outline in family.outlines) and len(family.outlines) == 2
        assert [cell.removed for cell in family.cells] == [[], family.labels[:1], family.labels[1:], family.labels]
    assert gather_gallery(run.store, settings, 5, 0, 0.4) == gallery, "the same seed draws the same families"
    assert doubt_sql(Policy(max_residual=None, max_intruder=None, max_edited_fraction=None, min_text_agreement=None)) == ""


def test_the_shift_compares_each_size_with_the_same_records(run: Run) -> None:
    model, shifts = gather_shift(run.store, run.settings)
    assert model.startswith("tiny-clip")
    assert [(shift.removed, shift.records) for shift in shifts if not shift.kept] == [(1, 10), (2, 10)]
    assert all(shift.low <= shift.high and shift.floor[0] <= shift.floor[2] for shift in shifts)
    assert gather_shift(run.store, run.settings, most=9)[1][0].records == 9


def test_texts_are_compared_on_the_same_number_of_words(run: Run) -> None:
    texts = {summary.kind: summary for summary in gather_texts(run.store)}
    assert list(texts) == ["original captions", "dual texts", "kept dual texts"]
    originals = texts["original captions"]
    assert originals.texts == 10, "the other captions have no dual text"
    assert originals.repeated == pytest.approx(0.9), "the same caption ten times"
    assert len({summary.tokens for summary in texts.values()}) == 1
    assert all(sum(summary.lengths) == summary.texts for summary in texts.values())


def test_the_whole_page_is_written(run: Run, tmp_path: Path) -> None:
    size = write_report(run.store, run.settings, str(tmp_path / "report.html"), families=3)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert size == len(page.encode()) and size < 8_000_000
    body = outside_scripts(page)
    assert body.count('<article class="family') == 3
    assert body.count("data:image/webp") == 3 * 4 + 4, "the gallery and the first screen's example"
    assert "&lt;script&gt;window.owned" in body and "{{ 7 * 7 }}" in body and "<script>window" not in page
    assert "11 images in" in body and "missing file" in body and 'data-plot="shift"' in body
