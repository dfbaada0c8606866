"""`python -m infra.capture`: set the capture up and look after it.

apply          prepare the source, run the preflight, put the connector and wait until it runs; safe to repeat
preflight      only look: name everything that keeps capture from starting
wait-snapshot  wait until the initial snapshot is complete
show           print the connector's configuration, with references in place of passwords
delete         delete the connector; slot, publication and offsets stay
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg2
from kafka.errors import KafkaError

from infra.capture import apply, connector, preflight, worker
from infra.kafka import topics
from lakehouse.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SNAPSHOT_LIMIT_S = 600
_MESSAGES = (
    preflight.PreflightError,
    worker.WorkerError,
    connector.AddressError,
    topics.TopicError,
    SettingsError,
)


def main() -> int:
    """Exit 0 when done, 1 with one clear message where not."""
    parser = argparse.ArgumentParser(prog="python -m infra.capture", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument("--timeout", type=float, default=SNAPSHOT_LIMIT_S, help="seconds that wait-snapshot waits (default %(default)s)")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environment()
        print(_COMMANDS[arguments.command](settings, arguments.timeout))
    except _MESSAGES as error:
        print(error, file=sys.stderr)
        return 1
    except KafkaError as error:
        print(f"Kafka at {settings.kafka_bootstrap} does not answer ({error}): see `make status`", file=sys.stderr)
        return 1
    except psycopg2.OperationalError as error:
        print(f"The source does not let its owner in: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _apply(settings: Settings, _: float) -> str:
    apply.apply(settings, _lake(settings))
    return f"connector {connector.NAME} runs"


def _preflight(settings: Settings, _: float) -> str:
    from lakehouse import storage

    known = storage.source_identity(_lake(settings))
    identity = apply.check(settings, known.identity if known else None)
    return f"nothing stands in the way of capturing Postgres {identity}"


def _wait_snapshot(settings: Settings, timeout_s: float) -> str:
    worker.wait_snapshot(settings, timeout_s)
    return "the initial snapshot is complete"


def _show(settings: Settings, _: float) -> str:
    from lakehouse import storage

    known = storage.source_identity(_lake(settings))
    epoch, placeholder = (known.epoch, known.placeholders[-1]) if known else (1, "<random, made by apply>")
    return json.dumps(apply.rendered(settings, epoch, placeholder), indent=2)


def _delete(settings: Settings, _: float) -> str:
    return f"connector {connector.NAME} is deleted" if worker.delete(settings) else f"there is no connector {connector.NAME}"


def _lake(settings: Settings) -> SparkSession:
    """The warm server keeps what the lake knows of its source."""
    from lakehouse import session

    try:
        socket.create_connection((settings.host, settings.spark_connect_port), timeout=10).close()
    except OSError:
        raise worker.WorkerError(f"the warm Spark server at {settings.spark_remote} does not answer: see `make status`") from None
    return session.connect(settings)


_COMMANDS: dict[str, Callable[[Settings, float], str]] = {
    "apply": _apply,
    "preflight": _preflight,
    "wait-snapshot": _wait_snapshot,
    "show": _show,
    "delete": _delete,
}

if __name__ == "__main__":
    sys.exit(main())
