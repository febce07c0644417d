"""Reviews: which pairs are chosen, what a file may contain, whose verdict wins, and the filter's precision by the verdicts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jobs.engine.stream import Run
from jobs.engine.tables import schema
from jobs.engine.views import create_views
from jobs.look.measure.stages import reviewed
from jobs.look.review import export_page
from jobs.look.review.choose import KEY, add_context, choose, gather_pictures, side_of
from jobs.look.review.page import facts_of, marked, render
from jobs.look.review.summary import lines, recall_of, summarise
from jobs.look.review.verdicts import QUESTIONS, REASONS, ReviewError, Verdict, import_verdicts, read_verdicts
from jobs.look.shares import Share, share_of
from jobs.publish import publish
from tests.support.report_example import MARKUP
from tests.support.review_example import START, example_page, facts, review_of, saved, write
from tests.support.roots import Picture, Source, open_root, rows, run_stages, take

# --- the file


def test_a_saved_file_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path, review_of(facts(), "reject", "smear", "grammar", note="blue"), review_of(facts(caption="d")), reviewer=" anna "
    )
    review_file = read_verdicts(path)
    assert (review_file.reviewer, [review.scope for review in review_file.reviews]) == ("anna", ["image", "pair"])
    assert review_file.reviews[0].judged_at == START


@pytest.mark.parametrize("reason", REASONS)
def test_a_fault_of_the_image_applies_to_all_its_pairs(reason: str) -> None:
    verdict = Verdict.model_validate(review_of(facts(), "reject", reason))
    assert verdict.scope == ("image" if REASONS[reason][1] == "image" else "pair")


BAD = {
    "no JSON": "{",
    "no UTF-8": b"\xff\xfe{}",
    "too deep": "[" * 100_000,
    "a list": "[]",
    "another format": json.dumps(saved(format="dualset-review-9")),
    "nobody": json.dumps(saved(review_of(facts()), reviewer="  ")),
    "another verdict": json.dumps(saved(review_of(facts(), "maybe"))),
    "an unknown reason": json.dumps(saved(review_of(facts(), "reject", "ugly"))),
    "an accepted fault": json.dumps(saved(review_of(facts(), "accept", "smear"))),
    "a pair twice": json.dumps(saved(review_of(facts()), review_of(facts(), "reject"))),
    "a column more": json.dumps(saved(review_of(facts(keep=True)))),
    "an original": json.dumps(saved(review_of(facts(subset=0)))),
    "a text for a number": json.dumps(saved(review_of(facts(subset="1")))),
    "no time zone": json.dumps(saved(review_of(facts()) | {"judged_at": "2026-01-01T00:00:00"})),
    "a chance above one": json.dumps(saved(review_of(facts(inclusion_probability=1.5)))),
    "doubtful with a chance": json.dumps(saved(review_of(facts(stratum="doubtful")))),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "saved.json"
    text = BAD[fault]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ReviewError) as problem:
        read_verdicts(str(path))
    assert str(path) in str(problem.value) and "\n" not in str(problem.value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="cannot be read"):
        read_verdicts(str(tmp_path / "gone.json"))


# --- the page


def test_nothing_of_the_data_is_markup() -> None:
    page = render(example_page())
    assert "<script>window" not in page and "window.owned" in page
    assert "default-src 'none'" in page
    nonce = re.search(r"script-src 'nonce-([^']+)'", page)
    assert nonce and not re.findall(r'<script(?! [^>]*nonce="' + re.escape(nonce[1]) + ")", page)
    (text,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, flags=re.S)
    assert "<" not in text
    data = json.loads(text)
    assert " ".join(part for part, _ in data["items"][0]["after"]) == " ".join(f"{MARKUP} 0".split())
    assert [item["facts"] for item in data["items"]] == [facts_of(row) for row in example_page().rows]


def test_a_page_made_again_has_the_same_id_and_another_choice_has_another() -> None:
    assert example_page().export_id == example_page().export_id != example_page(2).export_id


def test_changed_words_are_marked() -> None:
    before, after = marked("A dog and a cat sit.", "A cat sits.")
    assert [text for text, changed in before if changed] == ["dog", "and", "a", "sit."]
    assert [text for text, changed in after if changed] == ["sits."]


def test_pictures_are_as_large_as_the_page_allows() -> None:
    assert side_of(10) == 512 and side_of(100_000) == 160
    assert 300 < side_of(400) < 512


# --- estimates


def test_recall_weighs_both_kinds_by_how_many_there_are() -> None:
    kept, lost = Share(9, 10, 10, 0.9, 0.6, 0.98), Share(1, 10, 10, 0.1, 0.02, 0.4)
    value, low, high = recall_of(kept, lost, 1000, 500) or (0, 0, 0)
    assert value == pytest.approx(900 / 950) and low == pytest.approx(600 / 800) and high == pytest.approx(980 / 990)
    assert recall_of(kept, share_of([], []), 1000, 500) is None
    assert recall_of(kept, share_of([], []), 1000, 0) is None, "no rejected pair was drawn, whether there are any or not"


# --- over tables


@pytest.fixture(scope="module")
def run(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Eight pictures of a dog and a cat with two captions; the policy rejects the plates and has a limit for seams."""
    things = [("dog", (6, 10, 34, 50)), ("cat", (56, 12, 88, 52))]
    texts = ["A dog next to a cat.", f"A dog and a cat on a lawn. {MARKUP}"]
    pictures = [Picture(f"{i}.png", texts, things, shade=9 * i) for i in range(8)]
    source = Source(tmp_path_factory.mktemp("source")).write(*pictures)
    run = open_root(
        spark, tmp_path_factory.mktemp("root"), "policy.max_edited_fraction=0.4", "policy.max_seam=9", "publish.shards=2"
    )
    take(run, source)
    run_stages(run)
    return run


