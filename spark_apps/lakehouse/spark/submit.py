"""Start of Spark processes: the spark-submit line, its properties file and its environment."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from lakehouse import process
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT, Settings
from lakehouse.spark.session import THRIFT_POOL, spark_conf
from lakehouse.verbs import STREAMING, SUBMITTED

APPS = PROJECT / "spark_apps"

# Variables of a shell that change spark-submit and its Python.
_FOREIGN = ("SPARK_REMOTE", "PYSPARK_SUBMIT_ARGS", "PYSPARK_DRIVER_PYTHON", "PYTHONPATH", "PYTHONHOME")

_FAIR_POOLS = f"""<?xml version="1.0"?>
<!-- People's queries weigh twice as much as batch work. Generated at start. -->
<allocations>
  <pool name="default"><schedulingMode>FAIR</schedulingMode><weight>1</weight><minShare>0</minShare></pool>
  <pool name="{THRIFT_POOL}"><schedulingMode>FAIR</schedulingMode><weight>2</weight><minShare>0</minShare></pool>
</allocations>
"""


def command(settings: Settings, name: str, *arguments: str) -> list[str]:
    """The spark-submit command of `spark` (the warm server), a streaming app or a verb, as a list; writes its properties file.

    Raises EbapError for any other name.
    """
    if name == "spark":
        role, target = "spark", _thrift_server(settings)
    elif name in SUBMITTED:
        role, target = (name if name in STREAMING else "batch"), [str(APPS / f"{name}.py"), *arguments]
    else:
        raise EbapError(f"there is no Spark app {name!r}", f"it is spark or one of {', '.join(SUBMITTED)}")
    return [str(_spark_home(settings) / "bin" / "spark-submit"), "--properties-file", str(_write_conf(settings, role)), *target]


def line(settings: Settings, name: str, *arguments: str) -> str:
    """The same command with its environment as one shell line, independent of the shell's own variables."""
    unset = [f"-u {name}" for name in (*_FOREIGN, *process.JAVA_OPTIONS)]
    variables = [f"{key}={shlex.quote(value)}" for key, value in sorted(environment(settings).items())]
    return " ".join(["env", *unset, *variables, shlex.join(command(settings, name, *arguments))])


def environment(settings: Settings) -> dict[str, str]:
    """Variables a Spark process needs in addition to the inherited ones."""
    variables = {
        # The pip distribution cannot find itself without it.
        "SPARK_HOME": str(_spark_home(settings)),
        "PYSPARK_PYTHON": str(_python(settings)),
        "SPARK_LOCAL_IP": settings.driver_address,
        "SPARK_LOCAL_DIRS": str(settings.home_dir / "tmp"),
        # The platform's log settings, and not the machine's spark-defaults.conf.
        "SPARK_CONF_DIR": str(PROJECT / "infra" / "spark"),
    }
    java = settings.home_dir / "java"
    home = str(java) if java.exists() else os.environ.get("JAVA_HOME", "")
    return variables | ({"JAVA_HOME": home} if home else {})


def _python(settings: Settings) -> Path:
    return settings.home_dir / "venv" / "main" / "bin" / "python"


def _spark_home(settings: Settings) -> Path:
    found = sorted((settings.home_dir / "venv" / "main" / "lib").glob("python3.*/site-packages/pyspark"))
    if not found:
        raise EbapError(f"there is no pyspark under {settings.home_dir / 'venv' / 'main'}", "run `make install`")
    return found[0]


def _write_conf(settings: Settings, role: str) -> Path:
    """Write the properties file of a role, readable only by its owner: it holds the metastore's password."""
    folder = settings.home_dir / "conf"
    folder.mkdir(parents=True, exist_ok=True)
    (settings.home_dir / "tmp").mkdir(exist_ok=True)
    (folder / "fairscheduler.xml").write_text(_FAIR_POOLS)
    path = folder / f"spark-{role}.conf"
    path.touch(mode=0o600)
    path.write_text("".join(f"{key} {value}\n" for key, value in spark_conf(settings, role).items()))
    return path


def _thrift_server(settings: Settings) -> list[str]:
    return [
        "--name",
        "ebap-server",
        "--class",
        "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2",
        "spark-internal",
        "--hiveconf",
        f"hive.server2.thrift.bind.host={settings.bind}",
        "--hiveconf",
        f"hive.server2.thrift.port={settings.thrift_port}",
    ]
