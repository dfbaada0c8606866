"""The object store of the live half: SeaweedFS on a local disk, by S3's API."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from infra.services import probing
from infra.services.step import Service
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings

BUCKETS = ("bronze", "silver")
_PORTS = ("master", "volume", "filer", "admin")


def data_dir(settings: Settings) -> Path:
    """The store's folder."""
    return settings.home_dir / "data" / "s3"


def command(settings: Settings) -> list[str]:
    """The server's command line; the keys are in a file."""
    # Every port is set: those of gRPC default to the port plus 10,000, and the admin page binds even where it is not served.
    ports = [f"-{name}.port={getattr(settings, f's3_{name}_port')}" for name in _PORTS]
    ports += [f"-{name}.port.grpc={getattr(settings, f's3_{name}_grpc_port')}" for name in _PORTS]
    return [
        str(settings.home_dir / "venv" / "live" / "bin" / "weed"),
        "-logtostderr=true",
        "mini",
        f"-dir={data_dir(settings)}",
        f"-ip={settings.s3_host}",
        f"-ip.bind={settings.bind}",
        *ports,
        f"-s3.port={settings.s3_port}",
        f"-s3.port.grpc={settings.s3_grpc_port}",
        # The default's loop takes a quarter of a core after a restart (SeaweedFS 4.48), though there is one master.
        "-master.raftHashicorp=true",
        # No table buckets: the catalog is in Postgres.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-admin.ui=false",
        "-webdav=false",
        f"-s3.config={_keys(settings)}",
        f"-bucket={','.join(BUCKETS)}",
    ]


def prepare(settings: Settings) -> None:
    """Write the file of keys, readable by its owner alone."""
    data_dir(settings).mkdir(parents=True, exist_ok=True)
    path = _keys(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    keys = {"accessKey": settings.secret("s3_access_key"), "secretKey": settings.secret("s3_secret_key")}
    path.write_text(json.dumps({"identities": [{"name": "ebap", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}]}))


def answers(settings: Settings) -> None:
    """A signed request finds both buckets."""
    from pyarrow.fs import FileSelector, S3FileSystem

    address = urlsplit(settings.s3_address)
    probing.listens(address.hostname or "", address.port or (443 if address.scheme == "https" else 80))
    store = S3FileSystem(
        access_key=settings.secret("s3_access_key"),
        secret_key=settings.secret("s3_secret_key"),
        endpoint_override=address.netloc,
        scheme=address.scheme,
        region=settings.s3_region,
        connect_timeout=probing.TIMEOUT_S,
        request_timeout=probing.TIMEOUT_S,
    )
    try:
        found = {entry.base_name for entry in store.get_file_info(FileSelector(""))}
    except OSError as error:
        raise NotReadyError(f"S3 at {settings.s3_address} does not answer: {error}") from error
    if missing := sorted(set(BUCKETS) - found):
        raise NotReadyError(f"S3 at {settings.s3_address} has no bucket {', '.join(missing)}")


def _keys(settings: Settings) -> Path:
    return settings.home_dir / "conf" / "s3.json"


STEPS = (
    Service(
        name="s3",
        doc="The object store of the live half.",
        command=command,
        # Go collects garbage more often near it; at rest the server takes 120 MB.
        environment=lambda settings: {"GOMEMLIMIT": "250MiB"},
        prepare=prepare,
        probe=answers,
        memory_mb=lambda settings: 300,
        url=lambda settings: settings.s3_address,
        host="s3_host",
        published=("s3_port",),
        after=("passwords",),
        is_live=True,
        is_wanted=lambda settings: not settings.s3_endpoint,
        folders=("data",),
        limit_s=60,
        stop_s=20,
    ),
)
