"""The clicks keep their rate, and every order has its purchase event once, whatever is killed when."""

import itertools
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from generator.clicks.journeys import purchase_id
from generator.clicks.outbox import Reader, Writer
from generator.control import Control
from generator.operation import Operation, Purchase
from generator.sink import LostConnectionError, RefusedError
from tests.unit.clicks import Kafka, VirtualClock, after, purchase, service


class Killed(BaseException):
    """The process ends here."""


class Database:
    """A sink that keeps orders; `fail` is raised by the next commit, after it took effect if `is_done`."""

    def __init__(self) -> None:
        self.orders: dict[int, str] = {}
        self.fail: BaseException | None = None
        self.is_done = False
        self.durable: list[bool] = []

    def apply(self, operation: Operation, *, is_durable: bool = False) -> None:
        failure, self.fail = self.fail, None
        if operation.purchase and (not failure or self.is_done):
            self.orders[operation.purchase.order_id] = operation.purchase.checkout_id
            self.durable.append(is_durable)
        if failure:
            raise failure

    def has_order(self, order_id: int, checkout_id: str) -> bool:
        return self.orders.get(order_id) == checkout_id


def buy(writer: Writer, database: Any, number: int) -> Purchase:
    made = purchase(number, after(number / 100))
    writer.commit(database, Operation("purchase", made.ordered_at, (), made))
    return made


def orders_of(kafka: Kafka) -> Counter[int]:
    return Counter(event["order_id"] for record in kafka.events() if (event := json.loads(record.value or b"{}"))["order_id"])


@pytest.mark.parametrize("eps", [100, 1_000, 10_000])
def test_the_rate_is_kept_within_one_percent(eps: int, tmp_path: Path) -> None:
    clock = VirtualClock()
    kafka = Kafka(clock)
    service(tmp_path, kafka, clock, eps).run(for_s=10)
    assert len(kafka.events()) / clock.monotonic() == pytest.approx(eps, rel=0.01)


def test_purchases_are_part_of_the_rate_and_no_event_is_after_kafkas_time(tmp_path: Path) -> None:
    clock = VirtualClock()
    kafka = Kafka(clock)
    clicks = service(tmp_path, kafka, clock, 100)
    database: Any = Database()
    for number in range(1, 31):
        buy(Writer(tmp_path / "purchases"), database, number)
    clicks.run(for_s=30)
    assert len(kafka.events()) / clock.monotonic() == pytest.approx(100, rel=0.01)
    assert orders_of(kafka) == dict.fromkeys(database.orders, 1)
    assert database.durable == [True] * 30, "a purchase that is sent is on the disk"
    assert all(record.at_us < place.timestamp * 1000 for record, place in kafka.log if record.event_id)


def test_the_rate_faults_and_ledger_change_while_it_runs(tmp_path: Path) -> None:
    clock = VirtualClock()
    kafka = Kafka(clock)
    control = Control(tmp_path, "clicks")
    clock.calls = [(5.0, lambda: control.submit(rate=1000.0, faults={"malformed": 0.5}, has_ledger=True))]
    service(tmp_path, kafka, clock, 100).run(for_s=10)
    assert len(kafka.events()) == pytest.approx(500 + 5000, rel=0.02)
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").open()]
    offsets = [line["offset"] for line in lines if "offset" in line]
    assert offsets == list(range(offsets[0], len(kafka.log))), "a line for each record, telemetry too"
    assert sum(line.get("becomes") == "dead_letter" for line in lines) == pytest.approx(2500, rel=0.1)
    assert {id_ for line in lines for id_ in line.get("sending", [])} <= {line["event_id"] for line in lines if "event_id" in line}


@pytest.mark.parametrize("out_of_order", [0.0, 1.0])
def test_a_pause_is_confirmed_once_kafka_has_what_was_bought_and_nothing_follows(tmp_path: Path, out_of_order: float) -> None:
    clock = VirtualClock()
    kafka = Kafka(clock)
    database: Any = Database()
    control = Control(tmp_path, "clicks")
    seen = []

    def pause() -> None:
        buy(Writer(tmp_path / "purchases"), database, 1)
        control.submit(is_paused=True)

    control.submit(faults={"out_of_order": out_of_order})

    def look() -> None:
        seen.append((control.status()["state"], len(kafka.log)))

    clock.calls = [(2.0, pause), (3.0, look), (9.0, look)]
    with Control(tmp_path, "clicks").lock():
        service(tmp_path, kafka, clock, 100).run(for_s=10)
    assert seen[0] == seen[1] == ("paused", len(kafka.log))
    assert len(kafka.events()) > 190
    assert orders_of(kafka) == {1: 1}


def test_a_broker_that_is_away_is_waited_for_and_every_purchase_is_sent(tmp_path: Path) -> None:
    clock = VirtualClock()
    kafka = Kafka(clock)
    database: Any = Database()
    clicks = service(tmp_path, kafka, clock, 100)
    number = itertools.count(1)

    def turn(is_refusing: bool) -> None:
        kafka.is_refusing = is_refusing
        buy(Writer(tmp_path / "purchases"), database, next(number))

    kafka.is_refusing = True
    clock.calls = [(at, partial(turn, is_refusing)) for at, is_refusing in ((3, False), (6, True), (9, True), (12, False))]
    clicks.run(for_s=60)
    assert set(orders_of(kafka)) == {1, 2, 3, 4}
    assert not list(Reader(tmp_path / "purchases").committed())
    assert 100 * 45 < len(kafka.events()) < 100 * 60, "an outage is not made up for"


