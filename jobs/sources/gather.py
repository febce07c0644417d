"""One caption per line, several lines per image: workers parse lines, Spark groups the lines of an image.

Only text is exchanged. It travels as ASCII JSON, because a lone surrogate cannot be a Spark string and must still count in the
id.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T  # noqa: N812  Spark's own convention

from jobs.sources.paths import locate, unsafe
from jobs.sources.record import RECORD, Captions, Origin, Row, distributed, file_locator, make_records, to_batches

LINE = T.StructType(
    [
        T.StructField("key", T.StringType()),  # JSON of the key
        T.StructField("file", T.StringType()),
        T.StructField("number", T.LongType()),  # line or row in the file: the order of captions
        T.StructField("line", T.StringType()),  # JSON of a Line
    ]
)


@dataclass(frozen=True)
class Line:
    """A line about an image."""

    key: str  # the source's name for the image
    name: str  # its file name, in the images folder
    captions: Captions
    split: str | None = None
    license: str | None = None

    def row(self, file: str, number: int) -> Row:
        """This line as a row of ``LINE``."""
        return {"key": json.dumps(self.key), "file": file, "number": number, "line": json.dumps(asdict(self))}


def gather_files(
    spark: SparkSession,
    files: list[str],
    parse: Callable[[str], Iterable[tuple[int, Line]]],
    images: str,
    origin: Origin,
) -> DataFrame:
    """Records of the ``(number, Line)`` that ``parse`` yields for each of ``files``."""
    rows = distributed(spark, files, lambda file: (line.row(file, number) for number, line in parse(file)), LINE)
    return gather(rows, images, origin)


def gather(lines: DataFrame, images: str, origin: Origin) -> DataFrame:
    """Records of a DataFrame of ``LINE``: the lines of one key are one image, in the order of file and number."""
    ordered = F.sort_array(F.collect_list(F.struct("file", "number", "line")))
    texts = F.transform(ordered, lambda entry: entry["line"])

    def finish(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            groups = batch.column(0).to_pylist()
            yield from to_batches((row for group in groups for row in line_records(group, images, origin)), RECORD)

    return lines.groupBy("key").agg(texts.alias("lines")).select(F.col("lines")).mapInArrow(finish, RECORD)


def line_records(texts: list[str], images: str, origin: Origin) -> Iterator[Row]:
    """The rows of ``RECORD`` of one image, from the ``line`` of each of its rows of ``LINE``, in order."""
    lines = [json.loads(text) for text in texts]
    first = lines[0]
    path = locate(images, first["name"])
    return make_records(
        origin,
        first["key"],
        [(own_id, caption) for line in lines for own_id, caption in line["captions"]],
        file_locator(path),
        split=next((line["split"] for line in lines if line["split"]), None),
        license_name=next((line["license"] for line in lines if line["license"]), None),
        status="ok" if path else "unsafe_path",
        error=None if path else unsafe(first["name"]),
    )
