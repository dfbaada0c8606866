"""Client of the Connect worker: connector configuration and state over REST, offset from the worker's own topic.

The position is read from the topic and not over REST, which knows it only while the connector exists: a connector that was
deleted leaves its offsets behind, and they decide where the next one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from lakehouse import wait
from lakehouse.errors import EbapError
from lakehouse.settings import Settings
from lakehouse.source import broker, failures
from lakehouse.source.connector import NAME
from lakehouse.source.setup import SLOT

OFFSETS_TOPIC = "ebap.connect.offsets"
_REQUEST_S = 30
_POLL_S = 0.5
# A restart is asked for and done later: until then the state of before is shown.
_STALE_S = 10.0
_CONFLICT_S = 30.0
_STOP_LIMIT_S = 60.0
# How long a task may have failed before nobody will mend it any more: land has it looked at every half minute.
_MENDING_S = 180.0


class WorkerError(EbapError):
    """The worker refuses, does not answer or does not get there in time; the message says what was seen last.

    `status` is the HTTP status of a refusal, else 0.
    """

    def __init__(self, what: str, cure: str = "", *, status: int = 0) -> None:
        super().__init__(what, cure)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class State:
    """States of the connector and of its task, as Connect names them; ABSENT where there is none. `trace` is why one failed."""

    connector: str
    task: str
    trace: str = ""

    @property
    def is_running(self) -> bool:
        """Whether both run."""
        return self.connector == self.task == "RUNNING"


def put(settings: Settings, config: dict[str, str]) -> None:
    """Create or change the connector and let it run: one that was stopped or failed stays so through a PUT alone."""
    configure(settings, config)
    _request(settings, "PUT", f"/connectors/{NAME}/resume")
    restart_failed(settings)


def configure(settings: Settings, config: dict[str, str]) -> None:
    """Create or change the connector; one that runs goes on with the new configuration, one that does not stays as it is."""
    _request(settings, "PUT", f"/connectors/{NAME}/config", json=config)


def restart_failed(settings: Settings) -> None:
    """Restart what has failed, once the worker has read back the configuration that it was just given: until then it answers 409."""
    for elapsed_s in wait.looks(_CONFLICT_S, every_s=_POLL_S):
        try:
            _request(settings, "POST", f"/connectors/{NAME}/restart", params={"includeTasks": "true", "onlyFailed": "true"})
            return
        except WorkerError as error:
            if error.status != requests.codes.conflict or elapsed_s >= _CONFLICT_S:
                raise


def config(settings: Settings) -> dict[str, str] | None:
    """The connector's configuration; None where there is none."""
    found: dict[str, str] | None = _request(settings, "GET", f"/connectors/{NAME}/config")
    return found


def delete(settings: Settings) -> bool:
    """Delete the connector; its slot and offsets stay. False where there was none."""
    return _request(settings, "DELETE", f"/connectors/{NAME}") is not None


def stop(settings: Settings) -> None:
    """Let the connector capture no more until it is configured again; safe to repeat, and where there is none."""
    if state(settings).connector not in ("ABSENT", "STOPPED"):
        _request(settings, "PUT", f"/connectors/{NAME}/stop")


def forget_offset(settings: Settings, config: dict[str, str]) -> None:
    """Leave a stopped connector of this configuration that knows no position: what it captures next begins with a snapshot.

    Raises WorkerError where it does not stop in time.
    """
    if state(settings).connector == "ABSENT":
        # Offsets outlive their connector, and only a connector's can be deleted.
        _request(settings, "POST", "/connectors", json={"name": NAME, "config": config, "initial_state": "STOPPED"})
    stop(settings)
    for elapsed_s in wait.looks(_STOP_LIMIT_S, every_s=_POLL_S):
        seen = state(settings)
        if (seen.connector, seen.task) == ("STOPPED", "ABSENT"):
            try:
                _request(settings, "DELETE", f"/connectors/{NAME}/offsets")
                return
            except WorkerError as error:
                if error.status != requests.codes.conflict or elapsed_s >= _STOP_LIMIT_S:
                    raise
    raise WorkerError(f"connector {NAME} does not stop: connector {seen.connector}, task {seen.task}")


def state(settings: Settings) -> State:
    """How the connector and its task are."""
    answer = _request(settings, "GET", f"/connectors/{NAME}/status")
    if not answer:
        return State(connector="ABSENT", task="ABSENT")
    connector, tasks = answer["connector"], answer["tasks"]
    task = tasks[0] if tasks else {"state": "ABSENT"}
    return State(connector=connector["state"], task=task["state"], trace=task.get("trace") or connector.get("trace") or "")


