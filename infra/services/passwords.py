"""Passwords of the local platform: generated at first start, one file of mode 0600 each, never in a setting or a log.

`python -m infra.services.passwords` writes those that are missing and is safe to repeat.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from infra.services.step import OneShot, python
from lakehouse import process
from lakehouse.settings import Settings

NAMES = (
    "postgres_superuser",
    "shop_owner",
    "capture",
    "metastore",
    "state_reader",
    "airflow_db",
    "airflow_admin",
    "airflow_fernet",
    "airflow_jwt",
    "airflow_api",
    "metabase_db",
    "pseudonyms",
    "iceberg_db",
    "redis",
    "s3_access_key",
    "s3_secret_key",
)


def generate(settings: Settings) -> None:
    """Write every password file that is missing; an existing one is never changed."""
    settings.secrets_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.secrets_dir.chmod(0o700)
    for name in NAMES:
        write_once(settings.secrets_dir / name, _fernet_key() if name == "airflow_fernet" else secrets.token_urlsafe(24))


def _fernet_key() -> str:
    """32 random bytes in the encoding Fernet requires."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def write_once(path: Path, text: str) -> None:
    """Write a draft and rename it, so that an interrupted start leaves no empty password."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        # No newline: Connect uses the whole file as the password.
        stream.write(text)
    draft.replace(path)


STEPS = (OneShot(name="passwords", doc="A password for each role and key, one a file.", command=python("-m", "infra.services.passwords")),)

if __name__ == "__main__":
    generate(process.begin())
