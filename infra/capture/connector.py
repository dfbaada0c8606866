"""The connector's configuration, rendered from the declarations: one pure function, its text held by a golden test.

Converters are named here and not left to the worker, so that the records' form does not depend on how a worker was set up.
Each setting that is not a name or an address carries its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra.capture import source
from infra.kafka.topics import MAX_RECORD_BYTES, SIGNAL
from lakehouse.contract import Table
from lakehouse.ledger import EPOCH_HEADER, TOPIC_PREFIX

NAME = source.CONNECTOR
TOPIC_ROOT = "ebap.source"

_JSON = "org.apache.kafka.connect.json.JsonConverter"


class AddressError(ValueError):
    """A source address that capture cannot use; the message names it and the cure."""


def render(
    sources: Iterable[Table], schema: str, address: Mapping[str, str], secrets_dir: Path, epoch: int, placeholder: str
) -> dict[str, str]:
    """The whole configuration of the Debezium connector; the password is a reference that the worker resolves.

    `placeholder` stands in a record where an update left a large value alone; `epoch` numbers the source's timeline.
    """
    captured = source.captured(sources, schema)
    return {
        **_connection(address, secrets_dir),
        **_capture(captured, placeholder),
        **_records(),
        **_resilience(),
        **_names(schema, epoch),
    }


def _connection(address: Mapping[str, str], secrets_dir: Path) -> dict[str, str]:
    host = address.get("host", "")
    if not host or host.startswith("/"):
        raise AddressError(f"EBAP_SOURCE_DSN has host {host!r}: capture connects over TCP, so give a host name or an address")
    optional = {"database.sslmode": address["sslmode"]} if "sslmode" in address else {}
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": host,
        "database.port": address.get("port", "5432"),
        "database.dbname": address["dbname"],
        "database.user": address["user"],
        "database.password": f"${{dir:{secrets_dir}:capture}}",
        **optional,
    }


def _capture(captured: tuple[tuple[str, str], ...], placeholder: str) -> dict[str, str]:
    return {
        "plugin.name": "pgoutput",
        "slot.name": source.SLOT,
        "publication.name": source.PUBLICATION,
        # Made by the schema's owner: the capture role must not be able to publish.
        "publication.autocreate.mode": "disabled",
        "table.include.list": ",".join(re.escape(f"{in_schema}.{name}") for in_schema, name in captured),
        "snapshot.mode": "initial",
        # A slot ahead of the stored offset means lost changes; the default would go on without a word.
        "offset.mismatch.strategy": "trust_offset",
        "signal.enabled.channels": "source",
        "signal.data.collection": f"{source.SCHEMA}.{SIGNAL}",
        # Keeps the slot moving while only other databases write, and the tables' completeness known while nobody does.
        "heartbeat.interval.ms": "3000",
        "heartbeat.action.query": f"UPDATE {source.SCHEMA}.heartbeat SET beat_at = clock_timestamp() WHERE id = 1",
        "unavailable.value.placeholder": placeholder,
    }


def _records() -> dict[str, str]:
    converters = {f"{part}.converter": _JSON for part in ("key", "value", "header")}
    # Embedded schemas cost 5.6 times the bytes; the declarations are the schema.
    schemaless = {f"{part}.converter.schemas.enable": "false" for part in ("key", "value", "header")}
    return {
        **converters,
        **schemaless,
        # In precise mode the scale stands only in the schema: values would be off by powers of ten.
        "decimal.handling.mode": "string",
        "time.precision.mode": "isostring",
        "interval.handling.mode": "string",
        # As JSON it is base64 all the same; in mode base64 an unchanged large value arrives as NULL instead of the placeholder.
        "binary.handling.mode": "bytes",
        "tombstones.on.delete": "true",
        # The default drops truncates, and with them the end of every row's life.
        "skipped.operations": "none",
        # Transactions are grouped by source.txId; the metadata's own ids differ for each event.
        "provide.transaction.metadata": "false",
        # Saves about 250 bytes a record.
        "extended.headers.enabled": "false",
    }


def _resilience() -> dict[str, str]:
    return {
        # skip or warn would lose the change silently; warn, the default of the second, puts NULL where converting a value raises. A
        # value of another kind than its column is NULL all the same, see the decision about the schema gate.
        "event.processing.failure.handling.mode": "fail",
        "event.converting.failure.handling.mode": "fail",
        # A Postgres that is away comes back: try for ever, soon. Only a refused login ends the task.
        "errors.max.retries": "-1",
        "retriable.restart.connector.wait.ms": "2000",
        "poll.interval.ms": "50",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
        # 32,768 records of 1 MB would be 32 GB: the queue is bounded by bytes as well, an eighth of the worker's heap.
        "max.queue.size.in.bytes": str(64 * 1024 * 1024),
        "producer.override.compression.type": "lz4",
        "producer.override.linger.ms": "5",
        "producer.override.batch.size": "262144",
        "producer.override.max.request.size": str(MAX_RECORD_BYTES),
        # As long as an int can say (24 days): a batch that expires fails the task, and a broker that is away comes back.
        "producer.override.delivery.timeout.ms": str(2**31 - 1),
    }


def _names(schema: str, epoch: int) -> dict[str, str]:
    schemas = "|".join(re.escape(name) for name in (schema, source.SCHEMA))
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
