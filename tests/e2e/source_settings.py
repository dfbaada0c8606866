"""Settings that the owner of a database may give it, each the one that breaks most."""

from __future__ import annotations

from contextlib import closing

from psycopg2 import sql

from infra.services import postgres
from lakehouse.settings import Settings

HOSTILE = {
    "datestyle": "SQL, DMY",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Kolkata",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "statement_timeout": "100",
    "lock_timeout": "100",
    "idle_in_transaction_session_timeout": "100",
    "idle_session_timeout": "100",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "session_replication_role": "replica",
    "client_encoding": "LATIN1",
    # The schema's own functions and tables stand before those that are built in.
    "search_path": "shop, pg_catalog",
}


def set_hostile(settings: Settings) -> None:
    """Give the shop's database and both roles these settings; sessions that are open keep theirs."""
    with closing(postgres.connect(settings)) as connection, connection.cursor() as cursor:
        for target in ("DATABASE shop", "ROLE shop_owner", "ROLE ebap_capture"):
            for name, value in HOSTILE.items():
                given = sql.SQL(value) if name == "search_path" else sql.Literal(value)
                cursor.execute(sql.SQL("ALTER {} SET {} = {}").format(sql.SQL(target), sql.Identifier(name), given))
