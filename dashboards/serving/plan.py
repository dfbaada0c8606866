"""What a question needs in memory: columns of stored tables, and the views over them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import sqlglot
from sqlglot import exp

from dashboards.serving.dialect import duckdb_sql
from lakehouse import platform_tables, tables
from lakehouse.contract import History, Table
from lakehouse.errors import EbapError
from lakehouse.gold import queries
from lakehouse.transforms import views
from lakehouse.transforms.gold import orders_live, sql_files

LIVE = "live.newest"


class Pace(IntEnum):
    """How often a result changes while the tables it reads do not."""

    NEVER, DAILY, ALWAYS = range(3)

    @staticmethod
    def of(spark_sql: str) -> Pace:
        """The pace of a statement, by the clock functions it calls."""
        text = spark_sql.lower()
        return Pace.ALWAYS if "current_timestamp" in text else Pace.DAILY if "current_date" in text else Pace.NEVER


@dataclass(frozen=True, kw_only=True)
class Base:
    """A table in DuckDB: `select` (a select list) and `where` over the stored table of that declaration.

    `only` is the part of `where` by which files can be skipped, in the form of `delta.reading`.
    """

    name: str
    stored: Table
    select: tuple[str, ...]
    where: str | None = None
    only: Mapping[str, Collection[Any]] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The stored columns that it reads, in declaration order."""
        text = f"SELECT {', '.join(self.select)} WHERE {self.where or 'true'}"
        read = {column.name for column in sqlglot.parse_one(text, read="duckdb").find_all(exp.Column)}
        return tuple(name for name in self.stored.column_names if name in read)


@dataclass(frozen=True, kw_only=True)
class View:
    """A view and the full names that it reads; `refused` is the reason it cannot be created, then `sql` is empty.

    `pace` is how often its rows change while those of the tables it reads do not.
    """

    name: str
    sql: str
    reads: tuple[str, ...]
    pace: Pace
    refused: str | None = None


@dataclass
class Plan:
    """All bases and views that a set of questions can need, by full name."""

    bases: dict[str, Base] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)

    def needs(self, names: Iterable[str]) -> tuple[list[Base], list[View], bool]:
        """Bases, views in the order in which they can be created, and whether `orders_live` is among them.

        Raises EbapError if a view cannot be created, KeyError for a name that is in no planned question.
        """
        bases: dict[str, Base] = {}
        views: dict[str, View] = {}

        def visit(name: str) -> None:
            if name in self.bases:
                bases[name] = self.bases[name]
            elif name != LIVE and name not in views:
                view = self.views[name]
                if view.refused:
                    raise EbapError(f"the view {name}: {view.refused}")
                for read in view.reads:
                    visit(read)
                views[name] = view

        for name in names:
            visit(name)
        return list(bases.values()), list(views.values()), any(LIVE in view.reads for view in views.values())


def plan(questions: Iterable[str], rewritten: Callable[[str], str] = str) -> Plan:
    """The plan for these questions (Spark SQL); `rewritten` is applied to the views' SQL before it is translated."""
    result = Plan()
    columns: dict[str, set[str]] = {}
    waiting = list(questions)
    while waiting:
        for name, read in reads(waiting.pop()).items():
            known = columns.setdefault(name, set())
            known |= read
            if (text := _view_text(name)) and name not in result.views:
                text = rewritten(text)
                result.views[name] = _view(name, text)
                waiting.append(text)
    for name, read in columns.items():
        if name not in result.views and name != LIVE:
            result.bases[name] = _base(name, read)
    return result


def reads(spark_sql: str) -> dict[str, set[str]]:
    """The columns that a statement may read of each table, by full name, possibly too many; `*` stands for all."""
    tree = sqlglot.parse_one(spark_sql, read="spark")
    found = {table.alias_or_name: f"{table.db}.{table.name}" for table in tree.find_all(exp.Table) if table.db}
    read: dict[str, set[str]] = {name: set() for name in found.values()}
    for column in tree.find_all(exp.Column):
        name = "*" if isinstance(column.this, exp.Star) else column.name
        for full_name in [found[column.table]] if column.table in found else read:
            read[full_name].add(name)
    if any(isinstance(each, exp.Star) for select in tree.find_all(exp.Select) for each in select.expressions):
        for names in read.values():
            names.add("*")
    return read


def _view_text(name: str) -> str | None:
    """The view's SELECT in Spark's dialect; None if the name is not a view of gold."""
    layer, _, short = name.partition(".")
    table = next((table for table in tables.GOLD if table.name == short and table.is_view), None) if layer == "gold" else None
    if table is None:
        return None
    if not sql_files.reads_bronze(table):
        return sql_files.select(table)
    return orders_live.shown_sql(f"(SELECT * FROM {LIVE} WHERE {orders_live.IS_RECENT})")


def _view(name: str, text: str) -> View:
    names = tuple(reads(text))
    try:
        # Translated as in gold's own runs, except views that read bronze, which are written for Spark only.
        sql = duckdb_sql(text) if LIVE in names else queries.query(text).duckdb
        return View(name=name, sql=sql, reads=names, pace=Pace.of(text))
    except EbapError as error:
        return View(name=name, sql="", reads=names, pace=Pace.of(text), refused=str(error))


def _base(name: str, read: set[str]) -> Base:
    layer, _, short = name.partition(".")
    source = next((t for t in tables.SOURCES if layer == "silver" and short in (t.name, f"{t.name}_history")), None)
    if source is None:
        declared = {table.full_name: table for table in (*platform_tables.PLATFORM, *tables.GOLD)}
        return Base(name=name, stored=declared[name], select=_chosen({f'"{c}"': c for c in declared[name].column_names}, read))
    is_history = short != source.name and source.history is History.FULL
    listed = views.history_columns(source) if is_history else views.live_columns(source)
    outputs = {text.replace("`", '"'): text.split(" AS ")[-1].strip("`") for text in listed}
    condition = {"where": views.IS_VERSION} if is_history else {"where": views.IS_LIVE, "only": {"_last": (True,)}}
    return Base(name=name, stored=platform_tables.stored(source), select=_chosen(outputs, read), **condition)


def _chosen(outputs: Mapping[str, str], read: set[str]) -> tuple[str, ...]:
    """The expressions whose column is read; the first if none is, since a count of rows needs one too."""
    chosen = tuple(text for text, name in outputs.items() if name in read or "*" in read)
    return chosen or tuple(outputs)[:1]
