"""WebDataset tars: ``key.jpg`` with ``key.txt`` or ``key.json`` beside it, wherever they lie in the same tar.

A worker reads a tar's headers and its small caption members; the image's bytes are read later, by seeking to
their offset. The index of one tar (about 1 kB a sample) must fit the worker's memory.
"""

import json
import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from pyspark.sql import DataFrame, SparkSession

from jobs.sources.paths import below, expand, open_binary
from jobs.sources.record import Origin, Row, SourceError, distributed, make_records

OPTIONS = {
    "files": "a .tar, a folder of them, a pattern, or shard-{000..012}.tar (required)",
    "caption_field": "field of a .json member with the caption or a list (caption, then captions)",
}
REQUIRED = ("files",)
PATHS = ("files",)
IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
_TEXTS = ("txt", "caption")
_MAX_CAPTION_BYTES = 4_000_000


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of tars; ``source_key`` is the tar's file name (below the fixed folder of ``files``) and the
    member's name, as shards may repeat member names, and folders the names of shards.
    """
    files = expand(options["files"], ".tar")
    for file in files:
        if file.endswith((".gz", ".tgz", ".bz2", ".xz", ".zst")):
            raise SourceError(f"{file} is compressed, and members could not be read by seeking: unpack it to .tar first")
    fields = (options["caption_field"],) if "caption_field" in options else ("caption", "captions")
    pattern = options["files"]
    return distributed(spark, files, lambda file: parse(file, below(pattern, file), fields, origin))


def parse(file: str, shard: str, fields: tuple[str, ...], origin: Origin) -> Iterator[Row]:
    """Yield rows of ``RECORD``; ``shard`` is the tar's name in their keys. A caption without an image is a
    record with status ``missing_file``.

    Raises:
        SourceError: compressed, no tar, cut short, or a broken header.
    """
    with open_binary(file) as stream:
        samples = _index(file, stream)
        for key, members in samples.items():
            captions, about, error = _captions(stream, members, fields)
            found = [extension for extension in members if extension in IMAGES]
            if not found and not any(extension in members for extension in (*_TEXTS, "json")):
                continue  # not a sample: an index, a class label
            for extension in found or [next(iter(members))]:
                name, offset, length = members[extension]
                locator = {"path": file, "offset": offset, "length": length, "member": name}
                yield from make_records(
                    origin,
                    f"{shard}/{name}",
                    captions,
                    _storable(locator) if found else None,
                    split=_string(about.get("split")),
                    license_name=_string(about.get("license")),
                    status="ok" if found else "missing_file",
                    error=error if found else f"no image has the key {key!r}",
                )


def _index(file: str, stream: IO[bytes]) -> dict[str, dict[str, tuple[str, int, int]]]:
    """``{key: {extension: (member name, offset of its data, bytes)}}`` of the regular members, in the tar's
    order.
    """
    magic = stream.read(6)
    if magic.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise SourceError(f"{file} is compressed, and members could not be read by seeking: unpack it to .tar first")
    stream.seek(0)
    samples: dict[str, dict[str, tuple[str, int, int]]] = {}
    try:
        # "r:" reads headers only and never decompresses.
        with tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as tar:
            while (member := tar.next()) is not None:
                cast(Any, tar).members.clear()  # tarfile keeps every header otherwise
                if member.isreg() and not member.issparse():
                    folder, slash, base = member.name.rpartition("/")
                    stem, _, extension = base.partition(".")
                    place = (member.name, member.offset_data, member.size)
                    samples.setdefault(folder + slash + stem, {})[extension.lower()] = place
            end = tar.offset
    except (tarfile.TarError, OSError, EOFError) as problem:
        raise SourceError(f"{file} is no tar, or is cut short: {problem}") from None
    # tarfile takes a broken header for the end of the archive, and what follows would be lost in silence.
    stream.seek(end)
    if stream.read(512).strip(b"\0"):
        raise SourceError(f"{file}: the header at byte {end} is broken")
    return samples


def _captions(
    stream: IO[bytes], members: dict[str, tuple[str, int, int]], fields: tuple[str, ...]
) -> tuple[list[tuple[str | None, str | None]], dict[str, Any], str | None]:
    """The captions, the JSON member (empty if none), and what is wrong with them. Text wins over JSON,
    which then only describes.
    """
    about: dict[str, Any] = {}
    error = None
    if "json" in members:
        text = _text(stream, members["json"])
        try:
            tree = json.loads(text) if text is not None else None
        except (ValueError, RecursionError):
            tree = None
        about = tree if isinstance(tree, dict) else {}
        error = None if isinstance(tree, dict) else "its .json is not a JSON object of at most 4 MB"
    for extension in _TEXTS:
        if extension in members:
            text = _text(stream, members[extension])
            too_large = None if text is not None else "its .txt is larger than 4 MB"
            return ([] if text is None else [(None, text)]), about, too_large
    for name in fields:
        value = about.get(name)
        if isinstance(value, list):
            return [(None, text if isinstance(text, str) else None) for text in value], about, error
        if isinstance(value, str):
            return [(None, value)], about, error
    return [], about, error


def _text(stream: IO[bytes], place: tuple[str, int, int]) -> str | None:
    _, offset, length = place
    if length > _MAX_CAPTION_BYTES:
        return None
    stream.seek(offset)
    return stream.read(length).decode("utf-8-sig", "surrogateescape")


def _storable(locator: Row) -> Row:
    return locator | {"member": locator["member"].encode("utf-8", "replace").decode()}


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None
