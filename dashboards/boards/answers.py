"""Answers to the boards' questions: from the lake's files in this process, or from Spark over Thrift where that is not possible."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import duckdb

from dashboards.boards import freshness
from dashboards.metabase.files import Question
from dashboards.serving.ages import Ages
from dashboards.serving.cache import Cache
from dashboards.serving.engine import Engine
from dashboards.serving.pool import Pool
from dashboards.serving.reader import Reader
from lakehouse import tables
from lakehouse.delta.errors import NoTableError
from lakehouse.errors import EbapError
from lakehouse.health import liveness, status
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

_EVERY_FILTER = {"from": "2026-01-01", "to": "2026-01-31", "category": "x", "region": "x"}
# A question takes seconds in Spark and milliseconds in this process.
_KEEP_SPARK_S, _KEEP_S = 5.0, 1.0
_KEEP_SAME_S = 3600.0


class Answers:
    """Answers for the page, each computed at most once within its caching time regardless of the number of viewers."""

    def __init__(self, settings: Settings, questions: Iterable[Question]) -> None:
        self._settings = settings
        self._questions = list(questions)
        planned = [question.render(_EVERY_FILTER) for question in self._questions]
        self._lake, self._lake_lock = Lake(settings), threading.Lock()
        self._engine = Engine(settings, planned, lake=self._lake)
        self._pool = Pool(settings)
        self._ages = Ages(self._complete_to)
        self._cache, self._same = Cache(), Cache()

    def warm(self) -> None:
        """Load what the boards read before the first request; tables that do not exist yet are loaded once they do."""
        for question in self._questions:
            with contextlib.suppress(duckdb.Error):  # the page may be stopped meanwhile
                self._in_process([question], {})

    def close(self) -> None:
        """Release the loaded tables; the object cannot be used afterwards."""
        self._engine.close()

    def answer(self, question: Question, values: Mapping[str, str]) -> dict[str, Any]:
        """Columns and rows as JSON values, the time and duration of the query, and the age of the data in seconds.

        Raises EbapError, and BoardError for a filter that does not fit.
        """
        sql = question.render(values)
        found = self._cache.get(sql, _KEEP_S, lambda: self._in_process([question], values)[question.name])
        if "later" in found:
            found = self._cache.get(f"spark {sql}", _KEEP_SPARK_S, lambda: self._by_spark(sql)) | {"note": found["later"]}
        if "error" in found:
            raise EbapError(found["error"])
        return found | self._age(question)

    def board(self, questions: list[Question], values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """The answers to all of these as of one state of the tables, by question: in the form of `answer`, or `error` with the reason.

        A question that only Spark can answer has just `later`, the reason; it is not executed here.
        """
        key = " ".join([question.name for question in questions] + [f"{name}={value!r}" for name, value in sorted(values.items())])
        found = self._cache.get(f"board {key}", _KEEP_S, lambda: self._in_process(questions, values))
        return {question.name: found[question.name] | self._age(question) for question in questions}

    def freshness(self) -> dict[str, Any]:
        """How fresh every table is; see `freshness.collect`."""
        found: dict[str, Any] = self._cache.get("freshness", _KEEP_SPARK_S, self._collect)
        return found

    def choices(self, question: Question) -> list[str]:
        """The question's first column: the values of a filter; empty if they cannot be read, since the tiles then show the reason."""
        found = self._cache.get(question.sql, _KEEP_S, lambda: self._in_process([question], {})[question.name])
        return [row[0] for row in found.get("rows", [])]

    def _age(self, question: Question) -> dict[str, Any]:
        allowed_s = min(tables.gold(name).max_age_s for name in question.tables)
        return {"age_s": self._ages.age_s(question.tables), "allowed_age_s": allowed_s}

    def _in_process(self, questions: list[Question], values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """The answers by question; a missing one has the reason in `error`, or in `later` if Spark can give it."""
        found: dict[str, dict[str, Any]] = {}
        reads = {question: _full_names(question) for question in questions}
        for question in questions:
            try:
                self._engine.check(question.render(values), reads[question])
            except EbapError as error:
                found[question.name] = {"later": f"Answered by Spark: {error}"}
        here = [question for question in questions if question.name not in found]
        try:
            with self._engine.reading({name for question in here for name in reads[question]}) as reader:
                return found | {question.name: self._query(reader, question, values) for question in here}
        except NoTableError as error:
            if len(here) == 1:
                return found | {here[0].name: {"error": str(error)}}
        except (EbapError, duckdb.Error, OSError) as error:
            log.warning("the lake cannot be read in this process: %s", error)
            reason = str(error).strip().splitlines()[0]
            return found | {question.name: {"later": f"Answered by Spark: {reason}"} for question in here}
        # Some of the board's tables are missing: run each question separately, so that each names the tables it lacks.
        return found | {name: each for question in here for name, each in self._in_process([question], values).items()}

    def _query(self, reader: Reader, question: Question, values: Mapping[str, str]) -> dict[str, Any]:
        """The answer, cached as long as the tables it reads are unchanged; or `error` with the reason."""
        sql, names = question.render(values), _full_names(question)

        def query() -> dict[str, Any]:
            asked_at, began = datetime.now(UTC), time.monotonic()
            found = reader.query(sql, names)
            shown = _shown(found.columns, found.rows, asked_at, began)
            return shown | ({"note": _empty_note(found.empty)} if found.empty else {})

        state = reader.state(sql, names)
        try:
            return query() if state is None else self._same.get(f"{sql} {state}", _KEEP_SAME_S, query)
        except (duckdb.Error, TimeoutError) as error:
            return {"error": str(error).strip().splitlines()[0]}

    def _by_spark(self, sql: str) -> dict[str, Any]:
        asked_at, began = datetime.now(UTC), time.monotonic()
        try:
            names, rows = self._pool.rows(sql)
        except EbapError as error:
            return {"error": str(error)}
        return _shown(names, rows, asked_at, began)

    def _collect(self) -> dict[str, Any]:
        runs = freshness.runs(self._settings)
        with self._lake_lock:
            return freshness.collect(self._lake, runs, partial(liveness.beat_sent_at, self._settings))

    def _complete_to(self) -> dict[str, datetime | None]:
        with self._lake_lock:
            return status.gold_complete_to(self._lake)


def _full_names(question: Question) -> list[str]:
    return [f"gold.{name}" for name in question.tables]


def _empty_note(names: tuple[str, ...]) -> str:
    layers = sorted({name.split(".")[0] for name in names})
    runs = " and ".join(f"the first run of DAG {layer}" for layer in layers if layer != "bronze") or "the first change"
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} empty so far: {runs} fills {'it' if len(names) == 1 else 'them'}"


def _shown(names: list[str], rows: list[tuple[Any, ...]], asked_at: datetime, began: float) -> dict[str, Any]:
    took_ms = round(1000 * (time.monotonic() - began))
    shown = [[_json(value) for value in row] for row in rows]
    return {"columns": names, "rows": shown, "asked_at": asked_at.isoformat(), "took_ms": took_ms}


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    return value.isoformat() if isinstance(value, (datetime, date)) else value
