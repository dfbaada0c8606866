"""A batch app as a spark-submit of its own: on a cluster, or where the warm server is reserved for people."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import AirflowException

from lakehouse.cli import submitted
from lakehouse.settings import Settings
from lakehouse.spark import submit

CONNECTION = "ebap_spark"  # defined in infra/airflow, with EBAP_BATCH_MASTER


def run(settings: Settings, app: str, argv: list[str]) -> Any:
    """Submit the command, wait for its end, and return its result; AirflowException with the command's own error if it failed."""
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook  # not while a DAG file is parsed

    with tempfile.TemporaryDirectory(dir=settings.home_dir / "tmp") as folder:
        file = Path(folder) / "result.json"
        line = submit.command(settings, app, *submitted.with_result(argv, file))
        binary, properties, application, arguments = line[0], line[2], line[3], line[4:]
        hook = SparkSubmitHook(
            conn_id=CONNECTION,
            name=f"ebap-{app}",
            properties_file=properties,
            application_args=arguments,
            # The hook accepts a bare name only; PATH resolves it.
            spark_binary=Path(binary).name,
            env_vars=submit.environment(settings) | {"PATH": f"{Path(binary).parent}{os.pathsep}{os.environ['PATH']}"},
        )
        try:
            hook.submit(application)
        except AirflowException:
            reason = (
                json.loads(file.read_text())["error"] if file.exists() else f"{app} {' '.join(argv)} exited without a result: see above"
            )
            raise AirflowException(reason) from None
        except BaseException:
            # A task that is killed or times out must not leave its Spark driver running.
            hook.on_kill()
            raise
        return SimpleNamespace(**json.loads(file.read_text()))
