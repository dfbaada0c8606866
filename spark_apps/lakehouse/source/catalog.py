"""Catalog entries of the captured tables in the source, read without checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lakehouse.contract import Table
from lakehouse.source import setup


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """A column in the catalog. `name` is the type's internal name: `_text` is an array of text.

    A domain is given as its base type, with `is_domain`. `labels` are set for an enum, `precision` and `scale` for a numeric.
    `position` (attnum) does not change on a rename and is never reused.
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
        """Whether the type is an array: its internal name is the element type's with a leading underscore."""
        return self.name.startswith("_")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A relation that stores rows of a table: the table itself or a leaf partition. `kind` is `r`, or `f` for a foreign table.

    `file` is the relfilenode. It changes on a rewrite and on TRUNCATE; Postgres does not publish the TRUNCATE of a single partition.
    `identity` is the replica identity: `d` default, `i` index, `f` full, `n` nothing. `identity_columns` are the old row's columns in
    an update or delete; None if Postgres refuses both once the table is published.
    """

    oid: int
    name: str
    kind: str = "r"
    file: int = 0
    is_logged: bool = True
    identity: str = "d"
    identity_columns: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """One table of the source. `kind` is `r` for an ordinary table, `p` for a partitioned one; `identity` as in `Part`.

    `oid` changes if the table is dropped and created again. `publication` identifies its entry in our publication. It changes if the
    entry is removed and added again or the publication is altered, and is None if not every change of the table is published.
    `children` inherit from the table; `ancestors` are captured tables of which it is a partition.
    """

    oid: int = 0
    kind: str = "r"
    identity: str = "d"
    has_row_security: bool = False
    is_readable: bool = True
    key: tuple[str, ...] = ()
    columns: dict[str, ColumnType] = field(default_factory=dict)
    publication: str | None = None
    parts: tuple[Part, ...] = ()
    children: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """State of the source. `published` is None without a publication, `slot_status` None without a slot.

    `prepared` are the gids of transactions prepared more than a minute ago and still open.
    """

    wal_level: str
    tables: dict[str, SourceTable]
    published: frozenset[tuple[str, str]] | None
    is_for_all_tables: bool = False
    slot_status: str | None = None
    prepared: tuple[str, ...] = ()


_TABLES = """
SELECT c.relname, c.oid::bigint, c.relkind::text, c.relreplident::text, c.relrowsecurity,
       COALESCE(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'SELECT'), false),
       ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)),
       (SELECT concat_ws('/', p.oid, p.xmin, m.oid) FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid
        WHERE p.pubname = %(publication)s AND m.prrelid = c.oid AND m.prqual IS NULL AND m.prattrs IS NULL
          AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot),
       ARRAY(SELECT s.nspname || '.' || o.relname FROM pg_inherits h JOIN pg_class o ON o.oid = h.inhrelid
             JOIN pg_namespace s ON s.oid = o.relnamespace WHERE c.relkind = 'r' AND h.inhparent = c.oid),
       ARRAY(SELECT n.nspname || '.' || o.relname FROM pg_partition_ancestors(c.oid) a JOIN pg_class o ON o.oid = a.relid
             WHERE o.oid <> c.oid AND o.relnamespace = n.oid AND o.relname = ANY (%(names)s))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_roles r ON r.rolname = %(role)s
WHERE n.nspname = %(schema)s AND c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

# Debezium captures a domain as its innermost base type. numeric's typmod is (precision << 16 | scale) + 4.
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


_PARTS = f"""
SELECT c.relname, l.oid::bigint, m.nspname || '.' || l.relname, l.relkind::text, coalesce(pg_relation_filenode(l.oid), 0)::bigint,
       l.relpersistence = 'p', l.relreplident::text,
       CASE WHEN l.relreplident = 'f' OR k.columns IS NOT NULL THEN
           ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped
                 AND (l.relreplident = 'f' OR a.attnum = ANY (k.columns)))
       END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf) t ON c.relkind = 'p'
JOIN pg_class l ON l.oid = coalesce(t.relid, c.oid) AND l.relkind IN ('r', 'f') JOIN pg_namespace m ON m.oid = l.relnamespace
LEFT JOIN LATERAL ({setup.IDENTITY_INDEX}) k ON true
WHERE n.nspname = %(schema)s AND c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'p') ORDER BY 1, 3
"""


def read(cursor: Any, sources: Iterable[Table], schema: str) -> Catalog:
    """Read the catalog; any role that can connect may do so."""
    cursor.execute("SHOW wal_level")
    (wal_level,) = cursor.fetchone()
    cursor.execute("SELECT puballtables FROM pg_publication WHERE pubname = %s", [setup.PUBLICATION])
    publication = cursor.fetchone()
    published = frozenset(setup.published(cursor)) if publication else None
    cursor.execute("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", [setup.SLOT])
    slot = cursor.fetchone()
    cursor.execute("SELECT gid FROM pg_prepared_xacts WHERE prepared < clock_timestamp() - interval '1 minute' ORDER BY prepared")
    prepared = tuple(gid for (gid,) in cursor.fetchall())
    return Catalog(
        wal_level=wal_level,
        tables=read_tables(cursor, sources, schema),
        published=published,
        is_for_all_tables=bool(publication and publication[0]),
        slot_status=(slot[0] or "unknown") if slot else None,
        prepared=prepared,
    )


def read_tables(cursor: Any, sources: Iterable[Table], schema: str) -> dict[str, SourceTable]:
    """The declared tables that exist in the source, by name."""
    wanted = {"role": setup.ROLE, "schema": schema, "names": [table.name for table in sources], "publication": setup.PUBLICATION}
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
    parts = _parts(cursor, wanted)
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
            publication=publication,
            parts=tuple(parts.get(name, ())),
            children=tuple(sorted(children)),
            ancestors=tuple(ancestors),
        )
        for name, oid, kind, identity, secured, readable, key, publication, children, ancestors in cursor.fetchall()
    }


def _parts(cursor: Any, wanted: dict[str, Any]) -> dict[str, list[Part]]:
    cursor.execute(_PARTS, wanted)
    parts: dict[str, list[Part]] = {}
    for table, oid, name, kind, file, is_logged, identity, columns in cursor.fetchall():
        known = None if columns is None else tuple(columns)
        made = Part(oid=oid, name=name, kind=kind, file=file, is_logged=is_logged, identity=identity, identity_columns=known)
        parts.setdefault(table, []).append(made)
    return parts
