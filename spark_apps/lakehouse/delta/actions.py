"""Actions of a Delta log: a line of a commit, or a row of a checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from lakehouse.delta.schema import Field, fields_of
from lakehouse.errors import EbapError

_ABSOLUTE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, kw_only=True)
class DeletionVector:
    """Storage of the positions of a file's deleted rows: inline (`i`), or in a file of the table (`u`)."""

    storage_type: str
    path_or_inline: str
    offset: int | None
    size: int
    cardinality: int

    @property
    def unique_id(self) -> str:
        """Identifies the vector among those of the same file."""
        suffix = "" if self.offset is None else f"@{self.offset}"
        return f"{self.storage_type}{self.path_or_inline}{suffix}"

    @staticmethod
    def parse(found: Mapping[str, Any] | None) -> DeletionVector | None:
        """From the log's JSON or from a checkpoint's row."""
        if not found:
            return None
        return DeletionVector(
            storage_type=found["storageType"],
            path_or_inline=found["pathOrInlineDv"],
            offset=found.get("offset"),
            size=found["sizeInBytes"],
            cardinality=found["cardinality"],
        )

    def json(self) -> dict[str, Any]:
        """The JSON of the log."""
        placed = {} if self.offset is None else {"offset": self.offset}
        kind = {"storageType": self.storage_type, "pathOrInlineDv": self.path_or_inline}
        return {**kind, **placed, "sizeInBytes": self.size, "cardinality": self.cardinality}


@dataclass(frozen=True, kw_only=True)
class File:
    """A data file of the table, or one that a commit removed; `path` is relative and not URL-encoded, `raw` is as in the log.

    `partition` holds the serialized partition values; `stats` is JSON or None; `size` is bytes (0 if a remove does not record it).
    """

    path: str
    raw: str
    partition: Mapping[str, str | None]
    size: int
    modified_ms: int
    is_data_change: bool
    stats: str | None
    vector: DeletionVector | None
    tags: Mapping[str, str] | None = None

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def key(self) -> tuple[str, str | None]:
        """The file's identity in the protocol: its path and deletion vector."""
        return self.path, self.vector.unique_id if self.vector else None

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """The parsed statistics; empty where there are none. Fractions are Decimals."""
        return json.loads(self.stats, parse_float=Decimal) if self.stats else {}

    @property
    def rows(self) -> int | None:
        """Rows in the file, deleted ones included; None if the log does not record it."""
        return self.statistics.get("numRecords")

    @staticmethod
    def parse(found: Mapping[str, Any]) -> File:
        """From an `add` or a `remove`. Raises EbapError for a file outside of the table's folder."""
        raw = found["path"]
        if _ABSOLUTE.match(raw):
            raise EbapError(f"{raw} is an absolute path (a shallow clone?): only files in the table's own folder are supported")
        vector = DeletionVector.parse(found.get("deletionVector"))
        if vector and vector.storage_type not in ("i", "u"):
            raise EbapError(f"the deletion vector of {raw} is stored by an absolute path")
        return File(
            path=unquote(raw) if "%" in raw else raw,
            raw=raw,
            partition=dict(found.get("partitionValues") or {}),
            size=found.get("size") or 0,
            modified_ms=found.get("modificationTime") or found.get("deletionTimestamp") or 0,
            is_data_change=found.get("dataChange", True),
            stats=found.get("stats"),
            vector=vector,
            tags=dict(found["tags"]) if found.get("tags") else None,
        )

    def added(self, *, is_data_change: bool = True) -> dict[str, Any]:
        """The `add` action."""
        action: dict[str, Any] = {"path": self.raw, "partitionValues": dict(self.partition), "size": self.size}
        action |= {"modificationTime": self.modified_ms, "dataChange": is_data_change}
        action |= {"stats": self.stats} if self.stats is not None else {}
        action |= {"tags": dict(self.tags)} if self.tags else {}
        return action | ({"deletionVector": self.vector.json()} if self.vector else {})

    def removed(self, at_ms: int) -> dict[str, Any]:
        """The `remove` action."""
        action: dict[str, Any] = {"path": self.raw, "deletionTimestamp": at_ms, "dataChange": True, "extendedFileMetadata": True}
        action |= {"partitionValues": dict(self.partition), "size": self.size}
        action |= {"tags": dict(self.tags)} if self.tags else {}
        action |= {"deletionVector": self.vector.json()} if self.vector else {}
        return action | ({"stats": self.stats} if self.stats is not None else {})


@dataclass(frozen=True, kw_only=True)
class TableProtocol:
    """Protocol versions and features that readers and writers of a table must support."""

    reader_version: int
    writer_version: int
    reader_features: frozenset[str]
    writer_features: frozenset[str]
    raw: Mapping[str, Any]

    @staticmethod
    def parse(found: Mapping[str, Any]) -> TableProtocol:
        """From a `protocol` action."""
        return TableProtocol(
            reader_version=found["minReaderVersion"],
            writer_version=found["minWriterVersion"],
            reader_features=frozenset(found.get("readerFeatures") or ()),
            writer_features=frozenset(found.get("writerFeatures") or ()),
            raw=found,
        )


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """A table's columns, partitions and properties; `raw` is the `metaData` action."""

    schema: tuple[Field, ...]
    partition_columns: tuple[str, ...]
    configuration: Mapping[str, str]
    raw: Mapping[str, Any]

    @staticmethod
    def parse(found: Mapping[str, Any]) -> Metadata:
        """From a `metaData` action."""
        return Metadata(
            schema=fields_of(found["schemaString"]),
            partition_columns=tuple(found.get("partitionColumns") or ()),
            configuration=dict(found.get("configuration") or {}),
            raw=found,
        )


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The commit of one version of a table. `info` is `commitInfo`, empty if there is none."""

    version: int
    info: Mapping[str, Any] = field(default_factory=dict)
    adds: tuple[File, ...] = ()
    removes: tuple[File, ...] = ()
    cdc: tuple[File, ...] = ()
    txns: Mapping[str, int] = field(default_factory=dict)
    txns_updated: Mapping[str, int | None] = field(default_factory=dict)
    metadata: Metadata | None = None
    protocol: TableProtocol | None = None
    domains: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def at_ms(self) -> int:
        """Commit time by the writer's clock, in milliseconds since 1970 UTC."""
        return int(self.info.get("inCommitTimestamp") or self.info.get("timestamp") or 0)

    @property
    def operation(self) -> str:
        """Delta's name of the operation, such as MERGE or OPTIMIZE; empty if not recorded."""
        return str(self.info.get("operation") or "")

    @property
    def user_metadata(self) -> str | None:
        """The user metadata of the commit."""
        return self.info.get("userMetadata")

    @property
    def changes_rows(self) -> bool:
        """Whether the commit added or removed rows; a compaction does not."""
        return any(file.is_data_change for file in (*self.adds, *self.removes)) or bool(self.cdc)

    @property
    def is_blind_append(self) -> bool:
        """Whether it only added rows, without reading any."""
        return bool(self.info.get("isBlindAppend")) and not self.removes and not self.cdc
