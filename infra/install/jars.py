"""Java artifacts by lock: downloaded once into the cache, checked by SHA-256 each time they are linked into the home folder.

`python -m infra.install.jars fetch` syncs each set that the settings need, `<home>/jars/<set>`, with `infra/locks/jars.txt`;
`python -m infra.install.jars lock` resolves `jars.in` into `jars.txt`. Runs in the boot environment, which has jgo and rich.
A line of the lock is `set group:artifact:packaging:classifier:version sha256 bytes`, without a URL.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.install import unpacking
from lakehouse.errors import EbapError, exit_code_of
from lakehouse.settings import PROJECT, Settings

LOCK = PROJECT / "infra" / "locks" / "jars.txt"
WISHES = PROJECT / "infra" / "locks" / "jars.in"
# What the catalog `iceberg` needs.
_TRINO_PLUGINS = ("iceberg",)
_HEADER = "# set coordinate sha256 bytes. Generated: make lock\n"


@dataclass(frozen=True)
class Jar:
    """One locked file; `folder` is the set it belongs to, `size` is in bytes."""

    folder: str
    coordinate: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """Its name in a Maven repository and in the set's folder."""
        _, artifact, packaging, classifier, version = self.coordinate.split(":")
        return f"{artifact}-{version}{'-' if classifier else ''}{classifier}.{packaging}"


def read_lock(path: Path = LOCK) -> list[Jar]:
    """Every locked artifact, in the order of the file."""
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [Jar(folder, coordinate, sha256, int(size)) for folder, coordinate, sha256, size in rows]


def fetch(settings: Settings) -> None:
    """Link every set into the home folder; downloads only what is not in the cache."""
    jars = [jar for jar in read_lock() if is_wanted(settings, jar.folder)]
    stale = [folder for folder in dict.fromkeys(jar.folder for jar in jars) if _stamp(settings, folder).is_stale(jars)]
    wanted = [jar for jar in jars if jar.folder in stale]
    missing = [jar for jar in wanted if not _is_right(_cached(settings, jar), jar)]
    if missing:
        print(f"Java artifacts: {len(missing)} files, {sum(jar.size for jar in missing) / 1e6:.0f} MB to download", flush=True)
        _download_all(settings, missing)
    for folder in stale:
        _link(settings, folder, [jar for jar in jars if jar.folder == folder])


def is_wanted(settings: Settings, folder: str) -> bool:
    """Whether these settings need a set."""
    return {"gcs": settings.is_on_gcs, "iceberg": settings.is_live, "trino": settings.is_live}.get(folder, True)


def lock() -> None:
    """Resolve `jars.in` into `jars.txt`, without the jars of pyspark, which must be installed in the main environment."""
    settings = Settings.from_environment()
    shipped = _shipped_by_pyspark(settings)
    lines = [_HEADER]
    for folder, coordinates in _wishes().items():
        for coordinate, path in sorted(_resolve(settings, coordinates)):
            if folder == "spark" and _artifact_name(path) in shipped:
                continue
            lines.append(f"{folder} {coordinate} {_sha256(path)} {path.stat().st_size}\n")
    LOCK.write_text("".join(lines))
    print(f"{LOCK.relative_to(PROJECT)}: {len(lines) - 1} artifacts")


@dataclass(frozen=True)
class _Stamp:
    path: Path
    folder: str

    def text(self, jars: list[Jar]) -> str:
        lines = "".join(f"{jar.coordinate} {jar.sha256}\n" for jar in jars if jar.folder == self.folder)
        return hashlib.sha256(lines.encode()).hexdigest()

    def is_stale(self, jars: list[Jar]) -> bool:
        return not self.path.is_file() or self.path.read_text() != self.text(jars)


def _stamp(settings: Settings, folder: str) -> _Stamp:
    return _Stamp(settings.home_dir / "jars" / folder / ".lock", folder)


def _cached(settings: Settings, jar: Jar) -> Path:
    group, artifact, _, _, version = jar.coordinate.split(":")
    return settings.cache_dir / "jars" / group.replace(".", "/") / artifact / version / jar.file_name


def _is_right(path: Path, jar: Jar) -> bool:
    return path.is_file() and path.stat().st_size == jar.size and _sha256(path) == jar.sha256


def _download_all(settings: Settings, missing: list[Jar]) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("Java artifacts", total=sum(jar.size for jar in missing))
        context = _maven(settings)
        for jar in missing:
            _download(context, settings, jar)
            progress.advance(task, jar.size)


