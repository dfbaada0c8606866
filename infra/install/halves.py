"""The two halves of the platform: what each needs of a machine, and the decision whether the live half runs. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from infra.install import machine
from lakehouse.errors import SettingsError
from lakehouse.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Half:
    """Needs in MiB. `budget_mb`: at most the shares of its services in sum; `memory_mb` and `disk_mb`: what a demo takes."""

    budget_mb: int
    memory_mb: int
    disk_mb: int


# Measured over a demo with thirty days of backfill.
CHANGE_DATA = Half(budget_mb=10 * 1024, memory_mb=8 * 1024, disk_mb=7 * 1024)
LIVE = Half(budget_mb=4 * 1024, memory_mb=4 * 1024, disk_mb=3 * 1024)

# Of a machine on which both halves run by default.
MEMORY_GB = (CHANGE_DATA.budget_mb + LIVE.budget_mb) // 1024
DISK_GB = (CHANGE_DATA.disk_mb + LIVE.disk_mb) // 1024
_ENOUGH = f"this machine has {MEMORY_GB} GB of memory and {DISK_GB} GB of disk free, or more"


def memory_mb(settings: Settings) -> int:
    """Memory that a demo takes with what these settings run, in MiB."""
    return sum(half.memory_mb for half in _running(settings))


def disk_mb(settings: Settings) -> int:
    """Disk that a demo takes with what these settings run, in MiB."""
    return sum(half.disk_mb for half in _running(settings))


def decide(settings: Settings) -> None:
    """With EBAP_LIVE=auto, decide whether the live half runs, keep that, and print why; once for a home folder."""
    if settings.live == "auto" and not settings.live_choice.is_file():
        against = _reason_against(settings)
        _keep(settings, "no" if against else "yes")
        print(f"live half: off, {against}: `make live` adds it later" if against else f"live half: on, {_ENOUGH}", flush=True)


def switch_on(settings: Settings) -> None:
    """Keep that the live half runs. Raises SettingsError where EBAP_LIVE=no forbids it."""
    if settings.live == "no":
        raise SettingsError("EBAP_LIVE is no", "remove it from .env and the environment, then run `make live` again")
    if not settings.live_choice.is_file() or settings.live_choice.read_text().strip() != "yes":
        _keep(settings, "yes")


def _running(settings: Settings) -> tuple[Half, ...]:
    return (CHANGE_DATA, LIVE) if settings.is_live else (CHANGE_DATA,)


def _reason_against(settings: Settings) -> str | None:
    """Why the live half stays off; None if this machine is large enough. An upgrade does not grow a platform by itself."""
    if (settings.home_dir / "data").is_dir():
        return f"{settings.home_dir} has data of a platform without it"
    if (memory_gb := machine.memory_mb() // 1024) < MEMORY_GB:
        return f"this machine has {memory_gb} GB of memory ({MEMORY_GB} needed)"
    if (disk_gb := machine.free_disk_mb(settings) // 1024) < DISK_GB:
        return f"this machine has {disk_gb} GB of disk free ({DISK_GB} needed)"
    return None


def _keep(settings: Settings, choice: str) -> None:
    settings.live_choice.parent.mkdir(parents=True, exist_ok=True)
    settings.live_choice.write_text(f"{choice}\n")
