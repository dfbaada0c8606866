"""`make demo`: start the platform, write simulated days, wait until every gold table has rows, print the end card."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.status import Status

from infra.local import status
from infra.services.step import OneShot, Step, python
from lakehouse import tables, wait
from lakehouse.errors import EbapError
from lakehouse.health import airflow_client
from lakehouse.settings import Settings
from lakehouse.transforms.gold import sql_files

_BACKFILL_LIMIT_S = 600
_GOLD_LIMIT_S = 600
_POLL_S = 3
_NEXT = (
    "make sql Q='SELECT day, sum(revenue_usd) FROM gold.daily_sales GROUP BY day ORDER BY day DESC LIMIT 7'",
    "make status          services, memory, tables and their age",
    "make pause | resume  the shop's traffic",
    "make down            stop; data stays      make wipe   remove everything",
)


def with_the_past(settings: Settings, declared: list[Step]) -> list[Step]:
    """The steps with a backfill step between the snapshot and the traffic; it continues where an earlier one ended.

    There is no backfill without the generator, as for a user's own source.
    """
    if not any(step.name == "generator" for step in declared):
        return declared
    past = OneShot(
        name="backfill",
        doc=f"{settings.backfill_days} simulated days before the present.",
        command=python("-m", "generator", "backfill", "--days", str(settings.backfill_days)),
        after=("snapshot",),
        limit_s=_BACKFILL_LIMIT_S,
    )
    visits = OneShot(
        name="visits",
        doc="Visits of those days, as files that the activity app loads.",
        command=python("-m", "generator", "visits", "--days", str(settings.backfill_days)),
        after=(past.name,),
        limit_s=_BACKFILL_LIMIT_S,
        is_live=True,
    )
    added = [past, *([visits] if settings.is_live else [])]
    after = {"generator": (past.name,), "clicks": ("generator", visits.name)}
    return [*(replace(step, after=after[step.name]) if step.name in after else step for step in declared), *added]


def fill_gold(settings: Settings, console: Console) -> None:
    """Trigger a run of DAG silver, then wait until every gold table has rows. Raises EbapError with the last row counts."""
    began = time.monotonic()
    airflow_client.trigger(settings, "silver")
    with console.status("waiting for gold") as spinner:
        for elapsed_s in wait.looks(_GOLD_LIMIT_S, every_s=_POLL_S):
            rows = _rows(settings)
            empty = sorted(name for name, count in rows.items() if not count)
            if not empty:
                break
            _show_counts(spinner, rows, empty, elapsed_s)
        else:
            raise EbapError(
                f"after {_GOLD_LIMIT_S} s these gold tables have no rows: {', '.join(empty)}. Rows seen: {rows}", "see `make status`"
            )
    console.print(f"[green]✓[/] {'gold':<24}{time.monotonic() - began:6.1f} s")


def end_card(settings: Settings, console: Console, elapsed_s: float | None, next_steps: tuple[str, ...] = _NEXT) -> None:
    """Print addresses, logins and next commands; the title has no seconds if `elapsed_s` is None."""
    ends = status.endpoints(settings)
    lines = [
        f"Boards     {ends['boards']['url']}",
        f"Airflow    {ends['airflow']['url']}   admin, password in {ends['airflow']['password_file']}",
        f"Thrift     {ends['thrift']['url']}   no login, this machine only",
        f"Postgres   {ends['postgres']['url']}   {ends['postgres']['user']}, password in {ends['postgres']['password_file']}",
        f"Kafka      {ends['kafka']['url']}   Connect {ends['connect']['url']}   Spark {ends['spark_connect']['url']}",
        *_of_live_half(ends),
        "",
        *next_steps,
    ]
    title = "EBAP runs" if elapsed_s is None else f"EBAP runs ({elapsed_s:.0f} s)"
    console.print(Panel("\n".join(lines), title=title, expand=False))


def _of_live_half(ends: dict[str, dict[str, Any]]) -> list[str]:
    if "trino" not in ends:
        return []
    return [
        f"Trino      {ends['trino']['url']}   tables of {ends['trino']['database']}, no login, this machine only",
        f"Redis      {ends['redis']['url']}   password in {ends['redis']['password_file']}",
    ]


def _rows(settings: Settings) -> dict[str, int]:
    """Row counts, by one query; without views over gold, which have rows when gold has."""
    filled = [table.full_name for table in tables.GOLD if not table.is_view or sql_files.reads_bronze(table)]
    names = ["bronze.changes", "silver.orders", *filled]
    query = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS rows FROM {name}" for name in names)
    from pyhive import hive

    with closing(hive.connect(settings.spark_host, port=settings.thrift_port)) as connection:
        cursor = connection.cursor()
        cursor.execute(query)
        return dict(cursor.fetchall())


def _show_counts(spinner: Status, rows: dict[str, int], empty: list[str], elapsed_s: float) -> None:
    landed, refined = rows.get("bronze.changes", 0), rows.get("silver.orders", 0)
    spinner.update(f"{elapsed_s:.0f} s: {landed:,} changes in bronze, {refined:,} orders in silver, still empty: {', '.join(empty)}")
