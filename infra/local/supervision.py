"""supervisord, which keeps the services running: configuration, start, stop, and the state of each service.

It listens on a socket that only this account can open; services are its children, each in its own process group.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from infra.install import doctor
from infra.local.launch import environment, keep
from infra.services import runs, services
from infra.services.step import Service
from lakehouse import wait
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT, Settings
from lakehouse.spark import streaming

# The kernel's limit for the path of a socket is 108 bytes; the server itself binds a longer one first.
_SOCKET_PATH_BYTES = 85
_START_LIMIT_S = 20

_HEAD = """; Written by infra/local at each start.
[supervisord]
pidfile={home}/run/supervisord.pid
logfile={home}/logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
; AUTO logs are not used: every service writes one file under logs.
childlogdir={home}/logs
directory={project}
minfds={open_files}

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
; {doc}
[program:{name}]
command={python} -m infra.local.launch {name}
autostart=false
autorestart={autorestart}
exitcodes=0
; A service that dies within ten seconds is restarted after 1, 2, 3 … seconds; after 30 tries (eight minutes) it is given up.
startsecs=10
startretries=30
stopsignal={stop_signal}
stopwaitsecs={stop_s}
stopasgroup={stopasgroup}
killasgroup=true
redirect_stderr=true
stdout_logfile={home}/logs/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""

# With `on-failure`, a service that exits with 0 was requested to stop.
_AUTORESTART = {"always": "true", "on-failure": "unexpected"}


def render(settings: Settings) -> str:
    """The text of the settings file."""
    given = {
        "home": settings.home_dir,
        "project": PROJECT,
        "socket": socket_path(settings),
        "python": shlex.quote(sys.executable),
        "open_files": doctor.OPEN_FILES,
    }
    # A percent sign begins a variable in this format.
    values = {name: str(value).replace("%", "%%") for name, value in given.items()}
    return "".join([_HEAD.format(**values), *(_program(service, values) for service in services(settings))])


def _program(service: Service, values: dict[str, Any]) -> str:
    own = {
        "name": service.name,
        "doc": service.doc,
        "autorestart": _AUTORESTART[service.restart],
        "stop_signal": service.stop_signal,
        "stop_s": service.stop_s,
        # Postgres' child processes interpret INT as "cancel the query": the signal goes to the first process only, a kill to all.
        "stopasgroup": str(service.stop_signal == "TERM").lower(),
    }
    return _PROGRAM.format(**values, **own)


def socket_path(settings: Settings) -> Path:
    """Socket of supervisord; in the temporary folder if the path of the home folder is too long."""
    path = settings.home_dir / "run" / "supervisor.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(settings.home_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"ebap-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise EbapError(f"{folder} belongs to another account", "remove it, or give EBAP_HOME a shorter path")
    return folder / "supervisor.sock"


class Supervisor:
    """A running supervisord, or None from `find` where there is none."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @property
    def _proxy(self) -> Any:
        """A new proxy for each call: threads cannot share one."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def states(self) -> dict[str, dict[str, Any]]:
        """Supervisord's info of each service: statename, pid, exitstatus, spawnerr."""
        answer: Any = self._proxy.getAllProcessInfo()
        return {info["name"]: info for info in answer}

    def start(self, settings: Settings, name: str) -> None:
        """Start a service that does not run, and reset its number of starts."""
        if self.states()[name]["statename"] in ("RUNNING", "STARTING"):
            return
        runs.forget(settings, name)
        try:
            self._proxy.startProcess(name, False)
        except Fault as fault:
            # The supervisor was about to restart a failed one itself.
            if not fault.faultString.startswith("ALREADY_STARTED"):
                raise EbapError(f"{name} cannot be started: {fault.faultString}") from fault

    def stop(self, name: str) -> None:
        """Stop a service and wait until it has ended; does nothing if it does not run, or was declared after the supervisor's start."""
        try:
            self._proxy.stopProcess(name, True)
        except Fault as fault:
            if not fault.faultString.startswith(("NOT_RUNNING", "BAD_NAME")):
                raise EbapError(f"{name} cannot be stopped: {fault.faultString}") from fault

    def shut_down(self) -> None:
        """End supervisord itself."""
        self._proxy.shutdown()

    def reload(self) -> None:
        """Reload the settings file; a service whose lines changed is stopped and must be started again."""
        answer: Any = self._proxy.reloadConfig()
        added, changed, removed = answer[0]
        for name in [*changed, *removed]:
            self._proxy.stopProcessGroup(name, True)
            self._proxy.removeProcessGroup(name)
        for name in [*added, *changed]:
            self._proxy.addProcessGroup(name)


def find(settings: Settings) -> Supervisor | None:
    """The supervisor of this home folder, if it runs."""
    if not socket_path(settings).exists():
        return None
    supervisor = Supervisor(socket_path(settings))
    try:
        supervisor.states()
    except (OSError, Fault):
        return None
    return supervisor


def ensure(settings: Settings) -> Supervisor:
    """The supervisor with the current settings, started if it does not run."""
    for folder in ("conf", "run", "logs"):
        (settings.home_dir / folder).mkdir(parents=True, exist_ok=True)
    keep(settings)
    conf = settings.home_dir / "conf" / "supervisord.conf"
    conf.write_text(render(settings))
    supervisor = find(settings)
    if supervisor:
        supervisor.reload()
        return supervisor
    _start(settings, conf)
    return _wait_for(settings)


def _start(settings: Settings, conf: Path) -> None:
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)]
    done = subprocess.run(command, cwd=PROJECT, env=environment(settings, {}), capture_output=True, text=True)
    if done.returncode:
        raise EbapError(f"supervisord does not start: {(done.stdout + done.stderr).strip()[-500:]}")


def _wait_for(settings: Settings) -> Supervisor:
    for _ in wait.looks(_START_LIMIT_S, every_s=0.1):
        supervisor = find(settings)
        if supervisor:
            return supervisor
    raise EbapError("supervisord does not answer", f"look into {settings.home_dir}/logs/supervisord.log")


def stop(settings: Settings, supervisor: Supervisor, service: Service) -> None:
    """Stop one service; one with a stop request gets time to follow it before the signal."""
    # A half that was added since the supervisor's start is not among its states.
    if service.stop_request and supervisor.states().get(service.name, {}).get("statename") in ("RUNNING", "STARTING"):
        request = service.stop_request(settings)
        streaming.drain(request, lambda: supervisor.states()[service.name]["statename"] != "RUNNING")
        request.unlink(missing_ok=True)
    supervisor.stop(service.name)


def end(settings: Settings, supervisor: Supervisor, waves: list[list[Service]]) -> None:
    """Stop the services wave by wave, then supervisord, then remaining processes."""
    families = _descendants(settings)
    with ThreadPoolExecutor() as pool:
        for wave in waves:
            list(pool.map(lambda service: stop(settings, supervisor, service), wave))
    supervisor.shut_down()
    runs.end_all(families, patience_s=10)


def _descendants(settings: Settings) -> list[psutil.Process]:
    """supervisord and everything below it now."""
    pidfile = settings.home_dir / "run" / "supervisord.pid"
    try:
        top = psutil.Process(int(pidfile.read_text()))
        return [top, *top.children(recursive=True)]
    except (psutil.Error, OSError, ValueError):
        return []
