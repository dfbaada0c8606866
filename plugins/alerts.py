"""Alerts: a table whose task has failed for good, and a run that takes longer than the maximum age of its tables.

A line in the log always; with EBAP_ALERT_URL set, also a JSON object `{"text": …}` posted there, which chat tools take as a message.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lakehouse.errors import EbapError
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

_SIGNS_OF_A_SERVER_AWAY = ("UNAVAILABLE", "Connection refused", "SESSION_NOT_FOUND", "SESSION_CHANGED")
_POST_S = 10


def tell(text: str) -> None:
    """Log it and post it. A post that fails is logged: an alert must not fail what it tells of."""
    log.error("%s", text)
    settings = Settings.from_environment()
    if not settings.alert_url:
        return
    import requests  # not while a DAG file is parsed

    try:
        requests.post(settings.alert_url, json={"text": text}, timeout=_POST_S).raise_for_status()
    except requests.RequestException as error:
        # The error's own text has the address, which is a secret where it is a chat tool's.
        answered = "" if error.response is None else f" {error.response.status_code}"
        log.warning("EBAP_ALERT_URL did not take the alert: %s%s", type(error).__name__, answered)


def task_gave_up(table: str, context: Mapping[str, Any]) -> None:
    """For `on_failure_callback`, which Airflow calls after the last try: table, reason, next step."""
    instance = context["ti"]
    where = f"DAG {instance.dag_id}, run {context['run_id']}"
    tell(f"{table} gave up after try {instance.try_number}: {failure(context.get('exception'))} ({where})")


def run_is_late(dag_id: str, after_s: int, **_: Any) -> None:
    """For a run that has not ended when its tables are due."""
    tell(
        f"a run of DAG {dag_id} has not ended after {after_s} s: its tables are later than they declare, or soon will be. "
        "Next: look at its grid for the table that hangs, and at `make status` for a service that is away"
    )


def failure(error: BaseException | None) -> str:
    """Reason and next step of a failed task, in one line."""
    return f"{first_line(error)}. Next: {next_step(error)}"


def first_line(error: BaseException | None) -> str:
    """What went wrong, without its stack and its cure."""
    text = error.what if isinstance(error, EbapError) else str(error or "")
    return (text.strip() or type(error).__name__).splitlines()[0].rstrip(".")


def next_step(error: BaseException | None) -> str:
    """What whoever reads it should do."""
    if any(sign in str(error) for sign in _SIGNS_OF_A_SERVER_AWAY):
        return "the warm Spark server was away: `make status` shows whether it is back; tries and runs to come need nothing from you"
    cure = error.cure if isinstance(error, EbapError) and error.cure else "cure what the line names"
    return f"{cure}; the next run takes the table up where it stands, nothing is lost in between"
