"""Metabase's jar, by pinned checksum, and its Java. Standard library only.

`make metabase` fetches the jar; from then on Metabase is one of the platform's services.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from lakehouse.errors import EbapError
from lakehouse.settings import Settings

VERSION = "0.64.1"
# As in Homebrew's formula of that version, for the same address.
SHA256 = "ffe600f532875b4d3c738effbc0f42f8a1ad7f8255cb875569f73b36645ef11d"
URL = f"https://downloads.metabase.com/v{VERSION}/metabase.jar"
JAVA = 21  # required by Metabase's documentation on running the jar
_TIMEOUT_S = 60


def jar(settings: Settings) -> Path:
    """Path of the fetched jar."""
    return settings.home_dir / "metabase" / "metabase.jar"


def is_here(settings: Settings) -> bool:
    """Whether this platform runs its own Metabase."""
    return not settings.metabase_url and jar(settings).is_file()


def fetch(settings: Settings, address: str = URL, sha256: str = SHA256) -> None:
    """Copy the jar into the home folder: the configured one, or the pinned one from the cache or by download. Raises EbapError."""
    source = _given(Path(settings.metabase_jar).expanduser()) if settings.metabase_jar else _pinned(settings, address, sha256)
    target = jar(settings)
    if target.is_file() and target.stat().st_size == source.stat().st_size and _sha256(target) == _sha256(source):
        return
    draft = target.with_suffix(".new")
    draft.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, draft)
    draft.replace(target)


def _given(path: Path) -> Path:
    if not zipfile.is_zipfile(path):
        raise EbapError(f"EBAP_METABASE_JAR names {path}, which is not a jar", "give the path of a Metabase jar, or leave it empty")
    if _sha256(path) != SHA256:
        print(f"{path} is not Metabase {VERSION}, for which the boards were made: used anyway", flush=True)
    return path


def _pinned(settings: Settings, address: str, sha256: str) -> Path:
    path = settings.cache_dir / "metabase" / VERSION / "metabase.jar"
    if path.is_file() and _sha256(path) == sha256:
        return path
    draft = path.with_name(f".metabase.jar.{os.getpid()}")
    draft.parent.mkdir(parents=True, exist_ok=True)
    print(f"downloading Metabase {VERSION} from {address}, about 500 MB", flush=True)
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer, draft.open("wb") as stream:
            shutil.copyfileobj(answer, stream)
        found = _sha256(draft)
        if found != sha256:
            raise EbapError(f"{address} returned another file than the pinned one (SHA-256 {found}, pinned {sha256})", _CURE)
        draft.replace(path)
    except (urllib.error.URLError, OSError) as error:
        raise EbapError(f"Metabase {VERSION} cannot be downloaded from {address} ({error})", _CURE) from error
    finally:
        draft.unlink(missing_ok=True)
    return path


_CURE = (
    "download that file elsewhere and set EBAP_METABASE_JAR to it, or set EBAP_METABASE_URL to a running Metabase. "
    "The boards' page has the same boards without Metabase"
)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
