"""Slices of a gold table by Spark from the same SQL: first fills, full recomputations and backfills of large tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.gold import pseudonyms, queries, reach, translation
from lakehouse.gold.inputs import Inputs, is_source, stored_form
from lakehouse.gold.readable import Name, Query
from lakehouse.lake import storage, stored_schema
from lakehouse.sql import is_within
from lakehouse.transforms import views
from lakehouse.transforms.gold import sql_files

if TYPE_CHECKING:
    from types import TracebackType

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.contract import Table
    from lakehouse.settings import Settings
    from lakehouse.sql import Slice


class Heavy:
    """Spark over one run's inputs; `since_runs`: per changed source table, the run from which its changes count."""

    def __init__(self, spark: SparkSession, settings: Settings, inputs: Inputs, since_runs: Mapping[str, int | None]) -> None:
        self._spark, self._settings, self._inputs, self._since_runs, self._table = spark, settings, inputs, since_runs, inputs.table
        self._query = queries.select(inputs.table)

    def __enter__(self) -> Heavy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def touched(self) -> list[Slice]:
        """The slices that the changes of source tables affect."""
        finder = queries.touched(self._table)
        assert finder  # otherwise everything is recomputed
        return [row[0] for row in self._frame(finder, sql_files.touched(self._table) or "", None).collect()]

    def replace(self, slices: Sequence[Slice] | None, checkpoint: Mapping[str, Any] | None) -> list[Slice]:
        """Compute these slices (all for None), replace those that differ from the stored ones, and return them.

        The commit carries the checkpoint. Raises ConflictError if another writer committed first.
        """
        if slices is not None and not slices:
            return []
        assert self._table.slice  # views are rejected before
        condition = "true" if slices is None else is_within(f"`{self._table.slice}`", slices)
        # A column widened at the source is wider in silver too; gold's has the declared type.
        computed = (
            stored_schema.fitted(self._frame(self._query, sql_files.select(self._table), slices), self._table)
            .where(condition)
            .select(*self._table.column_names)
        )
        rows = pseudonyms.hidden(computed, self._table, self._settings).persist()
        try:
            stored = self._stored(self._table, self._inputs.stored.version).where(condition)
            differing = sorted((row[0] for row in differing_slices(rows, stored, self._table.slice).collect()), key=str)
            if differing:
                changed = rows.where(is_within(f"`{self._table.slice}`", differing))
                storage.replace_slices(self._spark, self._table, changed, differing, checkpoint)
            return differing
        finally:
            rows.unpersist()

    def _frame(self, query: Query, sql: str, slices: Sequence[Slice] | None) -> DataFrame:
        for name in query.reads:
            self._input(name, slices).createOrReplaceTempView(_view(name))
        return self._spark.sql(translation.renamed(sql, _view))

    def _input(self, read: Name, slices: Sequence[Slice] | None) -> DataFrame:
        schema, name = read
        source = queries.input_of(read)
        if schema == "changed":
            return self._changed(name)
        if read == ("gold", self._table.name):
            return self._stored(self._table, self._inputs.stored.version)
        stored = self._stored(stored_form(source), self._inputs.snapshots[source].version)
        if name != source:
            return views.history(stored, tables.source(source))
        frame = views.live(stored, tables.source(source)) if is_source(name) else stored
        expression = self._table.sliced_by.get(name)
        return frame if expression is None or slices is None else frame.where(is_within(expression, slices))

    def _changed(self, name: str) -> DataFrame:
        since_run = self._since_runs.get(name)
        table = tables.source(name)
        view = f"ebap_stored_{name}"
        self._stored(stored_form(name), self._inputs.snapshots[name].version).createOrReplaceTempView(view)
        found = self._spark.sql(reach.changed_since(table, view, -1 if since_run is None else since_run, _quoted))
        return found if since_run is not None else found.where("false")

    def _stored(self, table: Table, version: int) -> DataFrame:
        return storage.read_version(self._spark, table.full_name, version)


def _quoted(name: str) -> str:
    return f"`{name}`"


def _view(name: Name) -> str:
    return f"ebap_{'_'.join(name)}"


def differing_slices(rows: DataFrame, stored: DataFrame, slice_column: str) -> DataFrame:
    """The slices, as that one column, in which two frames of the same columns differ; exact, NULLs are equal."""
    mine = rows.withColumn("_sign", F.lit(1))
    theirs = stored.select(*rows.columns).withColumn("_sign", F.lit(-1))
    surplus = mine.union(theirs).groupBy(*rows.columns).agg(F.sum("_sign").alias("_surplus"))
    return surplus.where("_surplus <> 0").select(slice_column).distinct()
