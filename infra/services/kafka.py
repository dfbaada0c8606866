"""Kafka broker: configuration file, log folder, topics; and the command line of JVMs with Kafka's jars."""

from __future__ import annotations

import base64
import shutil
import string
import subprocess
import uuid
from pathlib import Path

from infra.services import probing
from infra.services.step import OneShot, Service, python
from lakehouse.errors import EbapError, NotReadyError
from lakehouse.settings import LOOPBACK, PROJECT, Settings

TEMPLATES = PROJECT / "infra" / "kafka"
DIRECT_MB = 128
SEGMENT_BYTES = 64 * 1024 * 1024
_SETTINGS = "server.properties"


def data_dir(settings: Settings) -> Path:
    """The broker's log folder."""
    return settings.home_dir / "data" / "kafka"


def command(settings: Settings) -> list[str]:
    """The broker's command line."""
    return java(settings, settings.kafka_heap_mb, "kafka.Kafka", str(conf(settings, _SETTINGS)))


def prepare(settings: Settings) -> None:
    """Write the broker's settings file, and format its log folder if it does not exist."""
    write(settings, _SETTINGS, _SETTINGS, data_dir(settings))
    if not data_dir(settings).exists():
        _format(settings)


def answers(settings: Settings) -> None:
    """The broker answers an admin client."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    probing.listens(settings.kafka_host, settings.kafka_port)
    try:
        client = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=probing.TIMEOUT_S * 1000)
        client.close()
    except (KafkaError, OSError, ValueError) as error:
        raise NotReadyError(f"the broker does not answer: {error}") from error


def write(settings: Settings, template: str, name: str, data: Path) -> Path:
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
        # A request contains batches of several partitions; Kafka's default is 100 MiB.
        "max_request_bytes": max(100 * 1024 * 1024, 2 * settings.max_batch_bytes),
        "plugins": settings.home_dir / "jars" / "debezium",
        "secrets": settings.secrets_dir,
    }
    path = conf(settings, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(string.Template((TEMPLATES / template).read_text()).substitute(values))
    return path


def _format(settings: Settings) -> None:
    """Format a draft folder and rename it, so that an interrupted first start leaves no incomplete folder."""
    draft = data_dir(settings).with_name("kafka.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    file = write(settings, _SETTINGS, "format.properties", draft)
    args = ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(file)]
    done = subprocess.run(java(settings, 128, *args), capture_output=True, text=True)
    file.unlink()
    if done.returncode:
        raise EbapError(f"Kafka cannot format its log folder:\n{(done.stdout + done.stderr)[-2000:]}")
    draft.rename(data_dir(settings))


def _cluster_id() -> str:
    """A random UUID in Kafka's base64 form, without a leading dash, which its tool parses as an option."""
    return "E" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


def conf(settings: Settings, name: str) -> Path:
    """Path of the settings file of that name."""
    return settings.home_dir / "conf" / "kafka" / name


def java(settings: Settings, heap_mb: int, *args: str) -> list[str]:
    """The command line of a JVM with Kafka's jars."""
    memory = [f"-Xmx{heap_mb}m", f"-Xms{min(heap_mb, 128)}m", f"-XX:MaxDirectMemorySize={DIRECT_MB}m"]
    # A JVM without memory must exit, so that the supervisor restarts it.
    guards = ["-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
    logs = f"-Dlog4j2.configurationFile={TEMPLATES / 'log4j2.yaml'}"
    program = str(settings.home_dir / "java" / "bin" / "java")
    return [program, *memory, *guards, logs, "-cp", f"{settings.home_dir}/jars/kafka/*", *args]


STEPS = (
    Service(
        name="kafka",
        doc="The broker: one KRaft node.",
        command=command,
        prepare=prepare,
        folders=("data",),
        probe=answers,
        memory_mb=lambda settings: settings.kafka_heap_mb + DIRECT_MB + 200,
        url=lambda settings: f"kafka://{settings.kafka_bootstrap}",
        # Its port is not published: its advertised listener is a name of the network, which clients outside cannot resolve.
        host="kafka_host",
        limit_s=180,
    ),
    OneShot(name="topics", doc="The topics of the change log.", command=python("-m", "lakehouse", "topics"), after=("kafka",)),
)
