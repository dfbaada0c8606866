"""Live rows of a table in DuckDB: deletion vectors applied, partition values from the log, types of the table's schema.

Timestamps are returned as TIMESTAMPTZ whatever the file holds: Spark's INT96 and narrower types of older files are cast. A column missing
in a file is NULL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from lakehouse import arrow_alone  # noqa: F401  (before the first array)
from lakehouse.delta import vectors
from lakehouse.delta.actions import File
from lakehouse.delta.errors import VersionGoneError
from lakehouse.delta.log import Snapshot
from lakehouse.delta.predicates import condition, keys, literal, text
from lakehouse.delta.pruning import Filter, Pruner, partition_value
from lakehouse.delta.schema import Field, quoted
from lakehouse.delta.store import Store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from pyroaring import BitMap64

FILE, POSITION = "_file", "_position"
_INDEX = "_file_index"
# A column may have the name of one that DuckDB adds to those of a file (file_index, file_row_number).
_SCANNED = "column "
_ADDED: Mapping[str, pa.DataType] = {FILE: pa.string(), POSITION: pa.int64()}


def connect() -> DuckDBPyConnection:
    """An in-memory DuckDB with one thread and times in UTC."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET threads = 1")
    con.execute("SET TimeZone = 'UTC'")
    return con


def pruned(snapshot: Snapshot, where: Filter | None, files: Iterable[File] | None = None) -> list[File]:
    """The files that may hold rows of the filter, of all or of the given ones."""
    candidates = snapshot.files if files is None else files
    if not where:
        return list(candidates)
    pruner = Pruner(snapshot.fields, snapshot.partition_columns, where)
    return [file for file in candidates if pruner.may_match(file)]


def relation(
    con: DuckDBPyConnection,
    snapshot: Snapshot,
    store: Store,
    columns: Sequence[str] | None = None,
    files: Iterable[File] | None = None,
    where: Filter | None = None,
    only: tuple[Field, str] | None = None,
) -> DuckDBPyRelation:
    """The live rows as a relation of `columns` (default: all, in the table's order), usable while the connection is open.

    `only` selects rows with a value of a column that is in the files but not in the table. Raises VersionGoneError if a file of the
    snapshot has been deleted.
    """
    return _relation(con, snapshot, store, _names(snapshot, columns), files, where, only=only)


def read(
    con: DuckDBPyConnection,
    snapshot: Snapshot,
    store: Store,
    columns: Sequence[str] | None = None,
    files: Iterable[File] | None = None,
    where: Filter | None = None,
) -> pa.Table:
    """The live rows as an Arrow table of the table's own types."""
    names = _names(snapshot, columns)
    return as_arrow(relation(con, snapshot, store, names, files, where), snapshot, names)


def located(
    con: DuckDBPyConnection,
    snapshot: Snapshot,
    store: Store,
    columns: Sequence[str] | None = None,
    files: Iterable[File] | None = None,
    where: Filter | None = None,
) -> pa.Table:
    """The live rows with `_file` (path in the table) and `_position` (row in that file), as `commit` takes them."""
    names = _names(snapshot, columns)
    return as_arrow(_relation(con, snapshot, store, names, files, where, is_located=True), snapshot, names, _ADDED)


def _names(snapshot: Snapshot, columns: Sequence[str] | None) -> list[str]:
    names = list(snapshot.fields if columns is None else columns)
    unknown = [name for name in names if name not in snapshot.fields]
    if unknown:
        raise ValueError(f"there is no column {', '.join(unknown)}: the table has {', '.join(snapshot.fields)}")
    return names


def _relation(
    con: DuckDBPyConnection,
    snapshot: Snapshot,
    store: Store,
    names: list[str],
    files: Iterable[File] | None,
    where: Filter | None,
    is_located: bool = False,
    only: tuple[Field, str] | None = None,
) -> DuckDBPyRelation:
    where = where or {}
    wanted = pruned(snapshot, where, files)
    needed = [field for field in snapshot.schema if field.name in names or field.name in where]
    shown = [quoted(name) for name in [*names, *(_ADDED if is_located else ())]]
    if not wanted:
        nothing = [f"CAST(NULL AS {field.duckdb_type}) AS {quoted(field.name)}" for field in needed]
        return con.sql(f"SELECT {', '.join([*nothing, _nothing_located()])} WHERE false").project(", ".join(shown))
    rows = _scan(con, snapshot, store, [*needed, *([only[0]] if only else [])], wanted, where)
    if only:
        rows = rows.filter(f"{quoted(only[0].name)} = {text(only[1])}")
    deleted = _deleted(snapshot, store, wanted)
    if deleted is not None:
        at = f"rows.{_INDEX} = deleted.file AND rows.{POSITION} = deleted.row"
        rows = rows.set_alias("rows").join(con.from_arrow(deleted).set_alias("deleted"), at, how="anti")
    for name, values in where.items():
        listed = keys(snapshot.fields[name], values)
        if listed is not None:
            same = f"rows.{quoted(name)} IS NOT DISTINCT FROM listed.value"
            rows = rows.set_alias("rows").join(con.from_arrow(listed).set_alias("listed"), same, how="semi")
    return rows.project(", ".join(shown))


