"""The contract: Table, Column and Expect, which declare a table once for everything else.

A declaration is a frozen object that is validated when it is built: `ContractError` lists every fault. DDL, topics, capture lists, merge
keys, DAG tasks, comments and the data dictionary are derived from it. Only the standard library is imported here, so that Airflow's
parser, the generator and the web pages can read declarations without Spark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from lakehouse.errors import ContractError

# Types a column may have. TIMESTAMP_NTZ, VARIANT, TIME and STRUCT are not supported: the BI drivers have no type for them, and the
# last two break the Thrift protocol.
_PLAIN_TYPES = frozenset(
    {"BIGINT", "INT", "SMALLINT", "STRING", "BOOLEAN", "DOUBLE", "FLOAT", "DATE", "TIMESTAMP", "BINARY", "ARRAY<STRING>"}
)
# Kafka's headers as received: only in bronze, which no BI tool reads.
KAFKA_HEADERS = "ARRAY<STRUCT<key: STRING, value: BINARY>>"
_DECIMAL = re.compile(r"DECIMAL\((\d{1,2}),(\d{1,2})\)")
_WIDENINGS = {("SMALLINT", "INT"), ("SMALLINT", "BIGINT"), ("INT", "BIGINT"), ("FLOAT", "DOUBLE")}
# No reader needs one version of a table for longer: tasks time out after minutes, queries end within hours.
LONGEST_READER_H = 24
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Spark and Delta ignore case in names, Postgres and DuckDB not always: only lower-case names mean the same in all of them.
_NO_NAME = "is not lower_snake_case (a-z, 0-9, _)"
_RENAME = "rename it at the source"


class History(Enum):
    """How much history of a source table the silver layer shows: FULL is SCD type 2, LATEST is SCD type 1."""

    FULL = "full"
    LATEST = "latest"


class Layer(Enum):
    """The schema of a table; that of the live half is in a catalog of its own, whose tables are Iceberg's."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    LIVE = "iceberg.ebap"


class Kind(Enum):
    """How a table is created and written."""

    SOURCE = "source table"  # captured, shown by views over its stored changes
    CHANGES = "stored changes"  # the stored form of a source table
    GOLD = "gold table"
    VIEW = "gold view"
    LIVE = "live table"  # filled from topics of events
    PLATFORM = "platform table"  # the platform's own metadata


class Severity(Enum):
    """What happens to a row that violates an expectation: it is flagged and kept, or quarantined."""

    FLAG = "flag"
    REFUSE = "refuse"


def is_type(text: str) -> bool:
    """Whether `text` is a Spark DDL type that EBAP stores."""
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        precision, scale = int(decimal[1]), int(decimal[2])
        return 1 <= precision <= 38 and scale <= precision
    return text in _PLAIN_TYPES or text == KAFKA_HEADERS


