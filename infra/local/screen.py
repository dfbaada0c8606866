"""Output of `make status` for people: services, causes, then a line per table, on 80 columns and 24 lines.

A cause is printed once, with the command that shows more; tables that wait for it have the state `waits`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lakehouse import platform_tables
from lakehouse.contract import Layer
from lakehouse.health import liveness

_HISTORY = "_history"
_BRONZE = platform_tables.CHANGES.full_name
_HELD = (liveness.KAFKA, liveness.CAPTURE, liveness.LAND, liveness.STOPPED, liveness.REFINE, liveness.GOLD, liveness.ACTIVITY)
_COLOURS = {liveness.FRESH: "green", liveness.IDLE: "green", liveness.LATE: "yellow"}
_LOOK = {
    liveness.KAFKA: "make logs S=kafka",
    liveness.CAPTURE: "make logs S=connect",
    liveness.LAND: "make logs S=land",
    liveness.STOPPED: "the freshness page shows why",
    liveness.REFINE: "look at DAG silver",
    liveness.GOLD: "look at DAG gold",
    liveness.ACTIVITY: "make logs S=activity",
}
# Names of stages before silver, for the text of a cause.
_STAGES = {liveness.KAFKA: "kafka", liveness.CAPTURE: "capture", liveness.LAND: "land"}
_NOT_READY = ("failed", "starting", "stopped")
_STATE_COLOURS = {"ready": "green", "failed": "red", "starting": "yellow", "stopped": "dim"}
# Between a name and its number, to keep them on one line.
_TOGETHER = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, kw_only=True)
class _Cause:
    """Why tables are held up: the state and its time, the tables that cause it, and those that wait for them."""

    state: str
    since: datetime | None
    roots: tuple[str, ...]
    waiting: tuple[str, ...]


def show(answer: dict[str, Any], console: Console, now: datetime) -> None:
    """Print the object of `status.collect`; times of another day than `now` have a date."""
    for line in _service_lines(answer):
        console.print(_filled(line, console.width), highlight=False, soft_wrap=True)
    rows = answer["tables"]
    causes = _causes(rows)
    for cause in causes:
        console.print(_cause_line(cause, rows, now), highlight=False)
    for line in _notices(answer):
        console.print(line, highlight=False)
    if rows:
        console.print(_tables(rows, causes, now))
        for line in _summaries(answer, now):
            console.print(line, highlight=False)
    if answer.get("error"):
        console.print(f"[yellow]Tables: {answer['error']}[/]", highlight=False)


def _service_lines(answer: dict[str, Any]) -> Iterator[str]:
    """Running services with their process ids, then those that are not ready, then memory and addresses."""
    services = answer["services"]
    ready = [_named(row) for row in services if row["state"] == "ready"]
    if ready:
        yield f"ready {', '.join(ready)}"
    for state in _NOT_READY:
        names = [_named(row) for row in services if row["state"] == state]
        if names:
            first = next(row["name"] for row in services if row["state"] == state)
            hint = f": make logs S={first}" if state == "failed" else ""
            yield f"{state} {', '.join(names)}{hint}"
    over = [
        f"{row['name']} {row['pss_mb']:,.0f} of {row['memory_mb']:,}"
        for row in services
        if (row.get("pss_mb") or 0) > (row.get("memory_mb") or 0)
    ]
    halves = [_held(answer["memory"])] + ([f"live half {_held(answer['memory']['live'])}"] if "live" in answer["memory"] else [])
    yield f"memory {', '.join(halves)}" + (f"; above its share: {', '.join(over)}" if over else "")
    ends = answer["endpoints"]
    yield f"boards {ends['boards']['url']}  airflow {ends['airflow']['url']}"


def _held(memory: dict[str, Any]) -> str:
    return f"{memory['pss_mb']:,.0f} of {memory['budget_mb']:,.0f} MB"


def _filled(line: str, width: int) -> str:
    """The line wrapped, its first word in the colour of that state; a name and its number stay together."""
    filled = textwrap.fill(line, width, break_on_hyphens=False, break_long_words=False).replace(_TOGETHER, " ")
    state, rest = filled.split(" ", 1)
    return f"[{_STATE_COLOURS[state]}]{state}[/] {rest}" if state in _STATE_COLOURS else filled


def _named(row: dict[str, Any]) -> str:
    """A service with its process id and its automatic restarts."""
    again = f"{_TOGETHER}({row['restarts']}{_TOGETHER}restarts)" if row["restarts"] else ""
    return _TOGETHER.join(str(word) for word in (row["name"], row["pid"]) if word) + again


def _causes(rows: Sequence[dict[str, Any]]) -> list[_Cause]:
    """A cause for each state and time that holds tables up; downstream tables have the same state and time."""
    groups: dict[tuple[str, datetime | None], list[str]] = {}
    for row in rows:
        if row["state"] in _HELD:
            groups.setdefault((row["state"], _moment(row["since"])), []).append(row["name"])
    causes = []
    for (state, since), names in groups.items():
        roots = tuple(name for name in names if _is_root(name, state))
        causes.append(_Cause(state=state, since=since, roots=roots, waiting=tuple(name for name in names if name not in roots)))
    return causes


def _is_root(name: str, state: str) -> bool:
    """Whether a table causes its state itself: for a stage before silver, only bronze does."""
    if state in _STAGES:
        return name == _BRONZE
    layer = {liveness.GOLD: "gold.", liveness.ACTIVITY: f"{Layer.LIVE.value}."}.get(state, "silver.")
    return name.startswith(layer) and not name.endswith(_HISTORY) and name != platform_tables.QUARANTINE.full_name


def _cause_line(cause: _Cause, rows: Sequence[dict[str, Any]], now: datetime) -> str:
    what = _STAGES.get(cause.state) or ", ".join(cause.roots)
    word = "stopped" if cause.state == liveness.STOPPED else "stalled"
    since = f" since {_clock(cause.since, now)}" if cause.since else ""
    held = len(cause.roots) + len(cause.waiting)
    if held == len(rows):
        waits = ", all tables wait"
    else:
        waiting = [name for name in cause.waiting if not name.endswith(_HISTORY) and name != platform_tables.QUARANTINE.full_name]
        waits = f", {', '.join(waiting)} wait{'s' if len(waiting) == 1 else ''}" if waiting else ""
    return f"[red]{what} {word}{since}[/]{waits}: {_LOOK[cause.state]}"


def _notices(answer: dict[str, Any]) -> Iterator[str]:
    """What requires an action: pauses, errors, columns not captured, quarantine, blocked keys."""
    for notice in sorted({row["paused"] for row in answer["tables"] if row["paused"]}):
        yield f"[yellow]{notice}[/]"
    for notice in sorted({row["error"] for row in answer["tables"] if row.get("error")}):
        yield f"[yellow]{escape(notice)}[/]"
    for row in answer["left_out"]:
        column = f"{row['source_table']}.{row['column']} ({row['type_after']})"
        yield f"Not captured and not declared: {escape(column)}: {escape(row['reason'])}"
    for row in answer["waiting"]:
        helps = f"after the fix, python -m lakehouse replay {row['source_table']} --reason {row['reason']}"
        yield f"[yellow]In quarantine: {row['waiting']:,} records of {row['source_table']} ({row['reason']})[/]; {helps}"
    for row in answer["tables"]:
        if row["blocked"] or row["unresolved"]:
            yield f"[yellow]{row['name']}: {row['blocked']:,} keys wait for quarantine, {row['unresolved']:,} versions for values[/]"


def _tables(rows: Sequence[dict[str, Any]], causes: Sequence[_Cause], now: datetime) -> Table:
    """One line per table; a history is on its table's line, which has the same state and age."""
    histories = {row["name"].removesuffix(_HISTORY): row for row in rows if row["name"].endswith(_HISTORY)}
    waiting = {name for cause in causes for name in cause.waiting}
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("table", no_wrap=True)
    for name in ("rows", "versions", "MB", "age", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state (UTC)", no_wrap=True)
    for row in rows:
        if row["name"] in histories or not row["name"].endswith(_HISTORY):
            history = histories.get(row["name"])
            table.add_row(
                row["name"],
                f"{row['rows']:,}",
                f"{history['rows']:,}" if history else "",
                "" if row["bytes"] is None else f"{row['bytes'] / 2**20:,.1f}",
                _duration(row["age_s"]),
                _duration(row["allowed_age_s"]),
                _state(row, row["name"] in waiting, now),
            )
    return table


def _state(row: dict[str, Any], is_waiting: bool, now: datetime) -> str:
    if is_waiting:
        return "[dim]waits[/]"
    if row["paused"]:
        return "[yellow]paused[/]"
    state = row["state"]
    since = _moment(row["since"])
    # For held-up tables the cause's line has the time.
    form = "%m-%d" if since and since.date() != now.date() else "%H:%M"
    moment = f" since {since:{form}}" if since and state not in _HELD else ""
    word = state.split(" ")[0] if state in _HELD else state
    return f"[{_COLOURS.get(state, 'red')}]{word}[/]{moment}"


def _summaries(answer: dict[str, Any], now: datetime) -> Iterator[str]:
    yield _delays_line(answer["delays"])
    compared = {row["name"]: _moment(row["verified_through"]) for row in answer["tables"] if "verified_through" in row}
    known = [at for at in compared.values() if at]
    missing = [name for name, at in compared.items() if at is None]
    if not known:
        yield "Not compared with the source yet: python -m lakehouse reconcile"
    else:
        yield f"Equal to the source as of {_clock(min(known), now)}" + (f"; not compared yet: {', '.join(missing)}" if missing else "")


def _delays_line(delays: dict[str, Any] | None) -> str:
    if delays is None:
        return "From commit: not known"
    bronze = delays["to_bronze"]
    parts = [f"to bronze {bronze['median_s']:.0f} s (95 of 100 within {bronze['p95_s']:.0f} s)"] if bronze["changes"] else []
    seconds = [each["seconds"] for each in delays["to_gold"]]
    if seconds:
        least, most = min(seconds), max(seconds)
        parts.append(f"to gold {least:.0f} s" if round(least) == round(most) else f"to gold {least:.0f} to {most:.0f} s")
    return f"From commit {', '.join(parts) or 'to bronze and gold: no changes yet'}"


def _moment(value: datetime | str | None) -> datetime | None:
    """A time of the answer, which is a text if the answer was read from JSON."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _clock(at: datetime, now: datetime) -> str:
    """The time of day in UTC; with the date if that is not the day of `now`."""
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%m-%d %H:%M} UTC"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
