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
    # No default: a table must be chosen explicitly.
    fields = {"table": Param(type="string", enum=names, title="Table")}
    if action == "pause":
        fields["reason"] = _optional("Why the table is paused.")
    if action in ("rebuild", "resnapshot"):
        fields["keys"] = _optional(_KEYS)
    if action == "rebuild":
        fields["first_day"] = _optional("Instead of keys: the keys that changed on this UTC day, or through the last day.", format="date")
        fields["last_day"] = _optional("The last of those days. Empty: only the first day.", format="date")
    if action == "resnapshot":
        fields["where"] = _optional("Instead of keys: only rows that meet this SQL condition of the source.")
    return fields


def argv(action: str, table_name: str, given: Mapping[str, Any], dag_run: Any) -> list[str]:
    """The command's arguments for that table's task; empty if the form names another table."""
    if given["table"] != table_name:
        return []
    # With an equals sign, because a value may begin with a dash.
    options = [f"--{name}={given[name]}" for name in ("reason", "keys", "where") if given.get(name)]
    if action == "pause":
        options.append(f"--by={getattr(dag_run, 'triggering_user_name', None) or 'unknown user'} in Airflow")
    days = [given[name] for name in ("first_day", "last_day") if given.get(name)]
    options += ["--days", *days] if days else []
    return [*([action] if action in ("pause", "resume") else []), table_name, *options]


def _optional(text: str, **more: Any) -> Param:
    return Param(None, description=text, type=["null", "string"], **more)
