"""The outbox between orders and their purchase events: each committed order is in it once, and stays until Kafka has its visit.

The shop writes a line before it commits an order and one after; only it writes, one order at a time. If it is killed in between, the last
line has no answer, and at its next start the database decides. The clicks service reads behind it and keeps its position in `sent.json`:
after a kill it sends what is past that position again, as the same events. A segment is removed once all of it was sent.

The outbox begins with `past.json`: orders up to the one named there are of the past. They are in the files of past visits, and so is what
was committed before anything was sent, which is what a backfill wrote: up to the position in `filed.json`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from generator.control import write_json
from generator.operation import Operation, Purchase
from generator.sink import PostgresSink, RefusedError

_SEGMENT_BYTES = 4 * 1024 * 1024


class Writer:
    """The shop's side; does nothing until the clicks service or the past visits have begun the outbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def is_wanted(self) -> bool:
        """Whether the outbox has begun."""
        return self._folder.is_dir()

    def commit(self, sink: PostgresSink, operation: Operation) -> None:
        """Commit an operation, and its purchase with it. Raises what `sink.apply` raises."""
        purchase = operation.purchase if self.is_wanted else None
        if purchase is None:
            sink.apply(operation)
            return
        self._intend(purchase)
        try:
            # A purchase that was sent must not be lost with a Postgres that is killed.
            sink.apply(operation, is_durable=True)
        except RefusedError:
            self._settle(purchase, is_committed=False)
            raise
        self._settle(purchase, is_committed=True)

    def recover(self, sink: PostgresSink) -> None:
        """Decide by the database about an order whose commit was interrupted; before any other operation, which could delete it."""
        last = _last_segment(self._folder) if self.is_wanted else None
        lines = list(_lines(last, 0)) if last else []
        if lines and "checkout_id" in lines[-1][1]:
            doubtful = _purchase(lines[-1][1])
            self._settle(doubtful, is_committed=sink.has_order(doubtful.order_id, doubtful.checkout_id))

    def _intend(self, purchase: Purchase) -> None:
        last = _last_segment(self._folder)
        if last is None or last.stat().st_size > _SEGMENT_BYTES:
            last = self._folder / f"{purchase.order_id:020d}.jsonl"
        _append(last, {**asdict(purchase), "ordered_at": purchase.ordered_at.isoformat()})

    def _settle(self, purchase: Purchase, *, is_committed: bool) -> None:
        last = _last_segment(self._folder)
        if last:
            _append(last, {"committed" if is_committed else "refused": purchase.order_id})


class Reader:
    """The sending side; creates the outbox."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._sent_file, self._filed_file = folder / "sent.json", folder / "filed.json"
        sent = json.loads(self._sent_file.read_text()) if self._sent_file.exists() else {}
        self._segment: str = sent.get("segment", "")
        self._offset: int = sent.get("offset", 0)
        self._waiting: deque[tuple[str, int, set[str]]] = deque()
        self._by_event: dict[str, set[str]] = {}

    @property
    def has_sent(self) -> bool:
        """Whether purchases were sent, or are in files."""
        return self._sent_file.exists()

    def to_file(self) -> list[Purchase]:
        """The orders that belong into files, the same at each call; then call `filed`. No other reader may send meanwhile."""
        if not self._filed_file.exists():
            if self.has_sent:
                return []
            for _ in self.committed():
                pass
            write_json(self._filed_file, {"segment": self._segment, "offset": self._offset})
        end = json.loads(self._filed_file.read_text())
        self._segment, self._offset, found = "", 0, []
        for purchase in self.committed():
            if (self._segment, self._offset) > (end["segment"], end["offset"]):
                break
            found.append(purchase)
        return found

    def filed(self) -> None:
        """The files are complete: what is in them is not sent."""
        if self._filed_file.exists() and not self.has_sent:
            write_json(self._sent_file, json.loads(self._filed_file.read_text()))

    def committed(self) -> Iterator[Purchase]:
        """The orders that were committed since the last call; give `sending` the events of each."""
        segments = [path.name for path in _segments(self._folder) if path.name >= self._segment]
        for segment in segments:
            offset = self._offset if segment == self._segment else 0
            intended: dict[str, Any] = {}
            for end, line in _lines(self._folder / segment, offset):
                if "checkout_id" in line:
                    intended = line
                    continue
                self._segment, self._offset = segment, end
                if line.get("committed") == intended.get("order_id", 0):
                    yield _purchase(intended)

    def sending(self, event_ids: Iterable[str]) -> None:
        """The events of the purchase that `committed` gave last."""
        missing = set(event_ids)
        self._waiting.append((self._segment, self._offset, missing))
        self._by_event |= dict.fromkeys(missing, missing)

    def acknowledged(self, event_id: str) -> None:
        """Kafka has that event, perhaps one of another visit."""
        if (missing := self._by_event.pop(event_id, None)) is None:
            return
        missing.discard(event_id)
        done = None
        while self._waiting and not self._waiting[0][2]:
            done = self._waiting.popleft()
        if done:
            segment, offset, _ = done
            write_json(self._sent_file, {"segment": segment, "offset": offset})
            filed = json.loads(self._filed_file.read_text())["segment"] if self._filed_file.exists() else ""
            for path in _segments(self._folder):
                if filed < path.name < segment:
                    path.unlink()

    def is_waiting_for(self, event_id: str) -> bool:
        """Whether the event is of a purchase, and Kafka does not have it yet."""
        return event_id in self._by_event

    def first_order(self) -> int | None:
        """The first order that was ever put into the outbox and is still in it."""
        return next((line["order_id"] for path in _segments(self._folder) for _, line in _lines(path, 0) if "order_id" in line), None)


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def _last_segment(folder: Path) -> Path | None:
    return next(reversed(_segments(folder)), None)


def _append(path: Path, line: dict[str, Any]) -> None:
    # One write call, which a kill does not cut; a machine that failed may have left half a line.
    with path.open("a+b") as file:
        file.seek(max(file.seek(0, 2) - 1, 0))
        half = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * half + json.dumps(line).encode() + b"\n")


def _lines(path: Path, offset: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The complete lines from that offset on, each with the offset of its end."""
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            offset += len(line)
            if line.endswith(b"\n"):
                try:
                    yield offset, json.loads(line)
                except ValueError:
                    continue


def _purchase(line: dict[str, Any]) -> Purchase:
    return Purchase(**line | {"ordered_at": datetime.fromisoformat(line["ordered_at"]), "products": tuple(line["products"])})
