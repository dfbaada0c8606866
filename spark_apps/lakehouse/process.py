"""The environment of the platform's processes. A shell is set up for other work, and none of that may change what a part does.

A part (a service, a step, a task) gets what `inherited` lists and its own settings; a command of ours starts with `begin`, which takes
out of its environment what would change the parts that live in its own process: libpq, Spark, the JVM, Airflow.
Calls to the platform's own hosts go past a proxy, calls to the rest of the world through it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from lakehouse.errors import SettingsError
from lakehouse.settings import LOOPBACK, PROJECT, Settings

# Not all_proxy: Airflow's HTTP client does not start with one of SOCKS, not even for calls past it.
_PROXIES = ("http_proxy", "https_proxy", "grpc_proxy")
# gRPC reads the first where it is set, and everybody else only the second.
_NO_PROXY = ("no_grpc_proxy", "no_proxy")
# The account, the way to the internet, whom to trust there, and who we are at Google.
_TAKEN_OVER = {
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "JAVA_HOME"),
    *(spelling for name in (*_PROXIES, *_NO_PROXY) for spelling in (name, name.upper())),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPLIB2_CA_CERTS"),
    "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT",
}
_TAKEN_OVER_FAMILIES = ("EBAP_", "GOOGLE_", "CLOUDSDK_", "GCE_")
_FOREIGN_FAMILIES = ("PG", "SPARK_", "PYSPARK_", "AIRFLOW_", "HADOOP_", "HIVE_", "KAFKA_", "PYTHON")
# What any Java program takes options from.
JAVA_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")


def inherited(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Every variable that a process of the platform inherits; `environ` is the shell's, by default this process's."""
    shell = os.environ if environ is None else environ
    taken_over = {name: value for name, value in shell.items() if name in _TAKEN_OVER or name.startswith(_TAKEN_OVER_FAMILIES)}
    # Texts are UTF-8 and days are UTC days wherever it runs.
    return taken_over | past_the_proxy(settings, shell) | {"TZ": "UTC", "LANG": "C.UTF-8"}


def begin() -> Settings:
    """The settings of this process, whose environment is cleaned; SettingsError for one that is wrong.

    What spark-submit started has its environment from `inherited` already, and needs what else is in it.
    """
    _refuse_another_checkout(Path.cwd())
    settings = Settings.from_environment()
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        for name in [name for name in os.environ if is_foreign(name)]:
            del os.environ[name]
    os.environ.update(past_the_proxy(settings, os.environ) | {"TZ": "UTC"})
    time.tzset()
    return settings


def _refuse_another_checkout(folder: Path) -> None:
    """`python -m` takes what it finds in the current folder first: the rest would be of this checkout, and a mixture."""
    if (folder / "spark_apps" / "lakehouse").is_dir() and folder.resolve() != PROJECT:
        raise SettingsError(
            f"{sys.executable} runs the code of {PROJECT}, not of {folder}", f"`make install` here gives {folder} a Python of its own"
        )


def is_foreign(name: str) -> bool:
    """Whether a variable would change what a part of the platform does in a process of ours."""
    return name not in _TAKEN_OVER and (name.startswith(_FOREIGN_FAMILIES) or name in JAVA_OPTIONS)


def past_the_proxy(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep calls to the platform's own hosts from a proxy, beside those that are kept from it already."""
    made: dict[str, str] = {}
    for name in _NO_PROXY:
        spellings = [environ[spelling] for spelling in (name, name.upper()) if environ.get(spelling)]
        if spellings or name == "no_proxy":
            known = [host.strip() for text in spellings for host in text.split(",") if host.strip()]
            made |= dict.fromkeys((name, name.upper()), ",".join(dict.fromkeys([*known, *own_hosts(settings)])))
    return made


def own_hosts(settings: Settings) -> Iterator[str]:
    """Every host at which a part of the platform listens."""
    yield from (LOOPBACK, "localhost", "::1", settings.bind, settings.driver_address)
    yield from (value for name, value in vars(settings).items() if name.endswith("_host"))
    yield from (node.strip().rpartition("@")[2].partition(":")[0] for node in settings.nodes.split(","))
    emulator = urlsplit(settings.gcs_endpoint).hostname
    yield from (emulator,) if emulator else ()
