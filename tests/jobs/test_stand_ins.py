"""Records that are made anew: rules stood in for a language model, whose endpoint was sick, and later it is asked again."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.chain import NAMES, fresh_from, run_chain, stages_named
from jobs.engine.stream import Run, StageError, generation_of
from jobs.engine.versions import next_version, write_version
from jobs.look.check import check
from jobs.look.status import stage_status, stand_ins
from jobs.publish import publish
from jobs.retry import LATER, retry, retry_stand_ins
from tests.support import roots
from tests.support.fake_openai_server import FakeOpenAIServer, Messages
from tests.support.roots import Picture, Row, Source
from udfs.files import mark

DOG, CAT, MAN = ("dog", (8, 10, 28, 40)), ("cat", (60, 20, 84, 50)), ("person", (55, 5, 75, 60))
PETS = Picture("pets.png", ["A dog and a cat."], (DOG, CAT), shade=1)
WALK = Picture("walk.png", ["A dog and a man."], (DOG, MAN), shade=2)
TABLES = roots.CHAIN_TABLES[2:]
LATE = ["inpaint", "recheck", "score"]
INHERENT = {"rewrite": 2}  # the model has no text for a caption of which nothing is left
INCIDENTAL = ("attempt", "run_id", "batch_id", "seconds")


@dataclass
class Model:
    """Replies as a language model would, or with nothing usable to whatever names a cat."""

    sick: bool = False
    asked: list[str] = field(default_factory=list)

    def __call__(self, messages: Messages) -> str:
        text = messages[-1]["content"]
        self.asked.append(text)
        if self.sick and "cat" in text:
            return ""
        if not text.startswith("Caption:"):
            return json.dumps(re.findall("dog|cat|man", text))
        kept = json.loads(text.splitlines()[2].removeprefix("Keep: "))
        return json.dumps(f"A {kept[0].split()[-1]}.") if kept else ""


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def opened(spark: SparkSession, model: Model) -> Iterator[Callable[[Path], Run]]:
    """Opens a root whose captions are read, and rewritten, by the model."""
    with FakeOpenAIServer(model) as server:
        served = f"kind: openai, base_url: '{server.url}', model: fake, max_retries: 0"
        settings = [f"extractor={{{served}}}", f"rewriter.models=[{{{served}}}]", "publish.shards=1"]
        yield lambda root: roots.open_root(spark, root, *settings)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("source")).write(PETS, WALK)


@pytest.fixture(scope="module")
def ingested(opened: Callable[[Path], Run], source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root before the model is asked anything."""
    root = tmp_path_factory.mktemp("ingested")
    run = opened(root)
    roots.take(run, source)
    run_chain(run, ["ingest"])
    return root


def filled(run: Run) -> Run:
    run_chain(run, NAMES[1:])
    return run


