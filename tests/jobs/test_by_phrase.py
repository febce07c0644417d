"""Components by phrase through the whole chain, from a source whose phrases have boxes; and tables of an older version."""

import json
import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import ingest
from jobs.engine.schemas import TABLES
from jobs.engine.stream import Run
from jobs.engine.tables import TableError, lacking, schema
from jobs.engine.views import create_views, current_rows, judged_rows
from jobs.look.measure.things import things
from jobs.settings import Policy
from jobs.sources import records
from tests.support import roots
from tests.support.marked import sentence
from tests.support.tiny_models import dino_folder, sam_folder

MAN, WOMAN, DOG, CAT = (4, 8, 24, 56), (40, 8, 56, 56), (66, 30, 90, 56), (66, 4, 80, 18)
PHRASES = {"m": ("people", MAN), "w": ("people", WOMAN), "d": ("animals", DOG), "c": ("animals", CAT)}
CAPTIONS = ["[m A man] and [w a woman] with [d a dog] .", "[w The woman] has [d a dog] .", "[m A person] waits ."]
FOUR = ["[m A man] and [w a woman] with [d a dog] and [c a cat] .", "[w A woman] with [d a dog] and [c a cat] ."]


def line(name: str, captions: list[str]) -> str:
    """A line of the source's JSON lines."""
    entities = {name: {"type": kind, "boxes": [box]} for name, (kind, box) in PHRASES.items()}
    return json.dumps({"file": name, "entities": entities, "sentences": [sentence(marked) for marked in captions]}) + "\n"


