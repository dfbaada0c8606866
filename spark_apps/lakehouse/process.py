"""The environment of the platform's processes, independent of variables that a shell has for other work.

A service, step or task gets the variables of `inherited` and its own settings; a command starts with `begin`, which removes variables
that would change libraries in its process: libpq, Spark, the JVM, Airflow. Calls to the platform's own hosts bypass the proxy.
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

# Not all_proxy: Airflow's HTTP client fails at start with a SOCKS proxy, even for calls that bypass it.
_PROXIES = ("http_proxy", "https_proxy", "grpc_proxy")
# gRPC reads the first if it is set, other clients only the second.
_NO_PROXY = ("no_grpc_proxy", "no_proxy")
# Account, proxies, trusted certificates and Google credentials.
_TAKEN_OVER = {
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "JAVA_HOME"),
    *(spelling for name in (*_PROXIES, *_NO_PROXY) for spelling in (name, name.upper())),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPLIB2_CA_CERTS"),
    "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT",
}
_TAKEN_OVER_FAMILIES = ("EBAP_", "GOOGLE_", "CLOUDSDK_", "GCE_")
_FOREIGN_FAMILIES = ("PG", "SPARK_", "PYSPARK_", "AIRFLOW_", "HADOOP_", "HIVE_", "KAFKA_", "PYTHON")
# Variables from which any Java program reads options.
JAVA_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")


def inherited(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that a process of the platform inherits; `environ` is the shell's, by default this process's."""
    shell = os.environ if environ is None else environ
    taken_over = {name: value for name, value in shell.items() if name in _TAKEN_OVER or name.startswith(_TAKEN_OVER_FAMILIES)}
    # Texts are UTF-8 and days are UTC days wherever it runs.
    return taken_over | past_the_proxy(settings, shell) | {"TZ": "UTC", "LANG": "C.UTF-8"}


def begin() -> Settings:
    """The settings of this process, after cleaning its environment; SettingsError if one is invalid.

    A process under spark-submit has a clean environment already, and needs spark-submit's variables.
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
    """`python -m` imports from the current folder first: code of two checkouts would be mixed."""
    package = folder / "spark_apps" / "lakehouse"
    if package.is_dir() and package.resolve() != Path(__file__).resolve().parent:
        raise SettingsError(
            f"{sys.executable} runs the code of {PROJECT}, not of {folder}", f"`make install` here gives {folder} a Python of its own"
        )


def is_foreign(name: str) -> bool:
    """Whether a variable would change libraries in a process of the platform."""
    return name not in _TAKEN_OVER and (name.startswith(_FOREIGN_FAMILIES) or name in JAVA_OPTIONS)


def past_the_proxy(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The no_proxy variables, with the platform's own hosts added to those that are in them."""
    variables: dict[str, str] = {}
    for name in _NO_PROXY:
        spellings = [environ[spelling] for spelling in (name, name.upper()) if environ.get(spelling)]
        if spellings or name == "no_proxy":
            known = [host.strip() for text in spellings for host in text.split(",") if host.strip()]
            variables |= dict.fromkeys((name, name.upper()), ",".join(dict.fromkeys([*known, *own_hosts(settings)])))
    return variables


def own_hosts(settings: Settings) -> Iterator[str]:
    """Every host on which a part of the platform listens."""
    yield from (LOOPBACK, "localhost", "::1", settings.bind, settings.driver_address)
    yield from (value for name, value in vars(settings).items() if name.endswith("_host"))
    yield from (node.strip().rpartition("@")[2].partition(":")[0] for node in settings.nodes.split(","))
    given = (urlsplit(address).hostname for address in (settings.gcs_endpoint, settings.s3_endpoint))
    yield from (host for host in given if host)
