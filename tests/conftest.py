"""What tests of Spark code share: one session in this process, with the product's own settings and jars."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse import process
from lakehouse.lake import catalog, state
from lakehouse.settings import Settings
from lakehouse.spark import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A developer's shell must not reach the tests either.
process.begin()
# A developer's choice neither: undecided in a home folder of the tests, where the change-data half runs alone until `infra.local live`.
os.environ["EBAP_LIVE"] = "auto"

_INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a Spark session or the platform: the two-minute loop leaves these out, `make test` runs them."""
    for item in items:
        for fixture, marker in (("spark", "spark"), ("platform", "e2e")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


def empty_lake(spark: SparkSession, settings: Settings, folder: Path) -> Settings:
    """Settings of a lake in that folder, with every table made and none filled; what the session's catalog knew before is forgotten."""
    made = dataclasses.replace(settings, lake=f"file://{folder}/lake")
    from infra.services import postgres  # not there in Airflow's environment

    # One Postgres for all lakes of the session: the state of the last one's tables goes with it.
    state.store(settings).create()
    with closing(postgres.connect(settings, "metastore")) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE ebap.table_state")
    for schema in ("gold", "silver", "bronze"):
        spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    catalog.bring_up(spark, made)
    return made


@contextmanager
def compiled(spark: SparkSession) -> Iterator[None]:
    """Within the block plans are compiled, as they are outside of tests."""
    for name in _INTERPRETED:
        spark.conf.unset(name)
    try:
        yield
    finally:
        _interpret(spark)


def _interpret(spark: SparkSession) -> None:
    for name, value in _INTERPRETED.items():
        spark.conf.set(name, value)


@pytest.fixture(scope="session")
def lake_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a lake of its own, with the jars that are installed and a Postgres for the state of its tables."""
    jars = Settings.from_environment().home_dir / "jars" / "spark"
    if not jars.is_dir():
        pytest.fail(f"there are no Spark jars in {jars}: run `make install`")
    home: Path = tmp_path_factory.mktemp("home")
    (home / "jars").mkdir()
    (home / "jars" / "spark").symlink_to(jars.resolve())
    from tests.e2e.own_postgres import running_postgres  # not there in Airflow's environment

    with running_postgres(home) as settings:
        yield settings


@pytest.fixture(scope="session")
def spark(lake_settings: Settings) -> Iterator[SparkSession]:
    """A classic session without metastore; times it collects are UTC, as everywhere.

    Its plans are interpreted, outside of `compiled`: to compile one takes longer than a test's ten rows.
    """
    os.environ["TZ"] = "UTC"
    os.environ["JDK_JAVA_OPTIONS"] = "-XX:+UseSerialGC"
    time.tzset()
    made = session.classic(lake_settings, metastore=False)
    made.sparkContext.setLogLevel("ERROR")
    _interpret(made)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def light_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a platform of which only Postgres runs, with the state of no table."""
    from tests.e2e.own_postgres import running_postgres

    with running_postgres(tmp_path_factory.mktemp("light")) as made:
        state.store(made).create()
        yield made
