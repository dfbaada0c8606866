"""A standalone Spark cluster on this machine: a master and two workers, processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from lakehouse import wait
from lakehouse.settings import LOOPBACK, Settings
from lakehouse.spark import submit

WORKERS = 2
_LIMIT_S = 90


@dataclass(frozen=True)
class Cluster:
    """The master's URL for Spark, and its page."""

    master: str
    page: str

    def state(self) -> dict[str, Any]:
        """What the master knows: `workers`, `activeapps`, `completedapps`."""
        answer = requests.get(f"{self.page}/json/", timeout=5)
        answer.raise_for_status()
        return dict(answer.json())


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[Cluster]:
    """A cluster with the Spark of that home, its logs and work in `folder`; each worker has room for three small processes."""
    port, page, *others = _free_ports(2 + WORKERS)
    spark_class = Path(submit.command(settings, "publish")[0]).with_name("spark-class")
    environ = {**os.environ, **submit.environment(settings), "SPARK_WORKER_DIR": str(folder / "work")}

    with ExitStack() as stack:

        def start(name: str, *words: str) -> None:
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            command = [str(spark_class), f"org.apache.spark.deploy.{words[0]}", "--host", LOOPBACK, *words[1:]]
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(_end, process)

        cluster = Cluster(master=f"spark://{LOOPBACK}:{port}", page=f"http://{LOOPBACK}:{page}")
        start("master", "master.Master", "--port", str(port), "--webui-port", str(page))
        for number, own in enumerate(others):
            start(f"worker-{number}", "worker.Worker", "--cores", "3", "--memory", "3g", "--webui-port", str(own), cluster.master)
        _wait_for_workers(cluster, folder)
        yield cluster


def _wait_for_workers(cluster: Cluster, folder: Path) -> None:
    def are_alive() -> bool:
        return [worker["state"] for worker in cluster.state()["workers"]].count("ALIVE") == WORKERS

    what = f"{WORKERS} workers, whose logs are {folder}/*.log"
    wait.until(are_alive, _LIMIT_S, what, every_s=0.2, passing=(requests.RequestException,))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind((LOOPBACK, 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
