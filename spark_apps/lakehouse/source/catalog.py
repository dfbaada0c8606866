"""The source's catalog entries of the captured tables, read at once and not judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lakehouse.contract import Table
from lakehouse.source import setup


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """A column as the catalog has it: `_text` is an array of text; enum, labels and precision where they apply.

    A domain appears as its base type, with `is_domain`.

    `position` outlives a rename, and no other column of the table ever gets it.
    """

    name: str
    is_enum: bool = False
    precision: int | None = None
    scale: int | None = None
    is_generated: bool = False
    labels: tuple[str, ...] = ()
    is_nullable: bool = True
    position: int = 0
    is_domain: bool = False

    @property
    def is_array(self) -> bool:
        """Whether it is an array; Postgres puts an underscore before its element's name."""
        return self.name.startswith("_")


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """One table of the source. `kind` is `r` for an ordinary one, `p` for a partitioned one.

    `identity` is `n` where its replica identity is NOTHING.

    `oid` is another one where the table was dropped and made again.
    """

    oid: int = 0
    kind: str = "r"
    identity: str = "d"
    has_row_security: bool = False
    is_readable: bool = True
    key: tuple[str, ...] = ()
    columns: dict[str, ColumnType] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The source as capture meets it; `published` is None without a publication, `slot_status` None without a slot."""

    wal_level: str
    tables: dict[str, SourceTable]
    published: frozenset[tuple[str, str]] | None
    is_for_all_tables: bool = False
    slot_status: str | None = None


_TABLES = """
SELECT c.relname, c.oid::bigint, c.relkind::text, c.relreplident::text, c.relrowsecurity,
       COALESCE(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'SELECT'), false),
       ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_roles r ON r.rolname = %(role)s
WHERE n.nspname = %(schema)s AND c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

# A domain is captured as its base type, also one over a domain; numeric's precision and scale stand in the type modifier, less 4.
_COLUMNS = """
WITH RECURSIVE bases AS (
    SELECT t.oid AS type, t.oid AS base, -1 AS typmod FROM pg_type t
    UNION ALL
    SELECT b.type, t.typbasetype, t.typtypmod FROM bases b JOIN pg_type t ON t.oid = b.base WHERE t.typtype = 'd'
)
SELECT c.relname, a.attname, b.typname, b.typtype = 'e',
       CASE WHEN b.typname = 'numeric' AND m.typmod >= 4 THEN (m.typmod - 4) >> 16 END,
       CASE WHEN b.typname = 'numeric' AND m.typmod >= 4 THEN (m.typmod - 4) & 65535 END,
       a.attgenerated <> '',
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = b.oid ORDER BY e.enumsortorder),
       NOT a.attnotnull, a.attnum, t.typtype = 'd'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
JOIN bases d ON d.type = t.oid JOIN pg_type b ON b.oid = d.base AND b.typtype <> 'd'
CROSS JOIN LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN d.typmod ELSE a.atttypmod END AS typmod) m
WHERE n.nspname = %(schema)s AND c.relname = ANY (%(names)s)
"""


def read(cursor: Any, sources: Iterable[Table], schema: str) -> Catalog:
    """Read the catalog as any role that can connect."""
    cursor.execute("SHOW wal_level")
    (wal_level,) = cursor.fetchone()
    cursor.execute("SELECT puballtables FROM pg_publication WHERE pubname = %s", [setup.PUBLICATION])
    publication = cursor.fetchone()
    published = frozenset(setup.published(cursor)) if publication else None
    cursor.execute("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", [setup.SLOT])
    slot = cursor.fetchone()
    return Catalog(
        wal_level=wal_level,
        tables=read_tables(cursor, sources, schema),
        published=published,
        is_for_all_tables=bool(publication and publication[0]),
        slot_status=(slot[0] or "unknown") if slot else None,
    )


def read_tables(cursor: Any, sources: Iterable[Table], schema: str) -> dict[str, SourceTable]:
    """Those of the declared tables that exist."""
    wanted = {"role": setup.ROLE, "schema": schema, "names": [table.name for table in sources]}
    cursor.execute(_COLUMNS, wanted)
    columns: dict[str, dict[str, ColumnType]] = {}
    for table, name, type_name, is_enum, precision, scale, is_generated, labels, is_nullable, position, is_domain in cursor.fetchall():
        columns.setdefault(table, {})[name] = ColumnType(
            name=type_name,
            is_enum=is_enum,
            precision=precision,
            scale=scale,
            is_generated=is_generated,
            labels=tuple(labels),
            is_nullable=is_nullable,
            position=position,
            is_domain=is_domain,
        )
    cursor.execute(_TABLES, wanted)
    return {
        name: SourceTable(
            oid=oid,
            kind=kind,
            identity=identity,
            has_row_security=secured,
            is_readable=readable,
            key=tuple(key),
            columns=columns.get(name, {}),
        )
        for name, oid, kind, identity, secured, readable, key in cursor.fetchall()
    }
