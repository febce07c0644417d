"""Where tables live and how they are made: one rule, one place.

With a catalog configured a table is ``catalog.schema.name``; otherwise it is a Delta path ``<root>/tables/<name>``.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from jobs.schemas import TABLES, Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
    from pyspark.sql.types import DataType, StructType

    from jobs.settings import Settings

PROPERTIES = {
    # A row is never changed: a retry appends, a view takes the last attempt.
    "delta.appendOnly": "true",
    # Other readers list files themselves and would see deleted rows.
    "delta.enableDeletionVectors": "false",
    # A stage that lags behind, or starts anew, reads its source's log from the first commit.
    "delta.logRetentionDuration": "interval 36500 days",
    # Any of these would rewrite, and so shuffle, every image.
    "delta.autoOptimize.autoCompact": "false",
    "delta.autoOptimize.optimizeWrite": "false",
}


class TableError(RuntimeError):
    """A table is missing or has another shape than this version of the project writes."""


@dataclass(frozen=True)
class Store:
    """The tables under one root (or in one catalog schema), and the checkpoints that belong to them."""

    spark: "SparkSession"
    root: str
    catalog: str = ""
    schema_name: str = ""

    @classmethod
    def of(cls, spark: "SparkSession", root: str, settings: "Settings") -> "Store":
        """The store that the settings ask for."""
        if bool(settings.catalog) != bool(settings.schema_name):
            raise TableError("catalog and schema_name are set together or not at all")
        return cls(spark, root.rstrip("/"), settings.catalog, settings.schema_name)

    def name(self, table: str) -> str:
        """How SQL names a table."""
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
        from delta.tables import DeltaTable

        return DeltaTable.isDeltaTable(self.spark, f"{self.root}/tables/{table}")

    def read(self, table: str) -> "DataFrame":
        """All rows of a table, as of now."""
        return self.spark.read.table(self.name(table))

    def stream(self, table: str, files: int) -> "DataFrame":
        """The rows of a table as a stream, at most ``files`` files a micro-batch, commit by commit.

        From the first commit, not from a snapshot: Delta sorts a snapshot's files by their times, which for files of one commit
        differ by chance, and two runs over the same rows would then cut them into other micro-batches.
        """
        reader = self.spark.readStream.format("delta").option("maxFilesPerTrigger", files).option("failOnDataLoss", "true")
        reader = reader.option("startingVersion", 0)
        # A path in SQL's form is known to batch reads only.
        return reader.table(self.name(table)) if self.catalog else reader.load(f"{self.root}/tables/{table}")

    def is_empty(self, table: str) -> bool:
        """Whether a table is missing or has no row."""
        return not self.exists(table) or self.read(table).select("status" if table != "runs" else "stage").isEmpty()

    def create(self, table: str) -> None:
        """Create a table, or check that the one that is there has the same columns and types.

        Raises:
            TableError: it has others (``CREATE TABLE IF NOT EXISTS`` would say nothing).
        """
        wanted = TABLES[table]
        if self.exists(table):
            self._compare(wanted)
            return
        if self.catalog:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{self.catalog}`.`{self.schema_name}`")
        properties = PROPERTIES | {f"delta.constraints.{name}": rule for name, rule in wanted.checks}
        pairs = ", ".join(f"'{key}' = '{_quoted(value)}'" for key, value in properties.items())
        creation = (
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({wanted.columns}) USING DELTA"
            f" COMMENT '{_quoted(wanted.comment)}' TBLPROPERTIES ({pairs})"
        )
        self.spark.sql(creation)
        if not self.exists(table):
            # IF NOT EXISTS takes any folder for a table: one that another application is making just now, ...
            time.sleep(3)
        if not self.exists(table):
            # ... or one whose maker was killed before its first commit.
            delete(f"{self.root}/tables/{table}/_delta_log")
            self.spark.sql(creation)
        if not self.exists(table):
            raise TableError(f"{self.root}/tables/{table} has files but is no Delta table: move them away")

    def drop(self, table: str) -> None:
        """Remove a table and its files."""
        if self.catalog:
            self.spark.sql(f"DROP TABLE IF EXISTS {self.name(table)}")
        else:
            # The log first: half a table with a log would be read, and miss files.
            delete(f"{self.root}/tables/{table}/_delta_log")
            delete(f"{self.root}/tables/{table}")

    def append(self, rows: "DataFrame", table: str, application: str = "", version: int = -1, file_records: int = 0) -> None:
        """Append rows; with an application id and version, a second write of the same version is ignored by Delta."""
        columns = [field.name for field in schema(self.spark, table).fields]
        writer = rows.select(*columns).write.format("delta").mode("append").option("maxRecordsPerFile", file_records)
        if application:
            writer = writer.option("txnAppId", application).option("txnVersion", version)
        self._save(writer, table)

    def _save(self, writer: "DataFrameWriter", table: str) -> None:
        if self.catalog:
            writer.saveAsTable(self.name(table))
        else:
            writer.save(f"{self.root}/tables/{table}")

    def _compare(self, wanted: Table) -> None:
        found = {field.name: shape(field.dataType) for field in self.read(wanted.name).schema.fields}
        expected = {field.name: shape(field.dataType) for field in schema(self.spark, wanted.name).fields}
        if found != expected:
            different = sorted(set(found.items()) ^ set(expected.items()))
            raise TableError(f"table {self.name(wanted.name)} has other columns than expected: {different[:4]}")


def schema(spark: "SparkSession", table: str) -> "StructType":  # noqa: ARG001 - parsing DDL needs a session to exist
    """The schema of a table."""
    from pyspark.sql.types import StructType

    return cast(StructType, StructType.fromDDL(TABLES[table].columns))


def shape(data_type: "DataType") -> str:
    """A type without nullability and comments, which Delta does not keep in nested places."""
    return data_type.simpleString()


def delete(path: str) -> None:
    """Remove a folder on any file system, if it is there."""
    import fsspec

    files, name = fsspec.core.url_to_fs(path)
    if files.exists(name):
        files.rm(name, recursive=True)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