def _download(context: Any, settings: Settings, jar: Jar) -> None:
    """Download one artifact; a file with the wrong checksum is deleted, so that the next run downloads it again."""
    path = _cached(settings, jar)
    path.unlink(missing_ok=True)
    try:
        _artifact(context, jar.coordinate).resolve()
    except Exception as error:  # jgo raises whatever its HTTP client does
        path.unlink(missing_ok=True)
        raise EbapError(f"{jar.coordinate} cannot be downloaded ({error})", "check the network, then run `make install` again") from error
    if not _is_right(path, jar):
        found = _sha256(path)
        path.unlink()
        raise EbapError(f"{jar.coordinate} is not the locked file: SHA-256 {found}, locked {jar.sha256}", "run `make install` again")


def _link(settings: Settings, folder: str, jars: list[Jar]) -> None:
    """Build the set's folder as a draft and replace the old one; the stamp is written last."""
    target = settings.home_dir / "jars" / folder
    fresh = target.with_name(f"{folder}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for jar in jars:
        source = _cached(settings, jar)
        if source.name.endswith(".tar.gz"):
            unpacking.unpack(source, fresh, _is_used)
        else:
            _link_file(source, fresh / source.name)
    (fresh / ".lock").write_text(_stamp(settings, folder).text(jars))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    print(f"jars/{folder}: {len(jars)} locked files", flush=True)


def _is_used(name: str) -> bool:
    """Whether a file of an archive is unpacked: of Trino, the server and the plug-ins in use, a third of its size."""
    parts = name.split("/")
    if not parts[0].startswith("trino-server-") or len(parts) < 3:
        return True
    return parts[1] == "lib" or (parts[1] == "plugin" and parts[2] in _TRINO_PLUGINS)


def _link_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # the cache is on another file system
        shutil.copyfile(source, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _maven(settings: Settings) -> Any:
    from jgo.maven import MavenContext

    return MavenContext(repo_cache=settings.cache_dir / "jars", timeout=60)


def _artifact(context: Any, coordinate: str) -> Any:
    group, artifact, packaging, classifier, version = coordinate.split(":")
    return context.project(group, artifact).at_version(version).artifact(classifier=classifier, packaging=packaging)


def _wishes() -> dict[str, list[str]]:
    wishes: dict[str, list[str]] = {}
    for line in WISHES.read_text().splitlines():
        if line and not line.startswith("#"):
            folder, coordinate = line.split()
            wishes.setdefault(folder, []).append(coordinate)
    return wishes


def _resolve(settings: Settings, coordinates: list[str]) -> Iterator[tuple[str, Path]]:
    """Each coordinate with its dependencies; one with a classifier is a bundle without any."""
    from jgo.maven import Dependency

    context = _maven(settings)
    for coordinate in (c for c in coordinates if c.count(":") == 4):
        yield coordinate, _artifact(context, coordinate).resolve()
    plain = [c for c in coordinates if c.count(":") == 2]
    if not plain:
        return
    parts = [coordinate.split(":") for coordinate in plain]
    wanted = [Dependency(context.project(g, a).at_version(v).artifact(), raw=True) for g, a, v in parts]
    inputs, transitive = context.resolver.resolve(wanted)
    for dependency in [*inputs, *transitive]:
        artifact = dependency.artifact
        yield f"{artifact.groupId}:{artifact.artifactId}:jar:{artifact.classifier}:{artifact.version}", artifact.resolve()


def _artifact_name(path: Path) -> str:
    return re.sub(r"-\d[\w.\-]*\.jar$", "", path.name)


def _shipped_by_pyspark(settings: Settings) -> set[str]:
    found = {_artifact_name(path) for path in settings.home_dir.glob("venv/main/lib/python3.*/site-packages/pyspark/jars/*.jar")}
    if not found:
        raise EbapError(f"there is no pyspark under {settings.home_dir / 'venv' / 'main'}", "run `make install` first")
    # Old RoaringBitmap has two jars; pyspark ships it as one.
    return found | {"shims"}


def main() -> int:
    """Run `fetch` or `lock`; 0, or 1 with the reason on standard error."""
    return exit_code_of("error  ", _run, failed=1)


def _run() -> int:
    if sys.argv[1:] == ["lock"]:
        lock()
    elif sys.argv[1:] == ["fetch"]:
        fetch(Settings.from_environment())
    else:
        print("usage: python -m infra.install.jars fetch | lock", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
