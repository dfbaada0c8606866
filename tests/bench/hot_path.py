"""Line 9: from Kafka's time of an event to a key in Redis that counts it, by the live lane, by Spark's defaults, and by a plain consumer.

Each event has a visitor of its own, so that a window's count of n has everything up to its n-th event. The live lane reads the platform's
topic, the others one of the bench, in turns, so that none shares the machine with another. Spark's defaults count the same windows with a
watermark, by region, with approximate visitors, in its state store and with its 200 partitions; the consumer counts records by window and
does nothing else, which is the limit. Ten times the users are no line: the live lane reads no user.
"""

from __future__ import annotations

import bisect
import json
import os
import shlex
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from generator.clicks import sender
from generator.clicks.commands import control_of
from generator.clicks.events import EVENTS_TOPIC
from generator.clicks.records import Record
from generator.pools import REGIONS
from lakehouse.settings import PROJECT, Settings
from lakehouse.source import broker, topics
from lakehouse.transforms.live import windows
from tests.bench import pressure
from tests.bench.sides import begin, report, until

TOPIC = "ebap.bench.events"
RATES = (1_000, 5_000)
# A window and a half.
SENT_S = 90
_WARM_UP_S = 30
_POLL_S = 0.02
_LIMIT_S = 180.0
_STEP_S = 0.02

# The count of a window by its start, in seconds since 1970; 0 where there is no key.
Read = Callable[[Redis, int], int]
# Seconds from Kafka's time to the first read that counted it, of each event.
Delays = list[float]


def keys(settings: Settings) -> None:
    """Measure and report every ratio of the line."""
    begin(f" 9  Kafka's time to key readable, one-minute windows, {SENT_S} s each; one run a side")
    clicks = control_of(settings)
    with pressure.restored(clicks), _topic(settings):
        pressure.trade(clicks, "paused", clicks.request().rate or settings.eps)
        ours = {eps: _delays(settings, EVENTS_TOPIC, eps, _live) for eps in RATES}
        limit = _beside(settings, "consumer", RATES[0])
        peer = _beside(settings, "defaults", RATES[0])
    least, most = (ours[eps] for eps in RATES)
    for what, ones, others in (
        (f"{RATES[0]:,} a second, live lane / Spark's defaults (target at most 0.5)", least, peer),
        (f"{RATES[0]:,} a second, live lane / plain consumer (the limit)", least, limit),
        (f"live lane, {RATES[1]:,} / {RATES[0]:,} a second (target at most 1.5)", most, least),
    ):
        report(f"{what}, p99", [_p99(ones) / _p99(others)], f"{_text(ones)} / {_text(others)}")


def main() -> None:
    """Run one of the sides beside this one, until it is stopped."""
    settings = Settings.from_environment()
    {"consumer": _consume, "defaults": _defaults}[sys.argv[1]](settings)


