"""How fresh every table is: its age against what its declaration allows, what waits, its last run, and what helps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lakehouse import dag_runs, ledger, status
from lakehouse.settings import Settings

_WAITING = f"SELECT source_table, count(*) AS waiting FROM {ledger.QUARANTINE.full_name} WHERE replayed_at IS NULL GROUP BY source_table"
_STOPPED = f"SELECT source_table, error FROM {ledger.PROGRESS.full_name} WHERE error IS NOT NULL"


Runs = dict[tuple[str, str], dict[str, Any]]


def runs(settings: Settings) -> Runs | None:
    """The last run of each table's task, by DAG and task; None while Airflow is away."""
    try:
        return dag_runs.last_tasks(settings)
    except dag_runs.DagRunError:
        return None


def collect(cursor: Any, last_runs: Runs | None) -> dict[str, Any]:
    """`tables`, a row each, and how long a commit takes to bronze and to gold, in seconds."""
    tables = [vars(entry) for entry in status.collect(cursor, datetime.now(UTC))]
    waiting = {row["source_table"]: row["waiting"] for row in status.rows(cursor, _WAITING)}
    stopped = {row["source_table"]: row["error"] for row in status.rows(cursor, _STOPPED)}
    shown = []
    for entry in tables:
        layer, name = entry["name"].split(".")
        source = name.removesuffix("_history")
        run = (last_runs or {}).get(("silver" if layer == "silver" else "gold", source))
        more = {"quarantined": waiting.get(source, 0) if layer == "silver" else 0, "run": run}
        shown.append(entry | more | {"help": _help(entry, more, stopped.get(source) if layer == "silver" else None)})
    return {"tables": shown, **status.delays(cursor), "is_airflow_away": last_runs is None}


def _help(entry: dict[str, Any], more: dict[str, Any], error: str | None) -> str:
    """The next step for whoever looks, empty where nothing is wrong."""
    layer, name = entry["name"].split(".")
    if error or entry["paused"]:
        return str(error or entry["paused"])
    if more["run"] and more["run"]["state"] == "failed":
        return "read the task's log: its last lines name the reason and the cure"
    if entry["age_s"] is None or entry["age_s"] > entry["allowed_age_s"]:
        return "make logs S=land" if layer == "bronze" else "make status, then make logs S=airflow-scheduler"
    if more["quarantined"]:
        return f"make sql Q=\"SELECT reason, detail FROM silver.quarantine WHERE source_table = '{name.removesuffix('_history')}'\""
    return ""
