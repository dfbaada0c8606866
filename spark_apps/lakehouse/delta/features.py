"""Delta table features that are implemented; a table that needs another is refused with the feature's name."""

from __future__ import annotations

from lakehouse.delta.actions import Metadata, TableProtocol
from lakehouse.errors import EbapError

_READER = frozenset({"deletionVectors", "typeWidening", "v2Checkpoint", "vacuumProtocolCheck"})
# Tables with constraints or generated columns are rejected; the features alone are not, since every table upgraded to version 7 has them.
_WRITER = _READER | {"appendOnly", "invariants", "checkConstraints", "generatedColumns", "changeDataFeed", "domainMetadata"}
_WITH_FEATURES = (3, 7)
_READER_PLAIN = 1
_WRITER_PLAIN = 4  # append-only, invariants, constraints, change feed, generated columns


def check_readable(where: str, protocol: TableProtocol, metadata: Metadata) -> None:
    """Raise EbapError if reading the table requires an unsupported feature."""
    unknown = sorted(protocol.reader_features - _READER)
    if unknown:
        raise EbapError(f"{where} has the reader feature {', '.join(unknown)}: not supported")
    if protocol.reader_version not in (_READER_PLAIN, _WITH_FEATURES[0]):
        raise EbapError(f"{where} has reader version {protocol.reader_version}: only 1, and 3 with known features, are supported")
    mode = metadata.configuration.get("delta.columnMapping.mode", "none")
    if mode != "none":
        raise EbapError(f"{where} has columnMapping of mode {mode}: not supported")


def check_writable(where: str, protocol: TableProtocol, metadata: Metadata) -> None:
    """Raise EbapError if writing to the table requires an unsupported feature."""
    check_readable(where, protocol, metadata)
    unknown = sorted(protocol.writer_features - _WRITER)
    if unknown:
        raise EbapError(f"{where} has the writer feature {', '.join(unknown)}: not supported")
    if protocol.writer_version > _WRITER_PLAIN and protocol.writer_version != _WITH_FEATURES[1]:
        raise EbapError(f"{where} has writer version {protocol.writer_version}: only up to 4, and 7 with known features, are supported")
    constraints = [name for name in metadata.configuration if name.startswith("delta.constraints.")]
    if constraints:
        raise EbapError(f"{where} has the constraint {', '.join(constraints)}: only Spark can check it")
    for field in metadata.schema:
        special = [name for name in field.metadata if name in ("delta.invariants", "delta.generationExpression") or "identity" in name]
        if special:
            raise EbapError(f"{where}: column {field.name} has {', '.join(special)}, which only Spark can compute or check")


def has_deletion_vectors(protocol: TableProtocol, metadata: Metadata) -> bool:
    """Whether new deletion vectors may be written."""
    return "deletionVectors" in protocol.writer_features and metadata.configuration.get("delta.enableDeletionVectors") == "true"
