"""Where tables are and how they are made.

With a catalog configured, a table is ``catalog.schema.name``; otherwise it is a Delta path ``<root>/tables/<name>``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import ArrayType, DataType, StructType

from jobs.engine.schemas import TABLES, Table
from jobs.engine.writers import BRIEFLY_S, writing
from jobs.settings import Settings
from udfs.errors import DualsetError
from udfs.files import file_system

PROPERTIES = {
    # A row is never changed: a retry appends, and views take the last attempt.
    "delta.appendOnly": "true",
    # Readers that list the files themselves would see deleted rows.
    "delta.enableDeletionVectors": "false",
    # A stage that lags behind, or starts anew, reads its source's log from the first commit.
    "delta.logRetentionDuration": "interval 36500 days",
    # Either of these would rewrite, and so shuffle, every image.
    "delta.autoOptimize.autoCompact": "false",
    "delta.autoOptimize.optimizeWrite": "false",
}


class TableError(DualsetError):
    """A table is missing or has another shape than this version of the project writes."""


@dataclass(frozen=True)
class Store:
    """The tables under one root (or in one catalog schema), and the checkpoints that belong to them."""

    spark: SparkSession
    root: str
    catalog: str = ""
    schema_name: str = ""

    @classmethod
    def of(cls, spark: SparkSession, root: str, settings: Settings) -> "Store":
        """The store at ``root``, in the catalog of the settings if they name one.

        Raises:
            TableError: only one of catalog and schema is set.
        """
        if bool(settings.catalog) != bool(settings.schema_name):
            raise TableError("set both catalog and schema_name, or neither")
        return cls(spark, root.rstrip("/"), settings.catalog, settings.schema_name)

    def name(self, table: str) -> str:
        """The name of a table in SQL."""
        if self.catalog:
            return f"`{self.catalog}`.`{self.schema_name}`.`{table}`"
        return f"delta.`{self.root}/tables/{table}`"

    def checkpoint(self, stage: str) -> str:
        """The folder of a stage's checkpoint."""
        return f"{self.root}/checkpoints/{stage}"

    def exists(self, table: str) -> bool:
        """Whether the table has been created."""
        if self.catalog:
            return self.spark.catalog.tableExists(self.name(table))

        return DeltaTable.isDeltaTable(self.spark, f"{self.root}/tables/{table}")

    def read(self, table: str) -> DataFrame:
        """All rows of a table, as of now."""
        return self.spark.read.table(self.name(table))

    def stream(self, table: str, files: int) -> DataFrame:
        """The rows of a table as a stream, commit by commit, with at most ``files`` files in a micro-batch.

        The stream starts at the first commit and not at a snapshot: Delta sorts the files of a snapshot by their times, which
        differ by chance for files of the same commit, so two runs over the same rows would cut them into different micro-batches.
        """
        reader = self.spark.readStream.format("delta").option("maxFilesPerTrigger", files).option("failOnDataLoss", "true")
        reader = reader.option("startingVersion", 0)
        # Only batch reads understand a path in SQL's form.
        return reader.table(self.name(table)) if self.catalog else reader.load(f"{self.root}/tables/{table}")

    def is_empty(self, table: str) -> bool:
        """Whether a table is missing or has no row."""
        return not self.exists(table) or self.read(table).select("status" if table != "runs" else "stage").isEmpty()

    def create(self, table: str) -> bool:
        """Create a table, or ``upgrade`` the existing one; returns whether it was created.

        Raises:
            TableError: the existing table has other columns (``CREATE TABLE IF NOT EXISTS`` alone would not tell), or its folder
                holds other files.
        """
        wanted = TABLES[table]
        if missing := not self.exists(table):
            with writing(self.root, ["tables"], patience_s=BRIEFLY_S):
                self._create(wanted)
        self.upgrade(table)
        return missing

    def upgrade(self, table: str) -> None:
        """Add the columns and fields that an older version did not write to an existing table; they are null in its rows.

        Raises:
            TableError: the table has other columns than any version writes.
        """
        wanted = TABLES[table]
        if self._lacks(wanted):
            with writing(self.root, ["tables"], patience_s=BRIEFLY_S):
                for name, kind in self._lacks(wanted):
                    self.spark.sql(f"ALTER TABLE {self.name(table)} ADD COLUMNS ({name} {kind})")

    def _create(self, wanted: Table) -> None:
        if self.catalog:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{self.catalog}`.`{self.schema_name}`")
        properties = PROPERTIES | {f"delta.constraints.{name}": rule for name, rule in wanted.checks}
        pairs = ", ".join(f"'{key}' = '{_quoted(value)}'" for key, value in properties.items())
        creation = (
            f"CREATE TABLE IF NOT EXISTS {self.name(wanted.name)} ({wanted.columns}) USING DELTA"
            f" COMMENT '{_quoted(wanted.comment)}' TBLPROPERTIES ({pairs})"
        )
        self.spark.sql(creation)
        if not self.exists(wanted.name):
            # IF NOT EXISTS takes any folder for a table. Nobody else creates one now: its creator was killed before the commit.
            delete(f"{self.root}/tables/{wanted.name}/_delta_log")
            self.spark.sql(creation)
        if not self.exists(wanted.name):
            raise TableError(f"{self.root}/tables/{wanted.name} has files but is no Delta table: move the files away")

    def drop(self, table: str) -> None:
        """Remove a table and its files."""
        if self.catalog:
            self.spark.sql(f"DROP TABLE IF EXISTS {self.name(table)}")
        else:
            # The log first: a table that still has its log would be read, and lack files.
            delete(f"{self.root}/tables/{table}/_delta_log")
            delete(f"{self.root}/tables/{table}")

    def append(self, rows: DataFrame, table: str, application: str = "", version: int = -1, file_records: int = 0) -> None:
        """Append rows. With an application id and a version, Delta ignores a second write of the same version."""
        columns = [field.name for field in schema(self.spark, table).fields]
        writer = rows.select(*columns).write.format("delta").mode("append").option("maxRecordsPerFile", file_records)
        if application:
            writer = writer.option("txnAppId", application).option("txnVersion", version)
        self._save(writer, table)

    def local_rows(self, rows: Sequence[dict[str, Any]], table: str) -> DataFrame:
        """A few rows of a table, in one partition; null where a row has no value.

        As Arrow: rows of Python would be pickled by a Python worker that is started for them, which takes a quarter of a second.
        """
        wanted = to_arrow_schema(schema(self.spark, table))
        return self.spark.createDataFrame(pa.Table.from_pylist(list(rows), wanted)).coalesce(1)

    def _save(self, writer: DataFrameWriter, table: str) -> None:
        if self.catalog:
            writer.saveAsTable(self.name(table))
        else:
            writer.save(f"{self.root}/tables/{table}")

    def _lacks(self, wanted: Table) -> list[tuple[str, str]]:
        """What a table lacks: names, as ``ALTER TABLE`` takes them, and types."""
        actual, expected = self.read(wanted.name).schema, schema(self.spark, wanted.name)
        lacks = lacking(actual, expected)
        if lacks is None:
            columns = [{(field.name, shape(field.dataType)) for field in fields} for fields in (actual, expected)]
            different = sorted(columns[0] ^ columns[1])
            raise TableError(f"table {self.name(wanted.name)} has other columns than expected: {different[:4]}")
        return lacks


def schema(spark: SparkSession, table: str) -> StructType:  # noqa: ARG001 - parsing DDL needs a session to exist
    """The schema of a table."""

    return cast(StructType, StructType.fromDDL(TABLES[table].columns))


def shape(data_type: DataType) -> str:
    """A type without nullability and comments, which Delta does not keep for nested fields."""
    return data_type.simpleString()


def lacking(actual: DataType, expected: DataType) -> list[tuple[str, str]] | None:
    """The nullable columns and fields of ``expected`` that ``actual`` lacks, with their types; None if more than that differs."""
    if isinstance(actual, ArrayType) and isinstance(expected, ArrayType):
        nested = lacking(actual.elementType, expected.elementType)
        return None if nested is None else [(f"element.{name}", kind) for name, kind in nested]
    if not (isinstance(actual, StructType) and isinstance(expected, StructType)):
        return [] if shape(actual) == shape(expected) else None
    has = {field.name: field.dataType for field in actual.fields}
    lacks: list[tuple[str, str]] = []
    for field in expected.fields:
        name = f"`{field.name}`"
        if field.name not in has:
            if not field.nullable:
                return None
            lacks.append((name, shape(field.dataType)))
            continue
        nested = lacking(has.pop(field.name), field.dataType)
        if nested is None:
            return None
        lacks += [(f"{name}.{inner}", kind) for inner, kind in nested]
    return None if has else lacks


def later_columns(rows: DataFrame, table: str) -> dict[str, str]:
    """The columns, with their types, that rows of a table lack because an older version wrote it and no stage has since."""
    fields = schema(rows.sparkSession, table).fields
    return {field.name: shape(field.dataType) for field in fields if field.name not in rows.columns}


def literal(path: str) -> str:
    """A path for ``spark.read``, which takes some characters for a pattern."""
    return "".join(f"\\{letter}" if letter in "*?[]{},\\" else letter for letter in path)


def delete(path: str) -> None:
    """Remove a folder on any file system, if it exists."""
    files, name = file_system(path)
    if "s3" in files.protocol:
        _delete_from_s3(files, name)
    elif files.exists(name):
        files.rm(name, recursive=True)


def _delete_from_s3(files: Any, name: str) -> None:
    """Remove all objects below a folder, also those that s3fs cannot name: the empty ``folder/`` with which Hadoop marks one.

    While one is there, Spark takes a dropped table for an existing one.

    Raises:
        TableError: an object may not be deleted.
    """
    bucket, key, _ = files.split_path(name)
    while found := files.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{key}/").get("Contents"):
        objects = [{"Key": entry["Key"]} for entry in found]
        left = files.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True}).get("Errors")
        if left:
            raise TableError(f"{left[0]['Key']} cannot be deleted from {bucket}: {left[0]['Message']}")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