def _nothing_located() -> str:
    return f"CAST(NULL AS VARCHAR) AS {FILE}, CAST(NULL AS BIGINT) AS {POSITION}"


def _scan(
    con: DuckDBPyConnection, snapshot: Snapshot, store: Store, fields: list[Field], files: list[File], where: Filter
) -> DuckDBPyRelation:
    """The rows of the files that meet the filter's bounds, deleted ones included, with `_file_index`, `_file` and `_position`."""
    stored = [field for field in fields if field.name not in snapshot.partition_columns]
    # DuckDB rejects a schema without columns; an additional column that is not projected costs nothing.
    declared = stored or [field for field in snapshot.schema if field.name not in snapshot.partition_columns][:1]
    schema = ", ".join(
        f"{text(f.name)}: {{name: {text(_SCANNED + f.name)}, type: {text(f.duckdb_type)}, default_value: NULL}}" for f in declared
    )
    paths = ", ".join(text(_local(store, f"{snapshot.root}/{file.path}")) for file in files)
    scan = f"read_parquet([{paths}], schema = MAP {{{schema}}}, hive_partitioning = false)"
    columns = [f"{quoted(_SCANNED + field.name)} AS {quoted(field.name)}" for field in stored]
    for field in (field for field in fields if field.name in snapshot.partition_columns):
        values = [literal(field, partition_value(field, file.partition.get(field.name))) for file in files]
        columns.append(f"{_by_file(values)} AS {quoted(field.name)}")
    columns += [f"file_index AS {_INDEX}", f"{_by_file([text(file.path) for file in files])} AS {FILE}", f"file_row_number AS {POSITION}"]
    inner = f"SELECT {', '.join(columns)} FROM {scan}"
    conditions = [condition(snapshot.fields[name], values) for name, values in where.items()]
    return con.sql(f"SELECT * FROM ({inner}) WHERE {' AND '.join(conditions)}" if conditions else inner)


def _by_file(values: list[str]) -> str:
    """An expression with the n-th value for rows of the n-th file."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return distinct[0]
    numbers = {value: number for number, value in enumerate(distinct, start=1)}
    if len(distinct) == len(values):
        return f"[{', '.join(values)}][CAST(file_index AS BIGINT) + 1]"
    return f"[{', '.join(distinct)}][[{', '.join(str(numbers[value]) for value in values)}][CAST(file_index AS BIGINT) + 1]]"


def _deleted(snapshot: Snapshot, store: Store, files: list[File]) -> pa.Table | None:
    """File number and row number of each deleted row; None if there is none."""
    parts = []
    for index, file in enumerate(files):
        if file.vector:
            rows = pa.array(_vector(store, snapshot.root, file).to_array())
            parts.append(pa.table({"file": pa.repeat(pa.scalar(index, pa.uint64()), len(rows)), "row": rows.cast(pa.int64())}))
    return pa.concat_tables(parts) if parts else None


def _vector(store: Store, root: str, file: File) -> BitMap64:
    assert file.vector
    try:
        return vectors.read(store, root, file.vector)
    except FileNotFoundError as error:
        raise VersionGoneError(f"the deletion vector of {root}/{file.path} has been deleted ({error})", "read a newer version") from None


def _local(store: Store, path: str) -> str:
    try:
        return store.local_file(path)
    except FileNotFoundError:
        raise VersionGoneError(f"{path} has been deleted", "read a newer version") from None


def as_arrow(rows: DuckDBPyRelation, snapshot: Snapshot, names: Sequence[str], added: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """The rows of a relation of these columns, as an Arrow table of the table's own types. Raises VersionGoneError for a deleted file."""
    import duckdb

    try:
        found = rows.to_arrow_table()
    except duckdb.IOException as error:
        raise VersionGoneError(
            f"a file of {snapshot.root} at version {snapshot.version} cannot be read ({error})", "read a newer version"
        ) from error
    wanted = {name: snapshot.fields[name].arrow_type for name in names} | dict(added or {})
    return found.cast(pa.schema(list(wanted.items())))
