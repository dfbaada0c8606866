"""`python -m infra.local.launch NAME`: replace this process with the service; the supervisor starts every service this way.

It clears away what an earlier run left behind (workers of a killed Airflow scheduler, the Python half of a killed Spark app),
records the run, prepares what the service needs, and replaces itself by the service: the process id the supervisor knows is the
service's own.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping

from infra import services
from infra.services import runs
from lakehouse import process
from lakehouse.settings import PROJECT, Settings


def environment(settings: Settings, extra: Mapping[str, str]) -> dict[str, str]:
    """All that a process of the platform has in its environment: what it inherits, all settings, the one Java, and `extra`."""
    common = {
        "JAVA_HOME": str(settings.home_dir / "java"),
        "PYTHONUNBUFFERED": "1",
        # Each thread of a native library would otherwise hold an arena of its own: hundreds of MB over all JVMs.
        "MALLOC_ARENA_MAX": "2",
    }
    return {**process.inherited(settings), **common, **variables(settings), **extra}


def variables(settings: Settings) -> dict[str, str]:
    """All settings as variables, so that every process started here reads the same ones."""
    return {f"EBAP_{field.name.upper()}": str(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def main(name: str) -> None:
    """Become the service; KeyError for a name that is none."""
    settings = process.begin()
    service = services.service(settings, name)
    abandoned = runs.leftovers(settings, name)
    runs.end_all(abandoned, patience_s=0)
    if abandoned:
        print(f"launch: ended {len(abandoned)} processes that an earlier run of {name} left behind", flush=True)
    runs.begin(settings, name)
    # After it was counted as a start: what cannot be prepared is given up like what does not stay up.
    service.prepare(settings)
    command = service.command(settings)
    os.chdir(PROJECT)
    os.execvpe(command[0], command, environment(settings, service.environment(settings)))


if __name__ == "__main__":
    main(sys.argv[1])
