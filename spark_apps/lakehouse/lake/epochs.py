"""Epochs: the Postgres servers that the lake has been filled from, stored as properties of bronze."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.delta.commit import set_properties

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.lake.lake import Lake


@dataclass(frozen=True, kw_only=True)
class Source:
    """The lake's source: current epoch, identity, and every unavailable-value placeholder used so far."""

    epoch: int
    identity: str
    placeholders: tuple[str, ...]


def source_identity(spark: SparkSession) -> Source | None:
    """The Postgres this lake was filled from; None for a new lake."""
    rows = spark.sql(f"SHOW TBLPROPERTIES {platform_tables.CHANGES.full_name}").collect()
    return of_properties({row["key"]: row["value"] for row in rows})


def of_properties(properties: Mapping[str, str]) -> Source | None:
    """The source from the properties of bronze; None for a new lake."""
    if "ebap.epoch" not in properties:
        return None
    epoch = int(properties["ebap.epoch"])
    placeholders = tuple(properties[f"ebap.placeholder.{number}"] for number in range(1, epoch + 1))
    return Source(epoch=epoch, identity=properties[f"ebap.source.{epoch}"], placeholders=placeholders)


def of_lake(lake: Lake) -> Source | None:
    """The source of the lake, read without Spark."""
    return of_properties(lake.snapshot(platform_tables.CHANGES).configuration)


def remember_source(lake: Lake, identity: str) -> Source:
    """Record a Postgres as the lake's next epoch, with a random placeholder that no user text can equal."""
    log = lake.log(platform_tables.CHANGES)
    snapshot = log.snapshot()
    known = of_properties(snapshot.configuration)
    epoch = known.epoch + 1 if known else 1
    placeholder = f"__ebap_unchanged_{secrets.token_hex(16)}"
    properties = {"ebap.epoch": str(epoch), f"ebap.source.{epoch}": identity, f"ebap.placeholder.{epoch}": placeholder}
    set_properties(log, snapshot, properties)
    return Source(epoch=epoch, identity=identity, placeholders=(*(known.placeholders if known else ()), placeholder))
