"""The one declaration of what runs: long-running services, and the one-shot steps between them.

`infra/local` runs it as processes of this machine; `infra/docker` writes it down as `docker-compose.yaml`.
"""

from __future__ import annotations

import dataclasses

from infra.local import broker, metabase, postgres, probes
from infra.local.steps import Command, OneShot, Service, Step
from lakehouse.settings import Settings, SettingsError
from lakehouse.spark import streaming, submit


def _python(*words: str) -> Command:
    return lambda settings: [str(settings.home_dir / "venv" / "main" / "bin" / "python"), *words]


def _airflow(command: str) -> Command:
    return _python("-m", "infra.airflow", command)


_POSTGRES = Service(
    name="postgres",
    doc="The shop's database, the catalog's metastore and Airflow's own.",
    command=postgres.command,
    prepare=postgres.prepare,
    after=("passwords",),
    folders=("data",),
    probe=probes.postgres_answers,
    memory_mb=lambda settings: 400,
    url=lambda settings: f"postgresql://{settings.public_host}:{settings.postgres_port}/shop",
    limit_s=60,
    # INT is Postgres' fast shutdown: sessions end, the log is flushed.
    stop_signal="INT",
)

_PLATFORM: tuple[Step, ...] = (
    OneShot(name="passwords", doc="A password for each role and key, one a file.", command=_python("-m", "infra.local.passwords")),
    _POSTGRES,
    Service(
        name="kafka",
        doc="The broker: one KRaft node.",
        command=broker.broker_command,
        prepare=broker.prepare_broker,
        folders=("data",),
        probe=probes.broker_answers,
        memory_mb=lambda settings: settings.kafka_heap_mb + broker.DIRECT_MB + 200,
        url=lambda settings: f"kafka://{settings.kafka_bootstrap}",
        limit_s=180,
    ),
    OneShot(
        name="databases",
        doc="Databases, roles and their passwords.",
        command=_python("-m", "infra.local.postgres"),
        after=("postgres",),
    ),
    OneShot(name="topics", doc="The topics of the change log.", command=_python("-m", "lakehouse", "topics"), after=("kafka",)),
    Service(
        name="connect",
        doc="The worker that runs the capture.",
        command=broker.connect_command,
        prepare=broker.prepare_connect,
        probe=probes.connect_answers,
        memory_mb=lambda settings: settings.connect_heap_mb + broker.DIRECT_MB + 200,
        url=lambda settings: settings.connect_url,
        after=("topics", "passwords"),
        limit_s=300,
    ),
    Service(
        name="spark",
        doc="The warm server: Thrift Server and Spark Connect in one JVM.",
        command=lambda settings: submit.command(settings, "spark"),
        environment=submit.environment,
        probe=probes.spark_answers,
        memory_mb=lambda settings: settings.spark_memory_mb + 512 + 500,
        url=lambda settings: f"hive2://{settings.public_host}:{settings.thrift_port}/gold",
        after=("databases", "bucket"),
        folders=("lake",),
        limit_s=400,
    ),
    OneShot(
        name="catalog",
        doc="Schemas, tables and views of the lake, with every comment.",
        command=_python("spark_apps/publish.py"),
        after=("spark",),
        limit_s=400,
    ),
    OneShot(
        name="capture",
        doc="Publication, checks of the source, and the connector.",
        command=_python("-m", "lakehouse", "capture", "apply"),
        # Not the catalog: a lake that is there already is enough, and a new one is waited for.
        after=("connect", "databases", "shop-seed"),
        limit_s=400,
    ),
    Service(
        name="land",
        doc="The streaming app that lands the change log in bronze.",
        command=lambda settings: submit.command(settings, "land"),
        environment=submit.environment,
        probe=probes.land_has_landed,
        memory_mb=lambda settings: settings.land_memory_mb + 256 + 400,
        url=lambda settings: f"{settings.lake_root}/bronze/changes",
        # Not the capture: it waits for the first record beside it, and lands what is there.
        after=("catalog", "topics"),
        folders=("lake", "control"),
        limit_s=400,
        # Asked by file it finishes its batch; by signal alone it may have to land one again.
        restart="on-failure",
        stop_request=lambda settings: streaming.stop_file(settings, "land"),
        stop_s=20,
    ),
    Service(
        name="boards",
        doc="The boards' page, over the lake's files.",
        command=_python("-m", "dashboards.boards"),
        probe=probes.boards_answer,
        memory_mb=lambda settings: 400,
        url=lambda settings: settings.boards_page,
        after=("databases",),
        folders=("lake",),
    ),
    OneShot(
        name="airflow-init",
        doc="Airflow's database, login and pools.",
        command=_airflow("init"),
        after=("databases",),
        folders=("airflow",),
        limit_s=300,
    ),
    Service(
        name="airflow-api",
        doc="Airflow's page and API.",
        command=_airflow("api-server"),
        probe=probes.airflow_page_answers,
        memory_mb=lambda settings: 700,
        url=lambda settings: settings.airflow_page,
        after=("airflow-init",),
        folders=("airflow",),
        limit_s=400,
    ),
    Service(
        name="airflow-dag-processor",
        doc="Airflow's parser of the DAG files.",
        command=_airflow("dag-processor"),
        probe=probes.airflow_dag_processor_beats,
        memory_mb=lambda settings: 450,
        url=lambda settings: settings.airflow_page,
        after=("airflow-init",),
        folders=("airflow",),
        limit_s=400,
    ),
    Service(
        name="airflow-scheduler",
        doc="Airflow's scheduler and its local workers.",
        command=_airflow("scheduler"),
        probe=probes.airflow_scheduler_beats,
        memory_mb=lambda settings: 1500,
        url=lambda settings: settings.airflow_page,
        # Its first tasks find their tables.
        after=("airflow-init", "catalog"),
        folders=("airflow",),
        limit_s=400,
        # Tasks are waited for: a killed one runs again, but only after half a minute.
        stop_s=45,
    ),
)

