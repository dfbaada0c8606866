"""Airflow 3 as EBAP runs it: the environment of its processes, its pools, and a launcher of its commands.

`python -m infra.airflow init` prepares the metadata database and the pools; `python -m infra.airflow scheduler`, `dag-processor`,
`api-server`, `backfill create …` run Airflow's own command in this environment. Each process reads its secrets from files, so that they
appear on no command line and in no configuration of the supervisor.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from lakehouse.settings import PROJECT, Settings

ADMIN = "admin"


def home(settings: Settings) -> Path:
    """AIRFLOW_HOME: task logs and the password file of the web UI."""
    return settings.home_dir / "airflow"


def passwords_file(settings: Settings) -> Path:
    """The password file of Airflow's simple auth manager."""
    return home(settings) / "passwords.json"


def environment(settings: Settings) -> dict[str, str]:
    """Environment variables of Airflow's processes, secrets included; raises SettingsError if a password file is missing."""
    processes = _scheduler() | _dag_processor() | _logging(settings)
    return _process(settings) | _google() | _spark(settings) | _core(settings) | _database(settings) | _api(settings) | processes


def _process(settings: Settings) -> dict[str, str]:
    binaries = settings.home_dir / "venv" / "airflow" / "bin"
    return {
        "AIRFLOW_HOME": str(home(settings)),
        # Airflow starts itself by name.
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # gRPC logs every fork of a process that has loaded it; tasks fork before they open a channel, which is safe.
        "GRPC_VERBOSITY": "ERROR",
        # The client logs a closed session as an error, although earlier tries usually close their session.
        "SPARK_CONNECT_LOG_LEVEL": "CRITICAL",
    }


def _google() -> dict[str, str]:
    # The service account of Airflow's machine; a connection set by the user, such as one with a key file, takes precedence.
    return {} if "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT" in os.environ else {"AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": "google-cloud-platform://"}


def _spark(settings: Settings) -> dict[str, str]:
    """The connection of commands that are submitted."""
    connection = {"conn_type": "spark", "host": settings.batch_master, "extra": {"spark-binary": "spark-submit", "deploy-mode": "client"}}
    return {"AIRFLOW_CONN_EBAP_SPARK": json.dumps(connection)}


def _core(settings: Settings) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Runs start without unpausing each DAG first.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # Tasks mostly wait for the Spark server, so a forked process each is enough; no queue, no worker daemon.
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # The default forks 32 workers at start; one Spark server on two cores does the work.
        "AIRFLOW__CORE__PARALLELISM": str(settings.airflow_parallelism),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        # One admin; init writes the password file, so that Airflow does not generate and print a password.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file(settings)),
        # Fixed keys: tokens and stored connections remain valid across restarts and processes.
        "AIRFLOW__CORE__FERNET_KEY": settings.secret("airflow_fernet"),
        "AIRFLOW__API_AUTH__JWT_SECRET": settings.secret("airflow_jwt"),
        "AIRFLOW__API__SECRET_KEY": settings.secret("airflow_api"),
    }


def _database(settings: Settings) -> dict[str, str]:
    address = f"airflow:{quote(settings.secret('airflow_db'), safe='')}@{settings.postgres_host}:{settings.postgres_port}/airflow"
    return {
        # SQLite deadlocks in a backfill.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{address}",
        # The API server's driver, which Airflow would otherwise derive from the line above.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{address}",
        # Four processes with the default of 5 + 10 connections would use 60 of Postgres' 100.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "3",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "5",
    }


def _api(settings: Settings) -> dict[str, str]:
    return {
        # The default is all interfaces.
        "AIRFLOW__API__HOST": settings.bind,
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__BASE_URL": settings.airflow_page,
        # Each worker is 250 MB.
        "AIRFLOW__API__WORKERS": "1",
        # A response may take longer than the default of 5 s while both cores are busy.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        # If a finished task's sockets close before it is reaped, it holds its slot until the next heartbeat: the default of 5 s was
        # longer than the tasks themselves.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # The API server takes up to 20 s to restart: tasks survive a minute of failed heartbeats.
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "60",
        # The default refresh of the grid, every 3 s, takes a tenth of a core.
        "AIRFLOW__API__AUTO_REFRESH_INTERVAL": "5",
    }


def _scheduler() -> dict[str, str]:
    return {
        # Its health is available from the API server's /api/v2/monitor/health; its own health server listens on all interfaces.
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        # Tasks of a killed scheduler are rescheduled after half a minute, not after the default of five.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        # A hung task is failed after two minutes; the next try closes its Spark session, so that it cannot write later.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
    }


def _dag_processor() -> dict[str, str]:
    return {
        # One process is enough for a few small files.
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # The files change with a deployment; each parse is a forked process of a quarter of a second.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        # The default prints a table of statistics twice a minute.
        "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "600",
    }


def _logging(settings: Settings) -> dict[str, str]:
    return {
        # The API server reads task logs from this folder, so no log server is needed, which would listen on all interfaces.
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home(settings) / "logs"),
        # The output goes to files, where color codes are not rendered.
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
