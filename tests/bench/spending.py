"""Lines 18 and 19: CPU time of all processes of the platform, by service: under standing load, and over one cycle of silver and gold.

A service's time is that of its whole process tree including ended children: Airflow's tasks live for seconds. The figures include the
cost of the shop itself, Postgres and the generator.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from generator.clicks.commands import control_of
from generator.control import Control
from infra.services import runs, services
from lakehouse import platform_tables, tables
from lakehouse.contract import Table
from lakehouse.gold import aggregate
from lakehouse.health import airflow_client, catch_up
from lakehouse.lake.lake import Lake
from lakehouse.settings import PROJECT, Settings
from lakehouse.silver import refine
from lakehouse.source.connection import owner
from tests.bench import pressure
from tests.bench.sides import begin, until

WINDOW_S = 240
# Until JIT compilation and caches settle, and the DAGs have run at the new rate.
SETTLING_S = 60
# Operations per second (0: the shop is paused), and the maximum number of cores for the whole platform.
RATES = ((0, 0.15), (5, 0.4), (50, 0.8))
# Of both halves at their default rates, and of the live half with its visitors paused.
BOTH, IDLE_LIVE = 1.2, 0.3
CHANGES = 1_200
CYCLES = 3
CYCLE_TARGET_S, WARM_TARGET_S = 6, 1
_IDLE_S = 60
_LIMIT_S = 600.0
# The column to change per table, so that gold has changes to compute.
_CHANGED = {"orders": "total_usd", "order_items": "unit_price_usd", "products": "price_usd"}

# CPU seconds by service.
Spent = dict[str, float]


def standing(settings: Settings) -> None:
    """Line 18: cores by service with the shop paused and at two rates, then of both halves; with the DAGs on schedule and no viewers."""
    begin(f"18  standing load of all processes, cores over {WINDOW_S} s")
    shop, visits = Control(settings.control_dir), control_of(settings)
    with pressure.restored(shop), pressure.restored(visits):
        if settings.is_live:
            pressure.trade(visits, "paused", settings.eps)
        for rate, target in RATES:
            pressure.trade(shop, "running" if rate else "paused", rate or settings.rate)
            if not rate:
                pressure.settle(settings)
            name = f"{rate} operations per second" if rate else "shop paused"
            live, others = _halves(settings, _settled_over(settings))
            _report_cores(name, others, WINDOW_S, target)
            if settings.is_live and not rate:
                _report_cores("live half, paused", live, WINDOW_S, IDLE_LIVE)
        if settings.is_live:
            pressure.trade(shop, "running", settings.rate)
            pressure.trade(visits, "running", settings.eps)
            name = f"both halves, {settings.rate:g} operations and {settings.eps:g} events per second"
            _report_cores(name, _settled_over(settings), WINDOW_S, BOTH)


def cycle(settings: Settings) -> None:
    """Line 19: the cost of silver's and gold's tasks for CHANGES changes, through Airflow, and by the same commands in one warm process."""
    begin(f"19  a cycle of {CHANGES:,} changes, {len(tables.SOURCES)} silver and {len(_gold())} gold tables, CPU seconds of all processes")
    control = Control(settings.control_dir)
    with pressure.restored(control):
        pressure.trade(control, "paused", control.request().rate or settings.rate)
        pressure.settle(settings)
        idle = {name: seconds / _IDLE_S for name, seconds in _over(settings, _IDLE_S).items()}
        by_airflow = [_measured_cycle(settings, turn, idle) for turn in range(CYCLES + 1)][1:]
        _report_cycle("through Airflow", by_airflow, CYCLE_TARGET_S)
        with _dag_paused(settings, "silver"):
            lake = Lake(settings)
            # Different rows than in the turns through Airflow; the first is the warm-up.
            warm = [_warm_cycle(settings, lake, CYCLES + 1 + turn) for turn in range(CYCLES + 1)][1:]
        _report_cycle("in one warm process", warm, WARM_TARGET_S)


def spent(settings: Settings) -> Spent:
    """CPU seconds of each running service so far, and of the supervisor."""
    pids = {service.name: runs.read(settings, service.name).pid for service in services(settings)}
    found = {name: tree_cpu_s(pid) for name, pid in pids.items() if pid and psutil.pid_exists(pid)}
    # Without its children, which are the services.
    own = psutil.Process(int((settings.home_dir / "run" / "supervisord.pid").read_text())).cpu_times()
    return found | {"supervisor": own.user + own.system}


def tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process and its descendants, including ended ones."""
    top = psutil.Process(pid)
    total = 0.0
    for process in (top, *top.children(recursive=True)):
        # The time of a process that ends now is then included in its parent's.
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _settled_over(settings: Settings) -> Spent:
    time.sleep(SETTLING_S)  # a fixed settling time, not a wait for a condition
    return _over(settings, WINDOW_S)


def _halves(settings: Settings, found: Spent) -> tuple[Spent, Spent]:
    """The services of the live half, and the others."""
    live = {service.name for service in services(settings) if service.is_live}
    return {name: found[name] for name in found if name in live}, {name: found[name] for name in found if name not in live}


def _over(settings: Settings, seconds: float) -> Spent:
    """CPU time of each service within that many seconds from now."""
    before = spent(settings)
    time.sleep(seconds)  # the window itself
    return _between(before, spent(settings))


def _between(before: Spent, after: Spent) -> Spent:
    restarted = sorted({name for name in after if after[name] < before.get(name, 0.0)} | (before.keys() ^ after.keys()))
    if restarted:
        sys.exit(f"bench: {', '.join(restarted)} was started or stopped meanwhile: see `make status`")
    return {name: after[name] - before[name] for name in after}


