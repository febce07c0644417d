"""The life of a root: growing sources, returning records, retries, lagging stages, refusals and ``--fresh``.

One root goes through all of it, and each test checks what its tables held after a step. Each ``Run`` is a separate invocation.
"""

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import cli, console
from jobs.chain import NAMES, fresh_from, run_chain, stages_named
from jobs.engine.stream import Run, StageError, start, written_note
from jobs.engine.views import create_views
from jobs.look.status import StandIn, stand_ins
from jobs.retry import retry
from jobs.settings import load_settings
from jobs.withdraw import withdraw
from tests.support import roots
from tests.support.roots import Picture, Row, Source

DOG, CAT, MAN = ("dog", (8, 10, 28, 40)), ("cat", (60, 20, 84, 50)), ("person", (55, 5, 75, 60))
PETS = Picture("pets.png", ["A dog and a cat.", "A dog on the grass."], (DOG, CAT), shade=1)
ROAD = Picture("road.png", ["A car on a road."], (), shade=2)  # a car is named, none is detected
LATE = Picture("late.png", ["A cat."], (CAT,), shade=3, data=None)
WALK = Picture("walk.png", ["A man with a dog."], (DOG, MAN), shade=4)


@dataclass(frozen=True)
class Flow:
    """The root, and what its tables held after each step."""

    root: Path
    folder: Path
    taken: dict[str, int]
    lagging: dict[str, list[Row]]  # ingest and extract ran twice, segment once
    caught_up: dict[str, list[Row]]  # all stages have caught up
    tried: dict[str, int]
    final: dict[str, list[Row]]  # more records came from two sources, and one missing file arrived


def tables(run: Run) -> dict[str, list[Row]]:
    return {table: roots.rows(run, table) for table in roots.CHAIN_TABLES if run.store.exists(table)}


def key_of(rows: list[Row], name: str, captions: int | None = None) -> str:
    """record_id of a source's picture, by its name and, where it came again with other captions, by their number."""
    matching = [row for row in rows if row["source_key"] == name]
    (record_id,) = {row["record_id"] for row in matching if captions in (None, len(row["captions"]))}
    return record_id


