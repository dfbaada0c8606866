"""A shell that was set up for other work, and a listener to stand for its proxy."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLES = {
    "PGOPTIONS": "-c search_path=elsewhere",
    "PGSERVICE": "another",
    "PGHOST": "db.invalid",
    "PGSSLMODE": "verify-full",
    "SPARK_HOME": "/opt/another-spark",
    "SPARK_REMOTE": "sc://spark.invalid",
    "SPARK_CONF_DIR": "/etc/spark",
    "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
    "PYSPARK_DRIVER_PYTHON": "ipython",
    "HADOOP_CONF_DIR": "/etc/hadoop",
    "JAVA_TOOL_OPTIONS": "-Xmx20m",
    "JDK_JAVA_OPTIONS": "-Xmx20m",
    "_JAVA_OPTIONS": "-Xmx20m",
    "AIRFLOW_HOME": "/opt/airflow",
    "AIRFLOW__CORE__PARALLELISM": "1",
    "PYTHONHASHSEED": "1",
}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


class Listener:
    """Accepts connections and hangs up; it knows how many there were."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.calls = 0

    def serve(self, until: threading.Event) -> None:
        """Answer until the event is set."""
        with selectors.DefaultSelector() as ready, self._socket:
            ready.register(self._socket, selectors.EVENT_READ)
            while not until.is_set():
                if ready.select(timeout=0.05):
                    self._socket.accept()[0].close()
                    self.calls += 1

    def as_proxy(self) -> dict[str, str]:
        """The variables that name it as the proxy of everything."""
        return {spelling: f"http://127.0.0.1:{self.port}" for name in _PROXIES for spelling in (name, name.upper())}


@contextmanager
def listening(*listeners: Listener) -> Iterator[None]:
    """They answer within the block."""
    done = threading.Event()
    threads = [threading.Thread(target=listener.serve, args=(done,)) for listener in listeners]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
