"""The engine of the boards: what is loaded, when it is reloaded, and the messages for missing tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dashboards.boards.answers import Answers
from dashboards.metabase import files
from dashboards.metabase.files import Question
from dashboards.serving.engine import Engine
from dashboards.serving.plan import plan, reads
from dashboards.serving.reader import State
from lakehouse import tables
from lakehouse.delta import reading
from lakehouse.delta.errors import NoTableError
from lakehouse.settings import Settings
from tests import delta_files, sample_lake
from tests.refusals import refused

NOW = datetime.now(UTC).replace(microsecond=0)
COUNT = "SELECT count(*) AS n FROM gold.daily_sales"
LIVE = "SELECT order_id, user_id, status FROM gold.orders_live ORDER BY order_id"
DECLARED = {table.full_name: table for table in sample_lake.stored()}


@pytest.fixture(scope="module")
def drawn() -> dict[str, pa.Table]:
    return sample_lake.drawn(NOW, days=20, orders_a_day=6)


@pytest.fixture
def lake(drawn: dict[str, pa.Table], tmp_path: Path) -> Path:
    sample_lake.write(tmp_path / "lake", drawn)
    return tmp_path / "lake"


@pytest.fixture
def clock() -> list[datetime]:
    """The current time for `orders_live`: the last entry."""
    return [NOW]


@pytest.fixture
def engine(lake: Path, clock: list[datetime]) -> Iterator[Engine]:
    made = Engine(Settings(lake=f"file://{lake}"), [COUNT, LIVE], clock=lambda: clock[-1], poll_s=0)
    yield made
    made.close()


def query(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    names = list(reads(sql))
    with engine.reading(names) as reader:
        return reader.query(sql, names).rows


def change(lake: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Append rows to a stored table, in one commit."""
    table = DECLARED[name]
    added = sample_lake.arrow(table, rows)
    delta_files.append(lake / table.layer.value / table.name, added, table.partitions)


