"""Beeline, the Hive JDBC driver's own shell: what a tool on JDBC sees."""

from __future__ import annotations

import os
import shutil
import subprocess

from lakehouse.settings import Settings
from lakehouse.spark import submit


def beeline(settings: Settings, statements: list[str], limit_s: int = 600) -> str:
    """What it prints, tab-separated, for these statements."""
    environ = {**os.environ, **submit.environment(settings)}
    java = shutil.which("java", path=f"{environ.get('JAVA_HOME', '')}/bin:{os.environ['PATH']}")
    address = f"jdbc:hive2://127.0.0.1:{settings.thrift_port}/gold"
    command = [str(java), "-cp", f"{environ['SPARK_HOME']}/jars/*", "org.apache.hive.beeline.BeeLine", "-u", address, "-n", "ebap"]
    done = subprocess.run(
        [*command, "--outputformat=tsv2", "--silent=true"],
        input="\n".join([*statements, "!quit", ""]),
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=True,
    )
    return done.stdout
