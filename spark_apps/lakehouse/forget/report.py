"""Output of `python -m lakehouse forget`: the result, and what files, Kafka and the source still hold until when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg2
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError
from psycopg2 import sql

from lakehouse import platform_tables, tables
from lakehouse.errors import EbapError
from lakehouse.forget import forget, iceberg_files, verify
from lakehouse.lake.lake import Lake
from lakehouse.live import erasure, past
from lakehouse.settings import Settings
from lakehouse.source import broker, connection

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def forgotten(spark: SparkSession, settings: Settings, done: forget.Forgotten) -> list[str]:
    """Lines about a key that was just forgotten."""
    table = tables.source(done.table)
    linked = "".join(f"; {count} rows of {name} no longer name a person" for name, count in sorted(done.linked.items()))
    lines = [f"{done.table} {done.key} is forgotten{linked}. Changed: {', '.join(done.changed) or 'nothing'}."]
    lines += [f"A primary-key change links it to {key}: if that is the same person, forget it too." for key in done.other_keys]
    lines.append(at_source(settings, done.table, done.key))
    lines += [f"Files of older versions hold it until {_day(verify.gone_by(spark, table))}: check with `forget --verify` after that."]
    lines += kafka(settings, [*map(platform_tables.topic, (done.table, *done.linked))], datetime.now(UTC))
    return lines + (_live(settings) if settings.is_live and done.table == erasure.USER.person else [])


def _live(settings: Settings) -> list[str]:
    """Lines about the live half, whose events name the person until its next round."""
    try:
        erasure.wait(Lake(settings))
    except EbapError as error:
        lines = [f"{error.what}: {error.cure}."]
    else:
        lines = [f"{' and '.join(table.full_name for table in erasure.PERSONAL)} no longer name forgotten people."]
    if any(past.folder(settings).glob("*")):
        lines.append(f"Files of past visits are as they were received: delete what names the person in {past.folder(settings)}.")
    return lines + kafka(settings, [str(erasure.EVENTS.topic)], datetime.now(UTC))


def verified(spark: SparkSession, settings: Settings) -> tuple[list[str], bool]:
    """Lines about all forgotten keys, and whether every file is within its limit."""
    found, now = verify.find(spark, settings), datetime.now(UTC)
    lines, is_whole = list[str](), True
    if found and settings.is_live:
        try:
            found += iceberg_files.find(spark, settings)
        except EbapError as error:
            lines, is_whole = [f"The live half could not be searched: {error}."], False
    if not found:
        return ["no key has been forgotten"], True
    for left in found:
        line = f"{left.table}: {left.read} files read, "
        if not left.files:
            line += f"none holds a forgotten key of {left.source}"
        elif left.live:
            line += f"{left.live} live ones hold {left.keys} forgotten keys of {left.source}: {left.live_cure}"
        elif now < left.gone_by:
            line += f"{left.files} of older versions hold {left.keys} forgotten keys of {left.source} until {_day(left.gone_by)}"
        else:
            line += f"{left.files} still hold {left.keys} forgotten keys of {left.source}, due on {_day(left.gone_by)}: {left.old_cure}"
        lines.append(line)
    topics = {platform_tables.topic(left.source) for left in found} | ({str(erasure.EVENTS.topic)} if settings.is_live else set())
    lines += kafka(settings, sorted(topics), now)
    return lines, is_whole and all(left.is_as_promised(now) for left in found)


def at_source(settings: Settings, table_name: str, key: str) -> str:
    """Whether the source still has the row."""
    values = json.loads(key)
    conditions = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values]
    query = sql.SQL("SELECT 1 FROM {} WHERE {}").format(
        sql.Identifier(settings.source_schema, table_name), sql.SQL(" AND ").join(conditions)
    )
    try:
        with connection.owner(settings) as cursor:
            cursor.execute(query, list(values.values()))
            is_there = cursor.fetchone() is not None
    except (psycopg2.Error, OSError) as error:
        return f"It is not known whether the source still has the row: {' '.join(str(error).split())}."
    if is_there:
        return "The source still has the row: delete it there too. Until then the lake erases what the source sends, snapshots included."
    return "The source has no such row."


def kafka(settings: Settings, topics: list[str], now: datetime) -> list[str]:
    """Until when Kafka holds today's records of these topics: a segment is deleted once its newest record exceeds the retention."""
    try:
        admin = broker.admin(settings)
        try:
            wanted = dict.fromkeys(("retention.ms", "segment.ms"))
            resources = [ConfigResource(ConfigResourceType.TOPIC, topic, configs=wanted) for topic in topics]
            configs = admin.describe_configs(resources, config_filter="all")["topic"]
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        return [f"It is not known how long Kafka holds records of {', '.join(topics)}: {type(error).__name__}."]
    return [_kept(topic, {name: int(entry["value"]) for name, entry in configs[topic].items()}, now) for topic in topics]


def _kept(topic: str, config: dict[str, int], now: datetime) -> str:
    retention, segment = config["retention.ms"], config["segment.ms"]
    if retention < 0:
        return f"Kafka topic {topic} never deletes records (retention.ms={retention}): set a retention."
    last = now + timedelta(milliseconds=retention + segment)
    return (
        f"Kafka topic {topic} holds its present records until {_day(last)} at the latest (retention.ms={retention}, segment.ms={segment})."
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def main(settings: Settings, table: str | None, key: str | None, is_verify: bool) -> int:
    """Forget a key, or verify the list; the exit code."""
    from lakehouse.spark import session

    spark = session.open_for_verb(settings)
    if is_verify:
        lines, is_good = verified(spark, settings)
    else:
        assert table is not None and key is not None  # the command line requires both
        lines, is_good = forgotten(spark, settings, forget.run(spark, settings, table, key)), True
    print("\n".join(lines))
    return 0 if is_good else 1