def landed(order_id: int, lsn: int, op: str = "u", at: datetime = NOW, user_id: int | None = 1, text: str | None = None) -> dict[str, Any]:
    """A bronze row: a change of an order."""
    after = {"order_id": order_id, "user_id": user_id, "status": "paid", "total_usd": "1.50", "ordered_at": at.isoformat()}
    value = text or json.dumps({"after": after})
    place = {"source_table": "orders", "_landed_on": at.date(), "_landed_at": at, "epoch": 1, "lsn": lsn, "op": op, "offset": lsn}
    return place | {"key": json.dumps({"order_id": order_id}).encode(), "value": value.encode(), "commit_at": at}


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Records reads of stored tables from now on: the number of files given, None if the whole table is read."""
    seen: list[int | None] = []
    relation = reading.relation

    def watch(*args: Any, **options: Any) -> Any:
        seen.append(len(options["files"]) if "files" in options else None)
        return relation(*args, **options)

    monkeypatch.setattr(reading, "relation", watch)
    return seen


def test_only_the_columns_that_are_read_are_planned() -> None:
    made = plan(["SELECT category FROM gold.product_stock WHERE units_28d > 0"])
    assert made.bases["gold.product_daily"].columns == ("day", "product_id", "units")
    assert "description" not in made.bases["silver.products"].columns
    assert made.bases["silver.products"].only == {"_last": (True,)}
    every = plan(["SELECT * FROM gold.daily_sales"]).bases["gold.daily_sales"]
    assert every.columns == tables.gold("daily_sales").column_names


def test_a_table_is_reloaded_only_after_it_changed(engine: Engine, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((before,),) = query(engine, COUNT)
    loads = watched(monkeypatch)
    assert (query(engine, COUNT), loads) == ([(before,)], [])
    change(lake, "gold.daily_sales", [{"day": NOW.date(), "category": "new", "orders": 1, "units": 1}])
    assert (query(engine, COUNT), loads) == ([(before + 1,)], [None])


def test_a_reader_keeps_the_state_it_started_with(engine: Engine, lake: Path) -> None:
    ((before,),) = query(engine, COUNT)
    with engine.reading(["gold.daily_sales"]) as reader:
        change(lake, "gold.daily_sales", [{"day": NOW.date(), "category": "new"}])
        assert query(engine, COUNT) == [(before + 1,)], "another reader sees the commit"
        assert reader.query(COUNT, ["gold.daily_sales"]).rows == [(before,)]


def test_new_changes_of_orders_are_added_and_the_hour_is_not_read_again(
    engine: Engine, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = query(engine, LIVE)
    read = watched(monkeypatch)
    change(lake, "bronze.changes", [landed(9001, 900_001), landed(9002, 900_002)])
    assert query(engine, LIVE) == [*before, (9001, 1, "paid"), (9002, 1, "paid")]
    assert read == [1], "only the added file"


@pytest.mark.parametrize("what", ["compacted", "rewritten"])
def test_bronze_may_be_compacted_or_rewritten(engine: Engine, lake: Path, drawn: dict[str, pa.Table], what: str) -> None:
    before = query(engine, LIVE)
    assert before
    rows = drawn["bronze.changes"]
    kept = rows if what == "compacted" else rows.slice(0, 0)
    folder, by = lake / "bronze" / "changes", DECLARED["bronze.changes"].partitions
    delta_files.replace(folder, kept, by, "OPTIMIZE" if what == "compacted" else "DELETE", is_change=what == "rewritten")
    assert query(engine, LIVE) == (before if what == "compacted" else [])


def test_changes_older_than_the_hour_expire_without_a_commit(engine: Engine, clock: list[datetime]) -> None:
    assert query(engine, LIVE)
    clock.append(NOW + timedelta(minutes=61))
    assert query(engine, LIVE) == []


def test_the_newest_change_of_an_order_wins_regardless_of_arrival(engine: Engine, lake: Path) -> None:
    # Landed again after a lost checkpoint: a change with an older position arrives later.
    change(lake, "bronze.changes", [landed(9001, 900_005, op="d")])
    change(lake, "bronze.changes", [landed(9001, 900_004)])
    # At the same position a delete comes before an upsert: the order was inserted again.
    change(lake, "bronze.changes", [landed(9002, 900_006, op="d"), landed(9002, 900_006)])
    found = [row for row in query(engine, LIVE) if row[0] > 9000]
    assert found == [(9002, 1, "paid")]


@pytest.mark.parametrize("text", ["{", "\x00", '{"after": null}', '{"after": {"order_id": "x"}}'])
def test_an_unreadable_change_is_skipped_and_others_are_not(engine: Engine, lake: Path, text: str) -> None:
    change(lake, "bronze.changes", [landed(9001, 900_001, text=text), landed(9002, 900_002)])
    assert [row for row in query(engine, LIVE) if row[0] > 9000] == [(9002, 1, "paid")]


def test_invalid_utf8_is_skipped(engine: Engine, lake: Path) -> None:
    change(lake, "bronze.changes", [landed(9001, 900_001) | {"value": b"\xff\xfe"}, landed(9002, 900_002, text=None)])
    assert [row[0] for row in query(engine, LIVE) if row[0] > 9000] == [9002]


def test_a_late_change_does_not_show_a_forgotten_person(engine: Engine, lake: Path) -> None:
    change(lake, "bronze.changes", [landed(9001, 900_001, user_id=77)])
    assert query(engine, LIVE)[-1] == (9001, 77, "paid")
    change(lake, "silver.erasures", [{"source_table": "users", "key": '{"user_id":77}'}])
    assert query(engine, LIVE)[-1] == (9001, None, "paid")


def test_a_recreated_table_is_reloaded(engine: Engine, lake: Path) -> None:
    assert query(engine, COUNT) != [(0,)]
    table = DECLARED["gold.daily_sales"]
    shutil.rmtree(lake / "gold" / "daily_sales")
    with refused("gold.daily_sales", cure="`make up`", kind=NoTableError):
        query(engine, COUNT)
    delta_files.create(lake / "gold" / "daily_sales", sample_lake.arrow(table, []), table.partitions)
    assert query(engine, COUNT) == [(0,)]


def test_the_state_of_a_result_changes_with_its_tables_and_its_clock(engine: Engine, lake: Path, clock: list[datetime]) -> None:
    def states() -> list[State]:
        with engine.reading(["gold.daily_sales", "gold.orders_live"]) as reader:
            return [reader.state(COUNT, ["gold.daily_sales"]), reader.state(f"{COUNT} WHERE day < current_date()", ["gold.daily_sales"])]

    (kept, of_the_day), first = states(), states()
    assert [kept, of_the_day] == first
    clock.append(NOW + timedelta(days=1))
    assert states()[0] == kept
    assert states()[1] != of_the_day
    change(lake, "bronze.changes", [landed(9001, 900_001)])
    assert states()[0] == kept, "the question does not read that table"
    change(lake, "gold.daily_sales", [{"day": NOW.date(), "category": "new"}])
    assert states()[0] != kept
    with engine.reading(["gold.orders_live"]) as reader:
        assert reader.state(LIVE, ["gold.orders_live"]) is None, "it changes every second"


def answers_over(lake: Path, *more: Question) -> Answers:
    return Answers(Settings(lake=f"file://{lake}"), [*files.questions().values(), *more])


def test_each_tile_of_a_board_names_its_missing_table(lake: Path) -> None:
    shutil.rmtree(lake / "gold" / "product_daily")
    answers = answers_over(lake)
    found = answers.board([tile.question for tile in files.boards()["products"].tiles], {})
    answers.close()
    missing = [name for name, answer in found.items() if "there is no gold.product_daily yet" in answer.get("error", "")]
    assert sorted(missing) == [name for name in sorted(found) if "gold.product_daily" in plan_reads(name)]
    board = answers_over(lake).board([files.questions()["sales_units"]], {})
    assert board["sales_units"]["rows"], "its tables exist"


def plan_reads(name: str) -> set[str]:
    """The stored tables behind a question."""
    made = plan([files.questions()[name].render({})])
    return {base.stored.full_name for base in made.bases.values()}


def test_an_empty_table_is_named_with_the_dag_that_fills_it(lake: Path) -> None:
    table = DECLARED["gold.daily_sales"]
    shutil.rmtree(lake / "gold" / "daily_sales")
    delta_files.create(lake / "gold" / "daily_sales", sample_lake.arrow(table, []), table.partitions)
    answers = answers_over(lake)
    found = answers.answer(files.questions()["sales_by_region"], {})
    answers.close()
    assert (found["rows"], found["note"]) == ([], "gold.daily_sales is empty so far: the first run of DAG gold fills it")


def test_a_question_that_cannot_be_translated_is_left_to_spark(lake: Path) -> None:
    untranslatable = Question(
        name="untranslatable",
        title="T",
        chart="number",
        audience="a",
        sql="SELECT percentile_approx(units, 0.5) AS n FROM gold.daily_sales",
    )
    answers = answers_over(lake, untranslatable)
    units = files.questions()["sales_units"]
    found = answers.board([untranslatable, units], {})
    answers.close()
    assert set(found["untranslatable"]) == {"later", "age_s", "allowed_age_s"}
    assert "is not known to be equivalent in DuckDB" in found["untranslatable"]["later"]
    assert found["sales_units"]["rows"], "other questions are answered at once"
