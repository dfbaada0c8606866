"""The only place that builds Spark sessions, and the settings of every Spark process.

Spark's defaults are for clusters: with them a small Delta job takes three times the CPU seconds on two cores. Each setting below has
its reason.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings
from lakehouse.verbs import STREAMING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROLES = ("spark", *STREAMING, "batch")
THRIFT_POOL = "thrift"
# Land does not know the live half.
_WITH_ICEBERG = ("spark", "activity", "batch")
_ANSWER_S = 10


def spark_conf(settings: Settings, role: str) -> dict[str, str]:
    """Settings of the Spark process of that role: `spark` is the warm server, `batch` a submitted verb."""
    if role not in ROLES:
        raise ValueError(f"there is no Spark role {role!r}: it is one of {', '.join(ROLES)}")
    master = settings.batch_master if role == "batch" else settings.spark_master
    conf = _small_machine(settings) | _delta(settings) | {"spark.master": master} | _cluster(settings, master)
    if role in _WITH_ICEBERG and settings.is_live:
        conf |= _iceberg(settings, conf)
    if role in STREAMING:
        # The serial collector is enough. C2 stays on: it slows a short job, but after some minutes a batch takes 1.3 CPU seconds at
        # 20 changes a second, with C1 alone 2.3.
        conf["spark.driver.extraJavaOptions"] = "-XX:+UseSerialGC -XX:MaxDirectMemorySize=256m"
        conf["spark.driver.memory"] = f"{STREAMING[role].heap_mb(settings)}m"
        # Land writes by path and needs no catalog: it runs while the metastore is down.
        conf["spark.sql.catalogImplementation"] = "in-memory"
        return conf
    conf |= heap(settings)
    conf |= _metastore(settings)
    return conf | _warm_server(settings) if role == "spark" else conf


def heap(settings: Settings) -> dict[str, str]:
    """The JVM of the warm server and of a submitted verb."""
    return {
        # C2 stays on here too: a run of every table takes 44 CPU seconds in a warm session, 132 in one with C1 alone.
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC -XX:MaxDirectMemorySize=512m",
        "spark.driver.memory": f"{settings.spark_memory_mb}m",
    }


def _small_machine(settings: Settings) -> dict[str, str]:
    return {
        # Driver and executors are one process, unless there is a cluster: their ports are not reachable from outside.
        "spark.driver.host": settings.driver_address,
        "spark.driver.bindAddress": settings.driver_address,
        # A classpath instead of --jars: nothing is copied at start (10 s less), and JDBC's DriverManager sees the Postgres driver.
        "spark.driver.extraClassPath": _class_path(settings),
        # 200 shuffle tasks on 2 cores cost 10 s a stateful batch; 2 cost 0.4 s.
        "spark.sql.shuffle.partitions": "2",
        # No web UI: one listener and 100 MB less; its store remains and is kept small.
        "spark.ui.enabled": "false",
        "spark.ui.retainedJobs": "50",
        "spark.ui.retainedStages": "50",
        "spark.sql.ui.retainedExecutions": "10",
        # PySpark looks up the call site at every use of a column, for error messages: a quarter of a small run's time.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        # One refine needs 100 compiled classes, several times each; with the default cache of 100 it compiles 310 times.
        "spark.sql.codegen.cache.maxEntries": "2000",
        # A broadcast side of one row can take long to compute: a rebuild reads all of bronze.
        "spark.sql.broadcastTimeout": "3600",
        # Limits a worker's memory: the default is 10,000 rows, of values that may be a megabyte each.
        "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
        # Days are UTC days wherever a process runs.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": f"{settings.lake_root}/warehouse",
    }


def _delta(settings: Settings) -> dict[str, str]:
    return (
        _local_files(settings)
        | _gcs(settings)
        | {
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            # Delta's own state is read by 50 tasks by default; the logs here are small.
            "spark.databricks.delta.snapshotPartitions": "2",
            # Number of tasks with which VACUUM lists a table's folders; with the default of 10,000 it takes minutes.
            "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
            # Without it the metastore gets an empty schema and JDBC's getColumns sees no columns.
            "spark.databricks.delta.catalog.update.enabled": "true",
            # The MERGE source is computed and deterministic: materializing it takes seconds and is not needed.
            "spark.databricks.delta.merge.materializeSource": "none",
        }
    )


def _local_files(settings: Settings) -> dict[str, str]:
    if not settings.lake_root.startswith("file:"):
        return {}
    # On a local disk Parquet's vectored reads start a thread per read: the 720 files of an hour of bronze take 4.5 CPU seconds with
    # them, 3.0 without. On an object store they save round trips.
    return {"spark.hadoop.parquet.hadoop.vectored.io.enabled": "false"}


def _iceberg(settings: Settings, conf: Mapping[str, str]) -> dict[str, str]:
    """The catalog `iceberg`, in the platform's Postgres, with its files on S3; Trino's catalog has the same name."""
    catalog, jars = "spark.sql.catalog.iceberg", f"{settings.home_dir}/jars/iceberg/*"
    paths = {key: f"{value}:{jars}" for key, value in conf.items() if key.endswith(".extraClassPath")}
    return paths | {
        "spark.sql.extensions": f"{conf['spark.sql.extensions']},org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        # A cached table stays as it was for as long as it is asked for.
        f"{catalog}.cache-enabled": "false",
        f"{catalog}.type": "jdbc",
        f"{catalog}.uri": f"jdbc:postgresql://{settings.postgres_host}:{settings.postgres_port}/iceberg",
        f"{catalog}.jdbc.user": "iceberg",
        f"{catalog}.jdbc.password": settings.secret("iceberg_db"),
        f"{catalog}.jdbc.schema-version": "V1",
        # `infra/services/postgres.py` creates them: Trino, which may start first, does not.
        f"{catalog}.jdbc.init-catalog-tables": "false",
        f"{catalog}.warehouse": "s3://silver/iceberg",
        f"{catalog}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        f"{catalog}.s3.endpoint": settings.s3_address,
        f"{catalog}.s3.path-style-access": "true",
        f"{catalog}.s3.access-key-id": settings.secret("s3_access_key"),
        f"{catalog}.s3.secret-access-key": settings.secret("s3_secret_key"),
        f"{catalog}.client.region": settings.s3_region,
    }


def _cluster(settings: Settings, master: str) -> dict[str, str]:
    if master.startswith("local"):
        return {}
    return {
        "spark.executor.extraClassPath": _class_path(settings),
        "spark.executor.memory": f"{settings.executor_memory_mb}m",
        # Without a limit the first process takes every core and the second waits forever.
        "spark.cores.max": str(settings.executor_cores),
    }


def _class_path(settings: Settings) -> str:
    folders = ["spark", "gcs"] if settings.is_on_gcs else ["spark"]
    return ":".join(f"{settings.home_dir}/jars/{folder}/*" for folder in folders)


def _gcs(settings: Settings) -> dict[str, str]:
    if not settings.is_on_gcs:
        return {}
    fs = "spark.hadoop.fs.gs"
    conf = {
        f"{fs}.impl": "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFileSystem",
        "spark.hadoop.fs.AbstractFileSystem.gs.impl": "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFS",
        f"{fs}.client.type": "HTTP_API_CLIENT",
        f"{fs}.project.id": settings.gcp_project or "ebap",
        # One request per file, which checks the condition that the file does not exist. fake-gcs-server ignores the condition of a
        # multipart upload, and concurrent Delta commits would overwrite each other.
        f"{fs}.outputstream.direct.upload.enable": "true",
    }
    if not settings.gcs_endpoint:
        return conf | {f"{fs}.auth.type": "APPLICATION_DEFAULT"}
    # The emulator supports neither credentials nor the call that moves an object.
    emulator = {f"{fs}.storage.root.url": f"{settings.gcs_endpoint.rstrip('/')}/", f"{fs}.auth.type": "UNAUTHENTICATED"}
    return conf | emulator | {f"{fs}.operation.move.enable": "false"}


def _metastore(settings: Settings) -> dict[str, str]:
    jdo = "spark.hadoop.javax.jdo.option"
    return {
        "spark.sql.catalogImplementation": "hive",
        f"{jdo}.ConnectionURL": f"jdbc:postgresql://{settings.postgres_host}:{settings.postgres_port}/metastore",
        f"{jdo}.ConnectionDriverName": "org.postgresql.Driver",
        f"{jdo}.ConnectionUserName": "metastore",
        f"{jdo}.ConnectionPassword": settings.secret("metastore"),
        # Tables are created on first use. Not autoCreateAll, which deadlocks on its constraints.
        "spark.hadoop.datanucleus.schema.autoCreateTables": "true",
        "spark.hadoop.datanucleus.schema.autoCreateColumns": "true",
        "spark.hadoop.datanucleus.schema.autoCreateConstraints": "false",
        "spark.hadoop.hive.metastore.schema.verification": "false",
        # Two connections a process are enough for one metastore client; the default of 10 fills a small Postgres.
        "spark.hadoop.datanucleus.connectionPool.maxPoolSize": "2",
    }


def _warm_server(settings: Settings) -> dict[str, str]:
    return {
        # Spark Connect runs in the Thrift Server's JVM: one heap, one catalog cache, no start-up per task.
        "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
        "spark.connect.grpc.binding.address": settings.bind,
        "spark.connect.grpc.binding.port": str(settings.spark_connect_port),
        # Sessions of finished tasks end after ten minutes instead of an hour.
        "spark.connect.session.manager.defaultSessionTimeout": "10m",
        # FAIR, with a separate pool for users' queries: a dashboard query does not wait for a MERGE.
        "spark.scheduler.mode": "FAIR",
        "spark.scheduler.allocation.file": f"file://{settings.home_dir}/conf/fairscheduler.xml",
        "spark.sql.thriftserver.scheduler.pool": THRIFT_POOL,
    }


def connect(settings: Settings, session_id: str | None = None) -> SparkSession:
    """A session on the warm server over Spark Connect; `session_id` (a UUID) reuses the session of that id."""
    from google._upb import _message
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    # The client refuses to copy plans of more than 100 nested levels, which silver's exceed; the server accepts 1024.
    _message.SetAllowOversizeProtos(True)
    # With it pyspark's functions build plans for the server; without it they look for a JVM in this process.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    suffix = f"/;session_id={session_id}" if session_id else ""
    # Its own class with the same interface; the type hints name the classic one throughout.
    return cast("SparkSession", ConnectSession.builder.remote(settings.spark_remote + suffix).create())


def classic(settings: Settings, role: str = "batch", metastore: bool = True) -> SparkSession:
    """A session in this process: under spark-submit, whose settings it uses, or with a JVM of its own.

    `metastore=False` uses an in-memory catalog.
    """
    from pyspark.sql import SparkSession

    # Python workers use this interpreter instead of the machine's.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(f"ebap-{role}")
    conf = (
        spark_conf(settings, role) if metastore else {**_small_machine(settings), **_delta(settings), "spark.master": settings.spark_master}
    )
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def open_for_verb(settings: Settings) -> SparkSession:
    """The session of a command: this process's under spark-submit, else one on the warm server. NotReadyError if that is down."""
    # spark-submit starts Python with the port of its JVM; nothing else sets it.
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        return classic(settings)
    try:
        # Spark's client retries for minutes.
        socket.create_connection((settings.spark_host, settings.spark_connect_port), timeout=_ANSWER_S).close()
    except OSError:
        raise NotReadyError(f"the warm Spark server at {settings.spark_remote} does not answer", "see `make status`") from None
    return connect(settings)
