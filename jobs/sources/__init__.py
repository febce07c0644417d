"""Sources of image-caption data. Each is a module with ``OPTIONS``, ``REQUIRED``, ``PATHS`` and ``read``, listed here."""

import difflib
import hashlib
import json
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Literal, cast

from pyspark.sql import DataFrame, SparkSession

from jobs.sources import coco, flickr30k, flickr30k_entities, folder, parquet, scenes, webdataset
from jobs.sources.notes import Notes
from jobs.sources.paths import absolute
from jobs.sources.record import Origin, SourceError, source_error
from udfs.fetch.settings import IngestSettings

__all__ = ["COMMON", "SOURCES", "SourceError", "complete", "records", "source_error", "source_name"]

SOURCES: dict[str, ModuleType] = {
    "coco": coco,
    "flickr30k": flickr30k,
    "flickr30k_entities": flickr30k_entities,
    "folder": folder,
    "csv": folder,
    "jsonl": folder,
    "parquet": parquet,
    "webdataset": webdataset,
    "scenes": scenes,
}

COMMON = {
    "source": "the source's name in the tables (the kind and a hash of the options)",
    "record": "image: all captions of an image are one record; pair: one record a caption (image)",
    "split": "split of records that have none in the source",
    "license": "licence of records that have none in the source",
}


def records(
    spark: SparkSession,
    kind: str,
    options: Mapping[str, str | None],
    ingest: IngestSettings | None = None,
    labels: Collection[str] = (),
    notes: Notes | None = None,
    lexicon: str = "",
) -> DataFrame:
    """The records of a source, as ``jobs.sources.record.RECORD``: one row an image (or pair), no image bytes, in no fixed order.

    Workers parse the files each time the DataFrame is used, so write it once. The same files give the same rows. If a source has
    the same key with the same captions twice, two rows have one record_id. A parse error fails the query; ``source_error`` turns
    that failure back into a ``SourceError``.

    Args:
        spark: the session.
        kind: a key of ``SOURCES``.
        options: the source's ``OPTIONS`` and ``COMMON``; None means not set.
        ingest: its limit on the length of captions.
        labels: the classes of the lexicon; annotations are spelled as there, and a source that knows none of them says so.
        notes: gets what the source has to say about what it left out, once the DataFrame was used.
        lexicon: the setting of that name, for sources that read phrases.

    Raises:
        SourceError: unknown kind or option, a required option is missing, or a file or folder does not exist.
    """
    checked = _checked(kind, options)
    mode = checked.get("record", "image")
    if mode not in ("image", "pair"):
        raise SourceError(f"record must be image or pair, not {mode!r}")
    origin = Origin(
        name=source_name(kind, checked),
        record=cast(Literal["image", "pair"], mode),
        max_caption_chars=(ingest or IngestSettings()).max_caption_chars,
        split=checked.get("split"),
        license=checked.get("license"),
        labels=frozenset(labels),
        lexicon=lexicon,
        notes=notes,
    )
    own = {name: value for name, value in checked.items() if name not in COMMON}
    return cast(DataFrame, SOURCES[kind].read(spark, own, origin))


def source_name(kind: str, options: Mapping[str, str | None]) -> str:
    """The ``source`` column: the option ``source``, or ``kind:`` and eight digits of a hash of the options that select data."""
    checked = _checked(kind, options)
    if "source" in checked:
        return checked["source"]
    own = getattr(SOURCES[kind], "identity", None)
    identity = own(checked) if own else {name: value for name, value in checked.items() if name not in COMMON}
    text = json.dumps(identity, sort_keys=True)
    return f"{kind}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def complete(kind: str, options: Mapping[str, str | None], root: str) -> Mapping[str, str | None]:
    """Options with the defaults that depend on the root: the folder of a source that writes its own files."""
    own = getattr(SOURCES[kind], "complete", None)
    return cast(Mapping[str, str | None], own(dict(options), root)) if own else options


def _checked(kind: str, options: Mapping[str, str | None]) -> dict[str, str]:
    if kind not in SOURCES:
        raise SourceError(f"no source {kind!r}: there are {', '.join(SOURCES)}")
    module = SOURCES[kind]
    checked = {name: value for name, value in options.items() if value is not None and value != ""}
    for name in checked:
        known = [*module.OPTIONS, *COMMON]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise SourceError(f"source {kind} has no option {name!r}; the nearest known one is {near!r}")
    for name in module.REQUIRED:
        if name not in checked:
            raise SourceError(f"source {kind} needs {name}: {module.OPTIONS[name]}")
    # Absolute: a worker has another working folder than the driver, and a folder must always have the same hash.
    return {name: absolute(value) if name in module.PATHS else value for name, value in checked.items()}
