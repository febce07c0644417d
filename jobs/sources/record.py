"""What every source makes: records, which hold the place of an image's bytes but not the bytes.

A source is parsed in workers and yields plain dicts; ``distributed`` turns them into a DataFrame of ``RECORD``. Text that cannot
be stored (lone surrogates, NUL) reaches this module as Python strings and leaves it as valid UTF-8, with a status that says so.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypedDict

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T  # noqa: N812  Spark's own convention

from jobs.sources.notes import Notes
from udfs.errors import DualsetError

Row = dict[str, Any]
Captions = Sequence[tuple[str | None, str | None]]  # (the source's own id or None, text or None)

LOCATOR = T.StructType(
    [
        T.StructField("path", T.StringType()),  # a local path or any fsspec URI
        T.StructField("offset", T.LongType()),  # tar: first byte; Parquet: row index in the file
        T.StructField("length", T.LongType()),  # tar: bytes; null otherwise
        T.StructField("member", T.StringType()),  # tar: member name; Parquet: name of the bytes column
    ]
)
CAPTION = T.StructType([T.StructField(name, T.StringType()) for name in ("caption_id", "caption", "status")])
BOX = T.StructType([T.StructField(name, T.DoubleType()) for name in ("x", "y", "width", "height")])
MASK = T.StructType(
    [
        T.StructField("height", T.IntegerType()),
        T.StructField("width", T.IntegerType()),
        T.StructField("counts", T.StringType()),  # COCO compressed RLE
    ]
)
PHRASE = T.StructType(
    [
        T.StructField("caption_id", T.StringType()),
        T.StructField("start", T.IntegerType()),  # characters of the caption
        T.StructField("end", T.IntegerType()),  # just outside
    ]
)
ANNOTATION = T.StructType(
    [
        T.StructField("label", T.StringType()),
        T.StructField("box", BOX),  # pixels, origin at the top left
        T.StructField("mask", MASK),  # null where the source gives a box only
        T.StructField("crowd", T.BooleanType()),
        T.StructField("phrases", T.ArrayType(PHRASE)),  # of the captions that refer to it; null: the source does not say
    ]
)
RECORD = T.StructType(
    [
        T.StructField("record_id", T.StringType()),
        T.StructField("source", T.StringType()),
        T.StructField("source_key", T.StringType()),
        T.StructField("split", T.StringType()),
        T.StructField("license", T.StringType()),
        T.StructField("locator", LOCATOR),  # null when there is nothing safe to open
        T.StructField("captions", T.ArrayType(CAPTION)),
        T.StructField("annotations", T.ArrayType(ANNOTATION)),  # null: the source has none
        T.StructField("status", T.StringType()),  # ok, no_caption, unsafe_path, missing_file
        T.StructField("error", T.StringType()),
    ]
)


class Locator(TypedDict):
    """A row of ``LOCATOR``."""

    path: str
    offset: int | None
    length: int | None
    member: str | None


# Lone surrogates and control characters; tab and line ends are text.
_BAD = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BATCH_ROWS = 512
_MAX_LINE = 550  # characters of an error


class SourceError(DualsetError, ValueError):
    """A source as a whole cannot be read; the one-line message names the file and what is wrong with it."""

    def __init__(self, message: str) -> None:
        """Keep one line of ASCII, not too long: it may have to be read back from a traceback, and may quote what a file holds."""
        line = " ".join(message.encode("ascii", "backslashreplace").decode().split())
        super().__init__(line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE - 200]} ... {line[-150:]}")


@dataclass(frozen=True)
class Origin:
    """What all records of one source share."""

    name: str  # the ``source`` column
    record: Literal["image", "pair"] = "image"  # all captions of an image in one record, or one record a caption
    max_caption_chars: int = 2000
    split: str | None = None  # for records whose source gives none
    license: str | None = None
    labels: frozenset[str] = frozenset()  # what the lexicon calls things; empty: unknown
    lexicon: str = ""  # the setting: what sources read phrases with
    notes: Notes | None = None

    def tell(self, file: str, what: str, count: int, example: str) -> None:
        """Have the driver say that ``count`` things of ``file`` are so (``jobs.sources.notes``); nothing where ``count`` is 0."""
        if self.notes is not None and count:
            self.notes.tell(file, what, count, clean(example))


def record_id(source: str, source_key: str, captions: Sequence[str]) -> str:
    """SHA-256 (64 hexadecimal digits) over ``[source, source_key, captions]`` as canonical ASCII JSON, surrogates escaped."""
    text = json.dumps([source, source_key, list(captions)], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def is_bad_text(text: str) -> bool:
    """Whether ``text`` holds lone surrogates or control characters other than tab and line ends."""
    return _BAD.search(text) is not None


def clean(text: str) -> str:
    """``text`` as valid UTF-8 without control characters: each bad one becomes U+FFFD."""
    return _BAD.sub("\ufffd", text)


def label_captions(captions: Captions, max_chars: int) -> list[dict[str, str]]:
    """Give each caption of one image its id (unique within the image) and its status.

    Statuses: ``empty`` (nothing visible), ``bad_text``, ``too_long`` (more than ``max_chars``), ``duplicate`` (an earlier caption
    again, but for white space), ``ok``. The first in this order that applies.
    """
    labelled: list[dict[str, str]] = []
    ids: set[str] = set()
    seen: set[str] = set()
    for index, (own_id, text) in enumerate(captions):
        caption = text or ""
        normal = _normal(caption)
        if not normal:
            status = "empty"
        elif is_bad_text(caption):
            status = "bad_text"
        elif not any(letter.isprintable() for letter in normal if letter != " "):
            status = "empty"  # zero-width characters only
        elif len(caption) > max_chars:
            status = "too_long"
        else:
            status = "duplicate" if normal in seen else "ok"
            seen.add(normal)
        caption_id = clean(own_id) if own_id else str(index)
        while caption_id in ids:  # if a source repeats an id, two rows would have one key
            caption_id += f"#{index}"
        ids.add(caption_id)
        labelled.append({"caption_id": caption_id, "caption": clean(caption), "status": status})
    return labelled


def file_locator(path: str | None) -> Locator | None:
    """The locator of an image that is a whole file; None if ``path`` is None."""
    return {"path": path, "offset": None, "length": None, "member": None} if path else None


def make_records(
    origin: Origin,
    key: str,
    captions: Captions,
    locator: Locator | None,
    *,
    split: str | None = None,
    license_name: str | None = None,
    annotations: list[Row] | None = None,
    status: str = "ok",
    error: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of ``RECORD`` for one image: one row, or with ``record="pair"`` one a distinct caption.

    A pair keeps repeats of its caption (as ``duplicate``), so that no caption is lost and no two records share an id.
    """
    labelled = label_captions(captions, origin.max_caption_chars)
    texts = [text or "" for _, text in captions]
    groups = [list(range(len(texts)))]
    if origin.record == "pair" and texts:
        by_text: dict[str, list[int]] = {}
        for index, text in enumerate(texts):
            by_text.setdefault(_normal(text), []).append(index)
        groups = list(by_text.values())
    for group in groups:
        members = [labelled[index] for index in group]
        state, reason = status, error
        if state == "ok" and not any(caption["status"] == "ok" for caption in members):
            state = "no_caption"
            statuses = sorted({caption["status"] for caption in members})
            reason = error or ("its captions are " + ", ".join(statuses) if statuses else "it has no caption")
        yield {
            "record_id": record_id(origin.name, key, [texts[index] for index in group]),
            "source": clean(origin.name),
            "source_key": clean(key),
            "split": _or_none(split or origin.split),
            "license": _or_none(license_name or origin.license),
            "locator": locator,
            "captions": members,
            "annotations": annotations,
            "status": state,
            "error": clean(reason)[:500] if reason else None,
        }


