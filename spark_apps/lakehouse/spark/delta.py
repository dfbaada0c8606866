"""Delta in Spark: session settings for the duration of a block, and classification of errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Matched by text: a classic session raises Delta's errors as JVM errors, a Connect session as PySpark's.
# A concurrent change of metadata counts too: the plan may be outdated.
_OVERTAKEN = (
    "DELTA_METADATA_CHANGED",
    "DELTA_CONCURRENT",
    "ConcurrentAppend",
    "ConcurrentDelete",
    "ConcurrentTransaction",
    "ConcurrentWrite",
)
_GONE = (
    "DELTA_VERSION_NOT_FOUND",
    "DELTA_CHANGE_DATA_FILE_NOT_FOUND",
    "DELTA_FILE_NOT_FOUND",
    "FAILED_READ_FILE",
    "DELTA_LOG_FILE_NOT_FOUND",
)


def is_overtaken(error: Exception) -> bool:
    """Whether a write was refused because another writer was first."""
    return any(sign in str(error) for sign in _OVERTAKEN)


def is_gone(error: Exception) -> bool:
    """Whether a version, or a file of it, has been deleted."""
    return any(sign in str(error) for sign in _GONE)


@contextmanager
def configured(spark: SparkSession, values: dict[str, str]) -> Iterator[None]:
    """Within the block the session has these settings."""
    for name, value in values.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name in values:
            spark.conf.unset(name)