def _delays(settings: Settings, topic: str, eps: int, read: Read, sent_s: int = SENT_S) -> Delays:
    """Send for a while from the begin of a window on, and watch the windows until they have everything."""
    seen: dict[int, list[tuple[float, int]]] = defaultdict(list)
    is_over = threading.Event()
    until_begin_s = windows.WINDOW_S - time.time() % windows.WINDOW_S
    time.sleep(until_begin_s)  # the begin of a window
    first = windows.start_of(time.time())
    starts = [first + number * windows.WINDOW_S for number in range(sent_s // windows.WINDOW_S + 2)]

    def watch() -> None:
        with closing(client(settings)) as redis:
            while not is_over.is_set():
                for start in starts:
                    if (count := read(redis, start)) > (seen[start][-1][1] if seen[start] else 0):
                        seen[start].append((time.time(), count))
                time.sleep(_POLL_S)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    received = _sent(settings, topic, eps, sent_s)
    wanted = {start: len(times) for start, times in received.items()}
    until(lambda: all(seen[start] and seen[start][-1][1] >= count for start, count in wanted.items()), _LIMIT_S, f"windows of {wanted}")
    is_over.set()
    watcher.join()
    delays = Delays()
    for start, times in received.items():
        counts = [count for _, count in seen[start]]
        delays += [seen[start][bisect.bisect_left(counts, number)][0] - at for number, at in enumerate(sorted(times), start=1)]
    return delays


def _sent(settings: Settings, topic: str, eps: int, sent_s: int) -> dict[int, list[float]]:
    """Send events at that rate; Kafka's time of each, by the start of its window."""
    found: dict[int, list[float]] = defaultdict(list)
    regions = list(REGIONS)
    kafka = sender.connect(settings, (topic,))

    def collect() -> None:
        done, lost = kafka.collect()
        if lost:
            sys.exit(f"bench: Kafka did not take {len(lost)} events")
        for record, place in done:
            found[windows.start_of(record.at_us / 1_000_000)].append(place.timestamp / 1000)

    began, number = time.monotonic(), 0
    while (elapsed_s := time.monotonic() - began) < sent_s:
        due = int(elapsed_s * eps)
        kafka.send(_record(topic, each, regions[each % len(regions)]) for each in range(number, due))
        number = due
        collect()
        time.sleep(_STEP_S)
    kafka.flush()
    collect()
    kafka.close()
    return found


def _record(topic: str, number: int, region: str) -> Record:
    at_us = time.time_ns() // 1000
    at = datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    event_id = str(uuid.uuid4())
    visitor = f"{event_id[:8]}-{number}"
    event = {"event_id": event_id, "event_type": "view", "event_at": at, "visitor_id": visitor, "user_id": None, "session_id": visitor}
    event |= {"product_id": None, "order_id": None, "checkout_id": None, "region": region, "country": "DE", "device": "phone", "page": "/"}
    return Record(topic, visitor.encode(), json.dumps(event).encode(), event_id, at_us)


def _live(redis: Redis, start: int) -> int:
    text: Any = redis.get(f"active_users:{start}")
    return int(json.loads(text)["active_visitors"]) if text else 0


def _bench(redis: Redis, start: int) -> int:
    text: Any = redis.get(f"bench:{start}")
    return int(text or 0)


def client(settings: Settings) -> Redis:
    """A client of the platform's Redis, to be closed."""
    return Redis(host=settings.redis_host, port=settings.redis_port, password=settings.secret("redis"))


def _beside(settings: Settings, side: str, eps: int) -> Delays:
    """The delays of a side in its own process."""
    jars = settings.home_dir / "jars" / "spark" / "*"
    submit = f"--driver-class-path {shlex.quote(str(jars))} pyspark-shell"
    environ = {**os.environ, "PYSPARK_SUBMIT_ARGS": submit}
    with (settings.home_dir / "logs" / "bench.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", __name__, side], cwd=PROJECT, env=environ, stdout=log, stderr=log)
        try:
            with closing(client(settings)) as redis:
                redis.delete("bench:ready")
                until(lambda: redis.get("bench:ready"), _LIMIT_S, f"the side {side} to be ready")
            _delays(settings, TOPIC, eps, _bench, _WARM_UP_S)
            return _delays(settings, TOPIC, eps, _bench)
        finally:
            process.kill()
            process.wait()


def _consume(settings: Settings) -> None:
    counts: Counter[int] = Counter()
    with closing(client(settings)) as redis, closing(broker.reader(settings)) as reader:
        reader.subscribe([TOPIC])
        redis.set("bench:ready", 1, ex=60)
        while True:
            for records in reader.poll(timeout_ms=100).values():
                changed = Counter(
                    windows.start_of(datetime.fromisoformat(json.loads(each.value)["event_at"]).timestamp()) for each in records
                )
                counts.update(changed)
                for start in changed:
                    redis.set(f"bench:{start}", counts[start], ex=600)


def _defaults(settings: Settings) -> None:
    """The windows as a tutorial of Spark writes them: no option but those that it must have."""
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    spark = SparkSession.builder.master(f"local[{os.cpu_count()}]").getOrCreate()
    redis = client(settings)
    counts: dict[tuple[int, str], int] = {}
    fields = "event_id STRING, event_at TIMESTAMP, visitor_id STRING, region STRING"
    source = spark.readStream.format("kafka").option("kafka.bootstrap.servers", settings.kafka_bootstrap).option("subscribe", TOPIC)
    events = source.load().select(F.from_json(F.col("value").cast("string"), fields).alias("event")).select("event.*")
    grouped = events.withWatermark("event_at", "10 minutes").groupBy(F.window("event_at", "1 minute"), "region")
    windowed = grouped.agg(F.count("*").alias("events"), F.approx_count_distinct("visitor_id").alias("visitors"))

    def publish(frame: Any, _: int) -> None:
        for row in frame.collect():
            counts[int(row.window.start.timestamp()), row.region] = row.events
        for start in {start for start, _ in counts}:
            redis.set(f"bench:{start}", sum(count for (of, _), count in counts.items() if of == start), ex=600)

    query = windowed.writeStream.outputMode("update").foreachBatch(publish).start()
    until(lambda: "Waiting for data" in query.status["message"], _LIMIT_S, "Spark to wait for data")
    redis.set("bench:ready", 1, ex=60)
    query.awaitTermination()


@contextmanager
def _topic(settings: Settings) -> Iterator[None]:
    with closing(broker.admin(settings)) as admin:
        _remove(admin)
        topics.create(admin, [replace(topics.of_events(settings)[0], name=TOPIC)], settings.max_batch_bytes)
        try:
            yield
        finally:
            _remove(admin)


def _remove(admin: Any) -> None:
    if TOPIC in admin.list_topics():
        admin.delete_topics([TOPIC])
        until(lambda: TOPIC not in admin.list_topics(), _LIMIT_S, "Kafka to remove the bench's topic")


def _p99(delays: Delays) -> float:
    return sorted(delays)[int(0.99 * (len(delays) - 1))]


def _text(delays: Delays) -> str:
    return f"p99 {_p99(delays):.2f} s, median {statistics.median(delays):.2f} s of {len(delays):,}"


if __name__ == "__main__":
    main()
