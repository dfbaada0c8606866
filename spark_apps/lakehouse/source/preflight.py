"""Preflight: what must hold before capture may start; all faults are reported at once, each with its cure.

Faults that would lose changes without a word are the reason this exists: a slot and offsets that do not belong together, another
Postgres under the same address, a topic that keeps only the newest record of a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.source import publishing, setup, types
from lakehouse.source.catalog import Catalog, ColumnType, SourceTable
from lakehouse.source.compatibility import described, is_compatible

# Table and column; None in place of the column is the table's key.
Altered = frozenset[tuple[str, str | None]]
_AGAIN = "begin again with `make wipe`, then `make up`"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the parts around the source say.

    `altered` are table and column (None for the key) of what the lake saw change in the source: such a change is for the schema's
    gate, which stops its table alone, and keeps the capture of no other from starting.

    `identity` is `<system identifier>/<timeline>` of the Postgres that answers, None where the capture role cannot ask
    (`login_fault` says why); `known_identity` the one the lake was filled from, None for a new lake; `has_offset` whether
    Connect keeps a position for the connector; `topic_faults` come from `topics`; `early_dates` are table and column of dates
    before the year 1, which the snapshot that is due would misread.
    """

    identity: str | None
    login_fault: str | None
    known_identity: str | None
    has_offset: bool
    topic_faults: tuple[str, ...] = ()
    altered: Altered = frozenset()
    early_dates: frozenset[tuple[str, str]] = frozenset()


def check(sources: Iterable[Table], schema: str, catalog: Catalog, situation: Situation) -> None:
    """Raise EbapError with every fault; return where there is none."""
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
    """What keeps a declared table from being published at all."""
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
    """What to do about a column that its declared type cannot hold: declare another type, where there is one that can."""
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
        # It begins where no transaction of before is open any more.
        faults += [
            f"transaction {gid!r} was prepared more than a minute ago, and replication slot {setup.SLOT} cannot be made before it ends: "
            "COMMIT PREPARED or ROLLBACK PREPARED it"
            for gid in catalog.prepared
        ]
    elif situation.has_offset and catalog.slot_status is None:
        faults.append(f"Connect has offsets but replication slot {setup.SLOT} is gone: changes since are lost; {_AGAIN}")
    return faults
