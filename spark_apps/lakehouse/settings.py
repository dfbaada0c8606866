"""Settings: one frozen object per process, read from the environment and `.env`, passed down from `main()`.

Each setting is an `EBAP_` variable. An unknown variable or invalid value is an error with its name and the cure.
`.env.example` is generated from this file. Passwords are not settings: each is a file of mode 0600 under `secrets_dir`.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakehouse import env_file
from lakehouse.errors import SettingsError

PROJECT = Path(__file__).resolve().parents[2]


def _setting(default: str | int, doc: str, choices: tuple[str, ...] = (), limits: tuple[int, int] | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "choices": choices, "limits": limits})  # type: ignore[call-overload]


def _port(default: int, what: str, *, is_live: bool = False) -> Any:
    return field(default=default, metadata={"doc": f"Port of {what}.", "is_port": True, "is_live": is_live})


def _host(whom: str) -> Any:
    return _setting(LOOPBACK, f"Host under which the other services reach {whom}.")


LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; a path is absolute, a size in MiB, a duration in seconds."""

    home: str = _setting(str(PROJECT / ".ebap"), "Folder for everything that runs: environments, data, logs, secrets.")
    cache: str = _setting("~/.cache/ebap", "Folder for downloads, shared by all checkouts.")
    lake: str = _setting("", "Root of the lake as a URI (file: or gs:). Empty means the folder lake under EBAP_HOME.")
    gcs_endpoint: str = _setting(
        "", "Address of a storage emulator, for a lake on gs:. Empty means Google's own, with its default credentials."
    )
    spark_master: str = _setting("local[2]", "Spark master of the warm server and of land: local[n], or spark://host:port of a cluster.")
    batch_by: str = _setting(
        "connect", "How Airflow runs the batch verbs: connect, in the warm server, or submit, a spark-submit each.", ("connect", "submit")
    )
    batch_master: str = _setting("local[*]", "Spark master of a batch verb that is submitted.")
    driver_address: str = _setting(LOOPBACK, "Address under which a cluster's executors reach the drivers on this machine.")

    source_dsn: str = _setting("", "libpq DSN of the source's schema owner, without password. Empty means the shop's own database here.")
    source_password_file: str = _setting("", "File with that owner's password. Empty means the generated one.")
    source_schema: str = _setting("shop", "Schema of the captured tables in the source database.")
    max_slot_wal_keep_mb: int = _setting(4096, "WAL the local Postgres keeps for an absent capture, in MiB; beyond it the slot is lost.")

    bind: str = _setting(LOOPBACK, "Address that every service listens on. Only Postgres, Airflow and Metabase require a login.")
    public_host: str = _setting(LOOPBACK, "Host under which people reach the pages and the SQL servers.")
    postgres_host: str = _host("the local Postgres")
    kafka_host: str = _host("the Kafka broker")
    connect_host: str = _host("Kafka Connect")
    spark_host: str = _host("the warm Spark server, by Thrift and by Spark Connect")
    airflow_host: str = _host("Airflow's API")
    boards_host: str = _host("the boards' page")
    metabase_host: str = _host("the Metabase that is started here")
    redis_host: str = _host("Redis")
    s3_host: str = _host("the object store that is started here")
    trino_host: str = _host("Trino")

    postgres_port: int = _port(15432, "Postgres")
    kafka_port: int = _port(19092, "the Kafka broker")
    kafka_controller_port: int = _port(19093, "the Kafka controller")
    connect_port: int = _port(18083, "Kafka Connect's REST interface")
    thrift_port: int = _port(10000, "the Spark Thrift Server")
    spark_connect_port: int = _port(15002, "Spark Connect")
    airflow_port: int = _port(18080, "Airflow's web page and API")
    boards_port: int = _port(18090, "the boards' page")
    metabase_port: int = _port(18030, "the Metabase that `make metabase` starts here")
    redis_port: int = _port(16379, "Redis", is_live=True)
    s3_port: int = _port(18333, "the object store's S3 interface", is_live=True)
    s3_master_port: int = _port(18334, "the object store's master", is_live=True)
    s3_volume_port: int = _port(18335, "the object store's volume server", is_live=True)
    s3_filer_port: int = _port(18336, "the object store's filer", is_live=True)
    s3_grpc_port: int = _port(18343, "the object store's S3 interface by gRPC", is_live=True)
    s3_master_grpc_port: int = _port(18344, "the object store's master by gRPC", is_live=True)
    s3_volume_grpc_port: int = _port(18345, "the object store's volume server by gRPC", is_live=True)
    s3_filer_grpc_port: int = _port(18346, "the object store's filer by gRPC", is_live=True)
    s3_admin_port: int = _port(18337, "the object store's admin page, which is not served", is_live=True)
    s3_admin_grpc_port: int = _port(18347, "the object store's admin by gRPC", is_live=True)
    trino_port: int = _port(18081, "Trino", is_live=True)
    metabase_url: str = _setting("", "Base URL of a Metabase of yours, for the boards. Empty: `make metabase` starts one here.")
    metabase_jar: str = _setting("", "Path of a Metabase jar, where the pinned one cannot be downloaded.")

    live: str = _setting(
        "auto",
        "Whether the live half runs: yes, no, or auto, which the first start decides by memory and disk and keeps.",
        ("auto", "yes", "no"),
    )
    s3_endpoint: str = _setting("", "Base URL of an S3 of yours, with buckets bronze and silver. Empty: one is started here.")
    s3_region: str = _setting("us-east-1", "Region that requests to S3 are signed for.")
    events_keep_h: int = _setting(24, "Hours that Kafka keeps events and telemetry.")
    events_keep_mb: int = _setting(512, "Size that Kafka keeps of each of these two topics, in MiB.")
    max_event_kb: int = _setting(64, "Largest event that is read, in KiB; a larger one is a dead letter.")
    eps: int = _setting(50, "Events a second of the simulated visitors.", limits=(1, 30_000))

    rate: int = _setting(5, "Operations a second of the simulated shop.")
    seed: int = _setting(1, "Seed of the simulated shop: the same seed gives the same sequence.")
    backfill_days: int = _setting(30, "Simulated past days that `make demo` writes before the present begins.")

    trigger_s: int = _setting(5, "Seconds between two batches of land; each batch is one Delta commit.")
    max_offsets_per_trigger: int = _setting(200_000, "Records a batch of land may hold; bounds memory and replay after an outage.")

    max_record_mb: int = _setting(
        32,
        "Largest change of a row that is captured, in MiB as JSON. A larger one stops its own table. The Connect worker needs a heap of "
        "16 times as much, and survives rows of a fifth of it.",
    )

    bronze_keep_days: int = _setting(
        0, "Days that bronze keeps of what was landed and refined. 0 keeps all, so that any table can be rebuilt."
    )

    light_records: int = _setting(
        20_000, "Records of one table that a refine reads in its own process. Spark refines more, and a table's first fill."
    )
    # Two million took 4 s of CPU and 650 MB; an increment over as many 1 s.
    light_rows: int = _setting(
        2_000_000, "Rows of its inputs that an aggregate of a gold table reads in its own process. Spark aggregates more, by the same SQL."
    )
    silver_slots: int = _setting(1, "Silver tables refined at the same time. On two cores a second one only makes dashboards wait.")
    airflow_parallelism: int = _setting(4, "Airflow tasks at the same time; each is a thin client of about 60 MiB of its own.")

    alert_url: str = _setting(
        "", 'Address that failed tables, late runs and machines in trouble are posted to as {"text": …}. Empty: they are only logged.'
    )

    quarantine_alert: int = _setting(100, "Records of one table that may wait in quarantine; with more, silver's check task fails.")

    gcp_project: str = _setting(
        "", "Google Cloud project of the machines. Empty: there are none to switch, and vm_start and vm_stop stay paused."
    )
    gcp_zone: str = _setting("us-central1-a", "Zone of the machines.")
    nodes: str = _setting(
        "node1:source,node2:spark",
        "The machines that are switched, each name:role, or name:role@address. The one with Airflow is not among them.",
    )
    work_days: str = _setting("mon-fri", "Days on which the machines run, such as mon-fri or mon,wed,sat.")
    work_hours: str = _setting("08:00-18:00", "Hours in which they are ready on those days; an end before the start is on the next day.")
    time_zone: str = _setting("UTC", "Time zone of those days and hours, such as Europe/Berlin.")

    kafka_heap_mb: int = _setting(512, "Heap of the Kafka broker, in MiB.")
    connect_heap_mb: int = _setting(512, "Heap of the Connect worker, in MiB.")
    land_memory_mb: int = _setting(896, "Heap of the land app, in MiB.")
    spark_memory_mb: int = _setting(2048, "Heap of the warm Spark server (Thrift and Connect), and of a submitted verb, in MiB.")
    executor_memory_mb: int = _setting(1024, "Heap of an executor on a cluster, in MiB.")
    executor_cores: int = _setting(2, "Cores that each Spark process uses of a cluster.")
    activity_memory_mb: int = _setting(960, "Heap of the activity app, in MiB.")
    trino_memory_mb: int = _setting(1024, "Heap of Trino, in MiB.")
    metabase_heap_mb: int = _setting(1024, "Heap of Metabase, where it runs here, in MiB.")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read `.env` of the project, then the environment, which wins. Raises SettingsError with every fault at once."""
        values = {**env_file.read(PROJECT / ".env"), **(os.environ if environ is None else environ)}
        given = {name: value for name, value in values.items() if name.startswith("EBAP_")}
        fields = {variable(f.name): f for f in dataclasses.fields(cls)}
        faults = [_unknown(name, fields) for name in sorted(given) if name not in fields]
        parsed: dict[str, Any] = {}
        for name, entry in fields.items():
            if given.get(name):
                try:
                    parsed[entry.name] = _parse(name, given[name], entry)
                except SettingsError as error:
                    faults.append(str(error))
        faults += filter(None, (_fault(name, str(parsed.get(entry.name, entry.default))) for name, entry in fields.items()))
        if faults:
            raise SettingsError("; ".join(faults))
        return cls(**parsed)

    @property
    def home_dir(self) -> Path:
        """EBAP_HOME as a path."""
        return Path(self.home).expanduser().absolute()

    @property
    def cache_dir(self) -> Path:
        """EBAP_CACHE as a path."""
        return Path(self.cache).expanduser().absolute()

    @property
    def secrets_dir(self) -> Path:
        """Folder of the generated passwords, one a file."""
        return self.home_dir / "secrets"

    @property
    def lake_root(self) -> str:
        """The lake's root as a URI without a trailing slash."""
        return (self.lake or f"file://{self.home_dir}/lake").rstrip("/")

    @property
    def is_on_gcs(self) -> bool:
        """Whether the lake is in a bucket of Google Cloud Storage."""
        return self.lake_root.startswith("gs://")

    @property
    def is_live(self) -> bool:
        """Whether the live half runs; with EBAP_LIVE=auto what the first start decided, and not before it."""
        return self.live == "yes" or (self.live == "auto" and self.live_choice.is_file() and self.live_choice.read_text().strip() == "yes")

    @property
    def live_choice(self) -> Path:
        """The file that keeps the decision of EBAP_LIVE=auto: yes or no."""
        return self.home_dir / "control" / "live"

    @property
    def ledger(self) -> Path:
        """The file in which the simulated visitors note what they send, if asked to."""
        return self.control_dir / "ledger.jsonl"

    @property
    def s3_address(self) -> str:
        """Base URL of S3: the configured one, or the one started here."""
        return self.s3_endpoint.rstrip("/") or f"http://{self.s3_host}:{self.s3_port}"

    @property
    def land_checkpoint(self) -> str:
        """Folder of land's offsets; if it is lost, everything lands again, and silver ignores the duplicates."""
        return f"{self.lake_root}/_checkpoints/land"

    @property
    def control_dir(self) -> Path:
        """Folder of requests to running apps (a stop request for land), and of their reports."""
        return self.home_dir / "control"

    @property
    def shop_dsn(self) -> str:
        """DSN of the source's schema owner, without its password."""
        return self.source_dsn or f"host={self.postgres_host} port={self.postgres_port} dbname=shop user=shop_owner"

    @property
    def max_record_bytes(self) -> int:
        """EBAP_MAX_RECORD_MB in bytes: the limit of the capture's producer."""
        return self.max_record_mb * 1024 * 1024

    @property
    def max_batch_bytes(self) -> int:
        """Limit of broker, topics and consumers, above the producer's: only the producer's error has the record's size."""
        return self.max_record_bytes + 1024 * 1024

    @property
    def kafka_bootstrap(self) -> str:
        """Kafka's bootstrap address."""
        return f"{self.kafka_host}:{self.kafka_port}"

    @property
    def connect_url(self) -> str:
        """Base URL of Kafka Connect's REST interface."""
        return f"http://{self.connect_host}:{self.connect_port}"

    @property
    def airflow_url(self) -> str:
        """Base URL of Airflow's API, for the other services."""
        return f"http://{self.airflow_host}:{self.airflow_port}"

    @property
    def airflow_page(self) -> str:
        """Base URL of Airflow, for people."""
        return f"http://{self.public_host}:{self.airflow_port}"

    @property
    def boards_url(self) -> str:
        """Base URL of the boards, for the other services."""
        return f"http://{self.boards_host}:{self.boards_port}"

    @property
    def boards_page(self) -> str:
        """Base URL of the boards, for people."""
        return f"http://{self.public_host}:{self.boards_port}"

    @property
    def metabase_address(self) -> str:
        """Base URL of Metabase, without a trailing slash: the configured one, or the one started here."""
        return self.metabase_url.rstrip("/") or f"http://{self.metabase_host}:{self.metabase_port}"

    @property
    def metabase_page(self) -> str:
        """Base URL of Metabase, for people."""
        return self.metabase_url.rstrip("/") or f"http://{self.public_host}:{self.metabase_port}"

    @property
    def spark_remote(self) -> str:
        """Address of the warm server's Spark Connect."""
        return f"sc://{self.spark_host}:{self.spark_connect_port}"

    def secret_file(self, name: str) -> Path:
        """The file that holds that password."""
        if name == "shop_owner" and self.source_password_file:
            return Path(self.source_password_file).expanduser()
        return self.secrets_dir / name

    def secret(self, name: str) -> str:
        """The password of that name; SettingsError if the file is missing."""
        path = self.secret_file(name)
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            raise SettingsError(f"there is no password file {path}", "run `make up`, which generates it") from None

    def ports(self) -> dict[str, int]:
        """Every port setting by its variable name."""
        return {variable(f.name): getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("is_port")}

    def used_ports(self) -> dict[str, int]:
        """The ports of what these settings run, by variable name."""
        live = {variable(f.name) for f in dataclasses.fields(self) if f.metadata.get("is_live")}
        unused = {name for name in live if not self.is_live or (self.s3_endpoint and name.startswith("EBAP_S3_"))}
        return {name: port for name, port in self.ports().items() if name not in unused}


