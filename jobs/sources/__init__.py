"""Sources of image-caption data. Each is a module with ``OPTIONS``, ``REQUIRED``, ``PATHS`` and ``read``;
adding one is a line here.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Literal, cast

from pyspark.sql import DataFrame, SparkSession

from jobs.settings import Ingest
from jobs.sources import coco, flickr30k, folder, parquet, scenes, webdataset
from jobs.sources.paths import absolute
from jobs.sources.record import Origin, SourceError, source_error

__all__ = ["COMMON", "SOURCES", "SourceError", "complete", "records", "source_error", "source_name"]

SOURCES: dict[str, ModuleType] = {
    "coco": coco,
    "flickr30k": flickr30k,
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
    "split": "split of records for which the source gives none",
    "license": "licence of records for which the source gives none",
}


def records(spark: SparkSession, kind: str, options: Mapping[str, str | None], ingest: Ingest | None = None) -> DataFrame:
    """The records of a source, as ``jobs.sources.record.RECORD``: one row an image (or pair), no image
    bytes, in no fixed order.

    Files are parsed in workers when the DataFrame is used, each time anew: write it once. The same files
    give the same rows. What a source writes twice (same key, same captions) has one record_id twice. An
    error found while parsing fails the query; ``source_error`` turns that failure back into a
    ``SourceError``.

    Args:
        options: the source's ``OPTIONS`` and ``COMMON``; None is as if not given.

    Raises:
        SourceError: unknown kind or option, a required one is missing, or a file or folder does not exist.
    """
    given = _checked(kind, options)
    mode = given.get("record", "image")
    if mode not in ("image", "pair"):
        raise SourceError(f"record must be image or pair, not {mode!r}")
    origin = Origin(
        name=source_name(kind, given),
        record=cast(Literal["image", "pair"], mode),
        max_caption_chars=(ingest or Ingest()).max_caption_chars,
        split=given.get("split"),
        license=given.get("license"),
    )
    own = {name: value for name, value in given.items() if name not in COMMON}
    return cast(DataFrame, SOURCES[kind].read(spark, own, origin))


def source_name(kind: str, options: Mapping[str, str | None]) -> str:
    """The ``source`` column: the name given, or ``kind:`` and eight digits of a hash over the options that
    say what is read.
    """
    given = _checked(kind, options)
    if "source" in given:
        return given["source"]
    own = getattr(SOURCES[kind], "identity", None)
    identity = own(given) if own else {name: value for name, value in given.items() if name not in COMMON}
    text = json.dumps(identity, sort_keys=True)
    return f"{kind}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def complete(kind: str, options: Mapping[str, str | None], root: str) -> Mapping[str, str | None]:
    """Options with the defaults that depend on the root: where a source writes that makes its own files."""
    own = getattr(SOURCES[kind], "complete", None)
    return cast(Mapping[str, str | None], own(dict(options), root)) if own else options


def _checked(kind: str, options: Mapping[str, str | None]) -> dict[str, str]:
    if kind not in SOURCES:
        raise SourceError(f"no source {kind!r}: there are {', '.join(SOURCES)}")
    module = SOURCES[kind]
    given = {name: value for name, value in options.items() if value is not None and value != ""}
    for name in given:
        known = [*module.OPTIONS, *COMMON]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise SourceError(f"source {kind} has no option {name!r}; the nearest known one is {near!r}")
    for name in module.REQUIRED:
        if name not in given:
            raise SourceError(f"source {kind} needs {name}: {module.OPTIONS[name]}")
    # Absolute: a worker's working folder is not the driver's, and one folder must have one hash.
    return {name: absolute(value) if name in module.PATHS else value for name, value in given.items()}
