"""The warm Spark server, and the step that writes the catalog through it."""

from __future__ import annotations

from infra.services import probing
from infra.services.step import OneShot, Service, python
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings
from lakehouse.spark import submit


def answers(settings: Settings) -> None:
    """Spark Connect listens, and the Thrift Server answers a query."""
    from pyhive import hive
    from thrift.transport.TTransport import TTransportException

    probing.listens(settings.spark_host, settings.spark_connect_port)
    probing.listens(settings.spark_host, settings.thrift_port)
    try:
        connection = hive.connect(settings.spark_host, port=settings.thrift_port)
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.fetchall()
        connection.close()
    except (hive.Error, TTransportException, OSError) as error:
        raise NotReadyError(f"the Thrift Server does not answer: {error}") from error


STEPS = (
    Service(
        name="spark",
        doc="The warm server: Thrift Server and Spark Connect in one JVM.",
        command=lambda settings: submit.command(settings, "spark"),
        environment=submit.environment,
        probe=answers,
        memory_mb=lambda settings: settings.spark_memory_mb + 512 + 500,
        url=lambda settings: f"hive2://{settings.public_host}:{settings.thrift_port}/gold",
        host="spark_host",
        published=("thrift_port", "spark_connect_port"),
        after=("databases", "bucket"),
        folders=("lake",),
        limit_s=400,
    ),
    OneShot(
        name="catalog",
        doc="Schemas, tables and views of the lake, with every comment.",
        command=python("spark_apps/publish.py"),
        after=("spark",),
        limit_s=400,
    ),
)
