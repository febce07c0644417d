"""Reviews: what is chosen, what a file may say, whose word wins, and what the filter's precision is by it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from report_example import MARKUP
from review_example import START, example_page, facts, saved, word, write
from roots import Picture, Source, open_root, rows, run_stages, take
from scipy.stats import binomtest

from jobs.publish import publish
from jobs.review import export_page
from jobs.review.choose import KEY, add_context, choose, gather_pictures, side_of
from jobs.review.page import facts_of, marked, render
from jobs.review.summary import Share, lines, recall_of, share_of, summarise, wilson
from jobs.review.words import REASONS, ReviewError, Word, import_words, read_words
from jobs.stream import Run
from jobs.tables import schema
from jobs.views import create_views

# --- the file


def test_a_saved_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, word(facts(), "reject", "smear", "grammar", note="blue"), word(facts(caption="d")), reviewer=" anna ")
    found = read_words(path)
    assert (found.reviewer, [one.scope for one in found.reviews]) == ("anna", ["image", "pair"])
    assert found.reviews[0].judged_at == START


@pytest.mark.parametrize("reason", REASONS)
def test_a_fault_of_the_image_is_one_of_all_its_pairs(reason: str) -> None:
    found = Word.model_validate(word(facts(), "reject", reason))
    assert found.scope == ("image" if REASONS[reason][1] == "image" else "pair")


BAD = {
    "no JSON": "{",
    "no UTF-8": b"\xff\xfe{}",
    "too deep": "[" * 100_000,
    "a list": "[]",
    "another format": json.dumps(saved(format="dualset-review-9")),
    "nobody": json.dumps(saved(word(facts()), reviewer="  ")),
    "another verdict": json.dumps(saved(word(facts(), "maybe"))),
    "an unknown reason": json.dumps(saved(word(facts(), "reject", "ugly"))),
    "an accepted fault": json.dumps(saved(word(facts(), "accept", "smear"))),
    "a pair twice": json.dumps(saved(word(facts()), word(facts(), "reject"))),
    "a column more": json.dumps(saved(word(facts(keep=True)))),
    "an original": json.dumps(saved(word(facts(subset=0)))),
    "a text for a number": json.dumps(saved(word(facts(subset="1")))),
    "no time zone": json.dumps(saved(word(facts()) | {"judged_at": "2026-01-01T00:00:00"})),
    "a chance above one": json.dumps(saved(word(facts(inclusion_probability=1.5)))),
    "doubtful with a chance": json.dumps(saved(word(facts(stratum="doubtful")))),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, fault: str) -> None:
    place = tmp_path / "saved.json"
    text = BAD[fault]
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ReviewError) as problem:
        read_words(str(place))
    assert str(place) in str(problem.value) and "\n" not in str(problem.value)


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="cannot be read"):
        read_words(str(tmp_path / "gone.json"))


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
    assert " ".join(one for one, _ in data["items"][0]["after"]) == " ".join(f"{MARKUP} 0".split())
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


def test_the_interval_is_wilsons() -> None:
    for good, number in ((0, 10), (7, 10), (95, 100), (100, 100)):
        wanted = binomtest(good, number).proportion_ci(0.95, method="wilson")
        assert wilson(good / number, number) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_pairs_of_one_photograph_count_for_less() -> None:
    good = [True] * 30 + [False] * 10
    alone = share_of(good, [str(place) for place in range(40)])
    alike = share_of(good, [str(place // 5) for place in range(40)])  # eight photographs, each wholly good or bad
    assert (alone.value, alike.value, alone.records, alike.records) == (0.75, 0.75, 40, 8)
    assert (alone.low, alone.high) == pytest.approx(wilson(0.75, 40), abs=0.01)
    assert alike.low < alone.low < alone.high < alike.high
    assert alike.low == pytest.approx(wilson(0.75, 8)[0], abs=0.04)
    assert share_of([True] * 40, [str(place // 5) for place in range(40)]).low == pytest.approx(wilson(1, 8)[0])
    assert share_of([], []) == Share(0, 0, 0, None, None, None)


def test_recall_weighs_both_kinds_by_how_many_there_are() -> None:
    kept, lost = Share(9, 10, 10, 0.9, 0.6, 0.98), Share(1, 10, 10, 0.1, 0.02, 0.4)
    value, low, high = recall_of(kept, lost, 1000, 500) or (0, 0, 0)
    assert value == pytest.approx(900 / 950) and low == pytest.approx(600 / 800) and high == pytest.approx(980 / 990)
    assert recall_of(kept, share_of([], []), 1000, 500) is None
    assert recall_of(kept, share_of([], []), 1000, 0) == (1.0, 1.0, 1.0)


# --- over tables


@pytest.fixture(scope="module")
def run(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Eight pictures of a dog and a cat with two captions; the policy rejects the plates, and has a limit for seams."""
    things = [("dog", (6, 10, 34, 50)), ("cat", (56, 12, 88, 52))]
    texts = ["A dog next to a cat.", f"A dog and a cat on a lawn. {MARKUP}"]
    pictures = [Picture(f"{i}.png", texts, things, shade=9 * i) for i in range(8)]
    source = Source(tmp_path_factory.mktemp("source")).write(*pictures)
    made = open_root(
        spark, tmp_path_factory.mktemp("root"), "policy.max_edited_fraction=0.4", "policy.max_seam=9", "publish.shards=2"
    )
    take(made, source)
    run_stages(made)
    return made


