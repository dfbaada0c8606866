"""How fresh every table is: its age against what its declaration allows, what waits, its last run, and what helps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lakehouse import dag_runs, ledger, status
from lakehouse.settings import Settings

# Delays of the last minutes: long enough for a quiet shop, short enough to show what is wrong now.
_DELAYS = f"""
SELECT percentile_approx(delay_s, 0.5) AS median_s, percentile_approx(delay_s, 0.95) AS p95_s, count(*) AS changes
FROM (
  SELECT CAST(unix_micros(_landed_at) - unix_micros(commit_at) AS DOUBLE) / 1e6 AS delay_s
  FROM {ledger.CHANGES.full_name}
  WHERE _landed_on >= current_date() - 1 AND _landed_at >= current_timestamp() - INTERVAL 10 MINUTES
    AND source_table <> '{ledger.HEARTBEAT}' AND commit_at IS NOT NULL AND op <> 'r'
)
"""
_WAITING = f"SELECT source_table, count(*) AS waiting FROM {ledger.QUARANTINE.full_name} WHERE replayed_at IS NULL GROUP BY source_table"
_STOPPED = f"SELECT source_table, error FROM {ledger.PROGRESS.full_name} WHERE error IS NOT NULL"
_WRITTEN = f"SELECT table_name, aggregated_at, complete_to FROM {ledger.GOLD_PROGRESS.full_name}"


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
    delays = status.rows(cursor, _DELAYS)[0]
    written = [
        {"table": f"gold.{row['table_name']}", "seconds": (row["aggregated_at"] - row["complete_to"]).total_seconds()}
        for row in status.rows(cursor, _WRITTEN)
        if row["complete_to"]
    ]
    return {
        "tables": shown,
        "to_bronze": delays,
        "to_gold": sorted(written, key=lambda row: row["table"]),
        "is_airflow_away": last_runs is None,
    }


def is_late(entry: dict[str, Any]) -> bool:
    """Whether a table is older than declared, or has no age yet."""
    return entry["age_s"] is None or entry["age_s"] > entry["allowed_age_s"]


def _help(entry: dict[str, Any], more: dict[str, Any], error: str | None) -> str:
    """The next step for whoever looks, empty where nothing is wrong."""
    layer, name = entry["name"].split(".")
    if error:
        return error
    if more["run"] and more["run"]["state"] == "failed":
        return "read the task's log: its last lines name the reason and the cure"
    if is_late(entry):
        return "make logs S=land" if layer == "bronze" else "make status, then make logs S=airflow-scheduler"
    if more["quarantined"]:
        return f"make sql Q=\"SELECT reason, detail FROM silver.quarantine WHERE source_table = '{name.removesuffix('_history')}'\""
    return ""
