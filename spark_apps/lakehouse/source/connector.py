"""Connector configuration, rendered from the declarations by one pure function.

Converters are set here, so that the record format does not depend on the worker's configuration. Every setting other than a name or an
address has its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.contract import Table
from lakehouse.errors import SettingsError
from lakehouse.platform_tables import EPOCH_HEADER, SIGNAL, TOPIC_PREFIX
from lakehouse.source import connection, setup

NAME = setup.CONNECTOR
TOPIC_ROOT = "ebap.source"

_COMMA = r"\x2c"
_JSON = "org.apache.kafka.connect.json.JsonConverter"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What capture excludes of the declared tables: `stopped` tables, and the `left_out` columns by table."""

    stopped: frozenset[str] = frozenset()
    left_out: Mapping[str, Iterable[str]] = field(default_factory=dict)


EVERYTHING = Scope()


def render(
    sources: Iterable[Table],
    schema: str,
    address: Mapping[str, str],
    secrets_dir: Path,
    epoch: int,
    placeholder: str,
    *,
    max_record_bytes: int,
    scope: Scope = EVERYTHING,
) -> dict[str, str]:
    """The complete Debezium configuration; the password is a reference that the worker resolves.

    `placeholder` replaces an unavailable (TOAST) value in a record; `epoch` is written to a header of every record.
    """
    return {
        **_connection(address, secrets_dir),
        **_capture(placeholder),
        **lists(sources, schema, scope),
        **_records(),
        **_resilience(max_record_bytes),
        **_names(schema, epoch),
    }


def lists(sources: Iterable[Table], schema: str, scope: Scope) -> dict[str, str]:
    """The settings that select tables and columns."""
    captured = [name for name in setup.captured(sources, schema) if name[0] != schema or name[1] not in scope.stopped]
    columns = [(schema, table, column) for table, names in sorted(scope.left_out.items()) for column in sorted(names)]
    return {"table.include.list": ",".join(map(_exactly, captured)), "column.exclude.list": ",".join(map(_exactly, columns))}


def _exactly(name: tuple[str, ...]) -> str:
    """A case-sensitive pattern for exactly that name; commas are escaped, because Debezium splits the list at commas."""
    return f"(?-i:{re.escape('.'.join(name)).replace(',', _COMMA)})"


def _connection(address: Mapping[str, str], secrets_dir: Path) -> dict[str, str]:
    host = address.get("host", "")
    if not host or host.startswith("/"):
        raise SettingsError(f"EBAP_SOURCE_DSN has host {host!r}", "capture connects over TCP, so give a host name or an address")
    optional = {"database.sslmode": address["sslmode"]} if "sslmode" in address else {}
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": host,
        "database.port": address.get("port", "5432"),
        "database.dbname": address["dbname"],
        "database.user": address["user"],
        "database.password": f"${{dir:{secrets_dir}:capture}}",
        # Also apply to the replication connection, which runs no initial statements.
        "driver.options": connection.session_options(address),
        "database.initial.statements": connection.FIRST_STATEMENT,
        **optional,
    }


def _capture(placeholder: str) -> dict[str, str]:
    return {
        "plugin.name": "pgoutput",
        "slot.name": setup.SLOT,
        "publication.name": setup.PUBLICATION,
        # The schema's owner creates it: the capture role must not be able to publish.
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "initial",
        # A slot ahead of the stored offset means lost changes; the default continues silently.
        "offset.mismatch.strategy": "trust_offset",
        "signal.enabled.channels": "source",
        "signal.data.collection": f"{setup.SCHEMA}.{SIGNAL}",
        # Advances the slot while only other databases write, and the tables' completeness while the source is idle. On an idle source
        # each heartbeat costs one batch of land, half a CPU second; the smallest max_age_s is 30 s, including land's interval.
        "heartbeat.interval.ms": "15000",
        "heartbeat.action.query": f"UPDATE {setup.SCHEMA}.heartbeat SET beat_at = clock_timestamp() WHERE id = 1",
        "unavailable.value.placeholder": placeholder,
    }


def _records() -> dict[str, str]:
    converters = {f"{part}.converter": _JSON for part in ("key", "value", "header")}
    # With embedded schemas records are 5.6 times as large; the declarations are the schema.
    schemaless = {f"{part}.converter.schemas.enable": "false" for part in ("key", "value", "header")}
    # By default, a NULL in a column with a DEFAULT is sent as that default.
    nulls = {f"{part}.converter.replace.null.with.default": "false" for part in ("key", "value")}
    return {
        **converters,
        **schemaless,
        **nulls,
        # In precise mode the scale is only in the schema, without which values are off by powers of ten.
        "decimal.handling.mode": "string",
        "time.precision.mode": "isostring",
        "interval.handling.mode": "string",
        # JSON encodes it as base64 anyway; in mode base64 an unavailable value arrives as NULL instead of the placeholder.
        "binary.handling.mode": "bytes",
        "tombstones.on.delete": "true",
        # The default skips truncates, so that rows would never end.
        "skipped.operations": "none",
        # Transactions are grouped by source.txId; the ids in the metadata differ for each event.
        "provide.transaction.metadata": "false",
        # Saves about 250 bytes a record.
        "extended.headers.enabled": "false",
    }


def _resilience(max_record_bytes: int) -> dict[str, str]:
    return {
        # skip and warn lose changes silently; warn, the default of the second, sends NULL for a value that cannot be converted. `mending`
        # excludes the failing column or table. A value of another type than its column is NULL in any case, see the decision about the
        # schema gate.
        "event.processing.failure.handling.mode": "fail",
        "event.converting.failure.handling.mode": "fail",
        # A value that the driver cannot read raises the same type of error as an unreachable Postgres, so unlimited retries would hide
        # it. After half a minute the task fails; the schema check restarts it if the source answers.
        "errors.max.retries": "10",
        "retriable.restart.connector.wait.ms": "2000",
        "poll.interval.ms": "50",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
        # 32,768 records of 1 MB would be 32 GB, so limit the queue by bytes too: an eighth of the worker's heap.
        "max.queue.size.in.bytes": str(64 * 1024 * 1024),
        "producer.override.compression.type": "lz4",
        "producer.override.linger.ms": "5",
        "producer.override.batch.size": "262144",
        "producer.override.max.request.size": str(max_record_bytes),
        # The producer rejects a record larger than its buffer; the default is 32 MiB.
        "producer.override.buffer.memory": str(max(max_record_bytes, 32 * 1024 * 1024)),
        # The maximum of an int (24 days): an expired batch fails the task, so wait for an unreachable broker instead.
        "producer.override.delivery.timeout.ms": str(2**31 - 1),
    }


def _names(schema: str, epoch: int) -> dict[str, str]:
    schemas = "|".join(re.escape(name) for name in (schema, setup.SCHEMA))
    return {
        "topic.prefix": TOPIC_ROOT,
        "transforms": "route,epoch",
        "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.route.regex": rf"{re.escape(TOPIC_ROOT)}\.(?:{schemas})\.(.+)",
        "transforms.route.replacement": f"{TOPIC_PREFIX}$1",
        "transforms.epoch.type": "org.apache.kafka.connect.transforms.InsertHeader",
        "transforms.epoch.header": EPOCH_HEADER,
        "transforms.epoch.value.literal": str(epoch),
    }
