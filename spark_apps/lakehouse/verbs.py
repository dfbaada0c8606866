"""Registry of the platform's streaming apps and batch verbs, by name.

spark-submit, `python -m lakehouse`, the tasks of the DAGs and the reference of commands are derived from it. Modules are imported when
they run, so that reading the registry imports no engine.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import TooLargeError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

# A verb with parsed arguments.
Call = Callable[["SparkSession", "Settings"], Any]


@dataclass(frozen=True, kw_only=True)
class StreamingApp:
    """An app that runs until it is stopped: the script of `spark_apps` of that name. `target` is the address that it writes to.

    `is_live`: it is part of the live half, and runs only with it.
    """

    name: str
    doc: str
    heap_mb: Callable[[Settings], int]
    target: Callable[[Settings], str]
    is_live: bool = False


STREAMING = {
    app.name: app
    for app in (
        StreamingApp(
            name="land",
            doc="The streaming app that lands the change log in bronze.",
            heap_mb=lambda settings: settings.land_memory_mb,
            target=lambda settings: f"{settings.lake_root}/bronze/changes",
        ),
        StreamingApp(
            name="activity",
            doc="The streaming app of the live half: events into Redis and Iceberg.",
            heap_mb=lambda settings: settings.activity_memory_mb,
            target=lambda settings: f"redis://{settings.redis_host}:{settings.redis_port}",
            is_live=True,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A batch verb: `parse(argv)` of `module` returns its `Call`.

    `light(argv)` of `light_module` returns a function of the settings alone, for small work in the caller's process; it raises
    TooLargeError if the work requires Spark. `is_submitted`: it is also a script of `spark_apps`.
    """

    name: str
    module: str | None = None
    light_module: str | None = None
    is_submitted: bool = True

    def parse(self, argv: list[str]) -> Call:
        """The call on a Spark session for these arguments; EbapError or SystemExit if they are invalid."""
        if self.module is None:
            raise ValueError(f"{self.name} needs no Spark")
        call: Call = importlib.import_module(self.module).parse(argv)
        return call

    def run(self, settings: Settings, argv: list[str], heavy: Callable[[], Any], report: Callable[[str], None] = print) -> Any:
        """The verb's result: from this process, or from `heavy` if the work requires Spark, with the reason reported."""
        if self.light_module:
            try:
                return importlib.import_module(self.light_module).light(argv)(settings)
            except TooLargeError as error:
                report(f"by Spark: {error}")
        return heavy()


VERBS = {
    verb.name: verb
    for verb in (
        Verb(name="refine", module="lakehouse.silver.heavy_refine", light_module="lakehouse.silver.refine"),
        Verb(name="rebuild", module="lakehouse.silver.rebuild"),
        Verb(name="aggregate", module="lakehouse.gold.heavy_aggregate", light_module="lakehouse.gold.aggregate"),
        Verb(name="compact", module="lakehouse.lake.compaction"),
        Verb(name="optimize", light_module="lakehouse.live.maintenance", is_submitted=False),
        Verb(name="reconcile", module="lakehouse.reconcile.reconcile"),
        Verb(name="publish", module="lakehouse.lake.catalog"),
        Verb(name="pause", light_module="lakehouse.silver.pausing", is_submitted=False),
        Verb(name="resume", light_module="lakehouse.silver.pausing", is_submitted=False),
        Verb(name="resnapshot", light_module="lakehouse.source.resnapshot", is_submitted=False),
    )
}
# Every script of `spark_apps`.
SUBMITTED = (*STREAMING, *(name for name, verb in VERBS.items() if verb.is_submitted))
