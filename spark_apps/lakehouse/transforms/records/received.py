"""The fields of a bronze record that decoding needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

# Headers of a primary-key change: an upsert carries the old key, a delete the new one.
LINKS = ("__debezium.oldkey", "__debezium.newkey")
# The columns of `bronze.changes` from which a Record is built.
BRONZE_COLUMNS = ("topic", "partition", "offset", "epoch", "key", "value", "headers")


class Record(NamedTuple):
    """One Kafka record: its position in Kafka, the epoch parsed from its header, key and value as received.

    `linked`: the value of its first header of LINKS; None if it has none, or a null one.
    """

    topic: str
    partition: int
    offset: int
    epoch: int | None
    key: bytes | None
    value: bytes | None
    linked: bytes | None = None


def records(bronze: pa.Table) -> Iterator[Record]:
    """The rows of `bronze.changes` as Records; only BRONZE_COLUMNS are read."""
    columns = [bronze.column(name).to_pylist() for name in BRONZE_COLUMNS[:-1]]
    linked = _links(bronze)
    if not linked:
        return map(Record, *columns)
    return map(Record, *columns, (linked.get(number) for number in range(bronze.num_rows)))


def _links(bronze: pa.Table) -> dict[int, bytes | None]:
    """`linked` by row number, for rows with such a header. They are few, and headers are the slowest column to read."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[int, bytes | None] = {}
    begin = 0
    for chunk in bronze.column("headers").chunks:
        parts = pc.list_flatten(chunk)
        is_link = pc.is_in(parts.field("key"), value_set=pa.array(LINKS, parts.type.field("key").type))
        rows = pc.list_parent_indices(chunk).filter(is_link).to_pylist()
        values = parts.field("value").filter(is_link).to_pylist()
        for row, value in zip(rows, values, strict=True):
            found.setdefault(begin + row, value)
        begin += len(chunk)
    return found
