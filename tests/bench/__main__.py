"""`make bench`: EBAP's speed as ratios to a peer or a limit in the same run, on the platform that `make demo` started.

A line alternates its sides and shows the median of the paired ratios with the least and the greatest. It prints no ratio unless the
sides gave the same rows. Absolute figures are context: they belong to the machine they were taken on. A target that is missed is
printed like one that is met. About a quarter of an hour on two cores that nothing else uses; the last line leaves bronze ten times
as long as it was.
"""

from __future__ import annotations

import os
import sys

from lakehouse import thrift
from lakehouse.settings import Settings
from tests.bench import boards, freshness, landing, pressure


def main() -> None:
    """Run every line; each says by itself what it compared."""
    settings = Settings.from_environment()
    print(f"{os.cpu_count()} cores")
    try:
        with thrift.cursor(settings) as cursor:
            if boards.over_thrift(cursor, "SELECT count(*) FROM gold.daily_sales") == [(0,)]:
                sys.exit("bench: gold is empty: run `make demo` first")
    except ConnectionError as error:
        sys.exit(f"bench: {error}")
    landing.rate(settings)
    boards.queries(settings)
    if settings.source_dsn:
        print("\n 4 and the rest of 11  left out: they write orders, and EBAP_SOURCE_DSN is a database of yours")
        return
    freshness.commits(settings)
    pressure.under_load(settings)
    pressure.tenfold(settings)


if __name__ == "__main__":
    main()
