"""Land and refine on a cluster of two workers, and Airflow's batch commands through spark-submit on this machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.install import java
from lakehouse import tables
from lakehouse.settings import PROJECT, Settings
from lakehouse.silver import heavy_refine
from lakehouse.spark import session, submit
from tests import cluster
from tests.cluster import Cluster
from tests.e2e.airflow_api import Airflow
from tests.e2e.conftest import Platform, running_platform, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

AIRFLOW = ("airflow-api", "airflow-dag-processor", "airflow-scheduler")


@pytest.fixture(scope="module")
def spark_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    home = Path(tmp_path_factory.mktemp("home"))
    base = Settings.from_environment()
    for name in ("venv", "jars"):
        (home / name).symlink_to(base.home_dir / name)
    java.link(replace(base, home=str(home)))
    (home / "secrets").mkdir()
    (home / "secrets" / "metastore").write_text("unused")
    with cluster.running(replace(base, home=str(home)), folder) as made:
        yield made


@pytest.fixture(scope="module")
def clustered(spark_cluster: Cluster) -> Iterator[Platform]:
    """A platform whose land and Spark server run on the cluster, and whose Airflow uses spark-submit."""
    small = {"EBAP_EXECUTOR_MEMORY_MB": "640", "EBAP_AIRFLOW_PARALLELISM": "1"}
    with running_platform(*AIRFLOW, "generator", EBAP_SPARK_MASTER=spark_cluster.master, EBAP_BATCH_BY="submit", **small) as made:
        yield made


def test_land_and_the_warm_server_run_on_two_workers(clustered: Platform, spark_cluster: Cluster) -> None:
    state = spark_cluster.state()
    assert len(state["workers"]) == cluster.WORKERS
    assert {app["name"] for app in state["activeapps"]} >= {"ebap-land", "ebap-server"}
    assert all(worker["coresused"] > 0 for worker in state["workers"])


def test_airflow_submits_each_command_and_silver_equals_the_source(clustered: Platform) -> None:
    airflow = Airflow(clustered.settings)
    for other in ("gold", "gold_daily", "compaction"):
        # A submitted command takes both cores for half a minute: only silver runs.
        airflow.call("PATCH", f"/dags/{other}", json={"is_paused": True})
    clustered.run("generator", "rate", "20")
    clustered.run("generator", "resume")
    until(lambda: clustered.sql("SELECT count(*) FROM gold.orders_live")[0][0] > 20, 300, "orders of the shop")
    clustered.run("generator", "pause")
    with clustered.postgres() as cursor:
        wanted = {}
        for table in tables.SOURCES:
            cursor.execute(f"SELECT count(*) FROM shop.{table.name}")
            wanted[table.name] = cursor.fetchone()[0]
    until(lambda: {name: clustered.sql(f"SELECT count(*) FROM silver.{name}")[0][0] for name in wanted} == wanted, 600, "silver")
    run_id = airflow.trigger("silver")
    assert airflow.end_of("silver", run_id, limit_s=600) == "success"
    states = airflow.tasks("silver", run_id)
    assert (states.pop("quarantine"), set(states.values())) == ("success", {"skipped"})
    assert "spark-submit" in airflow.log("silver", run_id, "users", 1)


def test_refine_by_the_command_line_on_the_cluster_on_this_machine_and_in_the_warm_server(
    clustered: Platform, spark_cluster: Cluster
) -> None:
    """One change each; prints the durations, for the decision between them (infra/decisions)."""
    Airflow(clustered.settings).call("PATCH", "/dags/silver", json={"is_paused": True})
    took = {
        "submitted to the cluster": _submitted(clustered, spark_cluster.master),
        "submitted to this machine": _submitted(clustered, "local[*]"),
        "in the warm server": _in_the_warm_server(clustered),
    }
    print("\nrefine of one change: " + ", ".join(f"{where} {seconds:.1f} s" for where, seconds in took.items()))
    assert "ebap-batch" in {app["name"] for app in spark_cluster.state()["completedapps"]}


def _submitted(clustered: Platform, master: str) -> float:
    _change_a_user(clustered, f"By {master}")
    settings = replace(clustered.settings, batch_master=master)
    environ = {**clustered.environ, **submit.environment(settings), "EBAP_BATCH_MASTER": master}
    began = time.monotonic()
    done = subprocess.run(
        submit.command(settings, "refine", "users"), env=environ, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False
    )
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr[-3000:]
    assert "changed=True" in done.stdout
    assert clustered.sql("SELECT full_name FROM silver.users WHERE user_id = 1") == [(f"By {master}",)]
    return took


def _in_the_warm_server(clustered: Platform) -> float:
    _change_a_user(clustered, "By the warm server")
    spark = session.connect(clustered.settings)
    try:
        began = time.monotonic()
        assert heavy_refine.run(spark, clustered.settings, "users").changed
        return time.monotonic() - began
    finally:
        spark.stop()


def _change_a_user(clustered: Platform, name: str) -> None:
    with clustered.postgres() as cursor:
        cursor.execute("UPDATE shop.users SET full_name = %s, updated_at = now() WHERE user_id = 1", [name])
    landed = f"SELECT count(*) FROM bronze.changes WHERE source_table = 'users' AND contains(CAST(value AS STRING), '{name}')"
    until(lambda: clustered.sql(landed)[0][0], 120, "the change to land")
