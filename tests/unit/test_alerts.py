"""What an alert says, and that it reaches the address it is posted to."""

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
    with listening() as told:
        monkeypatch.setenv("EBAP_ALERT_URL", told.url)
        yield told


def _context(error: Exception) -> dict[str, Any]:
    return {"ti": SimpleNamespace(dag_id="silver", try_number=3), "run_id": "scheduled__1", "exception": error}


def test_a_task_that_gave_up_says_table_reason_and_next_step(chat: Chat) -> None:
    error = EbapError("its mark is gone.\nseen: 7", "run `python -m lakehouse rebuild users`")
    alerts.task_gave_up("silver.users", _context(error))
    (text,) = chat.texts
    assert text == (
        "silver.users gave up after try 3: its mark is gone. Next: run `python -m lakehouse rebuild users`; "
        "the next run takes the table up where it stands, nothing is lost in between (DAG silver, run scheduled__1)"
    )


def test_a_task_that_met_a_bug_says_its_first_line(chat: Chat) -> None:
    alerts.task_gave_up("silver.users", _context(ValueError("no such row\nstack")))
    assert "after try 3: no such row. Next: cure what the line names; the next run" in chat.texts[0]


def test_a_server_that_was_away_needs_nobody(chat: Chat) -> None:
    alerts.task_gave_up("silver.users", _context(RuntimeError("UNAVAILABLE: Connection refused")))
    assert "tries and runs to come need nothing from you" in chat.texts[0]


def test_a_late_run_names_its_dag_and_where_to_look(chat: Chat) -> None:
    alerts.run_is_late("gold", 600)
    assert chat.texts[0].startswith("a run of DAG gold has not ended after 600 s")


def test_an_address_that_refuses_is_logged_and_stops_nothing(chat: Chat, caplog: pytest.LogCaptureFixture) -> None:
    chat.status = 500
    alerts.run_is_late("gold", 600)
    assert "EBAP_ALERT_URL did not take the alert: HTTPError 500" in caplog.text
    assert "/hook" not in caplog.text
