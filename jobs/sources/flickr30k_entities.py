"""Flickr30k Entities (Plummer et al. 2015): captions whose noun phrases have boxes, as JSON lines or in the original two folders.

- JSON lines, a picture a line: ``{"file", "split", "entities": {ID: {"type", "boxes": [[left, top, right, bottom]]}},
  "sentences": [{"text", "phrases": [{"start", "end", "id"}]}]}``. Boxes are in pixels of the picture, right and bottom just
  outside; ``start`` and ``end`` count characters of the text, ``end`` just outside.
- The original: ``Sentences/NAME.txt`` with a caption a line (``[/EN#1/people A man] waits .``) and ``Annotations/NAME.xml``,
  whose ``bndbox`` counts pixels from 1, with right and bottom inside.

Boxes cover what the captions name, and nothing else in the picture. What becomes of them: ``jobs.sources.phrase_boxes``.
"""

import re
from collections.abc import Iterator
from typing import IO, Any
from xml.etree import ElementTree

from pyspark.sql import DataFrame, SparkSession

from jobs.sources.paths import expand, field, open_text, require
from jobs.sources.phrase_boxes import MAX_PHRASE, Box, Chain, Picture, check_box, check_limits, records_of
from jobs.sources.record import Origin, Row, SourceError, distributed
from udfs.text_files import TextFileError, json_lines

