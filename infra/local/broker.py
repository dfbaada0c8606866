"""The Kafka broker and the Connect worker: their settings files, the broker's log folder, their command lines."""

from __future__ import annotations

import base64
import shutil
import string
import subprocess
import uuid
from pathlib import Path

from lakehouse.settings import LOOPBACK, PROJECT, Settings

TEMPLATES = PROJECT / "infra" / "kafka"
DIRECT_MB = 128
SEGMENT_BYTES = 64 * 1024 * 1024


class BrokerError(RuntimeError):
    """The broker's log folder cannot be made; the message says why."""


def data_dir(settings: Settings) -> Path:
    """Where the broker keeps its logs."""
    return settings.home_dir / "data" / "kafka"


def broker_command(settings: Settings) -> list[str]:
    """The broker's command line."""
    return _java(settings, settings.kafka_heap_mb, "kafka.Kafka", str(_conf(settings, "server.properties")))


def connect_command(settings: Settings) -> list[str]:
    """The Connect worker's command line."""
    worker = "org.apache.kafka.connect.cli.ConnectDistributed"
    return _java(settings, settings.connect_heap_mb, worker, str(_conf(settings, "connect.properties")))


def prepare_broker(settings: Settings) -> None:
    """Write the broker's settings file, and format its log folder if there is none."""
    _write(settings, "server.properties", "server.properties", data_dir(settings))
    if not data_dir(settings).exists():
        _format(settings)


def prepare_connect(settings: Settings) -> None:
    """Write the Connect worker's settings file."""
    _write(settings, "connect.properties", "connect.properties", data_dir(settings))


def _write(settings: Settings, template: str, name: str, data: Path) -> Path:
    """Fill in a template and write it under that name."""
    values = {
        "loopback": LOOPBACK,
        "bind": settings.bind,
        "kafka_host": settings.kafka_host,
        "port": settings.kafka_port,
        "controller_port": settings.kafka_controller_port,
        "connect_host": settings.connect_host,
        "connect_port": settings.connect_port,
        "bootstrap": settings.kafka_bootstrap,
        "data": data,
        "max_batch_bytes": settings.max_batch_bytes,
        "segment_bytes": max(SEGMENT_BYTES, settings.max_batch_bytes),
        # A request holds a batch of several partitions; Kafka's own default is 100 MiB.
        "max_request_bytes": max(100 * 1024 * 1024, 2 * settings.max_batch_bytes),
        "plugins": settings.home_dir / "jars" / "debezium",
        "secrets": settings.secrets_dir,
    }
    path = _conf(settings, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(string.Template((TEMPLATES / template).read_text()).substitute(values))
    return path


def _format(settings: Settings) -> None:
    """Format beside and rename, so that an interrupted first start leaves nothing half made."""
    draft = data_dir(settings).with_name("kafka.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    conf = _write(settings, "server.properties", "format.properties", draft)
    words = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(conf)]
    done = subprocess.run(_java(settings, 128, *words), capture_output=True, text=True)
    conf.unlink()
    if done.returncode:
        raise BrokerError(f"Kafka cannot format its log folder:\n{(done.stdout + done.stderr)[-2000:]}")
    draft.rename(data_dir(settings))


def _cluster_id() -> str:
    """A random UUID in Kafka's own spelling; its tool takes a leading dash for an option."""
    return "E" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


def _conf(settings: Settings, name: str) -> Path:
    return settings.home_dir / "conf" / "kafka" / name


def _java(settings: Settings, heap_mb: int, *words: str) -> list[str]:
    memory = [f"-Xmx{heap_mb}m", f"-Xms{min(heap_mb, 128)}m", f"-XX:MaxDirectMemorySize={DIRECT_MB}m"]
    # A JVM without memory must end, so that the supervisor starts a new one.
    guards = ["-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
    logs = f"-Dlog4j2.configurationFile={TEMPLATES / 'log4j2.yaml'}"
    java = str(settings.home_dir / "java" / "bin" / "java")
    return [java, *memory, *guards, logs, "-cp", f"{settings.home_dir}/jars/kafka/*", *words]
