"""Start the platform: every step as soon as those before it are ready, each with its elapsed time; the first failure ends it."""

from __future__ import annotations

import subprocess
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from rich.console import Console

from infra.local import outcomes, runs
from infra.local.launch import environment
from infra.local.probes import NotReadyError
from infra.local.steps import OneShot, Service, Step
from infra.local.supervision import Supervisor
from lakehouse.settings import PROJECT, Settings

_POLL_S = 0.5
# A service that dies this often before it was ever ready will not become ready by itself.
_RESTARTS_BEFORE_GIVING_UP = 3
_LOG_LINES = 25


class StageError(RuntimeError):
    """A step that did not become ready or complete; the message has its last log lines and names the log."""


def run(settings: Settings, supervisor: Supervisor, steps: list[Step], console: Console) -> None:
    """Bring every step to ready or completed. Raises StageError for the first that fails; the others are left as they are."""
    waiting = {step.name: step for step in steps}
    done: set[str] = set()
    running: dict[Future[float], str] = {}
    stop = threading.Event()
    # One process a step at a time would leave the second core idle; more than three only slow each other down.
    with ThreadPoolExecutor(max_workers=3) as pool:
        try:
            while waiting or running:
                for step in [step for step in waiting.values() if done.issuperset(step.after)]:
                    del waiting[step.name]
                    running[pool.submit(_bring_up, settings, supervisor, step, stop)] = step.name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    console.print(f"[green]✓[/] {name:<24}{future.result():6.1f} s")
                    done.add(name)
        finally:
            # On a failure, and on Ctrl-C, nobody waits any longer for what is still starting.
            stop.set()


def log_file(settings: Settings, name: str) -> Path:
    """Where that service or step writes its log."""
    return settings.home_dir / "logs" / f"{name}.log"


def last_lines(path: Path, count: int = _LOG_LINES) -> str:
    """The end of a log; it may be large, so only its last bytes are read."""
    if not path.is_file():
        return "(no log)"
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - 64_000, 0))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-count:])


def _bring_up(settings: Settings, supervisor: Supervisor, step: Step, stop: threading.Event) -> float:
    """Seconds it took."""
    began = time.monotonic()
    if isinstance(step, OneShot):
        _complete(settings, step, stop)
    elif isinstance(step, Service):
        _make_ready(settings, supervisor, step, stop)
    return time.monotonic() - began


def _complete(settings: Settings, step: OneShot, stop: threading.Event) -> None:
    outcomes.write(settings, step.name, "starting")
    path = log_file(settings, step.name)
    with path.open("w") as log:
        environ = environment(settings, step.environment(settings))
        process = subprocess.Popen(step.command(settings), cwd=PROJECT, env=environ, stdout=log, stderr=subprocess.STDOUT)
        limit = time.monotonic() + step.limit_s
        while process.poll() is None and time.monotonic() < limit and not stop.is_set():
            time.sleep(_POLL_S / 5)
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
    limit = time.monotonic() + service.limit_s
    starts = max(runs.read(settings, service.name).starts, 1)
    seen = "it has not been asked yet"
    while time.monotonic() < limit and not stop.is_set():
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
        time.sleep(_POLL_S)
    raise _failure(settings, service.name, f"was not ready within {service.limit_s} s ({seen})")


def _failure(settings: Settings, name: str, reason: str) -> StageError:
    path = log_file(settings, name)
    return StageError(f"{name} {reason}. The last lines of {path}:\n{last_lines(path)}")