@pytest.fixture(scope="module")
def finished(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A root of two pictures: a man, a woman and a dog, and another in which the man is one too many."""
    folder = tmp_path_factory.mktemp("phrases")
    (folder / "images").mkdir()
    things = [("person", MAN), ("person", WOMAN), ("dog", DOG)]
    roots.draw(roots.Picture("a.png", [], things)).save(folder / "images" / "a.png")
    roots.draw(roots.Picture("b.png", [], [*things, ("cat", CAT)])).save(folder / "images" / "b.png")
    (folder / "entities.jsonl").write_text(line("a.png", CAPTIONS) + line("b.png", FOUR))
    run = roots.open_root(spark, folder / "root", "plan.max_total_area=0.9")
    options = {"images": str(folder / "images"), "entities": str(folder / "entities.jsonl")}
    ingest.add(run, records(spark, "flickr30k_entities", options))
    roots.run_one(run, ingest.STAGE)
    roots.run_stages(run)
    roots.run_stages(run, "variants")
    return run


def of(run: Run, table: str, name: str) -> list[roots.Row]:
    """The rows of a picture."""
    keys = {row["record_id"] for row in roots.rows(run, "images") if row["source_key"] == name}
    return [row for row in roots.rows(run, table) if row["record_id"] in keys]


def test_boxes_have_masks_of_the_things_in_them(finished: Run) -> None:
    [row] = of(finished, "instances", "a.png")
    areas = {instance["box"]["x"]: instance["area_fraction"] * 96 * 64 for instance in row["instances"]}
    for left, top, right, bottom in (MAN, WOMAN, DOG):
        assert areas[left] == pytest.approx((right - left) * (bottom - top), rel=0.03), "the ellipse in the box alone is 21% less"


def test_a_grounded_segmenter_is_given_the_captions(spark: SparkSession, tmp_path: Path) -> None:
    """With random weights: whatever it finds, each phrase of an instance is a mention of its class."""
    pair = roots.Picture("pair.png", ["A person and two dogs.", "The dog."], [("person", MAN), ("dog", DOG)])
    source = roots.Source(tmp_path / "source").write(pair, roots.Picture("cat.png", ["Cats."], [("cat", CAT)], shade=2))
    dino, sam = tmp_path / "dino", tmp_path / "sam"
    dino.mkdir()
    models = {"weights": dino_folder(dino, ["a and two dogs the cats"]), "box_weights": sam_folder(sam)}
    asked = {"kind": "grounded", "confidence": 0.01, "max_instances": 40} | models
    run = roots.open_root(spark, tmp_path / "root", *(f"segmenter.{name}={value}" for name, value in asked.items()))
    roots.take(run, source)
    roots.run_stages(run, "ingest", "extract", "segment")
    named = {
        (caption["caption_id"], mention["start"], mention["end"], mention["label"], row["record_id"])
        for row in roots.rows(run, "components")
        for caption in row["captions"]
        for mention in caption["components"]
    }
    found = roots.rows(run, "instances")
    assert [row["status"] for row in found] == ["ok", "ok"]
    said = [
        (phrase["caption_id"], phrase["start"], phrase["end"], instance["label"], row["record_id"])
        for row in found
        for instance in row["instances"]
        for phrase in instance["phrases"]
    ]
    assert said and set(said) <= named


def test_who_is_no_component_stays(finished: Run) -> None:
    [family] = of(finished, "families", "b.png")
    assert [part["name"] for part in family["components"]] == ["woman", "dog", "cat"]
    assert family["others"] == [{"label": "person", "traits": ["age=adult", "sex=male"], "things": 1, "goes_with": -1}]
    [row] = of(finished, "dual_texts", "b.png")
    texts = {text["subset"]: text for text in row["texts"] if text["caption_id"] == "0"}
    assert (texts[0b001]["caption"], texts[0b001]["mentions"]) == ("A man with a dog and a cat.", 0b110)
    assert len(of(finished, "rechecks", "b.png")) == 8 and len(of(finished, "text_variants", "b.png")) == 1


def test_the_tables(finished: Run) -> None:
    [family] = of(finished, "families", "a.png")
    assert [(part["label"], part["name"]) for part in family["components"]] == [
        ("person", "woman"),
        ("dog", "dog"),
        ("person", "man"),
    ]
    assert family["others"] == []
    assert [(c["names"], c["may_name"]) for c in family["captions"]] == [(0b111, 0), (0b011, 0), (0, 0b101)]
    duals = {row["subset"]: row["removed"] for row in of(finished, "dual_images", "a.png")}
    assert duals[0b001] == ["woman"] and duals[0b111] == ["woman", "dog", "man"]
    texts = {(t["caption_id"], t["subset"]): t for row in of(finished, "dual_texts", "a.png") for t in row["texts"]}
    assert (texts["0", 0b001]["caption"], texts["0", 0b001]["mentions"]) == ("A man with a dog.", 0b110)
    assert texts["1", 0b001]["status"] == "ok" and texts["1", 0b001]["mentions"] == 0b010
    relations = {(row["caption_id"], row["subset"]): row["relation"] for row in of(finished, "scores", "a.png")}
    assert relations["2", 0b100] == "unknown", "a person may be the woman who is left"
    assert relations["0", 0b001] == "exact"
    variants = [v for row in of(finished, "text_variants", "a.png") for v in row["variants"] if v["text"]]
    assert any("woman" in v["text"] and v["mentions"] & 0b001 for v in variants)


def test_what_became_of_each_thing_is_measured(finished: Run) -> None:
    """Three things in the first picture, four in the second, whose man is no component."""
    create_views(finished.store, finished.settings)
    for name in ("images", "components", "instances", "families"):
        current_rows(finished.store, name).createOrReplaceTempView(f"measured_{name}")
    [section] = things(finished.store, finished.settings.lexicon)
    assert {what: (int(counted), int(total)) for what, counted, total, _ in section.rows} == {
        "phrases that the captions' reading names": (13, 13),
        "things that the segmenter found": (7, 7),
        "of them people": (4, 4),
        "of them all else": (3, 3),
        "things that a dual image of the family lacks": (6, 7),
        "things with a component of their own": (6, 7),
        "photographs of two things or more with a family of n >= 2": (2, 2),
    }


def test_every_promise_is_kept(finished: Run) -> None:
    roots.check_complete(finished)


def test_what_is_left_of_a_class_is_present_in_training() -> None:
    from training.data.collate import facts
    from training.data.sampling import Member

    member = Member("r", ("dog", "person", "person"), ("dog", "person"), 0b010, b"", ())
    present = facts([member, Member("r", member.labels, member.detected, 0b110, b"", ())], [], [], ["dog", "person"]).present
    assert present.tolist() == [[True, True], [True, False]]


NEW = (", name: STRING, traits: ARRAY<STRING>", r",\s*others ARRAY<.*? go with one'")


def test_what_an_older_version_did_not_write_is_added(finished: Run, spark: SparkSession, tmp_path: Path) -> None:
    """A table of an older version gets the new columns and fields, and a stream that has read it goes on."""
    store = roots.open_root(spark, tmp_path / "old").store
    columns = re.sub(NEW[1], "", TABLES["families"].columns).replace(NEW[0], "")
    assert "others ARRAY" not in columns and "name: STRING" not in columns
    spark.sql(f"CREATE TABLE {store.name('families')} ({columns}) USING DELTA")
    rows = finished.store.read("families").where("others IS NOT NULL AND size(others) = 0")
    old = rows.withColumn("components", F.transform("components", lambda part: part.dropFields("name", "traits")))
    path = f"{store.root}/tables/families"
    old.select(*store.read("families").columns).write.format("delta").mode("append").save(path)

    def stream() -> int:
        query = store.stream("families", 1).writeStream.format("delta").option("checkpointLocation", f"{tmp_path}/checkpoint")
        query.option("mergeSchema", "true").trigger(availableNow=True).start(f"{tmp_path}/copy").awaitTermination()
        return spark.read.format("delta").load(f"{tmp_path}/copy").count()

    assert stream() == 1
    assert not store.create("families"), "it is not made anew"
    [row] = store.read("families").collect()
    assert (row["others"], row["components"][0]["name"], row["components"][0]["label"]) == (None, None, "person")
    store.append(rows, "families")
    assert stream() == 2
    assert sorted(row["components"][0]["name"] or "" for row in store.read("families").collect()) == ["", "woman"]
    assert not store.create("families"), "nothing is lacking any more"


def test_an_older_root_has_no_estimate_and_rejects_nothing_for_it(finished: Run, spark: SparkSession, tmp_path: Path) -> None:
    store, strict = roots.open_root(spark, tmp_path / "old").store, Policy(max_smear=0)
    columns = TABLES["scores"].columns.replace("smear DOUBLE, ", "")
    spark.sql(f"CREATE TABLE {store.name('scores')} ({columns}) USING DELTA")
    new = finished.store.read("scores")
    assert "smear" in new.columns and new.where("subset <> 0 AND smear IS NULL").count() == 0
    new.drop("smear").write.format("delta").mode("append").save(f"{store.root}/tables/scores")
    counts = {}
    for name, rows in (("new", judged_rows(finished.store, strict)), ("old", judged_rows(store, strict))):
        counts[name] = rows.where("array_contains(policy_reasons, 'smear')").count()
    assert counts == {"new": new.where("subset <> 0").count(), "old": 0}


def test_a_root_without_scores_has_its_other_views(spark: SparkSession, tmp_path: Path) -> None:
    run = roots.open_root(spark, tmp_path / "young")
    run.store.create("records")
    create_views(run.store, run.settings)
    assert spark.table("records").count() == 0


def test_other_columns_are_no_older_version(spark: SparkSession, tmp_path: Path) -> None:
    store = roots.open_root(spark, tmp_path / "other").store
    spark.sql(f"CREATE TABLE {store.name('families')} ({TABLES['families'].columns}, more INT) USING DELTA")
    with pytest.raises(TableError, match="has other columns than expected: .*more"):
        store.create("families")
    assert lacking(schema(spark, "families"), schema(spark, "images")) is None
