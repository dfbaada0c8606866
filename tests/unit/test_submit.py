"""The spark-submit lines that ship, and what stands in the settings files they name."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from lakehouse.settings import Settings
from lakehouse.spark import session, submit
from tests import hostile
from tests.refusals import refused


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a Spark and a metastore password in it."""
    (tmp_path / "venv/main/lib/python3.11/site-packages/pyspark").mkdir(parents=True)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "metastore").write_text("s3cret")
    return Settings(home=str(tmp_path))


def test_land_is_submitted_with_its_own_settings_file(settings: Settings) -> None:
    home = settings.home
    assert submit.command(settings, "land") == [
        f"{home}/venv/main/lib/python3.11/site-packages/pyspark/bin/spark-submit",
        "--properties-file",
        f"{home}/conf/spark-land.conf",
        str(submit.APPS / "land.py"),
    ]


def test_the_line_can_be_pasted_into_a_shell_and_tells_no_password(settings: Settings) -> None:
    line = submit.line(settings, "refine", "users")
    assert line.startswith("env ")
    assert line.endswith("refine.py users")
    assert "s3cret" not in line


def test_the_pasted_line_forgets_what_the_shell_was_set_up_for(settings: Settings) -> None:
    prefix, _, _ = submit.line(settings, "refine", "users").partition(submit.command(settings, "refine")[0])
    shell = {"PATH": os.environ["PATH"], "PYTHONPATH": "/elsewhere", **hostile.VARIABLES}
    shown = subprocess.run(f"{prefix} env", shell=True, env=shell, capture_output=True, text=True, check=True).stdout
    given = dict(line.split("=", 1) for line in shown.splitlines())
    ours = submit.environment(settings)
    assert {name for name in given if name.startswith(("SPARK", "PYSPARK", "PYTHONP", "JAVA", "JDK", "_JAVA"))} == set(ours) - {"TZ"}
    assert {name: given[name] for name in ours} == ours


def test_the_settings_file_is_for_its_owner_alone(settings: Settings) -> None:
    submit.command(settings, "spark")
    path = Path(settings.home) / "conf" / "spark-spark.conf"
    assert "s3cret" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_unknown_app_is_named_with_the_known_ones(settings: Settings) -> None:
    with refused("'landing'", cure="land, activity, refine, rebuild, aggregate, compact, reconcile, publish"):
        submit.command(settings, "landing")


@pytest.mark.parametrize("role", session.ROLES)
def test_every_role_listens_on_loopback_and_counts_days_in_utc(settings: Settings, role: str) -> None:
    conf = session.spark_conf(settings, role)
    assert conf["spark.driver.bindAddress"] == "127.0.0.1"
    assert conf["spark.sql.session.timeZone"] == "UTC"
    assert "MaxDirectMemorySize" in conf["spark.driver.extraJavaOptions"]


def test_land_needs_no_metastore(settings: Settings) -> None:
    assert not [key for key in session.spark_conf(settings, "land") if "javax.jdo" in key]
