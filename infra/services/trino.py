"""Trino, which reads the Iceberg tables of the live half."""

from __future__ import annotations

import string
from pathlib import Path

from infra.install import java
from infra.services.step import Service
from lakehouse.errors import EbapError, NotReadyError
from lakehouse.live import trino
from lakehouse.settings import PROJECT, Settings

TEMPLATES = PROJECT / "infra" / "trino"


def command(settings: Settings) -> list[str]:
    """The server's command line, without its launcher script, which needs a `python` on the PATH. EbapError without a Java."""
    home = java.find_since(settings, java.OF_TRINO)
    if home is None:
        raise EbapError(f"Trino requires Java {java.OF_TRINO}", "run `make install`, which fetches one, or set JAVA_HOME")
    etc = _etc(settings)
    server = [str(home / "bin" / "java"), f"-Xmx{settings.trino_memory_mb}m", *(etc / "jvm.config").read_text().split()]
    server += [f"-Dlog.levels-file={etc / 'log.properties'}", f"-Dconfig={etc / 'config.properties'}"]
    return [*server, "-cp", f"{_distribution(settings)}/lib/*", "io.trino.server.TrinoServer"]


def prepare(settings: Settings) -> None:
    """Write the settings files, readable by their owner alone: one has passwords."""
    etc = _etc(settings)
    catalogs = etc / "catalog"
    catalogs.mkdir(parents=True, exist_ok=True)
    headroom = settings.trino_memory_mb // 4
    values = {
        "bind": settings.bind,
        "host": settings.trino_host,
        "port": settings.trino_port,
        "query_mb": settings.trino_memory_mb - headroom - 64,
        "headroom_mb": headroom,
        "plugins": _distribution(settings) / "plugin",
        "catalogs": catalogs,
        "postgres_host": settings.postgres_host,
        "postgres_port": settings.postgres_port,
        "postgres_password": settings.secret("iceberg_db"),
        "s3_address": settings.s3_address,
        "s3_region": settings.s3_region,
        "s3_access_key": settings.secret("s3_access_key"),
        "s3_secret_key": settings.secret("s3_secret_key"),
    }
    for template in sorted(TEMPLATES.iterdir()):
        target = (catalogs if template.name == "iceberg.properties" else etc) / template.name
        target.touch(mode=0o600)
        target.write_text(string.Template(template.read_text()).substitute(values))


def answers(settings: Settings) -> None:
    """A query of the catalog is answered: the server reports that it is started before it has a node to run one."""
    try:
        trino.query(settings, "SHOW SCHEMAS FROM iceberg", limit_s=10)
    except EbapError as error:
        raise NotReadyError(str(error)) from error


def _etc(settings: Settings) -> Path:
    return settings.home_dir / "conf" / "trino"


def _distribution(settings: Settings) -> Path:
    return next(iter(sorted((settings.home_dir / "jars" / "trino").glob("trino-server-*"))), settings.home_dir / "jars" / "trino")


STEPS = (
    Service(
        name="trino",
        doc="SQL over the Iceberg tables of the live half.",
        command=command,
        prepare=prepare,
        probe=answers,
        memory_mb=lambda settings: settings.trino_memory_mb + 450,
        url=lambda settings: f"http://{settings.public_host}:{settings.trino_port}",
        host="trino_host",
        published=("trino_port",),
        after=("databases", "s3"),
        is_live=True,
        limit_s=180,
        stop_s=20,
    ),
)
