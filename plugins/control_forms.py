"""Forms of the control DAGs, and command arguments from their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from lakehouse import tables

_KEYS = 'Only these keys, as JSON: 17, or [17, 18], or {"order_id": 17, "line_no": 1}. Empty: all.'


def params(action: str) -> dict[str, Param]:
    """The fields of that action's form."""
    names = [table.name for table in tables.SOURCES]
    # Without a default: nothing is done to a table that nobody chose.
    asked = {"table": Param(type="string", enum=names, title="Table")}
    if action == "pause":
        asked["reason"] = _optional("Why, for whoever finds it paused.")
    if action in ("rebuild", "resnapshot"):
        asked["keys"] = _optional(_KEYS)
    if action == "rebuild":
        asked["first_day"] = _optional("Instead of keys: those that changed on this UTC day, or on the days up to the next.", format="date")
        asked["last_day"] = _optional("The last of those days; empty: the first day alone.", format="date")
    if action == "resnapshot":
        asked["where"] = _optional("Only rows that meet this condition of the source's SQL, instead of keys.")
    return asked


def words(action: str, table_name: str, given: Mapping[str, Any], dag_run: Any) -> list[str]:
    """The words for that table's task; none where the form names another table."""
    if given["table"] != table_name:
        return []
    # With a sign of equality: a text may begin with a dash.
    options = [f"--{name}={given[name]}" for name in ("reason", "keys", "where") if given.get(name)]
    if action == "pause":
        options.append(f"--by={getattr(dag_run, 'triggering_user_name', None) or 'somebody'} in Airflow")
    days = [given[name] for name in ("first_day", "last_day") if given.get(name)]
    options += ["--days", *days] if days else []
    return [*([action] if action in ("pause", "resume") else []), table_name, *options]


def _optional(text: str, **more: Any) -> Param:
    return Param(None, description=text, type=["null", "string"], **more)
