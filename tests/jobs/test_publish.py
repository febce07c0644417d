"""A snapshot for training: what goes in, how it is counted, and that image bytes are shuffled only once."""

import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs import publish as job
from jobs.engine.stream import StageError
from jobs.engine.tables import Store, schema
from jobs.settings import Settings, load_settings
from jobs.snapshot.manifest import Manifest, SnapshotError, read_manifest
from training.data.families import families

ENDPOINT = "extractor.base_url=http://me:hunter2@host:8000/v1?key=hunter2"
SETTINGS = load_settings("photos", ["publish.shards=2", "publish.wave_batches=1", ENDPOINT])


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def family(record: str, labels: list[str], captions: dict[str, int], batch: str = "00000000") -> dict[str, list[dict[str, Any]]]:
    """The rows of one record: 2^n images, each with every caption minus what is removed; ``captions``: text to its names (C)."""
    key = {"ingest_batch": batch, "record_id": record, "attempt": 0, "status": "ok"}
    ids = {f"{record}{i}": (text, names) for i, (text, names) in enumerate(captions.items())}
    written = [{"caption_id": i, "caption": text, "status": "ok"} for i, (text, _) in ids.items()]
    named = [{"caption_id": i, "status": "ok", "monotone": True, "names": names, "may_name": 0} for i, (_, names) in ids.items()]
    duals = range(2 ** len(labels))
    scores = [
        {**key, "subset": removed, "caption_id": i, "caption": f"{text} -{removed & names}" if removed & names else text}
        | {"text_subset": removed & names, "relation": "exact", "names": names, "mentions": names & ~removed, "may_mention": 0}
        | {"residual": 0.0, "text_ok": True}
        for i, (text, names) in ids.items()
        for removed in duals
    ]
    detections = [{"label": name, "score": 0.9} for name in labels] + [
        {"label": "zebra", "score": 0.2},
        {"label": "ant", "score": 0.1},
    ]
    return {
        "images": [{**key, "captions": written, "image": b"source"}],
        "instances": [{**key, "instances": detections}],
        "families": [{**key, "n": len(labels), "components": [{"label": name} for name in labels], "captions": named}],
        "dual_images": [{**key, "subset": removed, "image": png(removed)} for removed in duals],
        "scores": scores,
    }


def write_root(store: Store) -> None:
    pets = family("b", ["dog", "cat"], {"a dog and a cat": 3, "a dog": 1}, batch="00000001")
    for score in pets["scores"]:
        score["residual"] = 0.9 if score["subset"] == 3 else 0.1  # the policy refuses it
    pets["dual_images"][2].update(status="model_error", image=None)  # succeeded when it was retried
    pets["dual_images"].append(pets["dual_images"][1] | {"subset": 2, "attempt": 1, "image": png(2)})
    records = [family("a", ["dog"], {"a dog on grass": 1}), pets, family("c", [], {"a sink": 0, "a tap": 0})]
    records += [family("d", ["cup"], {"a cup": 1}), family("e", [], {}, batch="00000001")]
    for table in records[0]:
        store.create(table)
        rows = [row for record in records for row in record[table]]
        store.append(store.spark.createDataFrame(rows, schema(store.spark, table)), table)


