"""Airflow 3 as EBAP runs it: the environment of its processes, its pools, and a launcher of its commands.

`python -m infra.airflow init` prepares the metadata database and the pools; `python -m infra.airflow scheduler`, `dag-processor`,
`api-server`, `backfill create …` run Airflow's own command in this environment. Secrets are read from their files by the process
that needs them, so that they stand on no command line and in no configuration of the supervisor.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from lakehouse.settings import PROJECT, Settings

ADMIN = "admin"


def home(settings: Settings) -> Path:
    """AIRFLOW_HOME: task logs and the password file of the web page."""
    return settings.home_dir / "airflow"


def passwords_file(settings: Settings) -> Path:
    """The file in which Airflow's simple login looks its users up."""
    return home(settings) / "passwords.json"


def environment(settings: Settings) -> dict[str, str]:
    """Every variable Airflow's processes run with, secrets included; raises SettingsError where a password file is missing."""
    theirs = _scheduler() | _dag_processor() | _logging(settings)
    return _process(settings) | _google() | _spark(settings) | _core(settings) | _database(settings) | _api(settings) | theirs


def _process(settings: Settings) -> dict[str, str]:
    binaries = settings.home_dir / "venv" / "airflow" / "bin"
    return {
        "AIRFLOW_HOME": str(home(settings)),
        # Airflow starts itself by name.
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # gRPC logs each fork of a process that has it loaded; tasks fork before they open a channel, which is safe.
        "GRPC_VERBOSITY": "ERROR",
        # It would report each session found closed as an error, which is how an earlier try usually ends.
        "SPARK_CONNECT_LOG_LEVEL": "CRITICAL",
    }


def _google() -> dict[str, str]:
    # The account of the machine Airflow runs on; a connection of one's own, such as one with a key file, wins.
    return {} if "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT" in os.environ else {"AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": "google-cloud-platform://"}


def _spark(settings: Settings) -> dict[str, str]:
    """The connection of verbs that are submitted."""
    connection = {"conn_type": "spark", "host": settings.batch_master, "extra": {"spark-binary": "spark-submit", "deploy-mode": "client"}}
    return {"AIRFLOW_CONN_EBAP_SPARK": json.dumps(connection)}


def _core(settings: Settings) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        # The page shows our DAGs and no tutorial.
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Data moves from the first minute: nobody has to find the switch.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # Tasks wait for the warm server, so a forked process each is enough; no queue, no worker daemon.
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # The default of 32 forks 32 workers at start; the work itself is done by one server on two cores.
        "AIRFLOW__CORE__PARALLELISM": str(settings.airflow_parallelism),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        # One admin; the password file is written by init, so that Airflow prints no password of its own making.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file(settings)),
        # Fixed keys: tokens and stored connections outlive a restart, and all processes agree.
        "AIRFLOW__CORE__FERNET_KEY": settings.secret("airflow_fernet"),
        "AIRFLOW__API_AUTH__JWT_SECRET": settings.secret("airflow_jwt"),
        "AIRFLOW__API__SECRET_KEY": settings.secret("airflow_api"),
    }


def _database(settings: Settings) -> dict[str, str]:
    address = f"airflow:{quote(settings.secret('airflow_db'), safe='')}@{settings.postgres_host}:{settings.postgres_port}/airflow"
    return {
        # SQLite locks itself up in a backfill.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}",
        # The page's own driver: named, as it would otherwise be guessed from the line above.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{address}",
        # Four processes with the default of 5 + 10 connections would ask for 60 of Postgres' 100.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "3",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "5",
    }


def _api(settings: Settings) -> dict[str, str]:
    return {
        # The default is every address.
        "AIRFLOW__API__HOST": settings.bind,
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__BASE_URL": settings.airflow_page,
        # Each worker is 250 MB.
        "AIRFLOW__API__WORKERS": "1",
        # An answer may take longer than the default of 5 s while both cores are busy; a task must not fail over it.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        # A finished task holds its slot until the next heartbeat is due when its sockets close before it is reaped: the default of
        # 5 s was longer than the tasks themselves.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # A restart of the page takes up to 20 s: a task outlives a minute of heartbeats that fail.
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "60",
        # Someone who watches the grid needs no fresh one each 3 s: that alone is a tenth of a core.
        "AIRFLOW__API__AUTO_REFRESH_INTERVAL": "5",
    }


def _scheduler() -> dict[str, str]:
    return {
        # Its health is read from the page's /api/v2/monitor/health; its own server listens on every address.
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        # The tasks of a killed scheduler run again after half a minute, not after the default of five.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        # A frozen task is declared dead after two minutes; its successor closes its Spark session, so it can do no harm later.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
    }


def _dag_processor() -> dict[str, str]:
    return {
        # A handful of small files: one process is enough.
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # The files change with a deployment; each parse is a forked process of a quarter of a second.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        # Its table of statistics twice a minute drowns what its log is for.
        "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "600",
    }


def _logging(settings: Settings) -> dict[str, str]:
    return {
        # The page reads task logs from this folder: no log server, which would listen on every address.
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home(settings) / "logs"),
        # The logs are files, read without a terminal.
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
