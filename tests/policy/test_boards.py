"""Policy for every question and board: SQL that Metabase's Spark driver accepts, over declared tables, each on a board."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from dashboards.metabase import files
from dashboards.metabase.files import BoardError, Question
from dashboards.serving.dialect import duckdb_sql
from dashboards.serving.plan import plan
from lakehouse import tables

QUESTIONS = list(files.questions().values())
SET = {"from": "2026-01-01", "to": "2026-01-31", "category": "O'Neil \\ Sons", "region": "EMEA"}
GOLD = {table.name: table for table in tables.GOLD}


def every_filter_set_and_unset(question: Question) -> list[dict[str, str]]:
    sizes = range(len(question.filters) + 1)
    return [{name: SET[name] for name in names} for size in sizes for names in itertools.combinations(question.filters, size)]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_question_is_one_select_over_gold_with_any_filters(question: Question) -> None:
    for values in every_filter_set_and_unset(question):
        text = question.render(values)
        assert not {"{{", "}}", "[[", "]]"} & {text[i : i + 2] for i in range(len(text))}, text
        (statement,) = sqlglot.parse(text, dialect="spark")
        assert isinstance(statement, exp.Select)
        inner = {cte.alias for cte in statement.find_all(exp.CTE)}
        read = {(table.db, table.name) for table in statement.find_all(exp.Table) if table.name not in inner}
        assert read <= {("gold", name) for name in question.tables}
    assert read == {("gold", name) for name in question.tables}, "with every filter set it reads all of its tables"
    assert set(question.tables) <= GOLD.keys()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_chart_has_the_columns_of_its_kind(question: Question) -> None:
    statement = sqlglot.parse_one(question.render({}), dialect="spark")
    assert isinstance(statement, exp.Select)
    names = statement.named_selects
    assert all(names), names
    if question.kind == "number":
        assert len(names) == 1 or names[1] == "before"
    elif question.kind != "table":
        assert len(names) >= 2
    if question.kind == "combo":
        assert question.chart.split(": ")[1].split()[0] in names


def test_every_question_is_on_a_board_and_every_board_has_tiles() -> None:
    shown = [tile.question.name for board in files.boards().values() for tile in board.tiles]
    assert sorted(shown) == sorted(question.name for question in QUESTIONS)


def test_a_filter_value_cannot_escape_its_literal() -> None:
    question = files.questions()["sales_by_region"]
    for category, region in (("x' OR '1'='1", "\\"), ("{{region}}", " OR true --"), ("{{foo}}", "[[AND {{category}}]]")):
        (statement,) = sqlglot.parse(question.render({"category": category, "region": region}), dialect="spark")
        assert statement
        assert {category, region} <= {literal.this for literal in statement.find_all(exp.Literal)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"from": "yesterday"}, r"filter from is 'yesterday': give a day as YYYY-MM-DD"),
        ({"to": "2026-02-30"}, r"filter to is '2026-02-30'"),
        ({"region": "x" * 61}, r"filter region has 61 characters: at most 60"),
    ],
)
def test_an_invalid_filter_value_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(BoardError, match=message):
        files.questions()["sales_by_region"].render(values)


@pytest.mark.parametrize(
    ("question", "board", "message"),
    [
        ("SELECT 1", None, r"q.sql: line 1 must be `-- title: …`"),
        ("-- title: T\n-- chart: pie\n-- audience: a\nSELECT 1", None, r"chart 'pie' is not one of number"),
        ("-- title: T\n-- chart: table\n-- audience: a", None, r"there is no SQL after"),
        ("-- title: T\n-- chart: table\n-- audience: a\nSELECT {{who}}", None, r"filter 'who' is not one of"),
        ("-- title: T\n-- chart: table\n-- audience: a\nSELECT {{from}}", None, r"is outside of \[\[…\]\]"),
        (None, "tiles: {}", r"a board has exactly about, filters, refresh_s, tiles, title"),
        (None, "title: T\nabout: a\nrefresh_s: 5\nfilters: []\ntiles: {r: [0, 0, 1, 1]}", r"there is no question 'r': add questions/r.sql"),
        (None, "title: T\nabout: a\nrefresh_s: 5\nfilters: []\ntiles: {q: [20, 0, 5, 1]}", r"is outside of the 24 columns"),
        (None, "title: T\nabout: a\nrefresh_s: 5\nfilters: [region]\ntiles: {q: [0, 0, 5, 1]}", r"no question uses filter 'region'"),
        (None, "title: T\nabout: a\nrefresh_s: 5\nfilters: []\ntiles: {q: [0, 0, 5, 2], p: [4, 1, 5, 1]}", r"p overlaps q"),
    ],
)
def test_an_invalid_file_is_refused_by_name(tmp_path: Path, question: str | None, board: str | None, message: str) -> None:
    good = "-- title: T\n-- chart: table\n-- audience: a\nSELECT 1 AS one"
    for folder in ("questions", "boards"):
        (tmp_path / folder).mkdir()
    (tmp_path / "questions" / "q.sql").write_text(question or good)
    (tmp_path / "questions" / "p.sql").write_text(good)
    if board:
        (tmp_path / "boards" / "b.yaml").write_text(board)
    with pytest.raises(BoardError, match=message):
        files.boards(tmp_path)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_the_page_can_answer_a_question_without_spark(question: Question) -> None:
    planned = plan([question.render(values) for values in every_filter_set_and_unset(question)])
    for values in every_filter_set_and_unset(question):
        duckdb_sql(question.render(values))
    planned.needs(f"gold.{name}" for name in question.tables)


OF_ROWS = [question for question in QUESTIONS if question.kind in ("bar", "stacked", "table")]


@pytest.mark.parametrize("question", OF_ROWS, ids=lambda question: question.name)
def test_rows_have_an_order_and_an_empty_result_has_a_text(question: Question) -> None:
    assert "ORDER BY" in question.sql
    assert question.empty.endswith("."), "a fourth comment line `-- empty: …` has the text for an empty result"
