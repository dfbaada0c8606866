"""`make bench`: EBAP's speed as ratios to a peer or a limit in the same run.

A line alternates its sides and shows the median of the paired ratios with the least and the greatest. It prints no ratio unless the
sides gave the same rows. Absolute figures are context: they belong to the machine they were taken on. A target that is missed is
printed like one that is met. `python -m tests.bench 3 11` runs those lines alone.

On the platform that `make demo` started, half an hour on two cores that nothing else uses:
3, Kafka to bronze; 4, commit to bronze (writes orders); 11, the boards' questions; 11b, the same under load and at ten times the
bronze, which it leaves as long as that (writes orders); 18, the standing load by service (a quarter of an hour); 19, what a cycle of
silver and gold takes (changes rows of the shop).

In a Spark process of their own, with lakes of synthetic changes that are gone afterwards; they need what `make install` installs and
no platform, and each takes its time for a lake of a million keys:
5, how a refine grows; 6, type 2 history against Spark's textbook forms; 7, a refresh of gold; 13, what compaction gives back; 14, what a
comparison with the source costs (with a Postgres of its own).
Their modules take sizes: `python -m tests.bench.histories --keys 50000 --changes 500` shows in minutes what they do.
"""

from __future__ import annotations

import os
import sys

from lakehouse.settings import Settings
from lakehouse.spark import thrift
from tests.bench import ageing, boards, comparing, freshness, growth, histories, landing, pressure, refreshing, spending

# Lines that change the shop's rows, or its pace.
_WRITING = ("4", "11b", "18", "19")
_WITHOUT = "without a platform: make bench LINES='5 6 7 13 14'"


def main(asked: list[str]) -> None:
    """Run the lines asked for, or every one; each says by itself what it compared."""
    settings = Settings.from_environment()
    on_platform = {"3": landing.rate, "11": boards.queries, "4": freshness.commits}
    on_platform |= {"18": spending.standing, "19": spending.cycle, "11b": _growing}
    lines = on_platform | {"5": growth.silver, "6": histories.scd2, "7": refreshing.gold_refresh, "13": ageing.compaction_line}
    lines |= {"14": comparing.reconciliation_line}
    unknown = sorted(set(asked) - lines.keys())
    if unknown:
        sys.exit(f"bench: there is no line {unknown[0]}: there are {', '.join(lines)}")
    print(f"{os.cpu_count()} cores", flush=True)
    if not asked or on_platform.keys() & set(asked):
        _require_platform(settings)
    for name, line in lines.items():
        if asked and name not in asked:
            continue
        if settings.source_dsn and name in _WRITING:
            print(f"\n{name:>3}  left out: it writes to the shop, and EBAP_SOURCE_DSN is a database of yours")
            continue
        line(settings)


def _require_platform(settings: Settings) -> None:
    try:
        with thrift.cursor(settings) as cursor:
            if boards.over_thrift(cursor, "SELECT count(*) FROM gold.daily_sales") == [(0,)]:
                sys.exit(f"bench: gold is empty: run `make demo` first; {_WITHOUT}")
    except ConnectionError as error:
        sys.exit(f"bench: {error}; {_WITHOUT}")


def _growing(settings: Settings) -> None:
    """The rest of line 11: under load, and at ten times the bronze."""
    pressure.under_load(settings)
    pressure.tenfold(settings)


if __name__ == "__main__":
    main(sys.argv[1:])
