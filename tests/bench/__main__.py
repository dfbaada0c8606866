"""`make bench`: EBAP's speed as ratios to a peer or a limit in the same run.

A line alternates its sides and reports the median, minimum and maximum of the paired ratios. It reports a ratio only if the sides
returned the same rows. Absolute figures are context: they depend on the machine. Missed targets are reported like met ones.
`python -m tests.bench 3 11` runs only those lines.

On the platform started by `make demo`, an hour or more on two otherwise idle cores:
3, Kafka to bronze; 4, commit to bronze (writes orders); 9, clicks to Redis (sends clicks); 11, the boards' page and questions (writes
orders); 11b, the same under load and with ten times the bronze, which is not reduced afterwards (writes orders); 18, the standing load by
service (20 minutes with the live half); 19, the cost of a cycle of silver and gold (changes rows of the shop).

In their own Spark process, with temporary lakes of synthetic changes; they need `make install` but no platform, and take a while for a
lake of a million keys:
5, growth of a refine; 6, type 2 history against Spark's textbook forms; 7, a refresh of gold; 13, the effect of compaction; 14, the cost
of a comparison with the source (with its own Postgres); 16, the final lane.
12, clicks: the generator against Faker for each event, and the accuracy of its rate, into Kafka where one answers (sends clicks).
Their modules accept sizes: `python -m tests.bench.histories --keys 50000 --changes 500` takes minutes.
"""

from __future__ import annotations

import os
import sys

from lakehouse.settings import Settings
from lakehouse.spark import thrift
from tests.bench import (
    ageing,
    boards,
    clicks,
    comparing,
    final_lane,
    freshness,
    growth,
    histories,
    hot_path,
    landing,
    pressure,
    refreshing,
    spending,
    tiles,
)

# Lines that change the shop's rows or its rate.
_WRITING = ("4", "11b", "18", "19")
# Lines that need what the live half installs.
_LIVE = ("9", "16")
_WITHOUT = "without a platform: make bench LINES='5 6 7 12 13 14'"


def main(requested: list[str]) -> None:
    """Run the requested lines, or all; each reports what it compared."""
    settings = Settings.from_environment()
    on_platform = {"3": landing.rate, "11": _boards, "4": freshness.commits}
    on_platform |= {"18": spending.standing, "19": spending.cycle, "11b": _growing, "9": hot_path.keys}
    lines = on_platform | {"5": growth.silver, "6": histories.scd2, "7": refreshing.gold_refresh, "13": ageing.compaction_line}
    lines |= {"14": comparing.reconciliation_line, "12": clicks.generation, "16": final_lane.events}
    unknown = sorted(set(requested) - lines.keys())
    if unknown:
        sys.exit(f"bench: there is no line {unknown[0]}: there are {', '.join(lines)}")
    print(f"{os.cpu_count()} cores", flush=True)
    if not requested or on_platform.keys() & set(requested):
        _require_platform(settings)
    for name, line in lines.items():
        if requested and name not in requested:
            continue
        if settings.source_dsn and name in _WRITING:
            print(f"\n{name:>3}  skipped: it writes to the shop, and EBAP_SOURCE_DSN is set")
            continue
        if name in _LIVE and not settings.is_live:
            print(f"\n{name:>3}  skipped: it needs the live half, which `make live` adds")
            continue
        line(settings)


def _require_platform(settings: Settings) -> None:
    try:
        with thrift.cursor(settings) as cursor:
            if boards.over_thrift(cursor, "SELECT count(*) FROM gold.daily_sales") == [(0,)]:
                sys.exit(f"bench: gold is empty: run `make demo` first; {_WITHOUT}")
    except ConnectionError as error:
        sys.exit(f"bench: {error}; {_WITHOUT}")


def _boards(settings: Settings) -> None:
    """The first part of line 11: the page, then Thrift."""
    if not settings.source_dsn:  # the page is measured while the shop trades
        tiles.page(settings)
        pressure.settle(settings)
    boards.queries(settings)


def _growing(settings: Settings) -> None:
    """The second part of line 11: under load, and with ten times the bronze."""
    pressure.under_load(settings)
    pressure.tenfold(settings)


if __name__ == "__main__":
    main(sys.argv[1:])
