"""Register everything in the catalog: schemas, tables and views, with every comment, from the declarations.

Runs: at each start of the platform, over the warm server; by spark-submit too. Safe to run again: it creates what is missing
and brings views and comments up to the declarations.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lakehouse import catalog, session
from lakehouse.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: SparkSession, settings: Settings) -> None:
    """Bring the catalog up to the declarations."""
    catalog.bring_up(spark, settings)


def main() -> None:
    """Publish once."""
    settings = Settings.from_environment()
    run(session.open_for_verb(settings), settings)


if __name__ == "__main__":
    try:
        main()
    except (SettingsError, catalog.CatalogError) as error:
        sys.exit(f"publish: {error}")
