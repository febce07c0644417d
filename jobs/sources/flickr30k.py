"""Flickr30k: its token file (lines ``name.jpg#0<TAB>caption``), or Karpathy's dataset JSON, also that of COCO."""

from collections.abc import Iterator

from pyspark.sql import DataFrame, SparkSession

from jobs.sources.gather import Line, gather_files
from jobs.sources.paths import field, load_json, locate, open_text, require, unsafe
from jobs.sources.record import Origin, Row, SourceError, distributed, file_locator, make_records

OPTIONS = {
    "images": "folder of the images (required)",
    "captions": "results_20130124.token, or Karpathy's dataset_*.json (required)",
}
REQUIRED = ("images", "captions")
PATHS = ("images", "captions")


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of a token file or, if its name ends in .json, of Karpathy's; ``source_key`` is the image's file name."""
    images = require(options["images"], "the images folder")
    captions = require(options["captions"], "the captions file")
    if captions.endswith(".json"):
        return distributed(spark, [captions], lambda file: parse_karpathy(file, images, origin))
    return gather_files(spark, [captions], parse_tokens, images, origin)


def parse_tokens(file: str) -> Iterator[tuple[int, Line]]:
    """Yield ``(line number, Line)``; the number after ``#`` is the caption's id.

    Raises:
        SourceError: a line is not ``name#number<TAB>caption``.
    """
    with open_text(file) as lines:
        for number, text in enumerate(lines, start=1):
            text = text.rstrip("\r\n")
            if not text:
                continue
            token, tab, caption = text.partition("\t")
            name, _, index = token.rpartition("#")
            if not tab or not name or not index.isdecimal():
                raise SourceError(f"{file}: line {number} is not 'name.jpg#0<TAB>caption': {text[:80]!r}")
            yield number, Line(name, name, [(index, caption)])


def parse_karpathy(file: str, images: str, origin: Origin) -> Iterator[Row]:
    """Yield rows of ``RECORD``; ``filepath``, if the file has it, is part of the key. The file must fit the worker's memory.

    Raises:
        SourceError: a key is missing or of the wrong type.
    """
    for index, image in enumerate(field(load_json(file), "images", list, file)):
        where = f"{file}: images[{index}]"
        name = field(image, "filename", str, where)
        if image.get("filepath"):
            name = f"{field(image, 'filepath', str, where)}/{name}"
        captions = []
        for number, sentence in enumerate(field(image, "sentences", list, where)):
            raw = field(sentence, "raw", str, f"{where}.sentences[{number}]")
            sentence_id = sentence.get("sentid")
            captions.append((None if sentence_id is None else str(sentence_id), raw))
        path = locate(images, name)
        yield from make_records(
            origin,
            name,
            captions,
            file_locator(path),
            split=field(image, "split", str, where) if "split" in image else None,
            status="ok" if path else "unsafe_path",
            error=None if path else unsafe(name),
        )
