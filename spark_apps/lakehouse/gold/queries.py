"""The SQL of a gold table made ready to run: which columns it reads of which table, and its text for either engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope
from sqlglot.tokens import TokenType

from lakehouse import ddl, tables
from lakehouse.contract import ContractError, History, Table
from lakehouse.gold import dialect
from lakehouse.transforms import gold_sql
from lakehouse.transforms.gold_sql import HISTORY_SUFFIX

# Schema and name of a table as a query writes it: ("silver", "orders_history").
Name = tuple[str, str]
SCHEMAS = ("silver", "gold", "changed")
SINCE = "since"
SOURCES = {table.name: table for table in tables.SOURCES}


@dataclass(frozen=True, kw_only=True)
class Query:
    """A SELECT by its two texts and what it reads: columns by table."""

    spark: str
    duckdb: str
    reads: Mapping[Name, tuple[str, ...]]


@cache
def columns() -> dialect.Columns:
    """Every table that gold's SQL can read, with its columns and their declared types."""
    silver = {table.name: _types(table) for table in tables.SOURCES}
    full = [table for table in tables.SOURCES if table.history is History.FULL]
    silver |= {f"{table.name}{HISTORY_SUFFIX}": {c.name: c.type for c in ddl.history_view_columns(table)} for table in full}
    changed = {table.name: {name: table.column(name).type for name in table.key} | {SINCE: "TIMESTAMP"} for table in tables.SOURCES}
    return {"silver": silver, "gold": {table.name: _types(table) for table in tables.GOLD}, "changed": changed}


def _types(table: Table) -> dict[str, str]:
    return {column.name: column.type for column in table.columns}


@cache
def select(table: Table) -> Query:
    """The query that makes the table; raises ContractError and DialectError."""
    return query(gold_sql.select(table))


@cache
def touched(table: Table) -> Query | None:
    """The query for the slices that changes of source tables reach, as the one column of the slice; None where there is none."""
    text = gold_sql.touched(table)
    return query(text) if text else None


@cache
def query(sql: str) -> Query:
    """A query over the tables of `columns`; raises DialectError where the engines would not answer alike."""
    return Query(spark=sql, duckdb=dialect.to_duckdb(sql, columns()), reads=_reads(sql))


@cache
def slice_of(table: Table, name: str) -> str:
    """The expression over the input `name` that is the slice, for DuckDB. Its columns are those of the input."""
    schema = "silver" if name in SOURCES else "gold"
    made = query(f"SELECT {table.sliced_by[name]} AS made FROM {schema}.{name}")
    column = sqlglot.parse_one(made.duckdb, dialect="duckdb").selects[0].this
    for each in column.find_all(exp.Column):
        each.set("table", None)
    return str(column.sql(dialect="duckdb"))


@cache
def slice_columns(table: Table, name: str) -> tuple[str, ...]:
    """The columns of the input `name` from which its slice follows."""
    schema = "silver" if name in SOURCES else "gold"
    return query(f"SELECT {table.sliced_by[name]} AS made FROM {schema}.{name}").reads[schema, name]


def _reads(sql: str) -> dict[Name, tuple[str, ...]]:
    found: dict[Name, set[str]] = {}
    for scope in traverse_scope(dialect.typed(sql, columns())):
        for source in scope.sources.values():
            if isinstance(source, exp.Table):
                found.setdefault((source.db, source.name), set())
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table):
                found[source.db, source.name].add(column.name)
    return {name: tuple(sorted(named)) for name, named in sorted(found.items())}


def faults(table: Table, reads: Mapping[Name, object]) -> list[str]:
    """Where the tables that a query reads are not the inputs of the declaration."""
    read = {name.removesuffix(HISTORY_SUFFIX) for schema, name in reads if (schema, name) != ("gold", table.name)}
    found = [f"reads {name!r}, which is no input" for name in sorted(read - set(table.inputs))]
    return found + [f"does not read the input {name!r}" for name in table.inputs if name not in read]


def renamed(sql: str, name: Callable[[Name], str]) -> str:
    """The text with each table that is written as `schema.table` given another name; all else, comments too, stays as it is."""
    made, end = [], 0
    tokens = sqlglot.tokenize(sql, dialect="spark")
    for first, dot, second in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if dot.token_type is TokenType.DOT and first.text in SCHEMAS and second.text in columns()[first.text]:
            made += [sql[end : first.start], name((first.text, second.text))]
            end = second.end + 1
    return "".join([*made, sql[end:]])


def require(table: Table) -> Query:
    """The table's query, once it is known to read what the declaration says; raises ContractError."""
    made = select(table)
    found = faults(table, made.reads)
    if found:
        raise ContractError(f"gold table {table.name!r}: {'; '.join(found)}: make its declaration and its SQL agree")
    return made
