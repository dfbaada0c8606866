"""Settings: one frozen object per process, read from the environment and `.env`, passed down from `main()`.

Each setting is an `EBAP_` variable. An unknown variable or invalid value is an error with its name and the cure.
`.env.example` is generated from this file. Passwords are not settings: each is a file of mode 0600 under `secrets_dir`.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse import env_file
from lakehouse.errors import SettingsError
from lakehouse.settings_fields import LOOPBACK, host, parse, port, setting, variable
from lakehouse.settings_live import LiveSettings

__all__ = ["LOOPBACK", "PROJECT", "Settings", "example", "listing", "variable"]

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Settings(LiveSettings):
    """All settings; a path is absolute, a size in MiB, a duration in seconds."""

    home: str = setting(str(PROJECT / ".ebap"), "Folder for everything that runs: environments, data, logs, secrets.")
    cache: str = setting("~/.cache/ebap", "Folder for downloads, shared by all checkouts.")
    lake: str = setting("", "Root of the lake as a URI (file: or gs:). Empty means the folder lake under EBAP_HOME.")
    gcs_endpoint: str = setting(
        "", "Address of a storage emulator, for a lake on gs:. Empty means Google's own, with its default credentials."
    )
    spark_master: str = setting("local[2]", "Spark master of the warm server and of land: local[n], or spark://host:port of a cluster.")
    batch_by: str = setting(
        "connect", "How Airflow runs the batch verbs: connect, in the warm server, or submit, a spark-submit each.", ("connect", "submit")
    )
    batch_master: str = setting("local[*]", "Spark master of a batch verb that is submitted.")
    driver_address: str = setting(LOOPBACK, "Address under which a cluster's executors reach the drivers on this machine.")

    source_dsn: str = setting("", "libpq DSN of the source's schema owner, without password. Empty means the shop's own database here.")
    source_password_file: str = setting("", "File with that owner's password. Empty means the generated one.")
    source_schema: str = setting("shop", "Schema of the captured tables in the source database.")
    max_slot_wal_keep_mb: int = setting(4096, "WAL the local Postgres keeps for an absent capture, in MiB; beyond it the slot is lost.")

    bind: str = setting(
        LOOPBACK,
        "Address that every service listens on. Only Postgres, Airflow, Metabase, Redis and S3 require a login; the object store's other "
        "ports do not.",
    )
    public_host: str = setting(LOOPBACK, "Host under which people reach the pages and the SQL servers.")
    postgres_host: str = host("the local Postgres")
    kafka_host: str = host("the Kafka broker")
    connect_host: str = host("Kafka Connect")
    spark_host: str = host("the warm Spark server, by Thrift and by Spark Connect")
    airflow_host: str = host("Airflow's API")
    boards_host: str = host("the boards' page")
    metabase_host: str = host("the Metabase that is started here")

    postgres_port: int = port(15432, "Postgres")
    kafka_port: int = port(19092, "the Kafka broker")
    kafka_controller_port: int = port(19093, "the Kafka controller")
    connect_port: int = port(18083, "Kafka Connect's REST interface")
    thrift_port: int = port(10000, "the Spark Thrift Server")
    spark_connect_port: int = port(15002, "Spark Connect")
    airflow_port: int = port(18080, "Airflow's web page and API")
    boards_port: int = port(18090, "the boards' page")
    metabase_port: int = port(18030, "the Metabase that `make metabase` starts here")
    metabase_url: str = setting("", "Base URL of a Metabase of yours, for the boards. Empty: `make metabase` starts one here.")
    metabase_jar: str = setting("", "Path of a Metabase jar, where the pinned one cannot be downloaded.")

    rate: int = setting(5, "Operations a second of the simulated shop.")
    seed: int = setting(1, "Seed of the simulated shop: the same seed gives the same sequence.")
    backfill_days: int = setting(30, "Simulated past days that `make demo` writes before the present begins.")

    trigger_s: int = setting(5, "Seconds between two batches of land; each batch is one Delta commit.")
    max_offsets_per_trigger: int = setting(200_000, "Records a batch of land may hold; bounds memory and replay after an outage.")

    max_record_mb: int = setting(
        32,
        "Largest change of a row that is captured, in MiB as JSON. A larger one stops its own table. The Connect worker needs a heap of "
        "16 times as much, and survives rows of a fifth of it.",
    )

    bronze_keep_days: int = setting(
        0, "Days that bronze keeps of what was landed and refined. 0 keeps all, so that any table can be rebuilt."
    )

    light_records: int = setting(
        20_000, "Records of one table that a refine reads in its own process. Spark refines more, and a table's first fill."
    )
    # Two million took 4 s of CPU and 650 MB; an increment over as many 1 s.
    light_rows: int = setting(
        2_000_000, "Rows of its inputs that an aggregate of a gold table reads in its own process. Spark aggregates more, by the same SQL."
    )
    silver_slots: int = setting(1, "Silver tables refined at the same time. On two cores a second one only makes dashboards wait.")
    airflow_parallelism: int = setting(4, "Airflow tasks at the same time; each is a thin client of about 60 MiB of its own.")

    alert_url: str = setting(
        "", 'Address that failed tables, late runs and machines in trouble are posted to as {"text": …}. Empty: they are only logged.'
    )

    quarantine_alert: int = setting(100, "Records of one table that may wait in quarantine; with more, silver's check task fails.")

    gcp_project: str = setting(
        "", "Google Cloud project of the machines. Empty: there are none to switch, and vm_start and vm_stop stay paused."
    )
    gcp_zone: str = setting("us-central1-a", "Zone of the machines.")
    nodes: str = setting(
        "node1:source,node2:spark",
        "The machines that are switched, each name:role, or name:role@address. The one with Airflow is not among them.",
    )
    work_days: str = setting("mon-fri", "Days on which the machines run, such as mon-fri or mon,wed,sat.")
    work_hours: str = setting("08:00-18:00", "Hours in which they are ready on those days; an end before the start is on the next day.")
    time_zone: str = setting("UTC", "Time zone of those days and hours, such as Europe/Berlin.")

    kafka_heap_mb: int = setting(512, "Heap of the Kafka broker, in MiB.")
    connect_heap_mb: int = setting(512, "Heap of the Connect worker, in MiB.")
    land_memory_mb: int = setting(896, "Heap of the land app, in MiB.")
    spark_memory_mb: int = setting(2048, "Heap of the warm Spark server (Thrift and Connect), and of a submitted verb, in MiB.")
    executor_memory_mb: int = setting(1024, "Heap of an executor on a cluster, in MiB.")
    executor_cores: int = setting(2, "Cores that each Spark process uses of a cluster.")
    metabase_heap_mb: int = setting(1024, "Heap of Metabase, where it runs here, in MiB.")

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
                    parsed[entry.name] = parse(name, given[name], entry)
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
        live = {variable(f.name) for f in dataclasses.fields(LiveSettings) if f.metadata.get("is_port")}
        unused = {name for name in live if not self.is_live or (self.s3_endpoint and name.startswith("EBAP_S3_"))}
        return {name: port for name, port in self.ports().items() if name not in unused}


def listing() -> list[tuple[str, str, str]]:
    """Variable, default and meaning of every setting; defaults do not depend on the machine."""

    def default(value: Any) -> str:
        return str(value).replace(str(PROJECT), ".")

    live = {entry.name for entry in dataclasses.fields(LiveSettings)}
    # The fields of a base class come first; the live half stands last here.
    entries = sorted(dataclasses.fields(Settings), key=lambda entry: entry.name in live)
    return [(variable(entry.name), default(entry.default), entry.metadata["doc"]) for entry in entries]


def example() -> str:
    """The text of `.env.example`: every setting with its meaning and default, commented out."""
    lines = ["# Every setting of EBAP with its default. Copy to .env and change what you need. Generated: make generated", ""]
    for name, default, doc in listing():
        lines += [f"# {doc}", f"#{name}={default}", ""]
    return "\n".join(lines)


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else ".env.example lists the settings there are"
    return f"unknown setting {name}: {hint}"


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