@pytest.fixture(scope="session")
def flow(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    folder = tmp_path_factory.mktemp("flow")
    root, source, taken = folder / "root", Source(folder / "one"), {}

    run = roots.open_root(spark, root)
    taken["first"] = roots.take(run, source.write(PETS, ROAD, LATE))
    run_chain(run, ["ingest", "extract", "segment"])

    run = roots.open_root(spark, root)
    taken["later"] = roots.take(run, source.write(WALK))
    run_chain(run, ["ingest", "extract"])
    lagging = tables(run)

    run_chain(roots.open_root(spark, root), [name for name in NAMES if name not in ("ingest", "extract")])
    caught_up = tables(run)
    roots.check_complete(run)

    run = roots.open_root(spark, root)
    roots.draw(LATE).save(source.folder / "images" / LATE.name)
    tried = retry(run, "missing_file", ["ingest", "extract"])
    source.pictures[0] = replace(PETS, captions=["A dog sits beside an orange cat."])
    taken["again"] = roots.take(run, source.write(replace(PETS, name="copy.png")))
    pair = Picture("pair.png", ["A red car.", "A dog near a car."], (DOG, ("car", (60, 30, 90, 55))), shade=5)
    taken["second source"] = roots.take(run, Source(folder / "two").write(pair), record="pair", source="second")
    taken["nothing new"] = roots.take(run, source)
    run_chain(run)
    roots.check_complete(run)
    return Flow(root, folder, taken, lagging, caught_up, tried, tables(run))


def test_only_new_records_are_taken(flow: Flow):
    assert flow.taken == {"first": 3, "later": 1, "again": 2, "second source": 2, "nothing new": 0}


def test_a_stage_may_lag_behind_while_its_source_grows(flow: Flow):
    assert (len(flow.lagging["components"]), len(flow.lagging["instances"])) == (3, 2)
    assert len({row["ingest_batch"] for row in flow.lagging["components"]}) == 2
    instances = flow.caught_up["instances"]
    assert len(instances) == 3 and len({row["run_id"] for row in instances}) == 2, "two applications, no row twice"
    assert [row for row in instances if row in flow.lagging["instances"]] == flow.lagging["instances"], "rows do not change"


def test_an_image_without_an_instance_reaches_training_with_its_original(flow: Flow):
    road = key_of(flow.caught_up["images"], "road.png")
    (family,) = [row for row in flow.caught_up["families"] if row["record_id"] == road]
    assert (family["n"], family["reason"], family["status"]) == (0, "none_found", "ok")
    (score,) = [row for row in flow.caught_up["scores"] if row["record_id"] == road]
    assert (score["subset"], score["caption"], score["relation"], score["keep"]) == (0, "A car on a road.", "exact", True)


def test_the_exact_text_of_each_dual_image(flow: Flow):
    pets = key_of(flow.caught_up["images"], "pets.png")
    (family,) = [row for row in flow.caught_up["families"] if row["record_id"] == pets]
    bit = {component["label"]: 1 << i for i, component in enumerate(family["components"])}
    scores = [row for row in flow.caught_up["scores"] if row["record_id"] == pets]
    texts = {(row["subset"], row["caption_id"]): (row["caption"], row["status"]) for row in scores}
    pair_id, grass_id = family["captions"][0]["caption_id"], family["captions"][1]["caption_id"]
    assert texts[0, pair_id] == ("A dog and a cat.", "ok")
    assert texts[bit["cat"], pair_id] == ("A dog.", "ok")
    assert texts[bit["dog"], pair_id] == ("A cat.", "ok")
    assert texts[bit["dog"] | bit["cat"], pair_id] == (None, "nothing_left")
    assert texts[bit["cat"], grass_id] == ("A dog on the grass.", "ok"), "a caption that never named the cat stays as it is"


def test_a_retried_failure_flows_on_once(flow: Flow):
    late = key_of(flow.final["images"], "late.png")
    assert flow.tried == {"ingest": 1, "extract": 0}
    tries = sorted((row["attempt"], row["status"]) for row in flow.final["images"] if row["record_id"] == late)
    assert tries == [(0, "missing_file"), (1, "ok")], "a retry appends"
    assert late not in {row["record_id"] for row in flow.caught_up["components"]}
    for table in ("components", "instances", "families", "dual_texts"):
        assert sum(row["record_id"] == late for row in flow.final[table]) == 1, table
    assert sorted(row["subset"] for row in flow.final["scores"] if row["record_id"] == late) == [0, 1]


def test_ok_rows_are_not_retried(spark: SparkSession, flow: Flow):
    with pytest.raises(StageError, match="--fresh"):
        retry(roots.open_root(spark, flow.root), "ok")


def test_a_record_with_new_captions_is_a_new_record_of_the_same_image(flow: Flow):
    before, after = key_of(flow.final["images"], "pets.png", 2), key_of(flow.final["images"], "pets.png", 1)
    (row,) = [row for row in flow.final["images"] if row["record_id"] == after]
    assert (row["status"], row["duplicate_of"]) == ("ok", before)
    assert {before, after} <= {row["record_id"] for row in flow.final["scores"]}


def test_the_same_bytes_under_another_key_without_new_captions_end_as_duplicate(flow: Flow):
    (row,) = [row for row in flow.final["images"] if row["source_key"] == "copy.png"]
    assert (row["status"], row["duplicate_of"]) == ("duplicate", key_of(flow.final["images"], "pets.png", 2))
    assert row["record_id"] not in {row["record_id"] for row in flow.final["components"]}


def test_a_second_source_with_a_record_a_caption(flow: Flow):
    pairs = {row["captions"][0]["caption"]: row for row in flow.final["images"] if row["source"] == "second"}
    assert pairs.keys() == {"A red car.", "A dog near a car."}
    assert {row["status"] for row in pairs.values()} == {"ok"}
    original, duplicate = sorted(pairs.values(), key=lambda row: row["record_id"])
    assert (original["duplicate_of"], duplicate["duplicate_of"]) == (None, original["record_id"])
    sizes = {row["record_id"]: row["n"] for row in flow.final["families"]}
    assert sizes[pairs["A red car."]["record_id"]] == 1, "a caption's own family"
    assert sizes[pairs["A dog near a car."]["record_id"]] == 2


def test_finished_rows_are_not_redone(flow: Flow):
    for table, rows in flow.caught_up.items():
        unchanged = [row for row in flow.final[table] if row in rows]
        assert len(unchanged) == len(rows), f"{table}: a row was changed or is gone"


@pytest.fixture()
def copy(flow: Flow, tmp_path: Path) -> Path:
    shutil.copytree(flow.root, tmp_path / "root")
    return tmp_path / "root"


def test_changed_settings_are_refused_except_the_policy(spark: SparkSession, copy: Path, flow: Flow):
    (inpaint, score) = stages_named(["inpaint", "score"])
    with pytest.raises(StageError, match=r"inpaint has run with other settings .*--fresh inpaint"):
        start(inpaint, roots.open_root(spark, copy, "inpainter.radius=3"))
    run = roots.open_root(spark, copy, "policy.max_edited_fraction=0.01", "spark.partitions=3")
    roots.run_one(run, score)
    assert len(roots.rows(run, "scores", "record_id")) == len(flow.final["scores"]), "nothing new, nothing twice"


def test_a_stage_without_its_checkpoint_refuses_until_it_is_started_afresh(
    spark: SparkSession, copy: Path, flow: Flow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    run = roots.open_root(spark, copy)
    shutil.rmtree(copy / "checkpoints" / "recheck")
    monkeypatch.setattr(sys, "argv", ["dualset"])
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "--root", str(copy), "--profile", "annotations", "--stages", "recheck,score"])
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "checkpoint of recheck is missing" in line
    assert line.endswith(f"dualset run --root {copy} --fresh recheck")
    assert len(roots.rows(run, "rechecks", "record_id")) == len(flow.final["rechecks"]), "nothing was written"

    fresh_from(run, "recheck")
    assert not run.store.exists("rechecks") and not run.store.exists("scores") and run.store.exists("dual_images")
    run_chain(run, ["recheck"])
    assert facts(roots.rows(run, "rechecks")) == facts(flow.final["rechecks"])


