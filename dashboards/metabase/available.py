"""The part of the boards whose gold tables are declared; the rest is left out, with one line a board that says what and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dashboards.metabase.files import Board, Question
from lakehouse.contract import Table

# The filters whose values are chosen from a list; a table with a column of that name has the values.
CHOICES = ("category", "region")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The boards that can be shown, and the line of each board that is not complete, both by the board's name."""

    boards: Mapping[str, Board]
    left_out: Mapping[str, str]

    @property
    def questions(self) -> dict[str, Question]:
        """The questions of all tiles, by name."""
        return {tile.question.name: tile.question for board in self.boards.values() for tile in board.tiles}


def shown(boards: Mapping[str, Board], gold: Sequence[Table]) -> Shown:
    """The boards with the tiles whose tables are all among `gold`, and the filters that these tiles use; none without a tile."""
    reduced = {name: _reduced(board, gold) for name, board in boards.items()}
    lines = {name: _line(board, reduced[name], gold) for name, board in boards.items() if reduced[name] != board}
    return Shown(boards={name: board for name, board in reduced.items() if board.tiles}, left_out=lines)


def choices(board: Board, gold: Sequence[Table]) -> dict[str, Question]:
    """By filter: the question whose only column has the values to choose from, as text."""
    found = {}
    for name in board.filters:
        table = _source(name, [tile.question for tile in board.tiles], gold) if name in CHOICES else None
        if table:
            sql = f"SELECT DISTINCT CAST({name} AS STRING) AS {name} FROM gold.{table} WHERE {name} IS NOT NULL ORDER BY 1"
            found[name] = Question(name=f"{name}_of_{table}", title=name, chart="table", audience="the filter's choices", sql=sql)
    return found


def _source(name: str, questions: Iterable[Question], gold: Sequence[Table]) -> str | None:
    """The table with a column named after the filter that most of the questions with this filter read; the first by name of equals."""
    having = {table.name for table in gold if name in table.column_names}
    read = Counter(table for question in questions if name in question.filters for table in question.tables if table in having)
    return min(read, key=lambda table: (-read[table], table), default=None)


def _reduced(board: Board, gold: Sequence[Table]) -> Board:
    declared = {table.name for table in gold}
    tiles = tuple(tile for tile in board.tiles if declared.issuperset(tile.question.tables))
    questions = [tile.question for tile in tiles]
    used = {name for question in questions for name in question.filters}
    filters = [name for name in board.filters if name in used and (name not in CHOICES or _source(name, questions, gold))]
    return replace(board, tiles=tiles, filters=tuple(filters))


def _line(board: Board, reduced: Board, gold: Sequence[Table]) -> str:
    read = {name for tile in board.tiles for name in tile.question.tables}
    missing = sorted(f"gold.{name}" for name in read - {table.name for table in gold})
    reason = f"({', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not declared)"
    if not reduced.tiles:
        return f"Left out: board {board.title} {reason}"
    used = {name for tile in reduced.tiles for name in tile.question.filters}
    lost = [name for name in board.filters if name not in reduced.filters]
    parts = [tile.question.title for tile in board.tiles if tile not in reduced.tiles]
    parts += [f"filter {name}" for name in lost if name not in used]
    unlisted = [f"filter {name} (no table of its tiles has a column {name})" for name in lost if name in used]
    undeclared = [f"{', '.join(parts)} {reason}"] if parts else []
    return f"Left out of {board.title}: {'; '.join([*undeclared, *unlisted])}"
