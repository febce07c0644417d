"""What a source left out, and why. Workers note it, the driver prints it.

A task that is tried again notes the same file twice; it counts once.
"""

from typing import NamedTuple

from pyspark.accumulators import AccumulatorParam
from pyspark.sql import SparkSession


class _Note(NamedTuple):
    number: int
    example: str


_Told = dict[tuple[str, str], _Note]  # by what is said, and the file


class _Union(AccumulatorParam[_Told]):
    def zero(self, value: _Told) -> _Told:
        return {}

    def addInPlace(self, value1: _Told, value2: _Told) -> _Told:  # noqa: N802  Spark's name
        return value1 | value2


class Notes:
    """The notes of one reading of a source. It travels to workers and back as a Spark accumulator."""

    def __init__(self, spark: SparkSession) -> None:
        self._told = spark.sparkContext.accumulator({}, _Union())

    def tell(self, file: str, what: str, count: int, example: str) -> None:
        """Note that this holds for ``count`` items of a file, with an example. A later note on the file replaces it."""
        self._told.add({(what, file): _Note(count, example)})

    def lines(self) -> list[str]:
        """A line for each thing said, summed over files; on the driver, after the source was read."""
        sums: dict[str, _Note] = {}
        for (what, _), note in sorted(self._told.value.items()):
            sums[what] = _Note(note.number + (sums[what].number if what in sums else 0), sums.get(what, note).example)
        return [f"{note.number} {what}, such as {note.example}" for what, note in sums.items()]
