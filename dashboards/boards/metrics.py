"""The freshness figures for Prometheus, in its text format 0.0.4; a scrape fails where they are unknown.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lakehouse.health import liveness

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], float]


def exposition(found: dict[str, Any]) -> str:
    """The result of `freshness.collect` as text; a table whose age is unknown has no sample of it."""
    tables = found["tables"]

    def of(name: str) -> list[Sample]:
        return [({"table": table["name"]}, table[name]) for table in tables if table[name] is not None]

    states: list[Sample] = [
        ({"table": table["name"], "state": state}, int(table["state"] == state)) for table in tables for state in liveness.STATES
    ]
    waiting: list[Sample] = [({"table": row["source_table"], "reason": row["reason"]}, row["waiting"]) for row in found["waiting"]]
    families = [
        ("ebap_table_age_seconds", "Time since the commit up to which the table is complete.", of("age_s")),
        ("ebap_table_allowed_age_seconds", "Maximum age of the table as declared.", of("allowed_age_s")),
        ("ebap_table_state", "1 for the current state of the table, 0 for the others; states as on the freshness page.", states),
        ("ebap_table_rows", "Number of rows, or of versions in a history.", of("rows")),
        ("ebap_table_blocked_keys", "Number of keys with a newer change in quarantine.", of("blocked")),
        ("ebap_table_unresolved_versions", "Number of versions with a value that is not resolved yet.", of("unresolved")),
        ("ebap_quarantine_waiting_records", "Number of records in quarantine, by table and reason.", waiting),
    ]
    return "".join(_family(*family) for family in families)


def _family(name: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        listed = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{listed}}} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
