"""`python -m infra.local.launch NAME`: replace this process with the service; the supervisor starts every service this way.

It ends remaining processes of an earlier run (workers of a killed Airflow scheduler, the Python process of a killed Spark app), records
the run, prepares the service, and executes it in place: the supervisor's process id is the service's.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra import services
from infra.services import runs
from lakehouse import process
from lakehouse.settings import PROJECT, Settings


def environment(settings: Settings, extra: Mapping[str, str]) -> dict[str, str]:
    """Environment of a process of the platform: inherited variables, all settings, JAVA_HOME, and `extra`."""
    common = {
        "JAVA_HOME": str(settings.home_dir / "java"),
        "PYTHONUNBUFFERED": "1",
        # Each thread of a native library would otherwise have its own arena: hundreds of MB over all JVMs.
        "MALLOC_ARENA_MAX": "2",
    }
    return {**process.inherited(settings), **common, **variables(settings), **extra}


def variables(settings: Settings) -> dict[str, str]:
    """All settings as variables, so that every process reads the same ones."""
    return {f"EBAP_{field.name.upper()}": str(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def keep(settings: Settings) -> None:
    """Have services that start from now on use these settings: the supervisor has those of its own start."""
    path = _kept(settings.home_dir)
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(variables(settings)))
    draft.replace(path)


def _kept(home: Path) -> Path:
    return home / "run" / "settings.json"


def main(name: str) -> None:
    """Replace this process with the service, with the settings that were kept last; EbapError for an unknown name."""
    kept = _kept(Settings.from_environment().home_dir)
    if kept.is_file():  # not in a container, which is started anew with other settings
        os.environ.update(json.loads(kept.read_text()))
    settings = process.begin()
    service = services.service(settings, name)
    abandoned = runs.leftovers(settings, name)
    runs.end_all(abandoned, patience_s=0)
    if abandoned:
        print(f"launch: ended {len(abandoned)} remaining processes of an earlier run of {name}", flush=True)
    runs.begin(settings, name)
    # After the start is counted: a service that cannot be prepared is given up like one that does not stay up.
    service.prepare(settings)
    command = service.command(settings)
    os.chdir(PROJECT)
    os.execvpe(command[0], command, environment(settings, service.environment(settings)))


if __name__ == "__main__":
    main(sys.argv[1])
