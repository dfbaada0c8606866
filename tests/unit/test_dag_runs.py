"""DAG runs on demand, against an HTTP server that plays Airflow's API."""

from typing import Any

import pytest

from lakehouse.errors import NotReadyError
from lakehouse.health import airflow_client
from lakehouse.settings import Settings
from tests.refusals import refused
from tests.serving import Request, answering, serving


@pytest.fixture
def airflow(tmp_path):
    """Settings that lead to a played Airflow, and its answers to fill."""
    # The answers in turn, the last one for ever.
    answers: dict[tuple[str, str], list[dict[str, Any]]] = {
        ("POST", "/auth/token"): [{"access_token": "t"}],
        ("GET", "/api/v2/monitor/health"): [{"scheduler": {"status": "healthy"}}],
        ("GET", "/api/v2/dags/silver"): [{"is_paused": False}],
        ("POST", "/api/v2/dags/silver/dagRuns"): [{"dag_run_id": "r1", "state": "queued"}],
        ("GET", "/api/v2/dags/silver/dagRuns/r1/taskInstances"): [{"task_instances": [{"task_id": "users", "state": "failed"}]}],
    }

    def answer(request: Request) -> tuple[int, Any]:
        left = answers[request.method, request.path]
        return 200, left.pop(0) if len(left) > 1 else left[0]

    with serving(answering(answer)) as address:
        settings = Settings(home=str(tmp_path), airflow_port=int(address.rpartition(":")[2]))
        settings.secrets_dir.mkdir()
        settings.secret_file("airflow_admin").write_text("p")
        yield settings, answers


def test_a_run_is_waited_for_and_its_failed_tasks_are_named(airflow):
    settings, answers = airflow
    answers["GET", "/api/v2/dags/silver/dagRuns/r1"] = [{"dag_run_id": "r1", "state": s} for s in ("running", "failed")]
    assert airflow_client.finish(settings, "silver", 30) == ["users"]


def test_a_run_that_does_not_end_is_named_with_its_state(airflow):
    settings, answers = airflow
    answers["GET", "/api/v2/dags/silver/dagRuns/r1"] = [{"dag_run_id": "r1", "state": "queued"}]
    with refused("r1", "silver", "queued", "healthy", kind=NotReadyError):
        airflow_client.finish(settings, "silver", 0)


def test_a_dag_is_airflows_only_while_airflow_is_up_and_it_is_not_paused(airflow, tmp_path):
    settings, answers = airflow
    assert airflow_client.is_scheduled(settings, "silver")
    answers["GET", "/api/v2/dags/silver"] = [{"is_paused": True}]
    assert not airflow_client.is_scheduled(settings, "silver")
    assert not airflow_client.is_scheduled(Settings(home=str(tmp_path), airflow_port=9), "silver")
