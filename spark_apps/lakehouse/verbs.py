"""Registry of what the platform runs on Spark: streaming apps and batch apps, by name.

spark-submit, `python -m lakehouse`, the tasks of the DAGs and the reference of commands all follow from this registry. Modules are named
and loaded only when they run, so that reading it loads no engine.
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

# What a verb does once its arguments are parsed.
Call = Callable[["SparkSession", "Settings"], Any]


@dataclass(frozen=True, kw_only=True)
class StreamingApp:
    """An app that runs until it is stopped: a script of `spark_apps` of that name. `target` is the address of what it writes."""

    name: str
    doc: str
    heap_mb: Callable[[Settings], int]
    target: Callable[[Settings], str]


STREAMING = {
    app.name: app
    for app in (
        StreamingApp(
            name="land",
            doc="The streaming app that lands the change log in bronze.",
            heap_mb=lambda settings: settings.land_memory_mb,
            target=lambda settings: f"{settings.lake_root}/bronze/changes",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A batch verb: `parse(argv)` of `module` gives its `Call`.

    `light(argv)` of `light_module` gives the same for small work in the caller's own process, which takes the settings alone and raises
    TooLargeError where it is Spark's. `is_submitted`: it is a script of `spark_apps` too.
    """

    name: str
    module: str | None = None
    light_module: str | None = None
    is_submitted: bool = True

    def parse(self, argv: list[str]) -> Call:
        """What does what the arguments ask on a Spark session; EbapError or SystemExit where they are wrong."""
        if self.module is None:
            raise ValueError(f"{self.name} needs no Spark")
        call: Call = importlib.import_module(self.module).parse(argv)
        return call

    def run(self, settings: Settings, argv: list[str], heavy: Callable[[], Any], report: Callable[[str], None] = print) -> Any:
        """The verb's result: from this process, or from `heavy` where the work is Spark's, with the reason reported."""
        if self.light_module:
            try:
                return importlib.import_module(self.light_module).light(argv)(settings)
            except TooLargeError as due:
                report(f"by Spark: {due}")
        return heavy()


VERBS = {
    verb.name: verb
    for verb in (
        Verb(name="refine", module="lakehouse.silver.heavy_refine", light_module="lakehouse.silver.refine"),
        Verb(name="rebuild", module="lakehouse.silver.rebuild"),
        Verb(name="aggregate", module="lakehouse.gold.heavy_aggregate", light_module="lakehouse.gold.aggregate"),
        Verb(name="compact", module="lakehouse.lake.compaction"),
        Verb(name="reconcile", module="lakehouse.reconcile.reconcile"),
        Verb(name="publish", module="lakehouse.lake.catalog"),
        Verb(name="pause", light_module="lakehouse.silver.pausing", is_submitted=False),
        Verb(name="resume", light_module="lakehouse.silver.pausing", is_submitted=False),
        Verb(name="resnapshot", light_module="lakehouse.source.resnapshot", is_submitted=False),
    )
}
# Every script of `spark_apps`.
SUBMITTED = (*STREAMING, *(name for name, verb in VERBS.items() if verb.is_submitted))
