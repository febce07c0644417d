"""WebDataset tars: ``key.jpg`` with ``key.txt`` or ``key.json``, anywhere in the same tar.

A worker reads a tar's headers and its small caption members. The image's bytes are read later, by seeking to their offset. The
index of a tar (about 1 kB a sample) must fit the worker's memory.
"""

import json
from collections.abc import Iterator
from typing import IO, Any

from pyspark.sql import DataFrame, SparkSession

from jobs.sources.paths import below, expand, open_binary
from jobs.sources.record import Locator, Origin, Row, SourceError, distributed, make_records
from jobs.sources.tar import IMAGES, TEXTS, Extensions, Member, Sample, index

OPTIONS = {
    "files": "a .tar, a folder of them, a pattern, or shard-{000..012}.tar (required)",
    "caption_field": "field of a .json member with the caption or a list (caption, then captions)",
    "image_extension": f"extension of the images, such as input.jpg; several with commas ({', '.join(IMAGES)})",
    "caption_extension": f"extension of the captions, such as output.txt; several with commas ({', '.join(TEXTS)}, json)",
}
REQUIRED = ("files",)
PATHS = ("files",)
_MAX_CAPTION_BYTES = 4_000_000


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of tars; ``source_key`` is the tar's path below the fixed folder of ``files`` and the member's name.

    Two shards may have members of one name, and two folders shards of one name.
    """
    files = expand(options["files"], ".tar")
    for file in files:
        if file.endswith((".gz", ".tgz", ".bz2", ".xz", ".zst")):
            raise SourceError(f"{file} is compressed, and members could not be read by seeking: unpack it to .tar first")
    fields = (options["caption_field"],) if "caption_field" in options else ("caption", "captions")
    pattern = options["files"]
    extensions = Extensions.of(options.get("image_extension"), options.get("caption_extension"))
    return distributed(spark, files, lambda file: parse(file, below(pattern, file), fields, origin, extensions))


def parse(file: str, shard: str, fields: tuple[str, ...], origin: Origin, extensions: Extensions | None = None) -> Iterator[Row]:
    """Yield rows of ``RECORD``; ``shard`` is the tar's name in their keys.

    A caption without an image is a record with status ``missing_file``. Members that belong to no record are counted and told.

    Raises:
        SourceError: the file is compressed, no tar, truncated, or has a broken header; a sample has two captions of one
            extension; or parts of samples are named so that only the options can say what belongs together.
    """
    with open_binary(file) as stream:
        tar = index(file, stream, extensions or Extensions())
        for what, names in tar.left_out.items():
            origin.tell(file, what, names.count, f"{shard}/{names.first}")
        for key, sample in tar.samples.items():
            captions, about, error = _captions(stream, sample, fields)
            for member in sample.images or list(sample.captions.values())[:1]:
                yield from make_records(
                    origin,
                    f"{shard}/{member.name}",
                    captions,
                    _locator(file, member) if sample.images else None,
                    split=_string(about.get("split")),
                    license_name=_string(about.get("license")),
                    status="ok" if sample.images else "missing_file",
                    error=error if sample.images else f"no image has the key {key!r}",
                )


def _captions(
    stream: IO[bytes], sample: Sample, fields: tuple[str, ...]
) -> tuple[list[tuple[str | None, str | None]], dict[str, Any], str | None]:
    """The captions, the JSON member (empty if none), and what is wrong with them.

    A text member wins over JSON, which then only gives split and licence.
    """
    about: dict[str, Any] = {}
    error = None
    if json_member := sample.json:
        text = _text(stream, json_member)
        try:
            tree = json.loads(text) if text is not None else None
        except (ValueError, RecursionError):
            tree = None
        about = tree if isinstance(tree, dict) else {}
        error = None if isinstance(tree, dict) else "its .json is not a JSON object of at most 4 MB"
    if member := sample.text:
        text = _text(stream, member)
        return ([] if text is None else [(None, text)]), about, None if text is not None else "its .txt is larger than 4 MB"
    for name in fields:
        value = about.get(name)
        if isinstance(value, list):
            return [(None, text if isinstance(text, str) else None) for text in value], about, error
        if isinstance(value, str):
            return [(None, value)], about, error
    return [], about, error


def _text(stream: IO[bytes], member: Member) -> str | None:
    if member.length > _MAX_CAPTION_BYTES:
        return None
    stream.seek(member.offset)
    return stream.read(member.length).decode("utf-8-sig", "surrogateescape")


def _locator(file: str, member: Member) -> Locator:
    name = member.name.encode("utf-8", "replace").decode()  # a Spark string must be UTF-8
    return {"path": file, "offset": member.offset, "length": member.length, "member": name}


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None
