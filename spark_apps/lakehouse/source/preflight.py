"""Preflight checks before capture starts; all faults are reported at once, each with its cure.

They detect faults that would lose changes silently: a slot and offsets that do not match, another Postgres at the same address, a
topic that keeps only the newest record of each key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.source import publishing, setup, types
from lakehouse.source.catalog import Catalog, ColumnType, SourceTable
from lakehouse.source.compatibility import described, is_compatible

# Table and column; None instead of a column means the table's key.
Altered = frozenset[tuple[str, str | None]]
_AGAIN = "begin again with `make wipe`, then `make up`"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Facts from outside the source's catalog.

    `identity` is `<system identifier>/<timeline>` of the source, None if the capture role cannot log in (`login_fault` is the error).
    `known_identity` is the Postgres that the lake was filled from, None for a new lake. `has_offset`: Connect stores an offset for the
    connector. `topic_faults` come from `topics`. `altered` are the table and column (None for the key) of recorded source changes: the
    schema gate stops only their tables, so the preflight ignores them. `early_dates` are the table and column of dates before the year 1,
    which the initial snapshot would misread.
    """

    identity: str | None
    login_fault: str | None
    known_identity: str | None
    has_offset: bool
    topic_faults: tuple[str, ...] = ()
    altered: Altered = frozenset()
    early_dates: frozenset[tuple[str, str]] = frozenset()


def check(sources: Iterable[Table], schema: str, catalog: Catalog, situation: Situation) -> None:
    """Raise EbapError with every fault, if there is one."""
    declared = tuple(sources)
    faults = [
        *table_faults(declared, schema, catalog, situation.altered),
        *_server_faults(declared, schema, catalog),
        *_position_faults(catalog, situation),
    ]
    faults += situation.topic_faults
    faults += [
        f"table {schema}.{table} has dates before the year 1 in column {column}, which the first snapshot would read as years of our era: "
        f"take them away at the source (UPDATE {schema}.{table} SET {column} = NULL WHERE {column} < '0001-01-01'), or remove the column "
        "from the declaration"
        for table, column in sorted(situation.early_dates)
    ]
    if faults:
        raise EbapError("Capture cannot start:\n" + "\n".join(f"  - {fault}" for fault in faults))


def table_faults(sources: Iterable[Table], schema: str, catalog: Catalog, altered: Altered = frozenset()) -> list[str]:
    """Faults that prevent declared tables from being published, each with its cure."""
    faults = []
    for table in sources:
        name = f"{schema}.{table.name}"
        found = catalog.tables.get(table.name)
        if found is None:
            faults.append(f"table {name} does not exist in the source: create it, or remove its declaration {table.name}.py")
        else:
            faults += [f"table {name} {fault}" for fault in (*_shape_faults(table, found, altered), *_column_faults(table, found, altered))]
    return faults


def _shape_faults(table: Table, found: SourceTable, altered: Altered) -> list[str]:
    faults = []
    if found.kind not in ("r", "p"):
        faults.append("is a view or a foreign table, which Postgres cannot publish: declare the tables it is made of")
    elif not found.key:
        faults.append(f"has no primary key, so its updates cannot be captured: add PRIMARY KEY ({', '.join(table.key)})")
    elif set(found.key) != set(table.key) and (table.name, None) not in altered:
        faults.append(
            f"has the primary key ({', '.join(found.key)}), its declaration says ({', '.join(table.key)}): correct the declaration"
        )
    faults += publishing.faults(table.name, found).values()
    names = sorted(found.columns)
    alike = sorted(name for name in names if [other.lower() for other in names].count(name.lower()) > 1)
    if alike:
        faults.append(f"has columns that differ only by case ({', '.join(alike)}), whose values Debezium would mix: rename one")
    if found.has_row_security:
        faults.append(f"has row-level security, which would hide rows from the snapshot: disable it or give {setup.ROLE} BYPASSRLS")
    return faults


def _column_faults(table: Table, found: SourceTable, altered: Altered) -> list[str]:
    faults = []
    for column in table.columns:
        if (table.name, column.name) in altered:
            continue
        actual = found.columns.get(column.name)
        if actual is None:
            faults.append(f"has no column {column.name}: add it, or remove it from the declaration")
        elif actual.is_generated:
            faults.append(
                f"computes column {column.name} itself (GENERATED), which Postgres does not publish: remove it from the declaration"
            )
        elif not is_compatible(column.type, actual):
            faults.append(f"has column {column.name} as {described(actual)}, which {column.type} cannot hold: {_way_out(actual)}")
    return faults


def _way_out(actual: ColumnType) -> str:
    """Cure for a column that its declared type cannot hold: a type that can, if there is one."""
    kind = types.kind(described(actual), actual.is_enum)
    if kind.is_carried:
        return f"declare it as {' or '.join(kind.declared)}"
    return f"nothing can ({kind.note}): {types.WAY_OUT}"


def _server_faults(sources: tuple[Table, ...], schema: str, catalog: Catalog) -> list[str]:
    faults = []
    if catalog.wal_level != "logical":
        faults.append(f"the source has wal_level={catalog.wal_level}: set wal_level=logical in postgresql.conf and restart Postgres")
    if catalog.is_for_all_tables:
        faults.append(
            f"publication {setup.PUBLICATION} is FOR ALL TABLES, which breaks UPDATE on every table without a primary key:"
            f" DROP PUBLICATION {setup.PUBLICATION}, then `python -m lakehouse capture apply` makes it right"
        )
    elif catalog.published is None:
        faults.append(
            f"publication {setup.PUBLICATION} does not exist: `python -m lakehouse capture apply` makes it, as the schema's owner"
        )
    else:
        missing = sorted(set(setup.captured(sources, schema)) - catalog.published)
        faults += [f"table {s}.{name} is not published: run `python -m lakehouse capture apply`" for s, name in missing]
    for table in sources:
        found = catalog.tables.get(table.name)
        if found and not found.is_readable:
            faults.append(f"role {setup.ROLE} cannot read {schema}.{table.name}: GRANT SELECT ON {schema}.{table.name} TO {setup.ROLE}")
    return faults


def _position_faults(catalog: Catalog, situation: Situation) -> list[str]:
    faults = []
    if situation.login_fault:
        faults.append(f"role {setup.ROLE} cannot open a replication connection ({situation.login_fault}): it needs LOGIN and REPLICATION")
    known, found = situation.known_identity, situation.identity
    if known and found and known != found:
        faults.append(
            f"the source is another Postgres ({found}) than the lake was filled from ({known}): point back to that one, or take this one as"
            " the next epoch: `python -m lakehouse accept epoch`"
        )
    if catalog.slot_status == "lost":
        faults.append(f"replication slot {setup.SLOT} is lost: it fell behind max_slot_wal_keep_size and changes are gone; {_AGAIN}")
    elif catalog.slot_status and not situation.has_offset:
        faults.append(f"replication slot {setup.SLOT} exists but Connect's offsets are gone: changes between would be skipped; {_AGAIN}")
    elif catalog.slot_status is None and not situation.has_offset:
        # Creating a slot waits for all open transactions, prepared ones included.
        faults += [
            f"transaction {gid!r} was prepared more than a minute ago, and replication slot {setup.SLOT} cannot be made before it ends: "
            "COMMIT PREPARED or ROLLBACK PREPARED it"
            for gid in catalog.prepared
        ]
    elif situation.has_offset and catalog.slot_status is None:
        faults.append(f"Connect has offsets but replication slot {setup.SLOT} is gone: changes since are lost; {_AGAIN}")
    return faults