@pytest.mark.parametrize("lost", ["stream", "stream/offsets"])
def test_half_a_checkpoint_is_refused(spark: SparkSession, copy: Path, lost: str) -> None:
    """Its numbers of micro-batches would begin anew, and Delta would take new rows for written."""
    (extract,) = stages_named(["extract"])
    shutil.rmtree(copy / "checkpoints" / "extract" / lost)
    with pytest.raises(StageError, match=r"checkpoint of extract is not whole: components has .* --fresh extract"):
        start(extract, roots.open_root(spark, copy))


def test_a_note_is_read_whole_and_as_spark_once_wrote_it(spark: SparkSession, tmp_path: Path) -> None:
    """What a kill leaves of a note is none."""
    run, (extract,) = roots.open_root(spark, tmp_path), stages_named(["extract"])
    note = tmp_path / "checkpoints" / "extract" / "generation"
    note.mkdir(parents=True)
    (note / "part-0.json.part").write_text('{"generation": "ha')
    assert written_note(run, extract) is None
    (note / "_SUCCESS").touch()
    (note / "part-00000-5ab0.txt").write_text('{"generation": "a", "settings_hash": "b"}\n')
    assert written_note(run, extract) == {"generation": "a", "settings_hash": "b"}


def test_rows_written_twice_do_not_go_on(spark: SparkSession, copy: Path) -> None:
    """However they came to be: no stage multiplies them."""
    run = roots.open_root(spark, copy)
    table = run.store.read("components")
    run.store.append(table.where("status = 'ok'").limit(1), "components")
    (segment,) = stages_named(["segment"])
    with pytest.raises(StageError, match="instances has rows of record_id .* already, so components has that key twice"):
        roots.run_one(run, segment)