@pytest.fixture(scope="module")
def healthy(opened: Callable[[Path], Run], model: Model, ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A root whose model was never sick."""
    model.sick = False
    return filled(opened(copied(ingested, tmp_path_factory.mktemp("healthy"))))


def copied(root: Path, folder: Path) -> Path:
    return shutil.copytree(root, folder, dirs_exist_ok=True)


def current(run: Run) -> dict[str, list[str]]:
    """What each table says now, without what differs between runs."""
    tables: dict[str, list[str]] = {}
    for table in TABLES:
        if not run.store.exists(table):
            continue
        rows = [row for row in roots.last_attempts(run, table).values() if row["status"] != "superseded"]
        tables[table] = sorted(str(facts(row)) for row in rows)
    return tables


def facts(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in INCIDENTAL}


def breaches(run: Run) -> list[str]:
    return [f"{finding.promise}: {finding.breach}" for finding in check(run) if finding.breach]


def stood_in(run: Run) -> dict[str, int]:
    return {found.stage: found.rows for found in stand_ins(run.store)}


def waiting(run: Run) -> dict[str, int]:
    return {row.stage: row.waiting for row in stage_status(run.store) if row.waiting}


def test_records_are_made_anew_when_the_model_is_well_again(
    opened: Callable[[Path], Run], model: Model, ingested: Path, healthy: Run, tmp_path: Path
) -> None:
    right = current(healthy)
    assert stood_in(healthy) == INHERENT
    model.sick = True
    run = filled(opened(copied(ingested, tmp_path)))
    assert stood_in(run) == {"extract": 1, "rewrite": 4}
    assert retry_stand_ins(run, ["extract"]) == {"extract": (1, 0)}, "still sick: nothing is written"

    model.sick = False
    model.asked.clear()
    assert retry_stand_ins(run, ["extract"]) == {"extract": (1, 1)}
    assert len(model.asked) == 1 and "cat" in model.asked[0], "only what rules had read is asked again"
    assert waiting(run) == {"plan": 1}, "later ones wait for it"
    run_chain(run, ["plan"])
    with pytest.raises(StageError, match=r"1 records were made anew, and their rows in .* dualset run --root"):
        publish(run.store, run.settings)

    assert retry_stand_ins(run, ["rewrite"]) == {"rewrite": (2, 0)}, "the texts were made anew before, as the captions were"
    assert stood_in(run) == INHERENT
    run_chain(run, LATE)
    assert current(run) == right
    assert publish(run.store, run.settings)[1]

    # A table that is started anew after that, and texts alone.
    fresh_from(run, "rewrite")
    model.sick = True
    run_chain(run, ["rewrite", "inpaint"])  # the later stages have not seen the texts yet
    model.sick = False
    images = run.store.read("dual_images").count()
    assert retry_stand_ins(run, ["rewrite"]) == {"rewrite": (2, 1)}
    run_chain(run, LATE)
    assert run.store.read("dual_images").count() == images, "images are not made from texts"
    assert current(run) == right
    assert waiting(run) == {}
    with pytest.raises(StageError, match="in extract and rewrite only, not in plan"):
        retry_stand_ins(run, ["plan"])


def test_a_family_that_became_smaller_and_failed_on_the_way(opened: Callable[[Path], Run], healthy: Run) -> None:
    """The cat is no longer named. Then an image fails, and is tried again."""
    run = opened(Path(healthy.store.root))
    pets = next(row["record_id"] for row in roots.rows(run, "images") if row["source_key"] == "pets.png")
    without = """transform(captions, c -> named_struct('caption_id', c.caption_id, 'monotone', c.monotone, 'status', c.status,
        'extractor', c.extractor, 'components', filter(c.components, m -> m.label <> 'cat')))"""
    components = run.store.read("components").where(F.col("record_id") == pets)
    forgotten = components.withColumn("captions", F.expr(without)).drop("attempt", "batch_id", "run_id", "settings_hash")
    (batch,) = {row["ingest_batch"] for row in components.collect()}
    mark(f"{run.store.checkpoint('extract')}/made_anew")
    (extract,) = stages_named(["extract"])
    version = next_version(run.store, batch, LATER)
    write_version(extract, run, forgotten, components.select("record_id"), generation_of(extract, run), 1, version)
    run_chain(run, ["plan", "rewrite", "inpaint"])

    now = {subset: row for (key, subset), row in roots.last_attempts(run, "dual_images").items() if key == pets}
    assert {subset: row["status"] for subset, row in now.items()} == {0: "ok", 1: "ok", 2: "superseded", 3: "superseded"}
    assert now[1]["removed"] == ["dog"]
    assert waiting(run) == {"recheck": 1}
    run_chain(run, LATE[1:])
    scored = {key[1] for key, row in roots.last_attempts(run, "scores").items() if key[0] == pets and row["status"] == "ok"}
    assert scored == {0, 1}

    failed = run.store.read("dual_images").where((F.col("record_id") == pets) & (F.col("subset") == 1)).where("attempt = 1")
    failed = failed.drop("attempt", "batch_id", "run_id", "settings_hash").withColumn("status", F.lit("model_error"))
    (inpaint,) = stages_named(["inpaint"])
    version = next_version(run.store, batch, LATER)
    write_version(inpaint, run, failed, components.select("record_id"), generation_of(inpaint, run), 2, version)
    run_chain(run, LATE[1:])
    assert retry(run, "model_error", ["inpaint"]) == {"inpaint": 1}
    run_chain(run, LATE[1:])
    assert breaches(run) == [] and waiting(run) == {}
    rechecked = {key[1]: row["status"] for key, row in roots.last_attempts(run, "rechecks").items() if key[0] == pets}
    assert rechecked == {0: "ok", 1: "ok", 2: "superseded", 3: "superseded"}
