"""Partitions with changes that Postgres does not publish: attached with rows, or truncated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg2 import sql

from lakehouse.settings import Settings
from lakehouse.source import setup

# The transaction of the newest attachment: of the partition itself or of one of its ancestors.
_ATTACHED = """
SELECT n.nspname, c.relname, (
    SELECT i.xmin::text FROM pg_partition_ancestors(c.oid) a JOIN pg_inherits i ON i.inhrelid = a.relid ORDER BY age(i.xmin) LIMIT 1
) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s::oid AND c.relkind = 'r'
"""
# TRUNCATE and a rewriting ALTER TABLE reset reltuples to -1; VACUUM FULL and CLUSTER set it.
_TRUNCATED = "SELECT oid::text FROM pg_class WHERE oid = ANY (%s::oid[]) AND reltuples < 0"


def lossy(settings: Settings, attached: Sequence[str], rewritten: Sequence[str]) -> frozenset[str]:
    """The oids of attached partitions that already had rows, and of rewritten ones that may have been truncated."""
    if not (attached or rewritten):
        return frozenset()
    with setup.owner(settings) as cursor:
        cursor.execute(_TRUNCATED, [list(rewritten)])
        truncated = [oid for (oid,) in cursor.fetchall()]
        return frozenset([*truncated, *(oid for oid in attached if _had_rows(cursor, oid))])


def _had_rows(cursor: Any, oid: str) -> bool:
    """Whether a row was written no later than by the transaction that attached the partition."""
    cursor.execute(_ATTACHED, [oid])
    for schema, name, attached_by in cursor.fetchall():
        found = sql.SQL("SELECT EXISTS (SELECT FROM ONLY {} WHERE age(xmin) >= age(%s::xid))").format(sql.Identifier(schema, name))
        cursor.execute(found, [attached_by])
        return bool(cursor.fetchone()[0])
    return False
