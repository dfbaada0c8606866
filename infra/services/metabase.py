"""Metabase, once `make metabase` has fetched it: configured by environment variables, with its data in the platform's Postgres."""

from __future__ import annotations

from infra.install import java, metabase_jar
from infra.services import probing
from infra.services.step import Service
from lakehouse.errors import EbapError
from lakehouse.settings import Settings


def answers(settings: Settings) -> None:
    """Metabase reports that its start is complete."""
    probing.page(f"{settings.metabase_address}/api/health")


def command(settings: Settings) -> list[str]:
    """Metabase's command line. Raises EbapError if there is no Java of the required version."""
    home = java.find_since(settings, metabase_jar.JAVA)
    if home is None:
        version = metabase_jar.VERSION
        raise EbapError(f"Metabase {version} requires Java {metabase_jar.JAVA}", "run `make metabase`, which fetches one")
    return [
        str(home / "bin" / "java"),
        f"-Xmx{settings.metabase_heap_mb}m",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "-jar",
        str(metabase_jar.jar(settings)),
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Its environment variables as a process of this machine."""
    return variables(settings) | {
        "MB_DB_PASS": settings.secret("metabase_db"),
        # Drivers are unpacked there; the default is the current folder.
        "MB_PLUGINS_DIR": str(settings.home_dir / "data" / "metabase-plugins"),
    }


def variables(settings: Settings) -> dict[str, str]:
    """The variables that do not depend on where it runs: no password and no folder."""
    return {
        "MB_JETTY_HOST": settings.bind,
        "MB_JETTY_PORT": str(settings.metabase_port),
        "MB_SITE_URL": settings.metabase_page,
        "MB_DB_TYPE": "postgres",
        "MB_DB_HOST": settings.postgres_host,
        "MB_DB_PORT": str(settings.postgres_port),
        "MB_DB_DBNAME": "metabase",
        "MB_DB_USER": "metabase",
        "MB_LOAD_SAMPLE_CONTENT": "false",
        "MB_ANON_TRACKING_ENABLED": "false",
        "MB_CHECK_FOR_UPDATES": "false",
    }


METABASE = Service(
    name="metabase",
    doc="Metabase, once `make metabase` has fetched it.",
    command=command,
    environment=environment,
    probe=answers,
    memory_mb=lambda settings: settings.metabase_heap_mb + 500,
    url=lambda settings: settings.metabase_page,
    host="metabase_host",
    published=("metabase_port",),
    after=("databases",),
    is_wanted=metabase_jar.is_here,
    # Its first start creates about a hundred tables.
    limit_s=400,
)

STEPS = (METABASE,)