def test_a_takedown_withdraws_all_records_of_the_image(spark: SparkSession, copy: Path, flow: Flow):
    store = roots.open_root(spark, copy).store
    before, after = key_of(flow.final["images"], "pets.png", 2), key_of(flow.final["images"], "pets.png", 1)
    with pytest.raises(StageError, match="no record mistyped"):
        withdraw(store, [before, "mistyped"], "asked to")
    assert not store.exists("withdrawn"), "all or nothing"
    withdrawn = withdraw(store, [before], "asked to")
    assert withdrawn[0] == before and set(withdrawn) == {before, after, key_of(flow.final["images"], "copy.png")}
    create_views(store, load_settings("annotations"))
    shown = {row["source_key"] for row in spark.table("augmented").select("source_key").distinct().collect()}
    assert shown == {"road.png", "walk.png", "late.png", "pair.png"}


def facts(rows: list[Row]) -> list[str]:
    """Rows without the columns that differ between runs."""
    volatile = ("attempt", "run_id", "batch_id", "seconds", "settings_hash")
    return sorted(str({name: value for name, value in row.items() if name not in volatile}) for row in rows)


def test_status_of_the_command_line(flow: Flow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["dualset"])
    monkeypatch.setattr(console.out, "width", 200)
    with pytest.raises(SystemExit) as end:
        cli.main(["status", "--root", str(flow.root), "--profile", "annotations"])
    assert end.value.code == 0
    lines = [line.replace("\u2502", " ").split() for line in capsys.readouterr().out.splitlines()]
    shown = {line[0]: line[1:6] for line in lines if line and line[0] in NAMES}
    assert shown["ingest"] == ["images", "8", "7", "1", "0"], "of an image that was tried again the last attempt counts"
    assert [line[4] for line in shown.values()] == ["0"] * len(NAMES), "nothing waits"


def test_status_counts_what_rules_made_in_place_of_a_model(flow: Flow, spark: SparkSession, tmp_path: Path) -> None:
    run = roots.open_root(spark, flow.root)
    rows = run.store.read("components").where("status = 'ok'")
    asked = replace(run.store, root=str(tmp_path))
    asked.create("components")
    unusable = F.transform("captions", lambda caption: caption.withField("extractor", F.lit("rules (model_error)")))
    asked.append(rows.withColumn("captions", unusable), "components")
    captions = sum(len(row["captions"]) for row in rows.collect())
    assert captions > 0
    assert stand_ins(asked) == [StandIn("extract", "captions", "model_error", captions)]
    assert stand_ins(run.store) == [], "rules that were asked for are no stand-in"


@pytest.mark.parametrize(
    ("query", "line"),
    [("SELEC 1", "[PARSE_SYNTAX_ERROR] Syntax error at or near 'SELEC'"), ("SELECT none FROM images", "[UNRESOLVED_COLUMN")],
)
def test_a_mistake_in_sql_is_one_line(
    flow: Flow, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, query: str, line: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["dualset"])
    with pytest.raises(SystemExit) as end:
        cli.main(["sql", query, "--root", str(flow.root), "--profile", "annotations"])
    assert end.value.code == 1
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith(f"dualset: {line}")


def test_sql_over_a_folder_without_tables_says_so(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["dualset"])
    with pytest.raises(SystemExit):
        cli.main(["sql", "SELECT 1", "--root", str(tmp_path), "--profile", "annotations"])
    assert "has no tables yet: dualset ingest KIND" in capsys.readouterr().err


def test_captions_are_no_markup(flow: Flow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["dualset"])
    monkeypatch.setattr(console.out, "width", 200)
    query = "SELECT 'a dog [/b] runs, [red]it does' AS caption"
    with pytest.raises(SystemExit) as end:
        cli.main(["sql", query, "--root", str(flow.root), "--profile", "annotations"])
    assert end.value.code == 0
    assert "a dog [/b] runs, [red]it does" in capsys.readouterr().out