def distributed(
    spark: SparkSession,
    inputs: Sequence[str],
    read: Callable[[str], Iterable[Row]],
    schema: T.StructType = RECORD,
) -> DataFrame:
    """A DataFrame of ``schema`` with the rows that ``read`` yields for each of ``inputs``: one task each, batch by batch."""
    names = tuple(inputs)

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                yield from to_batches(read(names[index]), schema)

    return spark.range(0, len(names), 1, max(1, len(names))).mapInArrow(run, schema)


def to_batches(rows: Iterable[Row], schema: T.StructType = RECORD) -> Iterator[Any]:
    """``rows`` as Arrow record batches of at most 512 rows, lazily. Call it in a worker.

    Raises:
        SourceError: a row cannot be stored. Sources check what they read, so this is for what they did not foresee.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    arrow_schema = to_arrow_schema(schema)
    iterator = iter(rows)
    while batch := list(islice(iterator, _BATCH_ROWS)):
        try:
            stored = pa.RecordBatch.from_pylist(batch, schema=arrow_schema)
        except (UnicodeError, pa.ArrowException) as problem:
            raise SourceError(f"a record cannot be stored: {problem}") from None
        yield stored


def source_error(problem: BaseException) -> SourceError | None:
    """The ``SourceError`` that made a Spark query fail, from the exception that reached the driver; None if there was none."""
    link: BaseException | None = problem
    while link is not None:
        if isinstance(link, SourceError):
            return link
        text = str(link)
        if messages := re.findall(r"\bSourceError: (.+)", text):
            return SourceError(messages[-1])
        if messages := re.findall(r"\[(?:FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER)\S*\] (.+)", text):
            return SourceError(messages[0])
        link = link.__cause__ or link.__context__
    return None


def _normal(text: str) -> str:
    return " ".join(text.split())


def _or_none(text: str | None) -> str | None:
    return clean(text) if text else None