@pytest.fixture
def fresh(run: Run) -> Run:
    """The same root without reviews."""
    run.store.drop("reviews")
    return run


def chosen(run: Run, count: int = 1000, random: float = 1.0, rejected: float = 0.4, seed: int = 0) -> list[dict[str, Any]]:
    return choose(run.store, run.settings, count, random, rejected, seed).rows


def pairs_of(run: Run) -> list[dict[str, Any]]:
    """Facts of every pair, as if all were drawn."""
    found = add_context(run.store, chosen(run))
    return sorted((facts_of(row) for row in found), key=lambda row: [row[name] for name in KEY])


def augmented(run: Run) -> dict[tuple[Any, ...], Any]:
    create_views(run.store, run.settings)
    found = run.store.spark.sql("SELECT * FROM augmented WHERE subset <> 0").collect()
    return {tuple(row[name] for name in KEY): row for row in found}


def key(pair: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(pair[name] for name in KEY)


def test_the_random_part_is_a_draw_with_known_chances(fresh: Run) -> None:
    everything = chosen(fresh)
    assert len(everything) == len({key(row) for row in everything}) == 40, "of one caption nothing is left on the plate"
    sizes = {kept: sum(row["kept"] == kept for row in everything) for kept in (True, False)}
    assert sizes == {True: 32, False: 8}
    found = chosen(fresh, count=20, random=0.5)
    strata = [(row["stratum"], row["kept"]) for row in found if row["stratum"] == "random"]
    assert (strata.count(("random", True)), strata.count(("random", False))) == (6, 4)
    for row in found:
        drawn = {True: 6, False: 4}[row["kept"]]
        if row["stratum"] == "random":
            assert (row["population"], row["inclusion_probability"]) == (sizes[row["kept"]], drawn / sizes[row["kept"]])
        else:
            assert row["population"] is None and row["inclusion_probability"] is None
    doubtful = [row for row in found if row["stratum"] == "doubtful"]
    assert len(doubtful) == 10 and len({(row["record_id"], row["subset"]) for row in doubtful}) == 10, "one of each image first"
    assert [row["doubt"] for row in doubtful] == sorted(row["doubt"] for row in doubtful)
    assert len({key(row) for row in found}) == 20
    assert {row["stratum"] for row in found[:5]} == {"random", "doubtful"}, "mixed: a reviewer cannot tell"
    assert chosen(fresh, count=20, random=0.5) == found
    assert {key(row) for row in chosen(fresh, count=20, seed=1)} != {key(row) for row in chosen(fresh, count=20)}


def test_without_limits_all_are_drawn_at_random(fresh: Run) -> None:
    policy = fresh.settings.policy.model_copy(
        update=dict.fromkeys(("max_residual", "max_intruder", "max_seam", "min_text_agreement"))
    )
    found = choose(fresh.store, fresh.settings.model_copy(update={"policy": policy}), 10, 0.5, 0.0, 0).rows
    assert [row["stratum"] for row in found] == ["random"] * 10


def test_the_page_has_each_picture_once(fresh: Run, tmp_path: Path) -> None:
    pairs, size = export_page(fresh.store, fresh.settings, str(tmp_path / "page.html"), count=12)
    assert pairs == 12 and size == (tmp_path / "page.html").stat().st_size < 1_000_000
    found = add_context(fresh.store, chosen(fresh, count=12))
    pictures = gather_pictures(fresh.store, found)
    assert pictures.keys() == {(row["record_id"], subset) for row in found for subset in (0, row["subset"])}
    assert all((one.width, one.height) == (96, 64) and one.picture[8:12] == b"WEBP" for one in pictures.values())
    assert all(len(one.outlines) == (2 if subset == 0 else 0) for (_, subset), one in pictures.items())
    assert {row["original"] for row in found} <= {"A dog next to a cat.", f"A dog and a cat on a lawn. {MARKUP}"}


def test_a_persons_word_wins(fresh: Run, tmp_path: Path) -> None:
    before, pairs = augmented(fresh), pairs_of(fresh)
    kept = [pair for pair in pairs if pair["kept"]]
    (smeared, same_image), (wrong, right) = kept[0:2], kept[2:4]
    assert smeared["subset"] == same_image["subset"] and wrong["subset"] == right["subset"]
    wanted = next(pair for pair in pairs if not pair["kept"])
    words = [word(smeared, "reject", "smear"), word(wrong, "reject", "grammar"), word(wanted)]
    done = import_words(fresh.store, fresh.settings, [write(tmp_path, *words)])
    assert (done.written, done.known, done.unknown, done.changed) == (3, 0, [], [])
    after = augmented(fresh)
    assert {place for place in after if after[place]["keep"] != before[place]["keep"]} == {
        key(pair) for pair in (smeared, same_image, wrong, wanted)
    }
    assert after[key(same_image)]["reject_reasons"] == ["person"] and after[key(same_image)]["review"] == "reject"
    assert after[key(wanted)]["reject_reasons"] == [] and after[key(wanted)]["review"] == "accept"
    assert after[key(right)]["keep"] and after[key(right)]["review"] is None
    samples = fresh.store.spark.sql("SELECT * FROM samples WHERE subset <> 0").collect()
    assert {key(row.asDict()) for row in samples} == {place for place in after if after[place]["keep"]}
    counted = fresh.store.spark.sql("SELECT sum(kept) FROM yield_by_subset WHERE removed_count > 0").first()
    assert counted is not None and counted[0] == len(samples)
    doubtful = [row for row in chosen(fresh, count=36, random=0.0) if row["stratum"] == "doubtful"]
    seen = {key(pair) for pair in (smeared, same_image, wrong, wanted)}
    assert len(doubtful) == 36 and not {key(row) for row in doubtful} & seen, "what a word bears on is not doubted again"


def test_of_each_reviewer_the_last_word_and_one_rejection_outweighs(fresh: Run, tmp_path: Path) -> None:
    kept = [pair for pair in pairs_of(fresh) if pair["kept"]]
    (changed, changed_too), (back, back_too), (disputed, _) = kept[0:2], kept[2:4], kept[4:6]
    files = [
        write(tmp_path, word(changed), word(back, "reject", "smear"), word(disputed), name="1.json"),
        write(tmp_path, word(changed, "reject", "shadow", minute=1), word(back, minute=1), name="2.json"),
        write(tmp_path, word(changed_too, minute=2), name="3.json"),
        write(tmp_path, word(disputed, "reject", "untrue"), word(back), name="4.json", reviewer="ben"),
    ]
    import_words(fresh.store, fresh.settings, files)
    found = augmented(fresh)
    assert found[key(changed)]["review"] == "reject", "her second word"
    assert found[key(changed_too)]["review"] == "accept", "her own later word on the pair outdoes hers on the image"
    assert found[key(back)]["review"] == "accept" and found[key(back_too)]["review"] is None, "what she took back is gone"
    assert found[key(disputed)]["review"] == "reject" and not found[key(disputed)]["keep"]
    summary = summarise(fresh.store)
    assert (summary.compared, summary.agreement) == (2, 0.5)
    assert summary.reviewers == {"anna": 4, "ben": 2}


def test_a_file_twice_adds_nothing(fresh: Run, tmp_path: Path) -> None:
    pairs = pairs_of(fresh)
    path = write(tmp_path, word(pairs[0]), word(pairs[1], "reject", "smear", note="left"))
    assert import_words(fresh.store, fresh.settings, [path, path]).written == 2
    again = import_words(fresh.store, fresh.settings, [path])
    assert (again.written, again.known) == (0, 2)
    more = write(tmp_path, word(pairs[0]), word(pairs[2]), name="more.json")
    assert import_words(fresh.store, fresh.settings, [more]).written == 1
    found = {key(row): row for row in rows(fresh, "reviews")}
    assert len(found) == fresh.store.read("reviews").count() == 3
    one = found[key(pairs[1])]
    assert (one["reviewer"], one["verdict"], one["scope"], one["reasons"], one["note"]) == (
        "anna",
        "reject",
        "image",
        ["smear"],
        "left",
    )
    assert {name: one[name] for name in pairs[1]} == pairs[1], "how it was drawn comes back with the word"
    assert one["judged_at"] is not None and one["ingest_batch"] == rows(fresh, "scores", "ingest_batch")[0]["ingest_batch"]


def test_what_is_wrong_is_found_before_anything_is_written(fresh: Run, tmp_path: Path) -> None:
    pairs = pairs_of(fresh)
    good = write(tmp_path, word(pairs[0]))
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(ReviewError, match="bad.json"):
        import_words(fresh.store, fresh.settings, [good, str(bad)])
    assert not fresh.store.exists("reviews")
    import_words(fresh.store, fresh.settings, [good])
    other = write(tmp_path, word(pairs[0], "reject"), word(pairs[1]), name="other.json")
    with pytest.raises(ReviewError, match="said two things"):
        import_words(fresh.store, fresh.settings, [other])
    assert fresh.store.read("reviews").count() == 1


def test_unknown_pairs_are_named_and_left_out(fresh: Run, tmp_path: Path) -> None:
    pairs = pairs_of(fresh)
    remade = pairs[1] | {"image_version": "1"}
    done = import_words(
        fresh.store, fresh.settings, [write(tmp_path, word(facts("nobody")), word(pairs[0]), word(remade, "reject", "smear"))]
    )
    assert (done.written, done.unknown) == (1, ["nobody/1/c"])
    assert done.changed == ["/".join(map(str, key(remade)))]
    assert [key(row) for row in rows(fresh, "reviews")] == [key(pairs[0])]


def test_a_word_is_not_about_what_was_made_anew(fresh: Run, tmp_path: Path) -> None:
    pair = next(pair for pair in pairs_of(fresh) if pair["kept"])
    import_words(fresh.store, fresh.settings, [write(tmp_path, word(pair))])
    (said,) = rows(fresh, "reviews")
    old = said | {"verdict": "reject", "scope": "image", "image_version": "1", "reviewer": "ben"}
    types = schema(fresh.store.spark, "reviews")
    fresh.store.append(fresh.store.spark.createDataFrame([tuple(old[name] for name in types.names)], types), "reviews")
    assert augmented(fresh)[key(pair)]["review"] == "accept"
    assert summarise(fresh.store).reviewers == {"anna": 1}


def test_precision_is_that_of_the_random_part(fresh: Run, tmp_path: Path) -> None:
    drawn = add_context(fresh.store, chosen(fresh, count=30, random=0.5))
    kept = [facts_of(row) for row in drawn if row["stratum"] == "random" and row["kept"]]
    lost = [facts_of(row) for row in drawn if row["stratum"] == "random" and not row["kept"]]
    doubtful = [facts_of(row) for row in drawn if row["stratum"] == "doubtful"]
    words = [word(pair, *(("reject", "smear") if place < 3 else ("accept",))) for place, pair in enumerate(kept)]
    words += [word(pair, *(("reject", "object_left") if place else ("accept",))) for place, pair in enumerate(lost)]
    import_words(fresh.store, fresh.settings, [write(tmp_path, *words, *(word(pair, "reject") for pair in doubtful))])
    (found,) = summarise(fresh.store).filters
    assert (found.precision.accepted, found.precision.judged, found.kept) == (6, 9, 32)
    assert (found.missed.accepted, found.missed.judged, found.rejected) == (1, 6, 8)
    assert found.precision.low is not None and found.precision.low < 6 / 9 < (found.precision.high or 0)
    assert found.recall is not None and found.recall[0] == pytest.approx((32 * 6 / 9) / (32 * 6 / 9 + 8 / 6))
    assert found.faults == {"smear": 3}
    assert any("precision  0.667" in line for line in lines(summarise(fresh.store)))


def test_a_snapshot_goes_by_what_people_said(fresh: Run, tmp_path: Path) -> None:
    before, _ = publish(fresh.store, fresh.settings)
    pair = next(pair for pair in pairs_of(fresh) if pair["kept"])
    import_words(fresh.store, fresh.settings, [write(tmp_path, word(pair, "reject", "smear"))])
    after, new = publish(fresh.store, fresh.settings)
    assert new and "reviews" in after.tables and "reviews" not in before.tables
    assert (before.totals.pairs - after.totals.pairs, before.totals.images - after.totals.images) == (2, 1)


def test_nobody_has_looked_yet(fresh: Run) -> None:
    assert summarise(fresh.store).filters == []
    assert "nobody" in next(lines(summarise(fresh.store)))
