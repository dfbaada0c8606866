"""The lake's files without Spark: on a local disk or in a Google Cloud Storage bucket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lakehouse import process
from lakehouse.errors import EbapError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client

_TIMEOUT_S = 30
_GIVE_UP_S = 10


def names(settings: Settings, uri: str) -> list[str]:
    """Names of the files directly in the folder `uri`; empty if there is no such folder."""
    if not settings.is_on_gcs:
        folder = _path(uri)
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    prefix = f"{_key(uri)}/"
    return sorted(blob.name.removeprefix(prefix) for blob in bucket(settings).list_blobs(prefix=prefix, delimiter="/", timeout=_TIMEOUT_S))


def text(settings: Settings, uri: str) -> str:
    """The text of the file `uri`; FileNotFoundError if there is none."""
    if not settings.is_on_gcs:
        return _path(uri).read_text()
    from google.api_core.exceptions import NotFound

    try:
        return str(bucket(settings).blob(_key(uri)).download_as_text(timeout=_TIMEOUT_S))
    except NotFound:
        raise FileNotFoundError(uri) from None


def bytes_by_table(settings: Settings) -> dict[str, int]:
    """Bytes of all files of each stored table by full name, unneeded files included."""
    root = settings.lake_root
    found: dict[str, int] = defaultdict(int)
    if settings.is_on_gcs:
        prefix = _key(root)
        sizes = ((blob.name.removeprefix(prefix).lstrip("/"), blob.size) for blob in bucket(settings).list_blobs(prefix=prefix))
    else:
        top = _path(root)
        sizes = ((str(path.relative_to(top)), path.lstat().st_size) for path in top.rglob("*") if not path.is_dir())
    for name, size in sizes:
        layer, _, rest = name.partition("/")
        table, _, file = rest.partition("/")
        if layer in ("bronze", "silver", "gold") and file:
            found[f"{layer}.{table}"] += size or 0
    return dict(found)


def has_bucket(settings: Settings) -> bool:
    """Whether the lake's bucket exists. Raises EbapError, ValueError off gs:."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    with _clear_errors(settings):
        found = client(settings).lookup_bucket(_bucket_name(settings), timeout=_TIMEOUT_S, retry=DEFAULT_RETRY.with_timeout(_GIVE_UP_S))
    return found is not None


def ensure_bucket(settings: Settings) -> bool:
    """Create the lake's bucket if it does not exist; whether it was created. Raises EbapError, ValueError off gs:."""
    if has_bucket(settings):
        return False
    if not settings.gcp_project and not settings.gcs_endpoint:
        raise EbapError(f"there is no bucket {_bucket_name(settings)}", "create it, or set EBAP_GCP_PROJECT to the project to create it in")
    created = bucket(settings)
    # Access is granted on the whole bucket, and never to the public.
    created.iam_configuration.uniform_bucket_level_access_enabled = True
    created.iam_configuration.public_access_prevention = "enforced"
    with _clear_errors(settings):
        created.create(location=settings.gcp_zone.rpartition("-")[0], timeout=_TIMEOUT_S)
    return True


@contextmanager
def _clear_errors(settings: Settings) -> Iterator[None]:
    from google.api_core.exceptions import Forbidden, GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except Forbidden as error:
        what = f"bucket {_bucket_name(settings)} denies access ({error.message})"
        raise EbapError(f"{what}", "grant roles/storage.admin on it, or name another in EBAP_LAKE") from error
    except GoogleAuthError as error:
        raise EbapError(
            f"there are no credentials for {settings.lake_root} ({error})", "`gcloud auth application-default login`"
        ) from error
    except (GoogleAPIError, OSError) as error:
        raise EbapError(f"the bucket of {settings.lake_root} cannot be reached ({error})") from error


def client(settings: Settings) -> Client:
    """Google's client, with default credentials, or for the emulator."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    project = settings.gcp_project or "ebap"
    if not settings.gcs_endpoint:
        return storage.Client(project=project)
    options = {"api_endpoint": settings.gcs_endpoint.rstrip("/")}
    return storage.Client(project=project, credentials=AnonymousCredentials(), client_options=options)  # type: ignore[no-untyped-call]


def bucket(settings: Settings) -> Bucket:
    """The lake's bucket, without a request."""
    return client(settings).bucket(_bucket_name(settings))


def _bucket_name(settings: Settings) -> str:
    if not settings.is_on_gcs:
        raise ValueError(f"the lake at {settings.lake_root} is not in a bucket")
    return urlsplit(settings.lake_root).netloc


def _key(uri: str) -> str:
    return urlsplit(uri).path.strip("/")


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


if __name__ == "__main__":
    current = process.begin()
    print(f"bucket of {current.lake_root}: {'created' if ensure_bucket(current) else 'exists'}")