OPTIONS = {
    "images": "folder of the images (required); the file names in the JSON lines are below it",
    "entities": "JSON lines, a picture a line; or give sentences and boxes",
    "sentences": "the original's folder Sentences, of .txt files",
    "boxes": "the original's folder Annotations, of .xml files",
}
REQUIRED = ("images",)
PATHS = ("images", "entities", "sentences", "boxes")
_MAX_CHARS = 4_000_000  # of a line, or of an XML file
_FILES_A_TASK = 200  # a task for each of 32,000 small files would take longer than reading them
_PHRASE = re.compile(r"\[/EN#([^/\s\[\]]+)((?:/[^/\s\[\]]+)*) ([^\[\]]*)\]")


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of either format; ``source_key`` is the image's file name, ``caption_id`` the caption's place, from 0.

    Raises:
        SourceError: a folder or file does not exist, or not exactly one of the formats is given.
    """
    images = require(options["images"], "the images folder")
    originals = options.keys() & {"sentences", "boxes"}
    if ("entities" in options) == bool(originals) or len(originals) == 1:
        raise SourceError("source flickr30k_entities needs either entities, or both sentences and boxes")
    if not originals:
        entities = require(options["entities"], "the entities file")
        return distributed(spark, [entities], lambda file: parse(file, images, origin))
    sentences, boxes = (require(options[name], f"the folder of the {name},") for name in ("sentences", "boxes"))
    stems = [_stem(file) for file in expand(sentences, ".txt")]
    with_boxes = {_stem(file) for file in expand(boxes, ".xml")}
    alone = sorted(with_boxes - set(stems))
    what = "files of boxes have no file of sentences, and were not read"
    origin.tell(boxes, what, len(alone), f"{alone[0]}.xml" if alone else "")
    parts = [stems[start : start + _FILES_A_TASK] for start in range(0, len(stems), _FILES_A_TASK)]

    def parse_part(number: str) -> Iterator[Row]:
        names = [(stem, stem in with_boxes) for stem in parts[int(number)]]
        return parse_originals(names, sentences, boxes, images, origin)

    return distributed(spark, [str(number) for number in range(len(parts))], parse_part)


def parse(file: str, images: str, origin: Origin) -> Iterator[Row]:
    """Yield rows of ``RECORD`` of JSON lines, a line at a time.

    Raises:
        SourceError: a line is too long, is no JSON, or has a field that is missing or of the wrong kind.
    """
    try:
        with open_text(file) as lines:
            pictures = (_picture(tree, f"{file}: line {number}") for number, tree in json_lines(_limited(lines, file), file))
            yield from records_of(pictures, file, images, origin)
    except TextFileError as problem:
        raise SourceError(str(problem)) from None


def parse_originals(stems: list[tuple[str, bool]], sentences: str, boxes: str, images: str, origin: Origin) -> Iterator[Row]:
    """Yield rows of ``RECORD`` of the two folders: for each (file name without its extension, whether it has boxes).

    Raises:
        SourceError: a file is too long, a bracket of a caption is damaged, or a file of boxes is.
    """
    without = [stem for stem, has_boxes in stems if not has_boxes]
    place = f"{sentences}/{stems[0][0]}.txt"  # one note for these files
    what = "files of sentences have no file of boxes; their records have no annotations"
    origin.tell(place, what, len(without), f"{without[0]}.txt" if without else "")
    yield from records_of((_original(*names, sentences, boxes) for names in stems), place, images, origin)


def _picture(tree: Any, where: str) -> Picture:
    name = field(tree, "file", str, where)
    chains: dict[str, Chain] = {}
    for own_id, entity in field(tree, "entities", dict, where).items():
        place = f"{where}: entity {ascii(own_id)[:40]}"
        boxes = [_box(box, place) for box in field(entity, "boxes", list, place)]
        kind = entity.get("type")
        chains[own_id] = Chain(kind if isinstance(kind, str) else "", boxes)
    captions = []
    for number, sentence in enumerate(field(tree, "sentences", list, where)):
        place = f"{where}: sentences[{number}]"
        text = field(sentence, "text", str, place)
        captions.append(text)
        for phrase in field(sentence, "phrases", list, place):
            own_id = str(field(phrase, "id", (str, int), place))
            start, end = (field(phrase, side, int, place) for side in ("start", "end"))
            if not 0 <= start < end <= len(text):
                raise SourceError(f"{place}: a phrase from {start} to {end} is not inside its {len(text)} characters")
            # Cut, as thousands of phrases may overlap; it stays too long for the check below.
            phrase_text = text[start : min(end, start + MAX_PHRASE + 1)]
            chains.setdefault(own_id, Chain("", [])).add(phrase_text, (number, start, end))
    check_limits(chains, where)
    split = tree.get("split")
    return Picture(name, captions, chains, split if isinstance(split, str) else None)


def _box(box: Any, where: str) -> Box:
    if not isinstance(box, list) or any(isinstance(side, bool) or not isinstance(side, (int, float)) for side in box):
        raise SourceError(f"{where}: a box must be four numbers: left, top, right, bottom")
    return check_box(box, where)


def _original(stem: str, has_boxes: bool, sentences: str, boxes: str) -> Picture:
    file, name = f"{sentences}/{stem}.txt", f"{stem}.jpg"
    chains: dict[str, Chain] | None = None
    if has_boxes:
        name, chains = _boxes(f"{boxes}/{stem}.xml", name)
    captions = []
    with open_text(file) as lines:
        for number, line in enumerate(_limited(lines, file), start=1):
            if not line.strip():
                continue
            text, phrases = _caption(line.rstrip("\r\n"), f"{file}: line {number}")
            captions.append(text)
            if chains is not None:
                for own_id, kind, start, end in phrases:
                    chain = chains.setdefault(own_id, Chain(kind, []))
                    chain.kind = chain.kind or kind  # files of boxes name no kinds
                    chain.add(text[start:end], (len(captions) - 1, start, end))
    if chains is not None:
        check_limits(chains, file)
    return Picture(name, captions, chains)


def _caption(line: str, where: str) -> tuple[str, list[tuple[str, str, int, int]]]:
    """A caption without its brackets, and of each the id, the kind, and where its phrase starts and ends."""
    text, rest, phrases = "", 0, []
    for match in _PHRASE.finditer(line):
        text += line[rest : match.start()]
        own_id, kinds, phrase = match.groups()
        phrases.append((own_id, kinds.strip("/").partition("/")[0], len(text), len(text) + len(phrase)))
        text, rest = text + phrase, match.end()
    text += line[rest:]
    if "[/EN" in text:
        raise SourceError(f"{where} has a bracket that is no '[/EN#1/people A man]': {line[:80]!r}")
    return text, phrases


def _boxes(file: str, name: str) -> tuple[str, dict[str, Chain]]:
    """The image's name (``name``, if the file has none) and the chains of a file of boxes, without kinds and phrases."""
    with open_text(file) as stream:
        text = stream.read(_MAX_CHARS + 1)
    if len(text) > _MAX_CHARS:
        raise SourceError(f"{file} is longer than {_MAX_CHARS:,} characters")
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text, flags=re.IGNORECASE):
        raise SourceError(f"{file} declares a document type or entities, as files of boxes never do")
    try:
        tree = ElementTree.fromstring(text)  # noqa: S314  what makes a parser take all memory was refused above
    except (ElementTree.ParseError, ValueError) as problem:  # ValueError: bytes that are not UTF-8
        raise SourceError(f"{file} is not XML: {problem}") from None
    chains: dict[str, Chain] = {}
    for number, thing in enumerate(tree.iter("object")):
        where = f"{file}: object {number}"
        ids = [(element.text or "").strip() for element in thing.findall("name")]
        if not ids or not all(ids):
            raise SourceError(f"{where} has no 'name'")
        bounds = thing.findall("bndbox")
        found = [_from_one([bound.findtext(side) for side in ("xmin", "ymin", "xmax", "ymax")], where) for bound in bounds]
        for own_id in ids:
            chains.setdefault(own_id, Chain("", [])).boxes.extend(found)
    return (tree.findtext("filename") or "").strip() or name, chains


def _from_one(texts: list[str | None], where: str) -> Box:
    """A box whose pixels are counted from 1, right and bottom inside; some begin at 0, outside the picture."""
    try:
        left, top, right, bottom = (float(text or "") for text in texts)
    except ValueError:
        raise SourceError(f"{where}: 'bndbox' must have four numbers: xmin, ymin, xmax, ymax") from None
    return check_box([max(0.0, left - 1), max(0.0, top - 1), right, bottom], where)


def _limited(lines: IO[str], file: str) -> Iterator[str]:
    """The lines of a text file; one that is far too long is refused before all of it is in memory."""
    number = 0
    while text := lines.readline(_MAX_CHARS + 1):
        number += 1
        if len(text) > _MAX_CHARS:
            raise SourceError(f"{file}: line {number} is longer than {_MAX_CHARS:,} characters")
        yield text


def _stem(file: str) -> str:
    return file.rpartition("/")[2].rpartition(".")[0]