def test_a_kill_between_commit_and_send_is_repaired_at_the_next_start(tmp_path: Path) -> None:
    folder, database = tmp_path / "purchases", Database()
    sink: Any = database
    folder.mkdir()
    buy(Writer(folder), sink, 1)
    for is_done, number in ((True, 2), (False, 3)):
        database.fail, database.is_done = Killed(), is_done
        with pytest.raises(Killed):
            buy(Writer(folder), sink, number)
        assert number not in [made.order_id for made in Reader(folder).committed()], "whether it was committed is not known yet"
        Writer(folder).recover(sink)
        Writer(folder).recover(sink)
    buy(Writer(folder), sink, 4)
    assert [made.order_id for made in Reader(folder).committed()] == [1, 2, 4] == list(database.orders)


def test_a_lost_connection_is_decided_by_the_database_and_a_refused_order_is_not_sent(tmp_path: Path) -> None:
    folder, database = tmp_path / "purchases", Database()
    sink: Any = database
    folder.mkdir()
    for failure in (RefusedError("stock"), LostConnectionError("gone")):
        database.fail = failure
        with pytest.raises(type(failure)):
            buy(Writer(folder), sink, 1)
    Writer(folder).recover(sink)
    assert not list(Reader(folder).committed())


def test_without_the_live_half_orders_are_committed_and_nothing_is_kept(tmp_path: Path) -> None:
    database: Any = Database()
    buy(Writer(tmp_path / "purchases"), database, 1)
    Writer(tmp_path / "purchases").recover(database)
    assert database.orders
    assert database.durable == [False]
    assert not list(tmp_path.iterdir())


def test_a_killed_service_sends_what_kafka_does_not_have_again_as_the_same_events(tmp_path: Path) -> None:
    clock = VirtualClock()
    kafka = Kafka(clock)
    database: Any = Database()
    clicks = service(tmp_path, kafka, clock)
    made = [buy(Writer(tmp_path / "purchases"), database, number) for number in range(1, 6)]
    kafka.is_away = True  # it gets the records, and its acknowledgements are lost
    clicks.run(for_s=5)
    assert orders_of(kafka) == dict.fromkeys(range(1, 6), 1)
    kafka.is_away = False
    service(tmp_path, kafka, clock).run(for_s=30)
    assert orders_of(kafka) == dict.fromkeys(range(1, 6), 2)
    bought = {record.event_id for record in kafka.events() if json.loads(record.value or b"{}")["order_id"]}
    assert bought == {purchase_id(one) for one in made}
    service(tmp_path, kafka, clock).run(for_s=30)
    assert orders_of(kafka) == dict.fromkeys(range(1, 6), 2), "what Kafka has is not sent again"


def test_a_purchase_that_kafka_lost_is_sent_again(tmp_path: Path) -> None:
    clock = VirtualClock()
    kafka = Kafka(clock)
    database: Any = Database()
    clicks = service(tmp_path, kafka, clock)
    buy(Writer(tmp_path / "purchases"), database, 1)
    kafka.lose = 20
    clicks.run(for_s=40)
    assert 2 <= orders_of(kafka)[1] <= 3
    assert not list(Reader(tmp_path / "purchases").committed())


def test_segments_that_were_sent_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generator.clicks.outbox._SEGMENT_BYTES", 1000)
    reader, database = Reader(tmp_path), Database()
    sink: Any = database
    for number in range(1, 41):
        buy(Writer(tmp_path), sink, number)
    sent = []
    for made in reader.committed():
        reader.sending([str(made.order_id)])
        sent.append(made.order_id)
    assert sent == list(range(1, 41))
    for order_id in sent[1:]:
        reader.acknowledged(str(order_id))
    assert [made.order_id for made in Reader(tmp_path).committed()] == sent, "the first is still on its way"
    assert len(list(tmp_path.glob("*.jsonl"))) > 5
    reader.acknowledged("1")
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    assert not list(Reader(tmp_path).committed())


def test_half_a_line_of_a_failed_machine_is_passed_over(tmp_path: Path) -> None:
    database: Any = Database()
    buy(Writer(tmp_path), database, 1)
    segment = next(tmp_path.glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes() + b'{"order_id": 2, "us')
    assert [made.order_id for made in Reader(tmp_path).committed()] == [1]
    buy(Writer(tmp_path), database, 3)
    assert [made.order_id for made in Reader(tmp_path).committed()] == [1, 3]


def test_what_a_backfill_committed_is_for_files_and_what_follows_is_sent(tmp_path: Path) -> None:
    database: Any = Database()
    Reader(tmp_path)
    for number in (1, 2):
        buy(Writer(tmp_path), database, number)
    assert [made.order_id for made in Reader(tmp_path).to_file()] == [1, 2]
    buy(Writer(tmp_path), database, 3)
    again = Reader(tmp_path)
    assert [made.order_id for made in again.to_file()] == [1, 2], "a run that was interrupted writes the same"
    again.filed()
    assert [made.order_id for made in Reader(tmp_path).committed()] == [3]
    assert [made.order_id for made in Reader(tmp_path).to_file()] == [1, 2]


def test_once_something_was_sent_nothing_is_for_files(tmp_path: Path) -> None:
    database: Any = Database()
    reader = Reader(tmp_path)
    buy(Writer(tmp_path), database, 1)
    for made in reader.committed():
        reader.sending([str(made.order_id)])
    reader.acknowledged("1")
    buy(Writer(tmp_path), database, 2)
    assert not Reader(tmp_path).to_file()
    assert [made.order_id for made in Reader(tmp_path).committed()] == [2]
