"""Temporary data of line 3: topics with real records, lakes of one table, tables with many versions."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from kafka import KafkaAdminClient
from pyspark.sql import functions as F

from lakehouse import platform_tables, tables
from lakehouse.lake import ddl, storage
from lakehouse.settings import Settings
from lakehouse.source import topics as kafka_topics
from tests.bench.sides import until

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ENVELOPES = 300_000
_PREFIX = "bench_"
_TOPICS = [kafka_topics.Topic(name=platform_tables.topic(_PREFIX + table.name), partitions=3) for table in tables.SOURCES]
_LIMIT_S = 60


@contextmanager
def folder(settings: Settings) -> Iterator[Path]:
    """An empty folder that is removed afterwards."""
    temporary = settings.home_dir / "tmp" / "bench"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def topics(spark: SparkSession, settings: Settings) -> Iterator[dict[str, int]]:
    """Temporary topics with copies of the platform's records, about ENVELOPES in all, and the number in each."""
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    _remove(admin)
    try:
        kafka_topics.create(admin, _TOPICS, settings.max_batch_bytes)
        yield _fill(spark, settings)
    finally:
        _remove(admin)
        admin.close()


def lake(spark: SparkSession, settings: Settings, root: Path) -> Settings:
    """Settings of a separate lake with an empty bronze table, created by the platform's own SQL."""
    separate = replace(settings, lake=f"file://{root}")
    create = next(text for text in ddl.statements(separate) if text.startswith(f"CREATE TABLE IF NOT EXISTS {storage.BRONZE} "))
    # The catalog is local to this process; the files of the previous lake are kept.
    spark.sql("CREATE SCHEMA IF NOT EXISTS bronze")
    spark.sql(f"DROP TABLE IF EXISTS {storage.BRONZE}")
    spark.sql(create)
    return separate


def aged(young: Settings, root: Path, versions: int) -> Settings:
    """A lake whose table has that many versions, by repeating the first batch of a young one in the form of land's commits.

    The log is written here and the data files are hard links: a thousand real batches would take ten minutes.
    """
    older = replace(young, lake=f"file://{root}")
    table = _path(older)
    shutil.copytree(_path(young), table, copy_function=os.link)
    log = table / "_delta_log"
    for later in log.glob("*"):
        if later.is_file() and later.name.lstrip(".")[:20] > f"{1:020}":
            later.unlink()
    actions = [json.loads(line) for line in (log / f"{1:020}.json").read_text().splitlines()]
    for version in range(2, versions):
        repeated = [_repeated(table, action, version) for action in actions if "txn" not in action]
        (log / f"{version:020}.json").write_text("".join(json.dumps(action) + "\n" for action in repeated))
    return older


def _repeated(table: Path, action: dict[str, Any], version: int) -> dict[str, Any]:
    if "add" not in action:
        return action
    path = Path(action["add"]["path"])
    twin = path.with_name(f"{version}-{path.name}")
    os.link(table / unquote(str(path)), table / unquote(str(twin)))
    return {"add": {**action["add"], "path": str(twin)}}


def _path(settings: Settings) -> Path:
    return Path(urlsplit(ddl.location(settings, platform_tables.CHANGES)).path)


def _fill(spark: SparkSession, settings: Settings) -> dict[str, int]:
    reader = spark.read.format("kafka").option("kafka.bootstrap.servers", settings.kafka_bootstrap).option("includeHeaders", "true")
    real = reader.option("subscribe", ",".join(platform_tables.topic(table.name) for table in tables.SOURCES)).load()
    held = {row["topic"]: row["count"] for row in real.groupBy("topic").count().collect()}
    copies = math.ceil(ENVELOPES / sum(held.values()))
    renamed = F.expr(
        f"concat('{platform_tables.TOPIC_PREFIX}{_PREFIX}', substring(topic, {len(platform_tables.TOPIC_PREFIX) + 1})) AS topic"
    )
    filled = real.select(renamed, "key", "value", "headers", F.explode(F.sequence(F.lit(1), F.lit(copies)))).drop("col")
    filled.write.format("kafka").option("kafka.bootstrap.servers", settings.kafka_bootstrap).save()
    return {
        platform_tables.topic(_PREFIX + topic.removeprefix(platform_tables.TOPIC_PREFIX)): copies * count for topic, count in held.items()
    }


def _remove(admin: KafkaAdminClient) -> None:
    present = {topic.name for topic in _TOPICS} & set(admin.list_topics())
    if present:
        admin.delete_topics(sorted(present))
        until(lambda: not present & set(admin.list_topics()), _LIMIT_S, "Kafka to remove the bench's topics")
