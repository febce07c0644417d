"""A snapshot for training: what goes in, how it is counted, and that bytes are shuffled once."""

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
from jobs.settings import Settings, load_settings
from jobs.stream import StageError
from jobs.tables import Store, schema
from training.families import families
from training.snapshot import Manifest, SnapshotError, read_manifest

SETTINGS = load_settings("photos", ["publish.shards=2", "publish.wave_batches=1"])


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def family(record: str, labels: list[str], captions: dict[str, int], batch: str = "00000000") -> dict[str, list[dict[str, Any]]]:
    """The rows of one record: 2^n images, each with every caption less what is gone; ``captions``: text to what it names (C)."""
    key = {"ingest_batch": batch, "record_id": record, "attempt": 0, "status": "ok"}
    ids = {f"{record}{i}": (text, names) for i, (text, names) in enumerate(captions.items())}
    written = [{"caption_id": i, "caption": text, "status": "ok"} for i, (text, _) in ids.items()]
    named = [{"caption_id": i, "status": "ok", "monotone": True, "names": names, "may_name": 0} for i, (_, names) in ids.items()]
    duals = range(2 ** len(labels))
    scores = [
        {**key, "subset": gone, "caption_id": i, "caption": f"{text} -{gone & names}" if gone & names else text}
        | {"text_subset": gone & names, "relation": "exact", "names": names, "mentions": names & ~gone, "may_mention": 0}
        | {"residual": 0.0, "text_ok": True}
        for i, (text, names) in ids.items()
        for gone in duals
    ]
    found = [{"label": name, "score": 0.9} for name in labels] + [
        {"label": "zebra", "score": 0.2},
        {"label": "ant", "score": 0.1},
    ]
    return {
        "images": [{**key, "captions": written, "image": b"source"}],
        "instances": [{**key, "instances": found}],
        "families": [{**key, "n": len(labels), "components": [{"label": name} for name in labels], "captions": named}],
        "dual_images": [{**key, "subset": gone, "image": png(gone)} for gone in duals],
        "scores": scores,
    }


