"""Start-up: each step runs as soon as its dependencies are ready; the first failure ends it.

Of the steps that can begin, the one with the longest chain of dependents goes first: capture before Airflow.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from infra import services
from infra.local import outcomes
from infra.local.launch import environment
from infra.local.supervision import Supervisor
from infra.services import runs
from infra.services.step import OneShot, Service, Step
from lakehouse import wait
from lakehouse.errors import EbapError, NotReadyError
from lakehouse.settings import PROJECT, Settings

_POLL_S = 0.5
# A service that dies this often before it is ready is given up.
_RESTARTS_BEFORE_GIVING_UP = 3
_LOG_LINES = 25
# A starting JVM uses a core and a half, a waiting probe none.
_AT_ONCE = 4
_BAR = 38


@dataclass(frozen=True, kw_only=True)
class Took:
    """When a step began and when it was ready or completed, in seconds since the first step began."""

    name: str
    began_s: float
    ready_s: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ready_s - self.began_s


def run(settings: Settings, supervisor: Supervisor, steps: list[Step], console: Console) -> list[Took]:
    """Bring every step to ready or completed; returns the times of each. Raises EbapError for the first that fails; the others are
    left as they are.
    """
    began = time.monotonic()
    waiting = by_urgency(steps)
    took: dict[str, Took] = {}
    running: dict[Future[Took], str] = {}
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        try:
            while waiting or running:
                free = [step for step in waiting if took.keys() >= set(step.after)]
                for step in free[: _AT_ONCE - len(running)]:
                    waiting.remove(step)
                    running[pool.submit(_bring_up, settings, supervisor, step, stop, began)] = step.name
                for future in wait_for(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    took[name] = future.result()
                    console.print(f"[green]✓[/] {name:<24}{took[name].seconds:6.1f} s")
        finally:
            # After a failure or Ctrl-C, stop waiting for steps that are still starting.
            stop.set()
    return list(took.values())


def by_urgency(steps: list[Step]) -> list[Step]:
    """The steps by the length of their longest chain of dependents, longest first; ties in the order of declaration."""
    followers = {step.name: [other.name for other in steps if step.name in other.after] for step in steps}
    depths = {name: depth for depth, wave in enumerate(services.waves(followers)) for name in wave}
    return sorted(steps, key=lambda step: -depths[step.name])


def show_timeline(took: Sequence[Took], console: Console) -> None:
    """Print when each step began and was ready, in seconds since the start, and as bars."""
    if not took:
        return
    end = max(step.ready_s for step in took)
    scale = _BAR / max(end, 1.0)
    for step in sorted(took, key=lambda step: (step.began_s, step.ready_s)):
        before = round(step.began_s * scale)
        bar = " " * before + "█" * max(round(step.ready_s * scale) - before, 1)
        console.print(f"  {step.name:<22}{step.began_s:4.0f} to {step.ready_s:4.0f} s  {bar}", highlight=False)


def log_file(settings: Settings, name: str) -> Path:
    """Log file of that service or step."""
    return settings.home_dir / "logs" / f"{name}.log"


def last_lines(path: Path, count: int = _LOG_LINES) -> str:
    """The end of a log; it may be large, so only its last bytes are read."""
    if not path.is_file():
        return "(no log)"
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - 64_000, 0))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-count:])


def _bring_up(settings: Settings, supervisor: Supervisor, step: Step, stop: threading.Event, since: float) -> Took:
    began_s = time.monotonic() - since
    if isinstance(step, OneShot):
        _complete(settings, step, stop)
    elif isinstance(step, Service):
        _make_ready(settings, supervisor, step, stop)
    return Took(name=step.name, began_s=began_s, ready_s=time.monotonic() - since)


def _complete(settings: Settings, step: OneShot, stop: threading.Event) -> None:
    outcomes.write(settings, step.name, "starting")
    path = log_file(settings, step.name)
    with path.open("w") as log:
        environ = environment(settings, step.environment(settings))
        process = subprocess.Popen(step.command(settings), cwd=PROJECT, env=environ, stdout=log, stderr=subprocess.STDOUT)
        for _ in wait.looks(step.limit_s, every_s=_POLL_S / 5, pause=stop.wait):
            if process.poll() is not None or stop.is_set():
                break
        is_late = process.poll() is None
        if is_late:
            process.kill()
            process.wait()
    if process.returncode:
        outcomes.write(settings, step.name, "failed")
        reason = f"was not done within {step.limit_s} s" if is_late else f"ended with {process.returncode}"
        raise _failure(settings, step.name, reason)
    outcomes.write(settings, step.name, "completed")


def _make_ready(settings: Settings, supervisor: Supervisor, service: Service, stop: threading.Event) -> None:
    supervisor.start(settings, service.name)
    starts = max(runs.read(settings, service.name).starts, 1)
    seen = "it has not been probed yet"
    for _ in wait.looks(service.limit_s, every_s=_POLL_S, pause=stop.wait):
        if stop.is_set():
            break
        state = supervisor.states()[service.name]
        has_died = runs.read(settings, service.name).starts - starts >= _RESTARTS_BEFORE_GIVING_UP
        if has_died or state["statename"] in ("FATAL", "EXITED"):
            raise _failure(settings, service.name, "does not stay up")
        try:
            if state["statename"] in ("RUNNING", "STARTING"):
                service.probe(settings)
                return
        except NotReadyError as reason:
            seen = str(reason)
    raise _failure(settings, service.name, f"was not ready within {service.limit_s} s ({seen})")


def _failure(settings: Settings, name: str, reason: str) -> EbapError:
    path = log_file(settings, name)
    return EbapError(f"{name} {reason}. The last lines of {path}:\n{last_lines(path)}")