def wait_running(settings: Settings, timeout_s: float) -> None:
    """Return once connector and task run; raise WorkerError where one has failed for good, or after `timeout_s`."""
    well_s = 0.0
    for elapsed_s in wait.looks(timeout_s, every_s=_POLL_S):
        seen = state(settings)
        if seen.is_running:
            return
        if "FAILED" not in (seen.connector, seen.task):
            well_s = elapsed_s
        elif elapsed_s - well_s > _STALE_S:
            raise WorkerError(f"connector {NAME} failed: {_cause(seen.trace)}")
    raise WorkerError(f"connector {NAME} does not run after {timeout_s:.0f} s: connector {seen.connector}, task {seen.task}")


def wait_snapshot(settings: Settings, timeout_s: float, beat: Callable[[], object] = lambda: None) -> None:
    """Return once the initial snapshot is complete and streaming has begun; raise WorkerError after `timeout_s`.

    While a snapshot runs, the stored offset says so; the first one of streaming, at the latest a heartbeat's, does not. `beat` makes
    a change that is such a heartbeat, while there is none.
    """
    well_s = 0.0
    for elapsed_s in wait.looks(timeout_s, every_s=_POLL_S):
        seen = state(settings)
        if seen.task != "FAILED":
            well_s = elapsed_s
        if seen.task == "ABSENT" or elapsed_s - well_s > _MENDING_S:
            raise WorkerError(f"the snapshot cannot end: task {seen.task} {_cause(seen.trace)}".rstrip())
        offset = stored_offset(settings)
        if seen.is_running and offset and "snapshot" not in offset:
            return
        beat()
    raise WorkerError(f"the initial snapshot is not complete after {timeout_s:.0f} s: task {seen.task}, offset {json.dumps(offset)}")


def wait_offset(settings: Settings, timeout_s: float) -> None:
    """Return once Connect keeps a position for the connector: until then nothing says whose the slot is."""
    for _ in wait.looks(timeout_s, every_s=_POLL_S):
        if stored_offset(settings) is not None:
            return
    raise WorkerError(f"connector {NAME} has stored no offset after {timeout_s:.0f} s", "see `make status`")


def running_offset(settings: Settings) -> dict[str, Any]:
    """The position that Connect gives over REST, empty where it keeps none; WorkerError where there is no connector."""
    answer = _request(settings, "GET", f"/connectors/{NAME}/offsets")
    if answer is None:
        raise WorkerError(f"there is no connector {NAME}", "`python -m lakehouse capture apply` makes it")
    stored = answer["offsets"]
    return dict(stored[0]["offset"]) if stored and stored[0]["offset"] else {}


def stored_offset(settings: Settings) -> dict[str, Any] | None:
    """The position Connect keeps for the connector; None where it keeps none."""
    # A look at the schema, every minute, needs none of it: a third of a CPU second each.
    from kafka import TopicPartition

    consumer = broker.reader(settings)
    try:
        partitions = [TopicPartition(OFFSETS_TOPIC, number) for number in consumer.partitions_for_topic(OFFSETS_TOPIC) or ()]
        ends = consumer.end_offsets(partitions) if partitions else {}
        consumer.assign(partitions)
        newest = None
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=1000).values():
                for record in records:
                    if record.key and json.loads(record.key)[0] == NAME:
                        newest = json.loads(record.value) if record.value else None
        return newest
    finally:
        consumer.close()


def _cause(trace: str) -> str:
    """The innermost cause of a Java stack trace; the one that would lose changes in our own words."""
    if failures.NOT_THERE in trace:
        return (
            f"replication slot {SLOT} was moved or made anew behind the connector's back, and changes since its offset are lost;"
            " begin again with `make wipe`, then `make up`"
        )
    return failures.cause(trace)


def _request(settings: Settings, method: str, path: str, **arguments: Any) -> Any:
    """One REST call; None where the connector does not exist, `{}` where the answer has no body."""
    try:
        answer = requests.request(method, f"{settings.connect_url}{path}", timeout=_REQUEST_S, **arguments)
    except requests.RequestException as error:
        raise WorkerError(
            f"Kafka Connect at {settings.connect_url} does not answer ({type(error).__name__})", "see `make status`"
        ) from None
    if answer.status_code == 404 and method != "PUT":
        return None
    if not answer.ok:
        raise WorkerError(f"Kafka Connect refuses {method} {path}: {answer.status_code} {answer.text[:1000]}", status=answer.status_code)
    return answer.json() if answer.content else {}