@pytest.fixture
def fresh(run: Run) -> Run:
    """The same root without reviews."""
    run.store.drop("reviews")
    return run


def choose_rows(run: Run, count: int = 1000, random: float = 1.0, rejected: float = 0.4, seed: int = 0) -> list[dict[str, Any]]:
    return choose(run.store, run.settings, count, random, rejected, seed).rows


def pairs_of(run: Run) -> list[dict[str, Any]]:
    """Facts of every pair, as if all were drawn."""
    pairs = add_context(run.store, choose_rows(run))
    return sorted((facts_of(row) for row in pairs), key=lambda row: [row[name] for name in KEY])


def augmented(run: Run) -> dict[tuple[Any, ...], Any]:
    create_views(run.store, run.settings)
    pairs = run.store.spark.sql("SELECT * FROM augmented WHERE subset <> 0").collect()
    return {tuple(row[name] for name in KEY): row for row in pairs}


def key(pair: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(pair[name] for name in KEY)


def test_the_random_part_is_a_draw_with_known_chances(fresh: Run) -> None:
    all_rows = choose_rows(fresh)
    assert len(all_rows) == len({key(row) for row in all_rows}) == 40, "one caption has no text left for the plate"
    sizes = {kept: sum(row["kept"] == kept for row in all_rows) for kept in (True, False)}
    assert sizes == {True: 32, False: 8}
    selection = choose_rows(fresh, count=20, random=0.5)
    strata = [(row["stratum"], row["kept"]) for row in selection if row["stratum"] == "random"]
    assert (strata.count(("random", True)), strata.count(("random", False))) == (6, 4)
    for row in selection:
        drawn = {True: 6, False: 4}[row["kept"]]
        if row["stratum"] == "random":
            assert (row["population"], row["inclusion_probability"]) == (sizes[row["kept"]], drawn / sizes[row["kept"]])
        else:
            assert row["population"] is None and row["inclusion_probability"] is None
    doubtful = [row for row in selection if row["stratum"] == "doubtful"]
    assert len(doubtful) == 10 and len({(row["record_id"], row["subset"]) for row in doubtful}) == 10, "one of each image first"
    assert [row["doubt"] for row in doubtful] == sorted(row["doubt"] for row in doubtful)
    assert len({key(row) for row in selection}) == 20
    assert {row["stratum"] for row in selection[:5]} == {"random", "doubtful"}, "mixed, so that a reviewer cannot tell them apart"
    assert choose_rows(fresh, count=20, random=0.5) == selection
    assert {key(row) for row in choose_rows(fresh, count=20, seed=1)} != {key(row) for row in choose_rows(fresh, count=20)}


def test_without_limits_all_are_drawn_at_random(fresh: Run) -> None:
    policy = fresh.settings.policy.model_copy(
        update=dict.fromkeys(("max_residual", "max_intruder", "max_seam", "min_text_agreement"))
    )
    selection = choose(fresh.store, fresh.settings.model_copy(update={"policy": policy}), 10, 0.5, 0.0, 0).rows
    assert [row["stratum"] for row in selection] == ["random"] * 10


def test_the_page_has_each_picture_once(fresh: Run, tmp_path: Path) -> None:
    pairs, size = export_page(fresh.store, fresh.settings, str(tmp_path / "page.html"), count=12)
    assert pairs == 12 and size == (tmp_path / "page.html").stat().st_size < 1_000_000
    selection = add_context(fresh.store, choose_rows(fresh, count=12))
    pictures = gather_pictures(fresh.store, selection)
    assert pictures.keys() == {(row["record_id"], subset) for row in selection for subset in (0, row["subset"])}
    assert all((entry.width, entry.height) == (96, 64) and entry.picture[8:12] == b"WEBP" for entry in pictures.values())
    assert all(len(entry.outlines) == (2 if subset == 0 else 0) for (_, subset), entry in pictures.items())
    assert {row["original"] for row in selection} <= {"A dog next to a cat.", f"A dog and a cat on a lawn. {MARKUP}"}


def test_a_persons_verdict_wins(fresh: Run, tmp_path: Path) -> None:
    before, pairs = augmented(fresh), pairs_of(fresh)
    kept = [pair for pair in pairs if pair["kept"]]
    (smeared, same_image), (wrong, right) = kept[0:2], kept[2:4]
    assert smeared["subset"] == same_image["subset"] and wrong["subset"] == right["subset"]
    wanted = next(pair for pair in pairs if not pair["kept"])
    reviews = [review_of(smeared, "reject", "smear"), review_of(wrong, "reject", "grammar"), review_of(wanted)]
    imported = import_verdicts(fresh.store, fresh.settings, [write(tmp_path, *reviews)])
    assert (imported.written, imported.known, imported.unknown, imported.changed) == (3, 0, [], [])
    after = augmented(fresh)
    assert {pair_key for pair_key in after if after[pair_key]["keep"] != before[pair_key]["keep"]} == {
        key(pair) for pair in (smeared, same_image, wrong, wanted)
    }
    assert after[key(same_image)]["reject_reasons"] == ["person"] and after[key(same_image)]["review"] == "reject"
    assert after[key(wanted)]["reject_reasons"] == [] and after[key(wanted)]["review"] == "accept"
    assert after[key(right)]["keep"] and after[key(right)]["review"] is None
    samples = fresh.store.spark.sql("SELECT * FROM samples WHERE subset <> 0").collect()
    assert {key(row.asDict()) for row in samples} == {pair_key for pair_key in after if after[pair_key]["keep"]}
    counted = fresh.store.spark.sql("SELECT sum(kept) FROM yield_by_subset WHERE removed_count > 0").first()
    assert counted is not None and counted[0] == len(samples)
    doubtful = [row for row in choose_rows(fresh, count=36, random=0.0) if row["stratum"] == "doubtful"]
    judged = {key(pair) for pair in (smeared, same_image, wrong, wanted)}
    assert len(doubtful) == 36 and not {key(row) for row in doubtful} & judged, (
        "pairs that a verdict covers are not shown as doubtful again"
    )


def test_each_reviewers_last_verdict_counts_and_one_rejection_outweighs(fresh: Run, tmp_path: Path) -> None:
    kept = [pair for pair in pairs_of(fresh) if pair["kept"]]
    (changed, changed_too), (retracted, retracted_too), (disputed, _) = kept[0:2], kept[2:4], kept[4:6]
    files = [
        write(tmp_path, review_of(changed), review_of(retracted, "reject", "smear"), review_of(disputed), name="1.json"),
        write(tmp_path, review_of(changed, "reject", "shadow", minute=1), review_of(retracted, minute=1), name="2.json"),
        write(tmp_path, review_of(changed_too, minute=2), name="3.json"),
        write(tmp_path, review_of(disputed, "reject", "untrue"), review_of(retracted), name="4.json", reviewer="ben"),
    ]
    import_verdicts(fresh.store, fresh.settings, files)
    after = augmented(fresh)
    assert after[key(changed)]["review"] == "reject", "her second verdict"
    assert after[key(changed_too)]["review"] == "accept", "her later verdict on the pair overrides hers on the image"
    assert after[key(retracted)]["review"] == "accept" and after[key(retracted_too)]["review"] is None, (
        "a retracted verdict no longer counts"
    )
    assert after[key(disputed)]["review"] == "reject" and not after[key(disputed)]["keep"]
    summary = summarise(fresh.store)
    assert (summary.compared, summary.agreement) == (2, 0.5)
    assert summary.reviewers == {"anna": 4, "ben": 2}


def test_a_file_twice_adds_nothing(fresh: Run, tmp_path: Path) -> None:
    pairs = pairs_of(fresh)
    path = write(tmp_path, review_of(pairs[0]), review_of(pairs[1], "reject", "smear", note="left"))
    assert import_verdicts(fresh.store, fresh.settings, [path, path]).written == 2
    repeated = import_verdicts(fresh.store, fresh.settings, [path])
    assert (repeated.written, repeated.known) == (0, 2)
    extended = write(tmp_path, review_of(pairs[0]), review_of(pairs[2]), name="more.json")
    assert import_verdicts(fresh.store, fresh.settings, [extended]).written == 1
    stored = {key(row): row for row in rows(fresh, "reviews")}
    assert len(stored) == fresh.store.read("reviews").count() == 3
    review = stored[key(pairs[1])]
    assert (review["reviewer"], review["verdict"], review["scope"], review["reasons"], review["note"]) == (
        "anna",
        "reject",
        "image",
        ["smear"],
        "left",
    )
    assert {name: review[name] for name in pairs[1]} == pairs[1], "how it was drawn is stored with the verdict"
    assert review["judged_at"] is not None and review["ingest_batch"] == rows(fresh, "scores", "ingest_batch")[0]["ingest_batch"]


def test_errors_are_found_before_anything_is_written(fresh: Run, tmp_path: Path) -> None:
    pairs = pairs_of(fresh)
    good = write(tmp_path, review_of(pairs[0]))
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(ReviewError, match="bad.json"):
        import_verdicts(fresh.store, fresh.settings, [good, str(bad)])
    assert not fresh.store.exists("reviews")
    import_verdicts(fresh.store, fresh.settings, [good])
    conflicting = write(tmp_path, review_of(pairs[0], "reject"), review_of(pairs[1]), name="other.json")
    with pytest.raises(ReviewError, match="gave two verdicts"):
        import_verdicts(fresh.store, fresh.settings, [conflicting])
    assert fresh.store.read("reviews").count() == 1


def test_unknown_pairs_are_named_and_left_out(fresh: Run, tmp_path: Path) -> None:
    pairs = pairs_of(fresh)
    remade = pairs[1] | {"image_version": "1"}
    imported = import_verdicts(
        fresh.store,
        fresh.settings,
        [write(tmp_path, review_of(facts("nobody")), review_of(pairs[0]), review_of(remade, "reject", "smear"))],
    )
    assert (imported.written, imported.unknown) == (1, ["nobody/1/c"])
    assert imported.changed == ["/".join(map(str, key(remade)))]
    assert [key(row) for row in rows(fresh, "reviews")] == [key(pairs[0])]


def test_a_review_does_not_apply_to_a_remade_image(fresh: Run, tmp_path: Path) -> None:
    pair = next(pair for pair in pairs_of(fresh) if pair["kept"])
    import_verdicts(fresh.store, fresh.settings, [write(tmp_path, review_of(pair))])
    (review,) = rows(fresh, "reviews")
    old = review | {"verdict": "reject", "scope": "image", "image_version": "1", "reviewer": "ben"}
    types = schema(fresh.store.spark, "reviews")
    fresh.store.append(fresh.store.spark.createDataFrame([tuple(old[name] for name in types.names)], types), "reviews")
    assert augmented(fresh)[key(pair)]["review"] == "accept"
    assert summarise(fresh.store).reviewers == {"anna": 1}


def test_precision_is_that_of_the_random_part(fresh: Run, tmp_path: Path) -> None:
    drawn = add_context(fresh.store, choose_rows(fresh, count=30, random=0.5))
    kept = [facts_of(row) for row in drawn if row["stratum"] == "random" and row["kept"]]
    lost = [facts_of(row) for row in drawn if row["stratum"] == "random" and not row["kept"]]
    doubtful = [facts_of(row) for row in drawn if row["stratum"] == "doubtful"]
    bad = [("reject", "smear"), ("reject", "smear", "grammar"), ("reject",)]
    reviews = [review_of(pair, *verdict) for pair, verdict in zip(kept, [*bad, *[("accept",)] * (len(kept) - 3)], strict=True)]
    reviews += [review_of(pair, *(("reject", "object_left") if index else ("accept",))) for index, pair in enumerate(lost)]
    import_verdicts(fresh.store, fresh.settings, [write(tmp_path, *reviews, *(review_of(pair, "reject") for pair in doubtful))])
    (estimate,) = summarise(fresh.store).filters
    assert (estimate.precision.hits, estimate.precision.total, estimate.kept) == (6, 9, 32)
    assert (estimate.missed.hits, estimate.missed.total, estimate.rejected) == (1, 6, 8)
    assert estimate.precision.low is not None and estimate.precision.low < 6 / 9 < (estimate.precision.high or 0)
    assert estimate.recall is not None and estimate.recall[0] == pytest.approx((32 * 6 / 9) / (32 * 6 / 9 + 8 / 6))
    assert estimate.faults == {"smear": 2, "grammar": 1}
    # The pair without a reason answers no question.
    answers = {question: (share.hits, share.total) for question, share in estimate.questions.items()}
    assert answers == {"gone": (8, 8), "text": (7, 8), "whole": (8, 8), "natural": (6, 8)}
    assert {hole: share.total for hole, share in estimate.natural.items()} == {"6% and more": 8}
    assert any("precision  0.667" in line for line in lines(summarise(fresh.store)))
    (section,) = reviewed(fresh.store)
    assert [(row[1], row[2].partition(" (")[0]) for row in section.rows if row[0] == "kept pairs"] == [
        ("are good in all", "0.667"),
        (QUESTIONS["gone"], "1.000"),
        (QUESTIONS["text"], "0.875"),
        (QUESTIONS["whole"], "1.000"),
        (QUESTIONS["natural"], "0.750"),
    ]


def test_a_snapshot_follows_the_reviews(fresh: Run, tmp_path: Path) -> None:
    before, _ = publish(fresh.store, fresh.settings)
    pair = next(pair for pair in pairs_of(fresh) if pair["kept"])
    import_verdicts(fresh.store, fresh.settings, [write(tmp_path, review_of(pair, "reject", "smear"))])
    after, new = publish(fresh.store, fresh.settings)
    assert new and "reviews" in after.tables and "reviews" not in before.tables
    assert (before.totals.pairs - after.totals.pairs, before.totals.images - after.totals.images) == (2, 1)


def test_a_summary_without_reviews(fresh: Run) -> None:
    assert summarise(fresh.store).filters == []
    assert "nobody" in next(lines(summarise(fresh.store)))
