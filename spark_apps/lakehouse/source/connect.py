"""Client of the Connect worker: connector configuration and state over REST, offsets from the worker's offsets topic.

REST returns offsets only while the connector exists. The offsets of a deleted connector stay in the topic, and the next connector of
the same name resumes from them.
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
# A restart is asynchronous: until it is done, the worker reports the old state.
_STALE_S = 10.0
_CONFLICT_S = 30.0
_STOP_LIMIT_S = 60.0
# A task that has failed for longer will not recover: land checks the connector every 30 s.
_MENDING_S = 180.0


class WorkerError(EbapError):
    """The worker refuses a request, does not answer, or exceeds a time limit; the message contains the last state.

    `status` is the HTTP status of a refusal, otherwise 0.
    """

    def __init__(self, what: str, cure: str = "", *, status: int = 0) -> None:
        super().__init__(what, cure)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class State:
    """Connect's states of the connector and of its task, or ABSENT. `trace` is the stack trace of a failure."""

    connector: str
    task: str
    trace: str = ""

    @property
    def is_running(self) -> bool:
        """Whether connector and task both run."""
        return self.connector == self.task == "RUNNING"


def put(settings: Settings, config: dict[str, str]) -> None:
    """Create or update the connector and start it; a PUT of the configuration does not restart a stopped or failed one."""
    configure(settings, config)
    _request(settings, "PUT", f"/connectors/{NAME}/resume")
    restart_failed(settings)


def configure(settings: Settings, config: dict[str, str]) -> None:
    """Create or update the connector; a running one restarts with the new configuration, a stopped one stays stopped."""
    _request(settings, "PUT", f"/connectors/{NAME}/config", json=config)


def restart_failed(settings: Settings) -> None:
    """Restart a failed connector or task. The worker answers 409 until it has read back a new configuration, so retry until then."""
    for elapsed_s in wait.looks(_CONFLICT_S, every_s=_POLL_S):
        try:
            _request(settings, "POST", f"/connectors/{NAME}/restart", params={"includeTasks": "true", "onlyFailed": "true"})
            return
        except WorkerError as error:
            if error.status != requests.codes.conflict or elapsed_s >= _CONFLICT_S:
                raise


def config(settings: Settings) -> dict[str, str] | None:
    """The connector's configuration; None if there is no connector."""
    found: dict[str, str] | None = _request(settings, "GET", f"/connectors/{NAME}/config")
    return found


def delete(settings: Settings) -> bool:
    """Delete the connector but not its slot and offsets; False if there was none."""
    return _request(settings, "DELETE", f"/connectors/{NAME}") is not None


def stop(settings: Settings) -> None:
    """Stop the connector until `put`; no effect if it is stopped or absent."""
    if state(settings).connector not in ("ABSENT", "STOPPED"):
        _request(settings, "PUT", f"/connectors/{NAME}/stop")


def forget_offset(settings: Settings, config: dict[str, str]) -> None:
    """Stop the connector (create it with this configuration if absent) and delete its offsets, so that it next takes a snapshot.

    Raises WorkerError if it does not stop in time.
    """
    if state(settings).connector == "ABSENT":
        # Offsets outlive their connector, but REST deletes them only for an existing one.
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
    """State of the connector and its task."""
    answer = _request(settings, "GET", f"/connectors/{NAME}/status")
    if not answer:
        return State(connector="ABSENT", task="ABSENT")
    connector, tasks = answer["connector"], answer["tasks"]
    task = tasks[0] if tasks else {"state": "ABSENT"}
    return State(connector=connector["state"], task=task["state"], trace=task.get("trace") or connector.get("trace") or "")


def wait_running(settings: Settings, timeout_s: float) -> None:
    """Return once connector and task run; raises WorkerError if one stays failed, or after `timeout_s`."""
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
    """Return once the initial snapshot is complete and streaming has begun.

    The stored offset has a `snapshot` field until the first offset of streaming. `beat` is called after each unsuccessful check;
    it may write a heartbeat, so that a quiet source yields such an offset. Raises WorkerError if the task is absent or stays failed,
    or after `timeout_s`.
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
    """Return once Connect has stored an offset for the connector; raises WorkerError after `timeout_s`.

    A slot without an offset fails the preflight.
    """
    for _ in wait.looks(timeout_s, every_s=_POLL_S):
        if stored_offset(settings) is not None:
            return
    raise WorkerError(f"connector {NAME} has stored no offset after {timeout_s:.0f} s", "see `make status`")


def running_offset(settings: Settings) -> dict[str, Any]:
    """The connector's offset over REST, empty if none is stored; raises WorkerError if there is no connector."""
    answer = _request(settings, "GET", f"/connectors/{NAME}/offsets")
    if answer is None:
        raise WorkerError(f"there is no connector {NAME}", "`python -m lakehouse capture apply` makes it")
    stored = answer["offsets"]
    return dict(stored[0]["offset"]) if stored and stored[0]["offset"] else {}


def stored_offset(settings: Settings) -> dict[str, Any] | None:
    """The connector's newest offset in the offsets topic; None if there is none."""
    # Imported here because it costs a third of a CPU second, and the schema check every 30 s does not need it.
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
    """The innermost cause of a Java stack trace; a lost slot position gets its own text with the cure."""
    if failures.NOT_THERE in trace:
        return (
            f"replication slot {SLOT} was moved or recreated outside the connector, and changes since its offset are lost;"
            " begin again with `make wipe`, then `make up`"
        )
    return failures.cause(trace)


def _request(settings: Settings, method: str, path: str, **arguments: Any) -> Any:
    """One REST call; returns None if the connector does not exist, `{}` for a response without a body."""
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
