"""Translation of a gold table's SQL to DuckDB, and the columns it reads. Loads sqlglot, which takes half a second."""

from __future__ import annotations

from collections.abc import Callable

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope
from sqlglot.tokens import TokenType

from lakehouse.gold import dialect, readable
from lakehouse.gold.readable import Name, Query


def query(sql: str) -> Query:
    """The translation of a query over `readable.columns`; raises EbapError if the engines' results would differ."""
    return Query(duckdb=dialect.to_duckdb(sql, readable.columns()), reads=_reads(sql))


def _reads(sql: str) -> dict[Name, tuple[str, ...]]:
    found: dict[Name, set[str]] = {}
    for scope in traverse_scope(dialect.typed(sql, readable.columns())):
        tables = {alias: (source.db, source.name) for alias, source in scope.sources.items() if isinstance(source, exp.Table)}
        for name in tables.values():
            found.setdefault(name, set())
        for column in scope.columns:
            if column.table in tables:
                found[tables[column.table]].add(column.name)
    # A count of rows needs a column, too.
    first = {(schema, name): next(iter(readable.columns()[schema][name])) for schema, name in found}
    return {name: tuple(sorted(named or {first[name]})) for name, named in sorted(found.items())}


def renamed(sql: str, name: Callable[[Name], str]) -> str:
    """The text with each `schema.table` renamed; everything else, comments included, is unchanged."""
    known = readable.columns()
    parts, end = [], 0
    tokens = sqlglot.tokenize(sql, dialect="spark")
    for first, dot, second in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if dot.token_type is TokenType.DOT and second.text in known.get(first.text, {}):
            parts += [sql[end : first.start], name((first.text, second.text))]
            end = second.end + 1
    return "".join([*parts, sql[end:]])
