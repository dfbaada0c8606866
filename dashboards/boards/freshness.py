"""The freshness page: each table's age against its maximum, its state, quarantine, last run, and the command that helps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lakehouse import tables as declared
from lakehouse.errors import NotReadyError
from lakehouse.health import airflow_client, liveness, status
from lakehouse.lake import quarantine_counts
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings

_HELP = {
    liveness.KAFKA: "make logs S=kafka, then make restart S=kafka",
    liveness.CAPTURE: "make logs S=connect, then make restart S=connect",
    liveness.LAND: "make logs S=land, then make restart S=land",
    liveness.REFINE: "see DAG silver, then make logs S=airflow-scheduler",
    liveness.GOLD: "see DAG gold, then make logs S=airflow-scheduler",
    liveness.ACTIVITY: "make logs S=activity, then make restart S=activity",
    liveness.LATE: "wait until it catches up, or make rate R=5",
}

Runs = dict[tuple[str, str], dict[str, Any]]


def runs(settings: Settings) -> Runs | None:
    """The last run of each table's task, by DAG and task; None while Airflow is not available."""
    try:
        return airflow_client.last_tasks(settings)
    except NotReadyError:
        return None


def collect(lake: Lake, last_runs: Runs | None, ask_beat: status.AskBeat) -> dict[str, Any]:
    """One row per table in `tables`, the records `waiting` in quarantine, and the delays from commit to bronze and gold, in seconds."""
    now = datetime.now(UTC)
    tables = [vars(entry) for entry in status.collect(lake, now, ask_beat)]
    held = quarantine_counts.counts(lake)
    stopped = {name.split(".")[1]: state.error for name, state in lake.states.read_all(declared.SOURCES).items()}
    shown = []
    for entry in tables:
        layer, _, name = entry["name"].rpartition(".")
        source = name.removesuffix("_history")
        run = (last_runs or {}).get((layer if layer in ("silver", "gold") else "gold", source))
        quarantined = sum(row["waiting"] for row in held if row["source_table"] == source) if layer == "silver" else 0
        more = {"quarantined": quarantined, "run": run}
        shown.append(entry | more | {"help": _help(entry, more, stopped.get(source) if layer == "silver" else None)})
    for row in held:
        row["help"] = f"python -m lakehouse replay {row['source_table']} --reason {row['reason']}"
    return {"tables": shown, "waiting": held, **status.delays(lake, now), "is_airflow_away": last_runs is None}


def _help(entry: dict[str, Any], more: dict[str, Any], error: str | None) -> str:
    """The next step for the operator; empty if nothing is wrong."""
    if error or entry["paused"]:
        return str(error or entry["paused"])
    if entry["state"] in (liveness.KAFKA, liveness.CAPTURE, liveness.LAND):
        return _HELP[entry["state"]]
    if more["run"] and more["run"]["state"] == "failed":
        return "read the task's log: its last lines give the reason and the cure"
    if entry["state"] in _HELP:
        return _HELP[entry["state"]]
    if more["quarantined"]:
        name = entry["name"].split(".")[1].removesuffix("_history")
        return f"make sql Q=\"SELECT reason, detail FROM silver.quarantine WHERE source_table = '{name}' AND replayed_at IS NULL\""
    return ""