def is_widening(narrow: str, wide: str) -> bool:
    """Whether `wide` is another type that holds every value of `narrow`, and to which Delta can widen it in place."""
    if (narrow, wide) in _WIDENINGS:
        return True
    before, after = _DECIMAL.fullmatch(narrow), _DECIMAL.fullmatch(wide)
    return bool(before and after) and before[2] == after[2] and int(before[1]) < int(after[1])  # type: ignore[index]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its Spark DDL type and its meaning, with the unit if it has one.

    With `tracked=False` a change of this column opens no version. `pii=True` marks personal data: gold omits it, or declares its column
    `hashed=True` too and shows a keyed hash. `person` is the table of persons whose key this column holds; on that table's own key it
    marks each row as a person. In a live table `is_added` columns are not fields of a record but the platform's additions to it; of the
    fields, `is_optional` ones may be null, one with `choices` has no other value, a text that `is_uuid` is a UUID, and a number that
    `is_count` is from 0 to 999,999,999.
    """

    name: str
    type: str
    doc: str
    tracked: bool = True
    pii: bool = False
    hashed: bool = False
    person: str | None = None
    is_added: bool = False
    is_optional: bool = False
    is_uuid: bool = False
    is_count: bool = False
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = []
        if not _NAME.fullmatch(self.name.lstrip("_")):
            faults.append(f"column name {self.name!r} {_NO_NAME}: {_RENAME}, or leave it undeclared (bronze has its values in any case)")
        if not is_type(self.type):
            faults.append(f"column {self.name!r} has type {self.type!r}, which EBAP does not store")
        if not self.doc.strip():
            faults.append(f"column {self.name!r} has no doc")
        if self.hashed and not (self.pii and self.type == "STRING"):
            faults.append(f"column {self.name!r} is hashed: it must have pii=True and type STRING")
        _raise(faults)


@dataclass(frozen=True, kw_only=True)
class Expect:
    """A constraint on rows, as a Spark SQL condition over the table's own columns; NULL counts as satisfied."""

    name: str
    condition: str
    doc: str
    severity: Severity = Severity.FLAG

    def __post_init__(self) -> None:
        faults = []
        if not _NAME.fullmatch(self.name):
            faults.append(f"expectation name {self.name!r} is not lower_snake_case")
        if not self.condition.strip():
            faults.append(f"expectation {self.name!r} has no condition")
        if not self.doc.strip():
            faults.append(f"expectation {self.name!r} has no doc")
        _raise(faults)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: its grain, key, columns and expectations.

    A source table (captured from Postgres, stored in silver) has `history`. `changes_of` is the source table whose stored form a table
    is; tables of the platform's own metadata have `is_platform`. A gold table has `inputs`, the tables it is computed from, and `slice`,
    the column by whose values it is recomputed; a gold view has inputs and no slice. `sliced_by` maps an input to an SQL expression that
    computes the slice: only rows of the slices being recomputed are read from it, and if it is a gold table, its changes affect only
    those slices. Tables are partitioned by `partition_by`, gold tables by their slice. `max_age_s` is the age in seconds beyond which the
    content is late. `retention_h` is how many hours files of older versions are kept, for running queries, checkpoints that lag and time
    travel. A live table is filled from the records of its `topic`, which have the key `record_key`, or computed from `inputs`; it is
    partitioned by the day of a TIMESTAMP of `partition_by`.
    """

    name: str
    doc: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    owner: str
    max_age_s: int
    layer: Layer = Layer.SILVER
    history: History | None = None
    expects: tuple[Expect, ...] = ()
    inputs: tuple[str, ...] = ()
    slice: str | None = None
    sliced_by: Mapping[str, str] = field(default_factory=dict, hash=False)
    partition_by: tuple[str, ...] = ()
    changes_of: str | None = None
    is_platform: bool = False
    topic: str | None = None
    record_key: str | None = None
    retention_h: int = 168
    rules: tuple[str, ...] = field(default=())  # definitions for readers: revenue, as-of instants

    def __post_init__(self) -> None:
        faults = []
        if not _NAME.fullmatch(self.name):
            faults.append(f"its name {_NO_NAME}: {_RENAME}, or do not capture it")
        for what in ("doc", "grain", "owner"):
            if not getattr(self, what).strip():
                faults.append(f"it has no {what}")
        faults += self._column_faults()
        faults += self._kind_faults()
        faults += self._personal_faults()
        if self.max_age_s <= 0:
            faults.append("max_age_s must be a positive number of seconds")
        if self.retention_h < LONGEST_READER_H:
            faults.append(f"retention_h must be at least {LONGEST_READER_H}: a query or a task may run as long")
        _raise([f"table {self.name!r}: {fault}" for fault in faults])

    def _column_faults(self) -> list[str]:
        names = [column.name for column in self.columns]
        faults = [f"column {name!r} is declared twice" for name in sorted({n for n in names if names.count(n) > 1})]
        if not self.key:
            faults.append("it has no key")
        faults += [f"key column {name!r} is not declared" for name in self.key if name not in names]
        faults += [f"key column {c.name!r} cannot be untracked" for c in self.columns if c.name in self.key and not c.tracked]
        expects = [expect.name for expect in self.expects]
        faults += [f"expectation {name!r} is declared twice" for name in sorted({n for n in expects if expects.count(n) > 1})]
        if self.history:
            faults += [
                f"column {n!r} begins with _, which is the platform's: {_RENAME}, or leave it undeclared"
                for n in names
                if n.startswith("_")
            ]
            # Gold's SQL reads changed keys from a relation with that column.
            faults += [f"key column {n!r} has the name of gold's instant of a change: {_RENAME}" for n in self.key if n == "since"]
        return faults

    def _kind_faults(self) -> list[str]:
        faults = []
        if self.history and self.layer is not Layer.SILVER:
            faults.append("only a silver table has a history")
        if self.layer is Layer.GOLD and not self.inputs and not self.is_platform:
            faults.append("a gold table names its inputs")
        if sum(map(bool, (self.history, self.changes_of, self.is_platform, self.inputs, self.topic))) != 1:
            faults.append(
                "it is one of: a source table (history), stored changes (changes_of), computed from others (inputs), filled from a topic, "
                "the platform's own"
            )
        faults += self._live_faults()
        faults += [f"partition column {name!r} is not declared" for name in self.partition_by if name not in self.column_names]
        if self.partition_by and self.layer is Layer.GOLD:
            faults.append("a gold table is partitioned by its slice")
        if self.inputs and self.layer not in (Layer.GOLD, Layer.LIVE):
            faults.append("only a gold or a live table has inputs")
        if self.slice and self.slice not in [column.name for column in self.columns]:
            faults.append(f"slice {self.slice!r} is not a declared column")
        if self.slice and self.layer is not Layer.GOLD:
            faults.append("only a gold table has a slice")
        if self.sliced_by and not self.slice:
            faults.append("sliced_by needs a slice")
        faults += [f"sliced_by names {name!r}, which is not an input" for name in self.sliced_by if name not in self.inputs]
        return faults

    def _live_faults(self) -> list[str]:
        faults = []
        if self.topic and self.layer is not Layer.LIVE:
            faults.append("only a live table is filled from a topic")
        if bool(self.topic) != bool(self.record_key):
            faults.append("a table filled from a topic names the key of its records, and no other table does")
        if self.record_key and self.record_key not in [column.name for column in self.fields]:
            faults.append(f"the key of its records {self.record_key!r} is not a field of them")
        if not self.topic:
            faults += [
                f"column {c.name!r} is not a field of a record"
                for c in self.columns
                if c.is_added or c.is_optional or c.is_uuid or c.is_count or c.choices
            ]
        elif not self.time_column:
            faults.append("a table filled from a topic is partitioned by the day of a field, a TIMESTAMP")
        return faults

    def _personal_faults(self) -> list[str]:
        faults = []
        for column in self.columns:
            if column.hashed and (self.layer is not Layer.GOLD or self.is_view):
                faults.append(f"column {column.name!r} is hashed: only a gold table with a slice can do that, a view would show the secret")
            if column.pii and not column.hashed and self.layer is Layer.GOLD:
                faults.append(f"column {column.name!r} is personal data: gold leaves it out, or declares it hashed=True")
            if column.person and self.layer not in (Layer.SILVER, Layer.LIVE):
                faults.append(f"column {column.name!r} names a person: only a source table or a live table can")
            if column.pii and self.history and column.type.startswith("ARRAY"):
                faults.append(f"column {column.name!r} is personal data in an array, which cannot be blanked in a record as received")
            if column.pii and self.history and column.name in self.key and not self.is_of_persons:
                faults.append(f"key column {column.name!r} is personal data: declare whose key it holds (person={self.name!r})")
        if self.is_of_persons and len(self.key) > 1:
            faults.append("a table of persons must have a key of one column, for references")
        return faults

    @property
    def is_of_persons(self) -> bool:
        """Whether a row is a person: forgetting the person removes it, where in other tables only `erased` columns go."""
        return any(column.person == self.name for column in self.columns if column.name in self.key)

    @property
    def person_columns(self) -> tuple[Column, ...]:
        """Columns that hold the key of a person of another table."""
        return tuple(column for column in self.columns if column.person and column.person != self.name)

    @property
    def erased(self) -> tuple[str, ...]:
        """Columns that are blanked in rows of a forgotten person: personal data and references to persons."""
        return tuple(c.name for c in self.columns if c.name not in self.key and (c.pii or c in self.person_columns))

    @property
    def full_name(self) -> str:
        """Schema and name, as in SQL."""
        return f"{self.layer.value}.{self.name}"

    @property
    def kind(self) -> Kind:
        """The kind of table; a gold table without a slice is a view, for which nothing is stored."""
        if self.is_platform:
            return Kind.PLATFORM
        if self.changes_of:
            return Kind.CHANGES
        if self.history:
            return Kind.SOURCE
        if self.layer is Layer.LIVE:
            return Kind.LIVE
        return Kind.GOLD if self.slice else Kind.VIEW

    @property
    def fields(self) -> tuple[Column, ...]:
        """The columns that a record of its topic has."""
        return tuple(column for column in self.columns if not column.is_added)

    @property
    def time_column(self) -> str | None:
        """The field with the instant of a record, by whose day the table is partitioned."""
        return next((c.name for c in self.fields if c.name in self.partition_by and c.type == "TIMESTAMP"), None)

    @property
    def is_view(self) -> bool:
        """Whether it is a gold view."""
        return self.kind is Kind.VIEW

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partition columns of a stored table."""
        return (self.slice,) if self.slice else self.partition_by

    @property
    def column_names(self) -> tuple[str, ...]:
        """The declared columns in order."""
        return tuple(column.name for column in self.columns)

    @property
    def tracked(self) -> tuple[str, ...]:
        """Columns whose change opens a version: every tracked one that is not part of the key."""
        return tuple(c.name for c in self.columns if c.tracked and c.name not in self.key)

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name!r} has no column {name!r}")

    def schema_ddl(self) -> str:
        """The columns as a Spark schema string, without comments."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)


def _raise(faults: list[str]) -> None:
    if faults:
        raise ContractError("; ".join(faults))
