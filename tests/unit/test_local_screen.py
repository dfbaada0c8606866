"""What `make status` prints of a given answer, on 80 columns."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from infra.local import screen
from lakehouse import tables
from lakehouse.contract import History
from lakehouse.health import liveness

NOW = datetime(2026, 11, 27, 22, 40, 5, tzinfo=UTC)
STALLED = datetime(2026, 11, 27, 22, 23, 11, tzinfo=UTC)
SERVICES = (
    *("postgres", "kafka", "connect", "spark", "land", "boards"),
    *("airflow-api", "airflow-dag-processor", "airflow-scheduler", "generator"),
)
STEPS = ("passwords", "databases", "topics", "catalog", "capture", "airflow-init", "shop-schema", "shop-seed", "snapshot")


def service(name: str, number: int, state: str = "ready", **more: Any) -> dict[str, Any]:
    pid = 11_000 + 137 * number if state != "stopped" else None
    return {"name": name, "state": state, "url": None, "pid": pid, "restarts": 0, "pss_mb": 301.5, "memory_mb": 900, **more}


def table(name: str, state: str = liveness.FRESH, since: datetime | None = None, **more: Any) -> dict[str, Any]:
    row = {"name": name, "rows": 1_234_567, "age_s": 7.25, "allowed_age_s": 300, "state": state, "since": since}
    row |= {"blocked": 0, "unresolved": 0, "bytes": 45_678_901, "paused": None}
    if name.startswith("silver.") and name.removeprefix("silver.") in {t.name for t in tables.SOURCES}:
        row |= {"verified_through": "2026-11-27T22:00:01.123456+00:00"}
    return row | more


def every_table(**states: Any) -> list[dict[str, Any]]:
    """A row for every table that status lists; `states` are the fields of those that begin with that layer, or have that name."""
    silver = [f"silver.{t.name}{end}" for t in tables.SOURCES for end in (("", "_history") if t.history is History.FULL else ("",))]
    names = ["bronze.changes", *silver, "silver.quarantine", *(t.full_name for t in tables.GOLD)]
    return [table(name, **(states.get(name.split(".")[0]) or states.get(name.split(".")[1]) or {})) for name in names]


def answer(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    steps = [{"name": name, "state": "completed", "url": None, "pid": None, "restarts": 0} for name in STEPS]
    delays = {
        "to_bronze": {"median_s": 4.2, "p95_s": 6.9, "changes": 3300},
        "to_gold": [{"table": "gold.order_lines", "seconds": 41.0}, {"table": "gold.daily_sales", "seconds": 47.3}],
    }
    made: dict[str, Any] = {
        "services": [service(name, number) for number, name in enumerate(SERVICES)] + steps,
        "tables": rows,
        "waiting": [],
        "left_out": [],
    }
    made |= {"endpoints": {"boards": {"url": "http://127.0.0.1:18090"}, "airflow": {"url": "http://127.0.0.1:18080"}}}
    return made | {"delays": delays, "memory": {"pss_mb": 3_412.0, "budget_mb": 8_192}} | more


def printed(given: dict[str, Any]) -> list[str]:
    """The lines on a screen of 80 columns."""
    stream = io.StringIO()
    screen.show(given, Console(file=stream, width=80), NOW)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def line_of(lines: list[str], name: str) -> str:
    """The table's line, which is not the cause's."""
    (head,) = [number for number, line in enumerate(lines) if line.startswith("table ")]
    (found,) = [line for line in lines[head:] if line.startswith(f"{name} ")]
    return found


def test_a_healthy_platform_fits_a_screen_of_80_by_24() -> None:
    lines = printed(answer(every_table()))
    # One line is the prompt's.
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    shown = "\n".join(lines)
    assert "airflow-scheduler 12096" in shown
    assert not [name for name in SERVICES if name not in shown]
    assert not [row["name"] for row in every_table() if row["name"].removesuffix("_history") not in shown]
    assert line_of(lines, "silver.users").split() == ["silver.users", "1,234,567", "1,234,567", "43.6", "7", "s", "5", "min", "fresh"]
    assert "From commit to bronze 4 s (95 of 100 within 7 s), to gold 41 to 47 s" in shown
    assert "Equal to the source as of 22:00 UTC" in shown


def test_a_stalled_capture_is_one_cause_for_which_all_tables_wait() -> None:
    held = {"state": liveness.CAPTURE, "since": STALLED, "age_s": 1014.0}
    lines = printed(answer(every_table(bronze=held, silver=held, gold=held)))
    causes = [line for line in lines if "22:23" in line]
    assert causes == ["capture stalled since 22:23 UTC, all tables wait: make logs S=connect"]
    assert line_of(lines, "bronze.changes").split()[-1] == "stalled"
    assert {line.split()[-1] for line in lines if line.startswith(("silver.", "gold."))} == {"waits"}
    assert len(lines) <= 24


def test_a_stopped_table_is_named_with_what_waits_for_it_and_nothing_else() -> None:
    held = {"state": liveness.STOPPED, "since": STALLED}
    rows = every_table(users=held, users_history=held, quarantine=held, customers=held, tier_changes=held)
    lines = printed(answer(rows))
    (at,) = [number for number, line in enumerate(lines) if "22:23" in line]
    assert lines[at].startswith("silver.users stopped since 22:23 UTC, ")
    assert "gold.tier_changes, gold.customers wait: the freshness page shows why" in " ".join(lines[at : at + 2])
    assert line_of(lines, "silver.users").endswith("stopped")
    assert line_of(lines, "gold.customers").endswith("waits")
    assert line_of(lines, "silver.orders").endswith("fresh")


def test_two_causes_are_two_lines() -> None:
    other = STALLED - timedelta(days=2)
    rows = every_table(users={"state": liveness.STOPPED, "since": STALLED}, orders={"state": liveness.REFINE, "since": other})
    shown = printed(answer(rows))
    assert "silver.users stopped since 22:23 UTC: the freshness page shows why" in shown
    assert "silver.orders stalled since 11-25 22:23 UTC: look at DAG silver" in shown


def test_an_idle_table_says_since_when_and_a_paused_one_who_paused_it() -> None:
    since = datetime(2026, 11, 26, 9, 5, tzinfo=UTC)
    notice = "silver.orders is paused since 2026-11-27 21:00:00 UTC by ann: python -m lakehouse resume orders"
    lines = printed(answer(every_table(users={"state": liveness.IDLE, "since": since}, orders={"paused": notice})))
    assert line_of(lines, "silver.users").endswith("idle since 11-26")
    assert line_of(lines, "silver.orders").endswith("paused")
    assert " ".join(lines).count("is paused since") == 1


def test_what_waits_in_quarantine_comes_with_its_cure() -> None:
    waiting = [{"source_table": "users", "reason": "bad_value", "waiting": 12, "since": STALLED}]
    lines = printed(answer(every_table(users={"blocked": 3, "unresolved": 2}), waiting=waiting))
    shown = " ".join(lines)
    assert "12 records of users (bad_value)" in shown
    assert "python -m lakehouse replay users --reason bad_value" in shown
    assert "silver.users: 3 keys wait for quarantine, 2 versions for values" in lines


def test_without_the_server_the_services_are_shown_and_why_there_are_no_tables() -> None:
    given = answer([], delays=None, error="the warm server is failed: `make up` starts it")
    given["services"][3] = service("spark", 3, "failed", restarts=4)
    given["services"][9] = service("generator", 9, "stopped")
    lines = printed(given)
    shown = " ".join(lines)
    assert "failed spark 11411 (4 restarts): make logs S=spark" in lines
    assert "stopped generator" in lines
    assert "Tables: the warm server is failed" in shown
    assert "From commit" not in shown


def test_a_service_above_its_share_of_memory_is_named() -> None:
    given = answer(every_table())
    given["services"][3] = service("spark", 3, pss_mb=3100.2, memory_mb=3060)
    assert "memory 3,412 of 8,192 MB; above its share: spark 3,100 of 3,060" in printed(given)


def test_the_memory_of_both_halves_is_shown() -> None:
    given = answer(every_table())
    given["memory"]["live"] = {"pss_mb": 1_871.4, "budget_mb": 4_096}
    assert "memory 3,412 of 8,192 MB, live half 1,871 of 4,096 MB" in printed(given)


@pytest.mark.parametrize("since", [STALLED, None])
def test_an_answer_that_was_json_is_shown_alike(since: datetime | None) -> None:
    given = answer(every_table(bronze={"state": liveness.LATE, "since": since}))
    assert printed(json.loads(json.dumps(given, default=str))) == printed(given)
