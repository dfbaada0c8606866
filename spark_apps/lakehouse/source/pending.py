"""Pending changes in the replication slot: their tables and sizes.

Peeks the slot, which is free while the connector has failed. The server measures the sizes; no change data is transferred.
"""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import sql

from lakehouse import wait
from lakehouse.settings import Settings
from lakehouse.source import connection, setup

# The connector's queue holds 32,768 changes, so the failed one is among the first.
_CHANGES = 200_000
# The server releases a slot only some time after its reader is gone.
_SLOT_LIMIT_S = 15.0
_POLL_S = 0.5
_IN_USE = "55006"

# A pgoutput message begins with one byte for its kind and the table's oid in four.
_PENDING = """
FROM pg_logical_slot_peek_binary_changes(%(slot)s, NULL, %(most)s, 'proto_version', '1', 'publication_names', %(publication)s) m
JOIN pg_class c
  ON c.oid = (get_byte(m.data, 1)::bigint << 24) + (get_byte(m.data, 2) << 16) + (get_byte(m.data, 3) << 8) + get_byte(m.data, 4)
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND get_byte(m.data, 0) IN (ascii('I'), ascii('U'), ascii('D'))
"""


def tables_at(settings: Settings, lsn: int) -> list[str]:
    """Names of the captured tables with a change at that LSN."""
    at = f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
    return [name for (name,) in _asked(settings, f"SELECT DISTINCT c.relname {_PENDING} AND m.lsn = %(at)s::pg_lsn", at=at)]


def largest(settings: Settings, least_bytes: int) -> list[tuple[str, int]]:
    """Tables with a pending change of at least `least_bytes`, and its size in bytes as pgoutput; the largest first."""
    query = (
        f"SELECT c.relname, max(octet_length(m.data)) {_PENDING} GROUP BY 1 HAVING max(octet_length(m.data)) >= %(least)s ORDER BY 2 DESC"
    )
    return _asked(settings, query, least=least_bytes)


def _asked(settings: Settings, query: str, **values: Any) -> list[Any]:
    """Rows of a query over the slot; empty if there is no slot or it stays in use."""
    known = {"slot": setup.SLOT, "most": _CHANGES, "publication": setup.PUBLICATION, "schema": settings.source_schema}
    with connection.capture_session(settings) as opened, opened.cursor() as cursor:
        for _ in wait.looks(_SLOT_LIMIT_S, every_s=_POLL_S):
            try:
                cursor.execute(query, {**known, **values})
                return list(cursor.fetchall())
            except psycopg2.Error as error:
                refused = error
                if error.pgcode != _IN_USE:
                    break
        print(f"the changes that wait at the source cannot be looked at: {' '.join(str(refused).split())}")
        return []


def largest_rows(settings: Settings, columns: dict[str, list[str]], least_bytes: int) -> list[tuple[str, int]]:
    """`largest` for current rows, because a snapshot is not in the WAL; `columns` maps each table to its columns."""
    found = []
    with setup.owner(settings) as cursor:
        for table, names in columns.items():
            # pg_column_size reads only the tuple; large values alone are detoasted to measure them.
            sizes = [
                sql.SQL("CASE WHEN pg_column_size({0}) > 8000 THEN octet_length({0}::text) ELSE 0 END").format(sql.Identifier(name))
                for name in names
            ]
            size = sql.SQL(" + ").join(sizes)
            cursor.execute(sql.SQL("SELECT max({}) FROM {}").format(size, sql.Identifier(settings.source_schema, table)))
            (most,) = cursor.fetchone()
            if most and most >= least_bytes:
                found.append((table, most))
    return sorted(found, key=lambda entry: -entry[1])
