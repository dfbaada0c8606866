"""Settings of the live half: events and telemetry through Spark into Redis and Iceberg, read by Trino."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.settings_fields import host, port, setting


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """The part of the settings that only the live half reads; a size in MiB, a duration in hours."""

    live: str = setting(
        "auto",
        "Whether the live half runs: yes, no, or auto, which the first start decides by memory and disk and keeps.",
        ("auto", "yes", "no"),
    )
    eps: int = setting(50, "Events a second of the simulated visitors.", limits=(1, 30_000))
    events_retention_h: int = setting(24, "Retention of events and telemetry in Kafka, in hours.")
    events_retention_mb: int = setting(512, "Retention of each of these two topics, in MiB.")
    max_event_kb: int = setting(64, "Largest event that is read, in KiB; a larger one is a dead letter.")

    redis_host: str = host("Redis")
    s3_host: str = host("the object store that is started here")
    trino_host: str = host("Trino")
    redis_port: int = port(16379, "Redis")
    s3_port: int = port(18333, "the object store's S3 interface")
    s3_master_port: int = port(18334, "the object store's master")
    s3_volume_port: int = port(18335, "the object store's volume server")
    s3_filer_port: int = port(18336, "the object store's filer")
    s3_grpc_port: int = port(18343, "the object store's S3 interface by gRPC")
    s3_master_grpc_port: int = port(18344, "the object store's master by gRPC")
    s3_volume_grpc_port: int = port(18345, "the object store's volume server by gRPC")
    s3_filer_grpc_port: int = port(18346, "the object store's filer by gRPC")
    s3_admin_port: int = port(18337, "the object store's admin page, which is not served")
    s3_admin_grpc_port: int = port(18347, "the object store's admin by gRPC")
    trino_port: int = port(18081, "Trino")
    s3_endpoint: str = setting("", "Base URL of an S3 of yours, with buckets bronze and silver. Empty: one is started here.")
    s3_region: str = setting("us-east-1", "Region that requests to S3 are signed for.")

    activity_memory_mb: int = setting(960, "Heap of the activity app, in MiB.")
    trino_memory_mb: int = setting(1024, "Heap of Trino, in MiB.")

    @property
    def s3_address(self) -> str:
        """Base URL of S3: the configured one, or the one started here."""
        return self.s3_endpoint.rstrip("/") or f"http://{self.s3_host}:{self.s3_port}"
