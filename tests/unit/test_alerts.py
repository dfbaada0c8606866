"""Texts of alerts, and their delivery."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import alerts
from lakehouse.errors import EbapError
from tests.chat import Chat, listening


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    with listening() as chat:
        monkeypatch.setenv("EBAP_ALERT_URL", chat.url)
        yield chat


def _context(error: Exception) -> dict[str, Any]:
    return {"ti": SimpleNamespace(dag_id="silver", try_number=3), "run_id": "scheduled__1", "exception": error}


def test_a_failed_task_reports_table_reason_and_next_step(chat: Chat) -> None:
    error = EbapError("the checkpoint is missing.\nseen: 7", "run `python -m lakehouse rebuild users`")
    alerts.task_failed("silver.users", _context(error))
    (text,) = chat.texts
    assert text == (
        "silver.users failed after try 3: the checkpoint is missing. Next: run `python -m lakehouse rebuild users`; "
        "the next run continues from the table's checkpoint, and nothing is lost (DAG silver, run scheduled__1)"
    )


def test_an_unexpected_error_is_reported_by_its_first_line(chat: Chat) -> None:
    alerts.task_failed("silver.users", _context(ValueError("no such row\nstack")))
    assert "after try 3: no such row. Next: fix the cause named here; the next run" in chat.texts[0]


def test_an_unavailable_server_needs_no_intervention(chat: Chat) -> None:
    alerts.task_failed("silver.users", _context(RuntimeError("UNAVAILABLE: Connection refused")))
    assert "later tries and runs recover without intervention" in chat.texts[0]


def test_a_late_run_names_its_dag_and_the_next_step(chat: Chat) -> None:
    alerts.run_is_late("gold", 600)
    assert chat.texts[0].startswith("a run of DAG gold has not ended after 600 s")


def test_a_failed_post_is_only_logged(chat: Chat, caplog: pytest.LogCaptureFixture) -> None:
    chat.status = 500
    alerts.run_is_late("gold", 600)
    assert "posting to EBAP_ALERT_URL failed: HTTPError 500" in caplog.text
    assert "/hook" not in caplog.text
