"""Alerts: a table whose task has failed for good, and a run that takes longer than the maximum age of its tables.

Always a line in the log; with EBAP_ALERT_URL set, also a JSON object `{"text": …}` posted there, the format of chat webhooks.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lakehouse.errors import EbapError
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

_SERVER_UNAVAILABLE = ("UNAVAILABLE", "Connection refused", "SESSION_NOT_FOUND", "SESSION_CHANGED")
_POST_S = 10


def send(text: str) -> None:
    """Log the alert and post it. A failed post is only logged, so that the caller does not fail."""
    log.error("%s", text)
    settings = Settings.from_environment()
    if not settings.alert_url:
        return
    import requests  # not while a DAG file is parsed

    try:
        requests.post(settings.alert_url, json={"text": text}, timeout=_POST_S).raise_for_status()
    except requests.RequestException as error:
        # The error's own text contains the address, which is a secret for chat webhooks.
        status = "" if error.response is None else f" {error.response.status_code}"
        log.warning("posting to EBAP_ALERT_URL failed: %s%s", type(error).__name__, status)


def task_failed(table: str, context: Mapping[str, Any]) -> None:
    """For `on_failure_callback`, which Airflow calls after the last try: table, reason, next step."""
    instance = context["ti"]
    where = f"DAG {instance.dag_id}, run {context['run_id']}"
    send(f"{table} failed after try {instance.try_number}: {failure(context.get('exception'))} ({where})")


def run_is_late(dag_id: str, after_s: int, **_: Any) -> None:
    """For a run that has not ended at its deadline."""
    send(
        f"a run of DAG {dag_id} has not ended after {after_s} s: its tables exceed their maximum age, or soon will. "
        "Next: check its grid for a task that hangs, and `make status` for a service that is not available"
    )


def failure(error: BaseException | None) -> str:
    """Reason and next step of a failed task, in one line."""
    return f"{first_line(error)}. Next: {next_step(error)}"


def first_line(error: BaseException | None) -> str:
    """The error's first line, without stack trace and cure."""
    text = error.what if isinstance(error, EbapError) else str(error or "")
    return (text.strip() or type(error).__name__).splitlines()[0].rstrip(".")


def next_step(error: BaseException | None) -> str:
    """What the operator should do."""
    if any(sign in str(error) for sign in _SERVER_UNAVAILABLE):
        return "the Spark server was not available: `make status` shows its state; later tries and runs recover without intervention"
    cure = error.cure if isinstance(error, EbapError) and error.cure else "fix the cause named here"
    return f"{cure}; the next run continues from the table's checkpoint, and nothing is lost"
