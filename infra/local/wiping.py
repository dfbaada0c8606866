"""Removal of the platform's files; prints each folder and its size before."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from lakehouse.settings import Settings

# Environments and jars stay: they are built from locks, not data.
DATA = ("data", "lake", "secrets", "control", "conf", "airflow", "logs", "run", "tmp")


def wipe(settings: Settings, with_cache: bool, console: Console) -> None:
    """Remove data, logs and secrets of this home folder; `with_cache` also environments, jars and all downloads."""
    targets = [settings.home_dir / name for name in DATA]
    if with_cache:
        targets += [settings.home_dir / name for name in ("venv", "jars", "java", "assets", "metabase")] + [settings.cache_dir]
    if settings.lake and not settings.lake.startswith(f"file://{settings.home_dir}"):
        console.print(f"[yellow]The lake at {settings.lake} is not in {settings.home_dir} and stays: remove it yourself[/]")
    if settings.metabase_url and settings.secret_file("metabase_admin").exists():
        console.print("[yellow]The generated password of Metabase's admin is removed too; its account in your Metabase remains[/]")
    if settings.is_live and settings.s3_endpoint:
        console.print(f"[yellow]What the live half wrote to {settings.s3_endpoint} stays: empty its buckets yourself[/]")
    for target in targets:
        if target.is_symlink():
            target.unlink()
        elif target.exists():
            console.print(f"removing {target} ({_size_mb(target):,.0f} MB)")
            shutil.rmtree(target)


def _size_mb(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 2**20
