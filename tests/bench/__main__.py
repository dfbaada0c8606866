"""`make bench`: EBAP's speed as ratios to a peer or a limit in the same run, on the platform that `make demo` started.

A line alternates its sides and shows the median of the paired ratios with the least and the greatest. It prints no ratio unless the
sides gave the same rows. Absolute figures are context: they belong to the machine they were taken on. A target that is missed is
printed like one that is met. About half an hour on two cores that nothing else uses; the growth of line 11 leaves bronze ten times as
long as it was. `python -m tests.bench 3 11` runs those lines alone.
"""

from __future__ import annotations

import os
import sys

from lakehouse import thrift
from lakehouse.settings import Settings
from tests.bench import ageing, boards, comparing, freshness, landing, pressure


def main(asked: list[str]) -> None:
    """Run the lines asked for, or every one; each says by itself what it compared."""
    settings = Settings.from_environment()
    lines = {
        "3": landing.rate,
        "11": boards.queries,
        "4": freshness.commits,
        "11b": _growing,
        "13": ageing.compaction,
        "14": comparing.reconciliation_line,
    }
    unknown = sorted(set(asked) - lines.keys())
    if unknown:
        sys.exit(f"bench: there is no line {unknown[0]}: there are {', '.join(lines)}")
    print(f"{os.cpu_count()} cores")
    try:
        with thrift.cursor(settings) as cursor:
            if boards.over_thrift(cursor, "SELECT count(*) FROM gold.daily_sales") == [(0,)]:
                sys.exit("bench: gold is empty: run `make demo` first")
    except ConnectionError as error:
        sys.exit(f"bench: {error}")
    for name, line in lines.items():
        if asked and name not in asked:
            continue
        if settings.source_dsn and name in ("4", "11b"):
            print(f"\n{name:>3}  left out: it writes orders, and EBAP_SOURCE_DSN is a database of yours")
            continue
        line(settings)


def _growing(settings: Settings) -> None:
    """The rest of line 11: under load, and at ten times the bronze."""
    pressure.under_load(settings)
    pressure.tenfold(settings)


if __name__ == "__main__":
    main(sys.argv[1:])