_SHOP: tuple[Step, ...] = (
    OneShot(
        name="shop-schema",
        doc="The shop's tables: another team's database, played here.",
        command=_python("-m", "generator", "schema"),
        after=("databases",),
    ),
    OneShot(
        name="shop-seed",
        doc="The shop's first users and products.",
        command=_python("-m", "generator", "seed"),
        after=("shop-schema",),
        limit_s=400,
    ),
    OneShot(
        name="snapshot",
        doc="The first snapshot of the source is complete.",
        command=_python("-m", "lakehouse", "capture", "wait-snapshot"),
        after=("capture",),
        limit_s=600,
    ),
    Service(
        name="generator",
        doc="The simulated shop's traffic.",
        command=_python("-m", "generator", "run"),
        probe=probes.generator_reports,
        memory_mb=lambda settings: 300,
        url=lambda settings: f"postgresql://{settings.public_host}:{settings.postgres_port}/shop",
        after=("snapshot",),
        folders=("control",),
        limit_s=60,
    ),
)


_BUCKET = OneShot(name="bucket", doc="The lake's bucket, where it is on gs:.", command=_python("-m", "lakehouse.delta.objects"))

METABASE = Service(
    name="metabase",
    doc="Metabase, once `make metabase` has fetched it.",
    command=metabase.command,
    environment=metabase.environment,
    probe=probes.metabase_answers,
    memory_mb=lambda settings: settings.metabase_heap_mb + 500,
    url=lambda settings: settings.metabase_page,
    after=("databases",),
    # Its first start makes some hundred tables.
    limit_s=400,
)


def steps(settings: Settings) -> list[Step]:
    """All that this configuration runs: a source of one's own has no simulated shop, and not everyone has a Metabase here."""
    lake = (_BUCKET,) if settings.is_on_gcs else ()
    shop = () if settings.source_dsn else _SHOP
    boards = (METABASE,) if metabase.is_here(settings) else ()
    chosen = (*lake, *_PLATFORM, *shop, *boards)
    names = {step.name for step in chosen}
    return [dataclasses.replace(step, after=tuple(name for name in step.after if name in names)) for step in chosen]


def needed(settings: Settings, names: list[str]) -> list[Step]:
    """The named steps and all that they come after; SettingsError names the steps there are."""
    declared = {step.name: step for step in steps(settings)}
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in declared:
            raise SettingsError(f"there is no service or step {name!r}: it is one of {', '.join(declared)}")
        if name not in wanted:
            wanted.add(name)
            waiting += declared[name].after
    return [step for step in declared.values() if step.name in wanted]


def services(settings: Settings) -> list[Service]:
    """The long-running ones, in the order of their declaration."""
    return [step for step in steps(settings) if isinstance(step, Service)]


def service(settings: Settings, name: str) -> Service:
    """The service of that name; KeyError names those there are."""
    found = {service.name: service for service in services(settings)}
    if name not in found:
        raise KeyError(f"there is no service {name!r}: it is one of {', '.join(found)}")
    return found[name]


def variables(settings: Settings) -> dict[str, str]:
    """All settings as variables, so that every process started here reads the same ones."""
    return {f"EBAP_{field.name.upper()}": str(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
