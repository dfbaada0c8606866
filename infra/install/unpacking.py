"""Unpacking of a locked archive: some of its files, in two sequential reads. Standard library only.

A file that several folders of Trino's archive hold is stored once, at its first place, and as hard links at the others. tarfile alone
goes back to that place for each link of which the first place is not unpacked: 150 s for the plug-in of Iceberg, 13 s by this module.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from lakehouse.errors import EbapError


def unpack(archive: Path, target: Path, is_used: Callable[[str], bool]) -> None:
    """Unpack the files whose names `is_used` accepts into that folder. EbapError for a name that leads out of it."""
    places = _places(archive, is_used)
    with tarfile.open(archive, "r|gz") as stream:
        for member in stream:
            paths = [_inside(target, name) for name in places.get(member.name, ())]
            content = stream.extractfile(member) if paths else None
            if content is None:
                continue
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
            with paths[0].open("wb") as file:
                shutil.copyfileobj(content, file)
            paths[0].chmod(0o755 if member.mode & 0o100 else 0o644)
            for path in paths[1:]:
                os.link(paths[0], path)


def _places(archive: Path, is_used: Callable[[str], bool]) -> dict[str, list[str]]:
    """For each stored file that is needed, the names that it gets."""
    origins: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    with tarfile.open(archive, "r|gz") as stream:
        for member in stream:
            if member.isreg() or member.islnk():
                # A hard link points to an earlier name, which may be a link itself.
                origins[member.name] = origins[member.linkname] if member.islnk() else member.name
                if is_used(member.name):
                    places.setdefault(origins[member.name], []).append(member.name)
    return places


def _inside(target: Path, name: str) -> Path:
    path = target / name
    if not path.resolve().is_relative_to(target.resolve()):
        raise EbapError(f"the archive holds {name}, which leads out of its folder")
    return path