@pytest.fixture(scope="module")
def store(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.of(spark, str(tmp_path_factory.mktemp("publish") / "root"), SETTINGS)
    write_root(store)
    return store


@pytest.fixture(scope="module")
def stopped(store: Store) -> set[Path]:
    """The files of a publish that was stopped in its second wave."""
    with pytest.MonkeyPatch.context() as patch:
        write = job._write
        patch.setattr(job, "_write", lambda *arguments: write(*arguments) if arguments[-1].endswith("wave=0") else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            job.publish(store, SETTINGS)
    return {path for path in Path(store.root, "snapshots").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def published(store: Store, stopped: set[Path]) -> Manifest:
    manifest, new = job.publish(store, SETTINGS)
    assert new
    return manifest


def by_id(manifest: Manifest, reader: Any = "pyarrow", **part: int) -> dict[str, dict[str, Any]]:
    rows = list(families(manifest, reader, **part))
    assert len({row["record_id"] for row in rows}) == len(rows)
    plain = [{name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()} for row in rows]
    return {row["record_id"]: row for row in plain}


@pytest.mark.parametrize("reader", ["pyarrow", "petastorm"])
def test_a_row_is_a_whole_family(published: Manifest, reader: str) -> None:
    rows = by_id(published, reader)
    assert sorted(rows) == ["a", "b", "c", "d"], "e has no caption"
    assert rows["a"]["labels"] == ["dog"]
    assert rows["a"]["subsets"] == [0, 1]
    assert rows["a"]["images"] == [png(0), png(1)]
    assert rows["a"]["text"] == ["a dog on grass", "a dog on grass -1"]
    assert rows["a"]["detected"] == ["dog", "zebra"], "the ant's score is too low even for removal"
    assert rows["a"]["variant_text"] == [] and rows["a"]["placebo"] is None, "none were made"
    assert (rows["a"]["text_named"], rows["a"]["text_mentions"]) == ([1, 1], [1, 0])
    assert rows["b"]["subsets"] == [0, 1, 2], "subset 3 is refused, subset 2 is the second attempt's"
    assert rows["b"]["images"] == [png(0), png(1), png(2)]
    texts = set(zip(rows["b"]["caption_id"], rows["b"]["text"], strict=True))
    once = {
        ("b0", "a dog and a cat"),
        ("b0", "a dog and a cat -1"),
        ("b0", "a dog and a cat -2"),
        ("b1", "a dog"),
        ("b1", "a dog -1"),
    }
    assert texts == once and len(rows["b"]["text"]) == len(once)
    assert (rows["c"]["n"], rows["c"]["subsets"], rows["c"]["text"]) == (0, [0], ["a sink", "a tap"])


def test_both_readers_give_the_same(published: Manifest) -> None:
    assert by_id(published, "petastorm") == by_id(published, "pyarrow")
    for shard in range(2):
        part = {"shard": shard, "shards": 2}
        assert by_id(published, "petastorm", **part) == by_id(published, "pyarrow", **part)


def test_the_manifest_counts(published: Manifest, store: Store) -> None:
    total = published.totals
    assert (total.families, total.images, total.texts, total.pairs, total.left_out) == (4, 8, 11, 12, 1)
    lattice = {(row.n, row.removed): (row.made, row.kept) for row in published.lattice}
    assert lattice == {(0, 0): (2, 1), (1, 0): (2, 2), (1, 1): (2, 2), (2, 0): (1, 1), (2, 1): (2, 2), (2, 2): (1, 0)}
    assert published.tables["scores"].version == 1
    assert published.vocabulary == ["cat", "cup", "dog", "zebra"]
    assert "residual" in published.policy
    assert "spark" not in published.settings


def test_a_snapshot_holds_no_secret(published: Manifest) -> None:
    assert published.settings["extractor"]["base_url"] == "http://host:8000/v1"
    assert "hunter2" not in (Path(published.folder) / "manifest.json").read_text()


def test_the_manifest_reports_the_lattices_after_filtering(published: Manifest) -> None:
    assert published.balance == "none" and all(row.passed == row.kept for row in published.lattice)
    lattice = {(row.n, row.removed): Counter(made=row.made, passed=row.passed, kept=row.kept) for row in published.lattice}
    assert job.balance(lattice)[-1] == "  families of 2: 1 of 1, 2 of 2, 0 of 1 images with 0 to 2 removed"


def test_shards_are_parts_of_equal_size(published: Manifest) -> None:
    parts = [by_id(published, shard=shard, shards=2) for shard in range(2)]
    assert [len(part) for part in parts] == [2, 2]
    assert sorted([*parts[0], *parts[1]]) == ["a", "b", "c", "d"]
    assert all(row["shard"] == shard for shard, part in enumerate(parts) for row in part.values())
    with pytest.raises(SnapshotError, match="2 shards"):
        list(families(published, shard=0, shards=3))


def test_publishing_again_does_nothing(published: Manifest, store: Store) -> None:
    written = {path: path.stat().st_mtime_ns for path in Path(published.folder).rglob("*")}
    repeated, new = job.publish(store, SETTINGS)
    assert not new
    assert repeated == published
    assert written == {path: path.stat().st_mtime_ns for path in Path(published.folder).rglob("*")}


@pytest.fixture
def copied(published: Manifest, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(published.folder, tmp_path / "snapshot")
    yield tmp_path / "snapshot"


@pytest.mark.parametrize("reader", ["pyarrow", "petastorm"])
def test_a_deleted_file_is_an_error(copied: Path, reader: Any) -> None:
    manifest = read_manifest(str(copied))
    (copied / manifest.files[0].path).unlink()
    with pytest.raises(SnapshotError, match=re.escape(manifest.files[0].path) + " is missing"):
        list(families(manifest, reader))


def test_a_reader_that_loses_a_family_is_detected(published: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.data import families as module

    original = module.read_by_petastorm

    def lossy(*arguments: Any) -> Iterator[list[dict[str, Any]]]:
        for group in original(*arguments):
            if remaining := [row for row in group if row["record_id"] != "c"]:
                yield remaining

    monkeypatch.setattr(module, "read_by_petastorm", lossy)
    with pytest.raises(SnapshotError, match=r"families 3 instead of 4.* 1 families missing \(c\)"):
        list(families(published, "petastorm"))


def test_a_snapshot_without_manifest_is_incomplete(copied: Path) -> None:
    (copied / "manifest.json").unlink()
    with pytest.raises(SnapshotError, match="an unfinished one; publish again"):
        read_manifest(str(copied))


def test_a_manifest_names_only_files_of_its_folder(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"][0]["path"] = "../../elsewhere.parquet"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SnapshotError, match="inside its folder"):
        read_manifest(str(copied))


def test_a_folder_that_petastorm_would_misread_is_refused(copied: Path) -> None:
    moved = read_manifest(str(copied.rename(copied.with_name("run #1"))))
    with pytest.raises(SnapshotError, match="training cannot read .*run #1: give folder"):
        moved.url(moved.files[0])


def test_one_exchange_carries_bytes(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    pinned = job.pin(store)
    (wave, _) = job.waves(pinned, SETTINGS)
    job.wave_rows(pinned, SETTINGS, wave, job.numbered(pinned, SETTINGS, wave, 0)).explain("formatted")
    plan = capsys.readouterr().out
    exchanges = re.findall(r"\) (\w*Exchange)\nInput \[\d+\]: \[(.*)\]", plan)
    assert len(exchanges) > 3, "the plan was read"
    carrying = [(kind, columns) for kind, columns in exchanges if re.search(r"\bimages?#|\bposition#.*buf#", columns)]
    assert [kind for kind, _ in carrying] == ["Exchange"], carrying
    assert "image#" in carrying[0][1]


def test_a_stopped_publish_resumes(stopped: set[Path], published: Manifest) -> None:
    assert not [path for path in stopped if path.name == "manifest.json"], "the manifest is written last"
    files = {path for path in Path(published.folder).rglob("*") if path.is_file()}
    assert stopped < files, "a finished wave is not written again"


def with_policy(**policy: Any) -> Settings:
    return SETTINGS.model_copy(update={"policy": SETTINGS.policy.model_copy(update=policy)})


def test_withdrawn_records_and_the_current_policy(published: Manifest, store: Store) -> None:
    store.create("withdrawn")
    store.append(store.spark.createDataFrame([("d", "asked to", None)], schema(store.spark, "withdrawn")), "withdrawn")
    later, new = job.publish(store, with_policy(max_residual=None))
    assert new and later.id != published.id
    rows = by_id(later)
    assert sorted(rows) == ["a", "b", "c"], "d is withdrawn"
    assert sorted(len(by_id(later, shard=shard, shards=2)) for shard in range(2)) == [1, 2], "equal but for one family"
    assert rows["b"]["subsets"] == [0, 1, 2, 3], "nothing rejects subset 3 now"
    assert sorted(by_id(published)) == ["a", "b", "c", "d"], "a snapshot is never changed"


def test_variants_and_placebos_follow_their_families(store: Store) -> None:
    shown = [
        ("b", "00000001", 0, "ok", png(77)),
        ("c", "00000000", 0, "ok", png(78)),
        ("a", "00000000", 0, "no_free_place", None),
    ]
    shown.append(("b", "00000001", 1, "ok", png(79)))  # a retry
    names = ("record_id", "ingest_batch", "attempt", "status", "image")
    store.create("placebos")
    placebos = [dict(zip(names, values, strict=True)) for values in shown]
    store.append(store.spark.createDataFrame(placebos, schema(store.spark, "placebos")), "placebos")
    rows = [
        ("b", "b0", 0, "swap", "a cat and a dog"),
        ("b", "b0", 2, "rewrite", "b0 without the cat, said otherwise"),
        ("b", "b1", 2, "swap", "of a text that b1 has not: it names no cat"),
        ("b", "b0", 3, "swap", "of a text that the policy refuses"),
        ("c", "c1", 0, "rewrite", "the tap"),
    ]
    store.create("text_variants")
    variants_by_record: dict[str, list[dict[str, Any]]] = {}
    for record, caption, subset, kind, text in rows:
        variant = {"caption_id": caption, "subset": subset, "kind": kind, "text": text, "status": "ok"}
        facts = {"mentions": 1, "may_mention": 2, "names": ["dog", "emu"]}
        variants_by_record.setdefault(record, []).append(variant | facts)
    variants_by_record["c"].append({"caption_id": "c0", "subset": 0, "kind": "swap", "status": "no_candidate"})
    batches = {"b": "00000001", "c": "00000000"}
    table = [
        {"ingest_batch": batches[record], "record_id": record, "attempt": 0, "status": "ok", "variants": variants}
        for record, variants in variants_by_record.items()
    ]
    store.append(store.spark.createDataFrame(table, schema(store.spark, "text_variants")), "text_variants")
    manifest, new = job.publish(store, SETTINGS)
    assert new and manifest.has_placebos and manifest.totals.placebos == 2
    assert "emu" in manifest.vocabulary
    for reader in ("pyarrow", "petastorm"):
        published_rows = by_id(manifest, reader)
        b = published_rows["b"]
        sources = [b["text"][index] for index in b["variant_of"]]
        assert sorted(zip(sources, b["variant_kind"], b["variant_text"], strict=True)) == [
            ("a dog and a cat", "swap", "a cat and a dog"),
            ("a dog and a cat -2", "rewrite", "b0 without the cat, said otherwise"),
        ]
        assert (b["variant_mentions"], b["variant_may_mention"]) == ([1, 1], [2, 2])
        assert b["variant_names"] == ["dog|emu"] * 2
        assert [published_rows["c"]["text"][index] for index in published_rows["c"]["variant_of"]] == ["a tap"]
        assert published_rows["a"]["variant_text"] == []
        assert {key: published_rows[key]["placebo"] for key in "abc"} == {"a": None, "b": png(79), "c": png(78)}
        assert published_rows["b"]["subsets"] == [0, 1, 2] and published_rows["b"]["images"] == [png(0), png(1), png(2)], (
            "the same as without variants"
        )


def with_publish(**publish: Any) -> Settings:
    return SETTINGS.model_copy(update={"publish": SETTINGS.publish.model_copy(update=publish)})


def test_unevenly_kept_lattices_are_balanced(spark: Any, tmp_path: Path) -> None:
    """In half of eight families the pair with both things removed is refused, so half of the single removals go in as well."""
    store = Store.of(spark, str(tmp_path / "root"), SETTINGS)
    records = [family(f"r{i}", ["dog", "cat"], {f"a dog and a cat {i}": 3}) for i in range(8)]
    for i, record in enumerate(records):
        for score in record["scores"]:
            score["residual"] = 0.9 if score["subset"] == 3 and i % 2 else 0.1
    for table in records[0]:
        store.create(table)
        rows = [row for record in records for row in record[table]]
        store.append(store.spark.createDataFrame(rows, schema(store.spark, table)).coalesce(1), table)
    manifest, _ = job.publish(store, with_publish(balance="lattice", shards=1))
    assert manifest.balance == "lattice"
    counts = {row.removed: (row.made, row.passed, row.kept) for row in manifest.lattice}
    assert counts == {0: (8, 8, 8), 1: (16, 16, 8), 2: (8, 4, 4)}
    assert job.balance({(2, 1): Counter(made=16, passed=16, kept=8)}) == [
        "  families of 2: 8 of 16 kept of 16 images with 0 to 2 removed"
    ]
    assert (manifest.totals.images, manifest.totals.pairs, manifest.totals.texts) == (20, 20, 20)
    published_rows = by_id(manifest)
    assert sum(len(record["images"]) for record in published_rows.values()) == 20
    for record in published_rows.values():
        mentions = set(record["text_mentions"])
        assert mentions == {3 & ~subset for subset in record["subsets"]}, "a text goes with its image"


def test_a_level_without_images_cannot_be_balanced(store: Store) -> None:
    with pytest.raises(StageError, match="no image with 2 of 2 components removed was kept"):
        job.publish(store, with_publish(balance="lattice"))


def test_more_shards_than_families(store: Store) -> None:
    with pytest.raises(StageError, match="cannot fill 9 shards"):
        job.publish(store, with_publish(shards=9, wave_batches=2))


def test_before_the_chain_has_run(spark: Any, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="run the chain first"):
        job.publish(Store.of(spark, str(tmp_path), SETTINGS), SETTINGS)
