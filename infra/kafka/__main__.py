"""`python -m infra.kafka`: create the topics of the change log and hold their settings; safe to repeat."""

from __future__ import annotations

import argparse
import sys

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from lakehouse import tables
from lakehouse.settings import Settings, SettingsError
from lakehouse.source import topics

_EXIT_CODES = "Exits with 0 when every topic is as it must be, 1 with one message where not."


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(prog="python -m infra.kafka", description=__doc__, epilog=_EXIT_CODES)
    made.add_argument("--correct", action="store_true", help="set cleanup.policy=delete on a topic that has another")
    return made


def main() -> int:
    """Create and hold the topics; gives the exit code."""
    arguments = parser().parse_args()
    try:
        settings = Settings.from_environment()
        admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
        for line in topics.create(admin, topics.declared(tables.SOURCES), settings.max_batch_bytes, may_correct=arguments.correct):
            print(line)
    except KafkaError as error:
        print(f"Kafka at {settings.kafka_bootstrap} does not answer ({error}): start it with `make up`", file=sys.stderr)
        return 1
    except (SettingsError, topics.TopicError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