def _report_cores(name: str, found: Spent, seconds: float, target: float) -> None:
    total = sum(found.values()) / seconds
    verdict = "met" if total <= target else f"missed by {total - target:.2f}"
    print(f"    {name}: {total:.2f} cores (target at most {target}: {verdict}); {_listed(found, seconds)}", flush=True)


def _listed(found: Mapping[str, float], seconds: float = 1.0) -> str:
    """Services in descending order of their time."""
    ordered = sorted(found.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{name} {taken / seconds:.2f}" for name, taken in ordered)


def _measured_cycle(settings: Settings, turn: int, idle: Mapping[str, float]) -> Spent:
    """One cycle through Airflow, less the idle load of every service."""
    _change(settings, turn)
    before, began = spent(settings), time.monotonic()
    failed = airflow_client.finish(settings, "silver", _LIMIT_S)
    if failed:
        sys.exit(f"bench: {', '.join(failed)} failed in DAG silver: see `make status`")
    # The run of gold that silver's asset triggers.
    until(lambda: not airflow_client.active(settings), _LIMIT_S, "gold to run after silver")
    wall_s = time.monotonic() - began
    return {name: taken - idle.get(name, 0.0) * wall_s for name, taken in _between(before, spent(settings)).items()}


def _warm_cycle(settings: Settings, lake: Lake, turn: int) -> Spent:
    """The work of the tasks in this process, one after another."""
    _change(settings, turn)
    me = psutil.Process().pid
    before = tree_cpu_s(me)
    refined = [refine.run(lake, table.name) for table in tables.SOURCES]
    aggregated = [aggregate.run(lake, name) for name in _gold()]
    taken = tree_cpu_s(me) - before
    if not all(result.changed for result in refined) or not all(result.changed for result in aggregated):
        sys.exit("bench: some tables had no changes: is something else running the tasks?")
    return {"this process": taken}


def _report_cycle(name: str, runs_of: list[Spent], target: float) -> None:
    totals = [sum(run.values()) for run in runs_of]
    median = statistics.median(totals)
    verdict = "met" if median <= target else f"missed, {median / target:.1f} times as much"
    middle = min(runs_of, key=lambda run: abs(sum(run.values()) - median))
    span = f"{min(totals):.1f} to {max(totals):.1f}"
    print(f"    {name}: median {median:.1f} CPU s ({span}; target at most {target}: {verdict}); {_listed(middle)}", flush=True)


def _change(settings: Settings, turn: int) -> None:
    """Change an equal number of rows per table, spread over its keys, and wait until they have landed."""
    before = _landed(settings)
    changed = 0
    with owner(settings) as cursor:
        # The smallest table first: larger ones make up for its missing rows.
        for left, table in zip(range(len(tables.SOURCES), 0, -1), _by_size(settings, cursor), strict=True):
            each = (CHANGES - changed) // left
            keys = ", ".join(table.key)
            money = _CHANGED.get(table.name)
            more = f", {money} = {money} + 0.01" if money else ""
            full = f"{settings.source_schema}.{table.name}"
            picked = f"SELECT {keys} FROM {full} ORDER BY md5(concat_ws('.', {keys}, '{turn}')) LIMIT {each}"
            cursor.execute(f"UPDATE {full} SET updated_at = clock_timestamp(){more} WHERE ({keys}) IN ({picked})")
            changed += cursor.rowcount
    if changed < CHANGES:
        sys.exit(f"bench: the shop has only {changed} rows to change: run `make demo` first")
    until(partial(_has_landed, settings, before + changed), _LIMIT_S, f"{changed} changes to land")


def _by_size(settings: Settings, cursor: Any) -> list[Table]:
    """The source tables in ascending order of rows."""
    counts = {}
    for table in tables.SOURCES:
        cursor.execute(f"SELECT count(*) FROM {settings.source_schema}.{table.name}")
        counts[table.name] = cursor.fetchone()[0]
    return sorted(tables.SOURCES, key=lambda table: counts[table.name])


def _has_landed(settings: Settings, expected: int) -> bool:
    return _landed(settings) >= expected


def _landed(settings: Settings) -> int:
    """Records of the source's tables that land has committed."""
    heartbeats = platform_tables.topic(platform_tables.HEARTBEAT)
    return sum(offset for (topic, _), offset in catch_up.landed_offsets(settings).items() if topic != heartbeats)


def _gold() -> list[str]:
    return [table.name for table in tables.GOLD if not table.is_view]


@contextmanager
def _dag_paused(settings: Settings, dag_id: str) -> Iterator[None]:
    """Pause the DAG between two of its runs."""
    try:
        until(lambda: _is_paused(settings, dag_id), _LIMIT_S, "Airflow's runs to end")
        yield
    finally:
        _airflow(settings, "dags", "unpause", dag_id)


def _is_paused(settings: Settings, dag_id: str) -> bool:
    """Pause the DAG if nothing runs; whether it is paused so. A run that is queued meanwhile would wait until it is resumed."""
    if airflow_client.active(settings):
        return False
    _airflow(settings, "dags", "pause", dag_id)
    if not airflow_client.active(settings):
        return True
    _airflow(settings, "dags", "unpause", dag_id)
    return False


def _airflow(settings: Settings, *args: str) -> None:
    log = Path(settings.home_dir / "logs" / "bench.log")
    with log.open("a") as stream:
        command = [sys.executable, "-m", "infra.airflow", *args]
        done = subprocess.run(command, cwd=PROJECT, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"bench: airflow {' '.join(args)} exited with {done.returncode}: see {log}")