def write_root(store: Store) -> None:
    both = family("b", ["dog", "cat"], {"a dog and a cat": 3, "a dog": 1}, batch="00000001")
    for score in both["scores"]:
        score["residual"] = 0.9 if score["subset"] == 3 else 0.1  # the policy refuses it
    both["dual_images"][2].update(status="model_error", image=None)  # went well when it was tried again
    both["dual_images"].append(both["dual_images"][1] | {"subset": 2, "attempt": 1, "image": png(2)})
    made = [family("a", ["dog"], {"a dog on grass": 1}), both, family("c", [], {"a sink": 0, "a tap": 0})]
    made += [family("d", ["cup"], {"a cup": 1}), family("e", [], {}, batch="00000001")]
    for table in made[0]:
        store.create(table)
        rows = [row for one in made for row in one[table]]
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
        patch.setattr(job, "_write", lambda *given: write(*given) if given[-1].endswith("wave=0") else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            job.publish(store, SETTINGS)
    return {path for path in Path(store.root, "snapshots").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def published(store: Store, stopped: set[Path]) -> Manifest:
    manifest, new = job.publish(store, SETTINGS)
    assert new
    return manifest


def by_id(manifest: Manifest, reader: Any = "pyarrow", **part: int) -> dict[str, dict[str, Any]]:
    found = list(families(manifest, reader, **part))
    assert len({one["record_id"] for one in found}) == len(found)
    plain = [{name: value.tolist() if hasattr(value, "tolist") else value for name, value in one.items()} for one in found]
    return {one["record_id"]: one for one in plain}


@pytest.mark.parametrize("reader", ["pyarrow", "petastorm"])
def test_a_row_is_a_whole_family(published: Manifest, reader: str) -> None:
    found = by_id(published, reader)
    assert sorted(found) == ["a", "b", "c", "d"], "e has no caption"
    assert found["a"]["labels"] == ["dog"]
    assert found["a"]["subsets"] == [0, 1]
    assert found["a"]["images"] == [png(0), png(1)]
    assert found["a"]["text"] == ["a dog on grass", "a dog on grass -1"]
    assert found["a"]["detected"] == ["dog", "zebra"], "the ant is below what removal would take"
    assert found["a"]["variant_text"] == [] and found["a"]["placebo"] is None, "nobody made any"
    assert (found["a"]["text_named"], found["a"]["text_mentions"]) == ([1, 1], [1, 0])
    assert found["b"]["subsets"] == [0, 1, 2], "subset 3 is refused, subset 2 is the second attempt's"
    assert found["b"]["images"] == [png(0), png(1), png(2)]
    texts = set(zip(found["b"]["caption_id"], found["b"]["text"], strict=True))
    once = {
        ("b0", "a dog and a cat"),
        ("b0", "a dog and a cat -1"),
        ("b0", "a dog and a cat -2"),
        ("b1", "a dog"),
        ("b1", "a dog -1"),
    }
    assert texts == once and len(found["b"]["text"]) == len(once)
    assert (found["c"]["n"], found["c"]["subsets"], found["c"]["text"]) == (0, [0], ["a sink", "a tap"])


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


def test_what_filtering_left_of_the_lattices_is_said(published: Manifest) -> None:
    assert published.balance == "none" and all(row.passed == row.kept for row in published.lattice)
    lattice = {(row.n, row.removed): Counter(made=row.made, passed=row.passed, kept=row.kept) for row in published.lattice}
    assert job.balance(lattice)[-1] == "  families of 2: 1 of 1, 2 of 2, 0 of 1 images with 0 to 2 removed"


def test_shards_are_parts_of_equal_size(published: Manifest) -> None:
    parts = [by_id(published, shard=shard, shards=2) for shard in range(2)]
    assert [len(part) for part in parts] == [2, 2]
    assert sorted([*parts[0], *parts[1]]) == ["a", "b", "c", "d"]
    assert all(one["shard"] == shard for shard, part in enumerate(parts) for one in part.values())
    with pytest.raises(SnapshotError, match="2 shards"):
        list(families(published, shard=0, shards=3))


def test_publishing_again_does_nothing(published: Manifest, store: Store) -> None:
    written = {path: path.stat().st_mtime_ns for path in Path(published.folder).rglob("*")}
    again, new = job.publish(store, SETTINGS)
    assert not new
    assert again == published
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


def test_a_reader_that_loses_a_family_is_found_out(published: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import families as module

    whole = module._petastorm

    def lossy(*given: Any) -> Iterator[list[dict[str, Any]]]:
        for group in whole(*given):
            if left := [one for one in group if one["record_id"] != "c"]:
                yield left

    monkeypatch.setattr(module, "_petastorm", lossy)
    with pytest.raises(SnapshotError, match=r"families 3 instead of 4.* 1 families missing \(c\)"):
        list(families(published, "petastorm"))


def test_a_snapshot_without_manifest_is_incomplete(copied: Path) -> None:
    (copied / "manifest.json").unlink()
    with pytest.raises(SnapshotError, match="not finished"):
        read_manifest(str(copied))


def test_a_manifest_names_only_files_of_its_folder(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"][0]["path"] = "../../elsewhere.parquet"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SnapshotError, match="inside its folder"):
        read_manifest(str(copied))


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


def test_a_stopped_publish_goes_on(stopped: set[Path], published: Manifest) -> None:
    assert not [path for path in stopped if path.name == "manifest.json"], "it comes last"
    now = {path for path in Path(published.folder).rglob("*") if path.is_file()}
    assert stopped < now, "a finished wave is not written again"


def with_policy(**policy: Any) -> Settings:
    return SETTINGS.model_copy(update={"policy": SETTINGS.policy.model_copy(update=policy)})


def test_withdrawn_records_and_the_current_policy(published: Manifest, store: Store) -> None:
    store.create("withdrawn")
    store.append(store.spark.createDataFrame([("d", "asked to", None)], schema(store.spark, "withdrawn")), "withdrawn")
    later, new = job.publish(store, with_policy(max_residual=None))
    assert new and later.id != published.id
    found = by_id(later)
    assert sorted(found) == ["a", "b", "c"], "d is withdrawn"
    assert sorted(len(by_id(later, shard=shard, shards=2)) for shard in range(2)) == [1, 2], "equal but for one family"
    assert found["b"]["subsets"] == [0, 1, 2, 3], "nothing rejects subset 3 now"
    assert sorted(by_id(published)) == ["a", "b", "c", "d"], "a snapshot is never changed"


def test_variants_and_placebos_follow_their_families(store: Store) -> None:
    shown = [
        ("b", "00000001", 0, "ok", png(77)),
        ("c", "00000000", 0, "ok", png(78)),
        ("a", "00000000", 0, "no_free_place", None),
    ]
    shown.append(("b", "00000001", 1, "ok", png(79)))  # tried again
    names = ("record_id", "ingest_batch", "attempt", "status", "image")
    store.create("placebos")
    placebos = [dict(zip(names, one, strict=True)) for one in shown]
    store.append(store.spark.createDataFrame(placebos, schema(store.spark, "placebos")), "placebos")
    rows = [
        ("b", "b0", 0, "swap", "a cat and a dog"),
        ("b", "b0", 2, "rewrite", "b0 without the cat, said otherwise"),
        ("b", "b1", 2, "swap", "of a text that b1 has not: it names no cat"),
        ("b", "b0", 3, "swap", "of a text that the policy refuses"),
        ("c", "c1", 0, "rewrite", "the tap"),
    ]
    store.create("text_variants")
    made: dict[str, list[dict[str, Any]]] = {}
    for record, caption, subset, kind, text in rows:
        one = {"caption_id": caption, "subset": subset, "kind": kind, "text": text, "status": "ok"}
        facts = {"mentions": 1, "may_mention": 2, "names": ["dog", "emu"]}
        made.setdefault(record, []).append(one | facts)
    made["c"].append({"caption_id": "c0", "subset": 0, "kind": "swap", "status": "no_candidate"})
    batches = {"b": "00000001", "c": "00000000"}
    table = [
        {"ingest_batch": batches[record], "record_id": record, "attempt": 0, "status": "ok", "variants": variants}
        for record, variants in made.items()
    ]
    store.append(store.spark.createDataFrame(table, schema(store.spark, "text_variants")), "text_variants")
    manifest, new = job.publish(store, SETTINGS)
    assert new and manifest.has_placebos and manifest.totals.placebos == 2
    assert "emu" in manifest.vocabulary
    for reader in ("pyarrow", "petastorm"):
        found = by_id(manifest, reader)
        b = found["b"]
        sources = [b["text"][place] for place in b["variant_of"]]
        assert sorted(zip(sources, b["variant_kind"], b["variant_text"], strict=True)) == [
            ("a dog and a cat", "swap", "a cat and a dog"),
            ("a dog and a cat -2", "rewrite", "b0 without the cat, said otherwise"),
        ]
        assert (b["variant_mentions"], b["variant_may_mention"]) == ([1, 1], [2, 2])
        assert b["variant_names"] == ["dog|emu"] * 2
        assert [found["c"]["text"][place] for place in found["c"]["variant_of"]] == ["a tap"]
        assert found["a"]["variant_text"] == []
        assert {key: found[key]["placebo"] for key in "abc"} == {"a": None, "b": png(79), "c": png(78)}
        assert found["b"]["subsets"] == [0, 1, 2] and found["b"]["images"] == [png(0), png(1), png(2)], "as without"


def with_publish(**publish: Any) -> Settings:
    return SETTINGS.model_copy(update={"publish": SETTINGS.publish.model_copy(update=publish)})


def test_what_was_kept_unevenly_is_balanced(spark: Any, tmp_path: Path) -> None:
    """Of eight families half the pairs are refused where both things are gone: of the single removals half go in as well."""
    store = Store.of(spark, str(tmp_path / "root"), SETTINGS)
    made = [family(f"r{i}", ["dog", "cat"], {f"a dog and a cat {i}": 3}) for i in range(8)]
    for i, one in enumerate(made):
        for score in one["scores"]:
            score["residual"] = 0.9 if score["subset"] == 3 and i % 2 else 0.1
    for table in made[0]:
        store.create(table)
        rows = [row for one in made for row in one[table]]
        store.append(store.spark.createDataFrame(rows, schema(store.spark, table)).coalesce(1), table)
    manifest, _ = job.publish(store, with_publish(balance="lattice", shards=1))
    assert manifest.balance == "lattice"
    counts = {row.removed: (row.made, row.passed, row.kept) for row in manifest.lattice}
    assert counts == {0: (8, 8, 8), 1: (16, 16, 8), 2: (8, 4, 4)}
    assert job.balance({(2, 1): Counter(made=16, passed=16, kept=8)}) == [
        "  families of 2: 8 of 16 kept of 16 images with 0 to 2 removed"
    ]
    assert (manifest.totals.images, manifest.totals.pairs, manifest.totals.texts) == (20, 20, 20)
    found = by_id(manifest)
    assert sum(len(one["images"]) for one in found.values()) == 20
    for one in found.values():
        said = set(one["text_mentions"])
        assert said == {3 & ~gone for gone in one["subsets"]}, "a text goes with its image"


def test_what_was_lost_altogether_cannot_be_balanced(store: Store) -> None:
    with pytest.raises(StageError, match="no image with 2 of 2 components removed was kept"):
        job.publish(store, with_publish(balance="lattice"))


def test_more_shards_than_families(store: Store) -> None:
    with pytest.raises(StageError, match="cannot fill 9 shards"):
        job.publish(store, with_publish(shards=9, wave_batches=2))


def test_before_the_chain_has_run(spark: Any, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="run the chain first"):
        job.publish(Store.of(spark, str(tmp_path), SETTINGS), SETTINGS)