def listing() -> list[tuple[str, str, str]]:
    """Variable, default and meaning of every setting; defaults do not depend on the machine."""

    def default(value: Any) -> str:
        return str(value).replace(str(PROJECT), ".")

    return [(variable(entry.name), default(entry.default), entry.metadata["doc"]) for entry in dataclasses.fields(Settings)]


def example() -> str:
    """The text of `.env.example`: every setting with its meaning and default, commented out."""
    lines = ["# Every setting of EBAP with its default. Copy to .env and change what you need. Generated: make generated", ""]
    for name, default, doc in listing():
        lines += [f"# {doc}", f"#{name}={default}", ""]
    return "\n".join(lines)


def variable(name: str) -> str:
    """The environment variable of that setting."""
    return f"EBAP_{name.upper()}"


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else ".env.example lists the settings there are"
    return f"unknown setting {name}: {hint}"


def _parse(name: str, text: str, entry: dataclasses.Field[Any]) -> str | int:
    if entry.type != "int":
        choices = entry.metadata.get("choices")
        if choices and text not in choices:
            raise SettingsError(f"{name} is {text!r}", f"give one of {', '.join(choices)}")
        return text
    try:
        number = int(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}", f"give a whole number, such as {entry.default}") from None
    if entry.metadata.get("is_port") and not 1 <= number <= 65535:
        raise SettingsError(f"{name} is {number}", "give a port from 1 to 65535")
    if number < 0:
        raise SettingsError(f"{name} is {number}", "give a number that is not negative")
    limits = entry.metadata.get("limits")
    if limits and not limits[0] <= number <= limits[1]:
        raise SettingsError(f"{name} is {number}", f"give a number from {limits[0]} to {limits[1]}")
    return number


def _fault(name: str, text: str) -> str | None:
    """The fault of a path or lake root that would otherwise fail later."""
    if name in _PATHS and text.startswith("~"):
        try:
            Path(text).expanduser()
        except RuntimeError:
            return f"{name} is {text}, and this account has no home folder: set HOME, or give a full path"
    if name == "EBAP_LAKE" and text and not text.startswith(("file:/", "gs://")):
        return f"{name} is {text!r}: give a URI with a full path, such as file:///data/lake or gs://bucket/lake"
    if name == "EBAP_S3_ENDPOINT" and text and not text.startswith(("http://", "https://")):
        return f"{name} is {text!r}: give an address with its scheme, such as http://s3.example:9000"
    return None


_PATHS = ("EBAP_HOME", "EBAP_CACHE", "EBAP_SOURCE_PASSWORD_FILE", "EBAP_METABASE_JAR")
