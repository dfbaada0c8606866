"""How the platform is started: what goes first, what runs beside what, and what is printed of it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from infra import services
from infra.local import demo, outcomes, stages
from infra.local.supervision import Supervisor
from infra.services.step import OneShot, Step
from lakehouse.settings import Settings
from tests.refusals import refused

NOBODY = Supervisor(Path("/nowhere"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "logs").mkdir()
    return Settings(home=str(tmp_path))


def step(name: str, *after: str, program: str = "pass") -> OneShot:
    return OneShot(name=name, doc="d.", command=lambda settings: [sys.executable, "-c", program], after=after)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=80)


def test_the_step_that_most_others_wait_for_in_turn_goes_first() -> None:
    steps: list[Step] = [step("page"), step("shop"), step("seed", "shop"), step("capture", "seed"), step("init"), step("api", "init")]
    assert [each.name for each in stages.by_urgency(steps)] == ["shop", "seed", "init", "page", "capture", "api"]


def test_the_capture_goes_before_airflow(settings: Settings) -> None:
    order = [each.name for each in stages.by_urgency(services.steps(settings))]
    assert order.index("spark") < order.index("airflow-init")
    assert order.index("shop-seed") < order.index("airflow-init")
    assert order.index("boards") < order.index("airflow-api")


def test_boards_and_land_wait_for_nothing_of_airflow_and_airflow_for_none_of_them(settings: Settings) -> None:
    behind = {name: {each.name for each in services.needed(settings, [name])} for name in ("boards", "land", "airflow-api")}
    assert not [name for name in behind["boards"] | behind["land"] if name.startswith("airflow")]
    assert not behind["boards"] & {"spark", "kafka"}
    assert not behind["airflow-api"] & {"spark", "kafka", "boards"}


def test_steps_without_a_condition_run_at_the_same_time(settings: Settings) -> None:
    # Each waits until the other has begun: one after another, neither would end.
    meet = "import pathlib, sys, time\nhere, there = (pathlib.Path(name) for name in sys.argv[1:])\nhere.touch()\n"
    meet += "while not there.exists(): time.sleep(0.01)"
    home = settings.home_dir

    def one(name: str, other: str) -> OneShot:
        return OneShot(
            name=name, doc="d.", command=lambda settings: [sys.executable, "-c", meet, str(home / name), str(home / other)], limit_s=20
        )

    took = stages.run(settings, NOBODY, [one("left", "right"), one("right", "left"), step("last", "left", "right")], quiet())
    assert {each.name for each in took} == {"left", "right", "last"}
    ready = {each.name: each.ready_s for each in took}
    assert max(each.began_s for each in took if each.name == "last") >= max(ready["left"], ready["right"])


def test_a_step_that_fails_ends_the_start_with_its_last_lines(settings: Settings) -> None:
    steps: list[Step] = [step("bad", program="import sys; sys.exit('no such table')"), step("later", "bad")]
    with refused("bad ended with 1", "no such table", str(settings.home_dir / "logs" / "bad.log")):
        stages.run(settings, NOBODY, steps, quiet())
    assert outcomes.read(settings, "later") == "stopped"


def test_the_timeline_shows_when_each_step_began_and_was_ready() -> None:
    stream = io.StringIO()
    took = [stages.Took(name="land", began_s=20.0, ready_s=40.0), stages.Took(name="spark", began_s=0.0, ready_s=20.0)]
    stages.show_timeline(took, Console(file=stream, width=80))
    first, second = stream.getvalue().splitlines()
    assert first.split() == ["spark", "0", "to", "20", "s", "█" * 19]
    assert second.split() == ["land", "20", "to", "40", "s", "█" * 19]
    assert second.index("█") == first.rindex("█") + 1
    assert max(len(first), len(second)) <= 80


def test_the_demo_writes_the_past_between_snapshot_and_traffic(settings: Settings) -> None:
    steps = {each.name: each for each in demo.with_the_past(settings, services.steps(settings))}
    assert steps["backfill"].after == ("snapshot",)
    assert steps["generator"].after == ("backfill",)
    assert "30" in steps["backfill"].command(settings)


def test_a_source_of_ones_own_gets_no_past(settings: Settings) -> None:
    own = Settings(home=settings.home, source_dsn="host=db.example dbname=real user=owner")
    assert demo.with_the_past(own, services.steps(own)) == services.steps(own)
