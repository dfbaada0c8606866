"""Questions and boards on disk: one SQL file per question, one YAML file per board.

A question begins with three comment lines: title, chart, audience; an optional fourth, empty, is the text shown for an empty result.
The first column is the chart's dimension, the others are its series. Chart kinds: `number` (one row; a column `before` is the value of
the previous period), `bar`, `stacked`, `combo: COLUMN as line`, `table`. Filters use Metabase's syntax: `{{from}}` is replaced by a
literal, and `[[…]]` is omitted unless every filter in it is set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

from lakehouse.errors import EbapError
from lakehouse.lake.ddl import quote

FOLDER = Path(__file__).parent
FILTERS = ("from", "to", "category", "region")
KINDS = ("number", "bar", "stacked", "combo", "table")
GRID_WIDTH = 24
_HEADER = ("title", "chart", "audience")
_EMPTY = "-- empty: "
_TAG = re.compile(r"\{\{(\w+)\}\}")
_OPTIONAL = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
_TABLE = re.compile(r"\bgold\.(\w+)")
_LONGEST_TEXT = 60


class BoardError(EbapError):
    """A file or a filter that cannot be used; the message names it and the cure."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: its SQL with filters, and how its result is displayed."""

    name: str
    title: str
    chart: str
    audience: str
    sql: str
    empty: str = ""

    @property
    def kind(self) -> str:
        """The first word of `chart`, one of KINDS."""
        return self.chart.split(":")[0]

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters used in its SQL, in the order of FILTERS."""
        found = set(_TAG.findall(self.sql))
        return tuple(name for name in FILTERS if name in found)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the gold tables it reads."""
        return tuple(sorted(set(_TABLE.findall(self.sql))))

    def render(self, values: Mapping[str, str]) -> str:
        """The SQL with these filters set; raises BoardError for an invalid value."""
        literals = {name: _literal(name, value) for name, value in values.items() if value and name in self.filters}

        def keep(part: re.Match[str]) -> str:
            is_set = all(name in literals for name in _TAG.findall(part[1]))
            return _TAG.sub(lambda tag: literals[tag[1]], part[1]) if is_set else ""

        # In one pass: a value that looks like a tag is not replaced. Tags outside of [[…]] are refused when the file is read.
        return _OPTIONAL.sub(keep, self.sql)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """The position of a question on its board, in cells of a grid of 24 columns."""

    question: Question
    column: int
    row: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board: its tiles, its filters, and its refresh interval in seconds."""

    name: str
    title: str
    about: str
    refresh_s: int
    filters: tuple[str, ...]
    tiles: tuple[Tile, ...]


def questions(folder: Path = FOLDER) -> dict[str, Question]:
    """Every question by name; raises BoardError for an invalid file."""
    return {path.stem: _question(path) for path in sorted((folder / "questions").glob("*.sql"))}


def boards(folder: Path = FOLDER) -> dict[str, Board]:
    """Every board by name; raises BoardError for an invalid file."""
    known = questions(folder)
    return {path.stem: _board(path, known) for path in sorted((folder / "boards").glob("*.yaml"))}


def _question(path: Path) -> Question:
    lines = path.read_text().splitlines()
    header = {}
    for word, line in zip(_HEADER, lines, strict=False):
        if not line.startswith(f"-- {word}: "):
            raise BoardError(f"{path.name}: line {_HEADER.index(word) + 1} must be `-- {word}: …`")
        header[word] = line.removeprefix(f"-- {word}: ").strip()
    lines = lines[len(_HEADER) :]
    if lines and lines[0].startswith(_EMPTY):
        header["empty"] = lines.pop(0).removeprefix(_EMPTY).strip()
    if not lines:
        raise BoardError(f"{path.name}: there is no SQL after its {len(_HEADER)} header lines")
    question = Question(name=path.stem, sql="\n".join(lines).strip(), **header)
    if question.kind not in KINDS:
        raise BoardError(f"{path.name}: chart {question.kind!r} is not one of {', '.join(KINDS)}")
    unknown = sorted(set(_TAG.findall(question.sql)) - set(FILTERS))
    if unknown:
        raise BoardError(f"{path.name}: filter {unknown[0]!r} is not one of {', '.join(FILTERS)}")
    if _TAG.search(_OPTIONAL.sub("", question.sql)):
        raise BoardError(f"{path.name}: a filter is outside of [[…]], so the question cannot run without it")
    return question


def _board(path: Path, known: Mapping[str, Question]) -> Board:
    given = yaml.safe_load(path.read_text())
    wanted = {"title", "about", "refresh_s", "filters", "tiles"}
    if not isinstance(given, dict) or set(given) != wanted:
        raise BoardError(f"{path.name}: a board has exactly {', '.join(sorted(wanted))}")
    tiles = []
    for name, place in given["tiles"].items():
        if name not in known:
            raise BoardError(f"{path.name}: there is no question {name!r}", f"add questions/{name}.sql")
        column, row, width, height = place
        tiles.append(Tile(question=known[name], column=column, row=row, width=width, height=height))
    _refuse_misplaced(path, tiles)
    used = {name for tile in tiles for name in tile.question.filters}
    for name in given["filters"]:
        if name not in used:
            raise BoardError(f"{path.name}: no question uses filter {name!r}", "remove it")
    return Board(
        name=path.stem, tiles=tuple(tiles), **{key: given[key] for key in wanted - {"tiles", "filters"}}, filters=tuple(given["filters"])
    )


def _refuse_misplaced(path: Path, tiles: list[Tile]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for tile in tiles:
        if min(tile.column, tile.row) < 0 or min(tile.width, tile.height) < 1 or tile.column + tile.width > GRID_WIDTH:
            raise BoardError(f"{path.name}: {tile.question.name} is outside of the {GRID_WIDTH} columns")
        for cell in ((x, y) for x in range(tile.column, tile.column + tile.width) for y in range(tile.row, tile.row + tile.height)):
            if cell in taken:
                raise BoardError(f"{path.name}: {tile.question.name} overlaps {taken[cell]}")
            taken[cell] = tile.question.name


def _literal(name: str, value: str) -> str:
    if name in ("from", "to"):
        try:
            return f"'{date.fromisoformat(value).isoformat()}'"
        except ValueError:
            raise BoardError(f"filter {name} is {value!r}", "give a day as YYYY-MM-DD") from None
    if len(value) > _LONGEST_TEXT:
        raise BoardError(f"filter {name} has {len(value)} characters: at most {_LONGEST_TEXT}")
    return quote(value)
