"""Gold's SQL for DuckDB, and the columns it reads: translated in advance, so that a run does not load the translator.

`translated.json` is generated from the tables' SQL (`make generated`) and holds a fingerprint of each entry's source. SQL that has changed
since is translated when it is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.errors import ContractError
from lakehouse.gold.readable import Name, Query, columns
from lakehouse.transforms.gold import sql_files
from lakehouse.transforms.gold.sql_files import HISTORY_SUFFIX

SOURCES = {table.name: table for table in tables.SOURCES}
TRANSLATED = Path(__file__).with_name("translated.json")
_ALIAS = "slice_value"


@cache
def select(table: Table) -> Query:
    """The query of the table; raises ContractError, also if it does not read the declared inputs."""
    translated = query(sql_files.select(table))
    found = faults(table, translated.reads)
    if found:
        raise ContractError(f"gold table {table.name!r}: {'; '.join(found)}", "make its declaration and its SQL agree")
    return translated


@cache
def touched(table: Table) -> Query | None:
    """The query for the slices that changes of source tables affect, as one column; None if there is none."""
    text = sql_files.touched(table)
    return query(text) if text else None


def slice_of(table: Table, name: str) -> str:
    """DuckDB's expression of the slice over an input, which is referred to by its own name."""
    return query(slice_query(table, name)).duckdb.removeprefix("SELECT ").split(f' AS "{_ALIAS}" FROM ')[0]


def slice_columns(table: Table, name: str) -> tuple[str, ...]:
    """The columns of the input `name` that determine its slice."""
    (read,) = query(slice_query(table, name)).reads.values()
    return read


def slice_query(table: Table, name: str, column: str = _ALIAS) -> str:
    """A query for the slice of each row of an input."""
    schema = "silver" if name in SOURCES else "gold"
    return f"SELECT {table.sliced_by[name]} AS {column} FROM {schema}.`{name}`"


def input_of(read: Name) -> str:
    """The input that a query reads: of a history its source table, which may itself be called a history."""
    schema, name = read
    return name if schema == "gold" or name in SOURCES else name.removesuffix(HISTORY_SUFFIX)


@cache
def query(sql: str) -> Query:
    """The translated query; raises EbapError if the engines' results would differ."""
    entry = _translated().get(fingerprint(sql))
    if entry is None:
        from lakehouse.gold import translation

        return translation.query(sql)
    reads = {tuple(name.split(".")): tuple(named) for name, named in entry["reads"].items()}
    return Query(duckdb=entry["duckdb"], reads=reads)  # type: ignore[arg-type]


def fingerprint(sql: str) -> str:
    """Fingerprint of what a translation depends on: the text, and the columns it may refer to."""
    return hashlib.sha256(f"{sql}\n{json.dumps(columns(), sort_keys=True)}".encode()).hexdigest()


@cache
def _translated() -> dict[str, dict[str, Any]]:
    listed = json.loads(TRANSLATED.read_text()) if TRANSLATED.is_file() else {}
    return {entry["of"]: entry for entry in listed.values()}


def texts() -> dict[str, str]:
    """Every query that runs in DuckDB, by name."""
    found = {}
    for table in tables.GOLD:
        if sql_files.reads_bronze(table):
            continue
        found[table.name] = sql_files.select(table)
        finder = sql_files.touched(table)
        if finder:
            found[f"{table.name}.touched"] = finder
        found |= {f"{table.name}.slice_of.{name}": slice_query(table, name) for name in table.sliced_by}
    return found


def generated() -> str:
    """The content of `translated.json`; raises EbapError and ContractError."""
    from lakehouse.gold import translation

    entries = {}
    for name, sql in texts().items():
        query = translation.query(sql)
        reads = {".".join(read): list(named) for read, named in query.reads.items()}
        entries[name] = {"of": fingerprint(sql), "reads": reads, "duckdb": query.duckdb}
    return json.dumps(entries, indent=1) + "\n"


def faults(table: Table, reads: Mapping[Name, object]) -> list[str]:
    """Differences between the tables that a query reads and the declared inputs."""
    read = {input_of(each) for each in reads if each != ("gold", table.name)}
    found = [f"reads {name!r}, which is not an input" for name in sorted(read - set(table.inputs))]
    return found + [f"does not read the input {name!r}" for name in table.inputs if name not in read]
