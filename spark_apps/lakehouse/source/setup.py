"""Objects that capture needs in the source database: schema `ebap`, a publication of the declared tables and EBAP's own, and grants.

The owner of the captured schema creates them, never the capture role. REPLICA IDENTITY is not changed, to leave the source's tables
alone. The publication is never FOR ALL TABLES, which would break UPDATE and DELETE on every table without a primary key. It publishes
partitions under the root table's name; Postgres then does not publish TRUNCATE, ATTACH, DETACH and DROP of a single partition.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from psycopg2 import sql

from lakehouse.contract import Table
from lakehouse.source.connection import CONNECTOR as CONNECTOR
from lakehouse.source.connection import ROLE as ROLE
from lakehouse.source.connection import SLOT as SLOT
from lakehouse.source.connection import capture_address as capture_address
from lakehouse.source.connection import dates_before_christ as dates_before_christ
from lakehouse.source.connection import owner as owner

SCHEMA = "ebap"
PUBLICATION = "ebap"
OWN_TABLES = ("heartbeat", "signal")

_OBJECTS = Path(__file__).with_name("setup.sql")
# The replica identity index of table `l`, as Postgres' relcache chooses it; a deferrable key does not count.
IDENTITY_INDEX = """
SELECT i.indkey::int2[] AS columns FROM pg_index i
WHERE i.indrelid = l.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
  AND CASE l.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
"""
_UNFIT = f"""
SELECT n.nspname, c.relname FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid
JOIN pg_class c ON c.oid = m.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = %s AND n.nspname <> %s AND EXISTS (
    SELECT FROM pg_class l
    WHERE l.relkind = 'r' AND (l.oid = c.oid OR l.oid IN (SELECT relid FROM pg_partition_tree(c.oid)))
      AND l.relreplident <> 'f' AND NOT EXISTS (
          SELECT FROM ({IDENTITY_INDEX}) k WHERE NOT EXISTS (
              SELECT FROM pg_index p WHERE p.indrelid = l.oid AND p.indisprimary AND NOT p.indkey::int2[] <@ k.columns
          )
      )
)
"""
# A session that waits for a lock blocks later sessions; the next check tries again.
_LOCK_LIMIT = "SET LOCAL lock_timeout = '5s'"
_EVERY_OPERATION = "insert, update, delete, truncate"


def captured(sources: Iterable[Table], schema: str) -> tuple[tuple[str, str], ...]:
    """Schema and name of each captured table: the declared tables, then EBAP's own."""
    return (*((schema, table.name) for table in sources), *((SCHEMA, name) for name in OWN_TABLES))


def prepare(cursor: Any, sources: Iterable[Table], schema: str) -> None:
    """Create or correct schema `ebap`, the publication and the grants; idempotent.

    The declared tables must exist with a primary key (see preflight): Postgres refuses updates of a published table without one.
    """
    wanted = captured(sources, schema)
    cursor.execute(_OBJECTS.read_text())
    _publish(cursor, wanted)
    _grant(cursor, [name for in_schema, name in wanted if in_schema == schema], schema)


def _publish(cursor: Any, wanted: tuple[tuple[str, str], ...]) -> None:
    publication = sql.Identifier(PUBLICATION)
    # Without ONLY, inheriting tables are published too; they often have no key, and their updates would fail.
    names = sql.SQL(", ").join(sql.SQL("ONLY {}").format(sql.Identifier(*table)) for table in wanted)
    cursor.execute(
        "SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot FROM pg_publication WHERE pubname = %s",
        [PUBLICATION],
    )
    found = cursor.fetchone()
    options = sql.SQL("publish = {}, publish_via_partition_root = true").format(sql.Literal(_EVERY_OPERATION))
    if found is None:
        cursor.execute(sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH ({})").format(publication, names, options))
        return
    is_for_all, has_every_option = found
    if is_for_all:
        return  # cannot be altered to a table list; the preflight reports it
    if not has_every_option:
        cursor.execute(sql.SQL("ALTER PUBLICATION {} SET ({})").format(publication, options))
    # Only if it differs: altering a publication invalidates the caches of the running replication.
    if published(cursor) != set(wanted):
        cursor.execute(sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(publication, names))


def withdraw_unfit(cursor: Any) -> list[tuple[str, str]]:
    """Remove tables whose replica identity lacks the key from the publication; returns schema and name of each.

    Postgres refuses UPDATE and DELETE on a published table without a replica identity; with one of other columns, Debezium sends
    deletes with a wrong key.
    """
    cursor.execute(_UNFIT, [PUBLICATION, SCHEMA])
    unfit: list[tuple[str, str]] = cursor.fetchall()
    if unfit:
        cursor.execute(_LOCK_LIMIT)
        names = sql.SQL(", ").join(sql.SQL("ONLY {}").format(sql.Identifier(*table)) for table in unfit)
        cursor.execute(sql.SQL("ALTER PUBLICATION {} DROP TABLE {}").format(sql.Identifier(PUBLICATION), names))
    return unfit


def admit(cursor: Any, table: Table, schema: str) -> None:
    """Publish one table without row filter or column list, and grant SELECT to the capture role; idempotent.

    The publication must exist.
    """
    cursor.execute(_LOCK_LIMIT)
    publication, name = sql.Identifier(PUBLICATION), sql.Identifier(schema, table.name)
    if (schema, table.name) not in published(cursor):
        cursor.execute(
            "SELECT FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid"
            " WHERE p.pubname = %s AND m.prrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))",
            [PUBLICATION, schema, table.name],
        )
        if cursor.fetchone() is not None:
            cursor.execute(sql.SQL("ALTER PUBLICATION {} DROP TABLE ONLY {}").format(publication, name))
        cursor.execute(sql.SQL("ALTER PUBLICATION {} ADD TABLE ONLY {}").format(publication, name))
    cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(name, sql.Identifier(ROLE)))


def published(cursor: Any) -> set[tuple[str, str]]:
    """Schema and name of the published tables, without those that have a row filter or a column list."""
    cursor.execute(
        "SELECT n.nspname, c.relname FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
        " JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE p.pubname = %s AND r.prqual IS NULL AND r.prattrs IS NULL",
        [PUBLICATION],
    )
    return set(cursor.fetchall())


def _grant(cursor: Any, names: list[str], schema: str) -> None:
    role = sql.Identifier(ROLE)
    cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role))
    for name in names:
        cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(schema, name), role))
    cursor.execute(
        "SELECT DISTINCT table_name FROM information_schema.role_table_grants WHERE grantee = %s AND table_schema = %s", [ROLE, schema]
    )
    for (name,) in cursor.fetchall():
        if name not in names:
            cursor.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(sql.Identifier(schema, name), role))
