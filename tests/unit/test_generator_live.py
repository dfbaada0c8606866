"""The live shop applies requests and survives outages of its database."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from generator.clicks.outbox import Writer
from generator.control import Control
from generator.live import Service
from generator.operation import Operation
from generator.sink import LostConnectionError, RefusedError
from lakehouse import wait
from tests.refusals import refused

LIMIT_S = 10.0


class Database:
    """A recording sink; `fail` is raised once by the next operation, `is_down` makes connections fail."""

    def __init__(self) -> None:
        self.applied: list[Operation] = []
        self.tried: list[Operation] = []
        self.fail: Exception | None = None
        self.is_down = False
        self.settled_at = 0
        self.refused_connections = 0
        self.worlds = 0

    def connect(self) -> Any:
        if self.is_down:
            self.refused_connections += 1
            raise LostConnectionError("connection refused")
        return self

    def build(self, _: Any) -> Any:
        self.worlds += 1
        return self

    def step(self, at: datetime) -> Operation:
        return Operation(f"step {len(self.tried)}", at, ())

    def apply(self, operation: Operation) -> None:
        self.tried.append(operation)
        failure, self.fail = self.fail, None
        if failure:
            raise failure
        self.applied.append(operation)

    def settle(self) -> None:
        self.settled_at = len(self.tried)

    def close(self) -> None:
        pass


def wait_for(what: str, is_true: Callable[[], bool]) -> None:
    wait.until(is_true, LIMIT_S, what, every_s=0.005)


@contextmanager
def running(folder: Path, database: Database, rate: float = 200) -> Iterator[Control]:
    """A service in its own thread, under the lock as in the command."""
    control = Control(folder)
    with Control(folder).lock():
        service = Service(Control(folder), rate, database.connect, database.build, Writer(folder / "purchases"))
        thread = threading.Thread(target=service.run, args=(None,))
        thread.start()
        try:
            wait_for("the first operation", lambda: bool(database.applied))
            yield control
        finally:
            service.stop()
            thread.join(LIMIT_S)
            assert not thread.is_alive()


def test_a_confirmed_pause_is_a_quiet_source_until_resume(tmp_path: Path) -> None:
    database = Database()
    with running(tmp_path, database) as control:
        status = control.wait_until_applied(control.submit(is_paused=True), "paused", LIMIT_S)
        quiet = len(database.tried)
        assert status["total_ops"] == quiet
        assert database.settled_at == quiet, "writes are durable before the pause is confirmed"
        control.wait_until_applied(control.submit(rate=300.0), "paused", LIMIT_S)
        assert len(database.tried) == quiet
        control.wait_until_applied(control.submit(is_paused=False), "running", LIMIT_S)
        wait_for("operations after resume", lambda: len(database.applied) > quiet)
        assert control.status()["target"] == 300


def test_a_lost_connection_is_waited_for_and_the_current_operation_is_not_repeated(tmp_path: Path) -> None:
    database = Database()
    with running(tmp_path, database) as control:
        database.is_down, database.fail = True, LostConnectionError("server closed the connection")
        wait_for("reconnecting", lambda: control.status()["state"] == "reconnecting")
        wait_for("two attempts", lambda: database.refused_connections >= 2)
        lost = database.tried[-1]
        database.is_down = False
        wait_for("operations after the outage", lambda: database.applied[-1].at > lost.at)
        assert database.worlds == 2, "the shop's state was read again"
        assert lost not in database.applied


def test_a_pause_is_confirmed_during_an_outage_too(tmp_path: Path) -> None:
    database = Database()
    with running(tmp_path, database) as control:
        database.is_down, database.fail = True, LostConnectionError("server closed the connection")
        wait_for("an attempt", lambda: database.refused_connections >= 1)
        control.wait_until_applied(control.submit(is_paused=True), "paused", LIMIT_S)


def test_after_a_refused_operation_the_shop_is_read_again(tmp_path: Path) -> None:
    database = Database()
    with running(tmp_path, database):
        database.fail = RefusedError("violates check constraint")
        wait_for("a second world", lambda: database.worlds == 2)
        done = len(database.applied)
        wait_for("operations after it", lambda: len(database.applied) > done)


def test_the_shops_clock_advances_evenly_and_stays_close_to_the_present(tmp_path: Path) -> None:
    database = Database()
    with running(tmp_path, database, rate=100):
        wait_for("50 operations", lambda: len(database.applied) >= 50)
        now = datetime.now(UTC)
    at = [operation.at for operation in database.applied[:50]]
    assert {round((after - before).total_seconds(), 6) for before, after in pairwise(at)} == {0.01}
    assert abs((now - at[-1]).total_seconds()) < 5


def test_two_generators_are_refused(tmp_path: Path) -> None:
    control = Control(tmp_path)
    with control.lock(), refused(cure="`python -m generator status`"), Control(tmp_path).lock():
        pass
    assert control.status()["state"] == "stopped"


def test_a_pause_without_a_service_is_kept_for_the_next_one(tmp_path: Path) -> None:
    control = Control(tmp_path)
    request = control.submit(is_paused=True)
    assert control.wait_until_applied(request, "paused", LIMIT_S)["state"] == "stopped"
    assert Control(tmp_path).request().is_paused


def test_a_service_that_does_not_apply_a_request_is_reported(tmp_path: Path) -> None:
    control = Control(tmp_path)
    with control.lock():
        control.report(state="running", request=0)
        with refused("running", "paused"):
            control.wait_until_applied(control.submit(is_paused=True), "paused", 0)
