"""Synthetic scenes: drawn objects with captions, of which everything is known.

Workers draw the scenes, block by block, into files in COCO's format with a ground-truth file (``jobs.scenes.write``), and read
them as the coco source does. A larger count adds scenes and leaves the existing ones as they are.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, SparkSession

from jobs.sources import coco
from jobs.sources.paths import absolute
from jobs.sources.record import Origin, Row, SourceError, distributed

if TYPE_CHECKING:
    from jobs.scenes.write import Series  # it draws with OpenCV, which the command line does not load

OPTIONS = {
    "count": "number of scenes (required)",
    "seed": "another seed gives other scenes (0)",
    "size": "side of the images in pixels, 64 to 256 (96)",
    "domain": "built-in domain or its definition file (objects)",
    "output": "folder of the files; scenes of other options go to another one (scenes/NAME in the root)",
}
REQUIRED = ("count",)
PATHS = ("output",)


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of scenes; ``source_key`` is the image's file name. The split is that of ``origin``, else train.

    Raises:
        SourceError: an option has a bad value, or the folder holds other scenes.
    """
    from jobs.scenes import domain as domains
    from jobs.scenes.write import SeriesError, blocks, claim, write_block

    series = _series(options, origin.split)
    if "output" not in options:
        raise SourceError("scenes need output, the folder to write them to")
    folder = options["output"]
    try:
        claim(series, folder)
    except SeriesError as problem:
        raise SourceError(str(problem)) from None
    by_file = {block.file_name("captions"): block for block in blocks(series, _number(options, "count", 0, 1, 100_000_000))}
    own = replace(origin, split=series.split, labels=frozenset(domains.load(series.domain).kinds))

    def make(name: str) -> Iterator[Row]:
        write_block(by_file[name], folder)
        instances = f"{folder}/parts/{by_file[name].file_name('instances')}"
        yield from coco.parse(f"{folder}/parts/{name}", f"{folder}/images", instances, own)

    return distributed(spark, list(by_file), make)


def identity(options: dict[str, str]) -> dict[str, str]:
    """What the source's name is made of: not the count, as more scenes of a series belong to the same source."""
    return {"series": _series(options, options.get("split")).name}


def complete(options: dict[str, str | None], root: str) -> dict[str, str | None]:
    """Options with the default of ``output``, a folder in the root."""
    if options.get("output"):
        return options
    non_empty = {name: value for name, value in options.items() if value}
    return options | {"output": f"{root}/scenes/{_series(non_empty, options.get('split')).name}"}


def _series(options: dict[str, str], split: str | None) -> "Series":
    from jobs.scenes import domain as domains
    from jobs.scenes.write import Series

    if split not in (None, "", "train", "test"):
        raise SourceError(f"the split of scenes is train or test, not {split!r}")
    domain = options.get("domain", "objects")
    if not (domains.DOMAINS / f"{domain}.yaml").is_file():
        domain = absolute(domain)  # workers have another working folder
    try:
        domains.load(domain)
    except domains.DomainError as problem:
        raise SourceError(str(problem)) from None
    return Series(
        domain,
        "test" if split == "test" else "train",
        _number(options, "seed", 0, 0, 2**31),
        _number(options, "size", 96, 64, 256),
    )


def _number(options: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    text = options.get(name, str(default))
    if not text.isdecimal() or len(text) > 20 or not least <= int(text) <= most:
        raise SourceError(f"{name} must be a number from {least} to {most}, not {text[:40]!r}")
    return int(text)
