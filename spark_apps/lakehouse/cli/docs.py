"""Generated files: the data dictionary, `.env.example`, and the references of settings and of types.

All are committed, so that they can be read on the web; a test fails if a file differs from this module's output.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lakehouse import platform_tables, settings, tables
from lakehouse.contract import Column, Expect, History, Kind, Table
from lakehouse.lake import ddl
from lakehouse.source import types
from lakehouse.transforms.gold import sql_files

DICTIONARY = Path("spark_apps/lakehouse/tables/README.md")
ENV_EXAMPLE = Path(".env.example")
SETTINGS = Path("infra/docs/reference/settings.md")
TYPES = Path("infra/docs/reference/types.md")
TRANSLATED = Path("spark_apps/lakehouse/gold/translated.json")

_INTRODUCTION = """# Data dictionary

Every table of the lake, generated from the declarations beside this file by `make generated`: change those, not this page.

- `bronze.<table>` shows the changes as they came, typed; `bronze.changes` holds their bytes.
- `silver.<table>` has the live rows of a source table, `silver.<table>_history` every version of a table with history FULL.
- `gold` is what reports and dashboards read.
- `iceberg.ebap.<table>` are the tables of the live half, read by Trino.

Times are UTC. Money is exact (DECIMAL) and in US dollars. *Maximum age* is how old a table's content may be before it counts as late.
"""

_HISTORY = """## Every `silver.<table>_history`

The columns of the table, then these. A version holds from `_valid_from` up to, and without, `_valid_to`; consecutive versions of a
key never overlap, and a gap between them is a time in which the row did not exist.
"""


_SETTINGS = """# Settings

Every setting, generated from `spark_apps/lakehouse/settings.py` and `settings_live.py` by `make generated`: change those, not this page.

A setting is a variable of the environment or a line `NAME=value` of `.env` in the project's folder; the environment wins, and an
empty value means the default. An unknown variable `EBAP_…` or an invalid value is an error with its name and the cure. A running
service keeps its settings until it is started again: `make down`, then `make up`; or `make restart S=NAME` for one.

Passwords are not settings: each is a generated file of mode 0600 in the folder `secrets` under EBAP_HOME. Only the password of a source
of your own comes from a file that you name.

"""


_TYPES = """# Types of the source

How a column of each Postgres type is captured, generated from `spark_apps/lakehouse/source/types.py` by `make generated`: change that,
not this page. The preflight, the schema gate and `python -m lakehouse check` use the same table, and a test with a real Postgres, Kafka
and Connect verifies it.

## Carried

In the snapshot and in the stream, NULL and out-of-line (TOAST) values included. Bronze has the column whether or not it is declared. A
domain over one of these is carried as that type, except a domain over an array. An out-of-line value that a change did not modify is
taken from the previous change.

"""
_LEFT_OUT = """
## Left out

An undeclared column of these types is excluded from the capture by name and recorded in `silver.schema_changes` as drift, with the
reason; `make status` shows it. A declared one fails the preflight. To capture its values, fill a column of a carried type at the source,
by a trigger or in the application, and declare that one. A type that is not listed is left out.

"""


def generated() -> dict[Path, str]:
    """The text of every generated file, by its path within the project."""
    # Imported here: translation needs sqlglot, which readers of the dictionary may not have.
    from lakehouse.gold import queries

    own = {DICTIONARY: dictionary(), ENV_EXAMPLE: settings.example(), SETTINGS: settings_page(), TYPES: types_page()}
    return own | {TRANSLATED: queries.generated()}


def write_all(project: Path) -> None:
    """Write every generated file into the project."""
    for path, text in generated().items():
        (project / path).write_text(text)


def dictionary() -> str:
    """The data dictionary as Markdown: contents, then a section per table."""
    parts = [
        _INTRODUCTION,
        _contents(),
        *(_section(table) for table in (*tables.SOURCES, *tables.GOLD, *tables.LIVE)),
        _HISTORY,
        _columns(ddl.history_view_columns(tables.SOURCES[0])[len(tables.SOURCES[0].columns) :]),
        *(_section(table) for table in platform_tables.PLATFORM),
    ]
    return "\n".join(parts)


def settings_page() -> str:
    """The reference of settings as Markdown."""
    rows = [(f"`{variable}`", f"`{default}`" if default else "empty", doc) for variable, default, doc in settings.listing()]
    return _SETTINGS + grid(("Variable", "Default", "Meaning"), rows)


def types_page() -> str:
    """The reference of types as Markdown."""
    carried = [
        (_names(each), ", ".join(f"`{_declared_as(name)}`" for name in each.declared), each.note) for each in types.KINDS if each.is_carried
    ]
    left = [(_names(each), each.note) for each in types.KINDS if not each.is_carried]
    return (
        _TYPES
        + grid(("Postgres", "Declared as", "Values"), carried)
        + _LEFT_OUT
        + grid(("Postgres", "Why"), [(names, note[:1].upper() + note[1:]) for names, note in left])
    )


def _declared_as(name: str) -> str:
    return "DECIMAL(p,s)" if name == "DECIMAL" else name


def _names(each: types.Kind) -> str:
    return ", ".join(name if " " in name else f"`{name}`" for name in each.types)


def _contents() -> str:
    rows = [
        (f"[`{table.full_name}`](#{_anchor(table)})", table.grain, ", ".join(_code(table.key)), _kind(table), table.owner)
        for table in (*tables.SOURCES, *tables.GOLD, *tables.LIVE)
    ]
    return grid(("Table", "A row is", "Key", "Kind", "Owner"), rows)


def _section(table: Table) -> str:
    facts = [
        f"- A row is: {table.grain}",
        f"- Key: {', '.join(_code(table.key))}",
        f"- Kind: {_kind(table)}",
        f"- Owner: {table.owner}",
        f"- Maximum age: {_duration(table.max_age_s)}",
    ]
    facts += [f"- Rule: {rule}" for rule in table.rules]
    facts += [f"- SQL: [`{table.name}.sql`]({table.name}.sql)"] if table in tables.GOLD and not sql_files.reads_bronze(table) else []
    text = f"## {table.full_name}\n\n{table.doc}\n\n" + "\n".join(facts) + "\n\n" + _columns(table.columns)
    return text + (f"\n{_expectations(table.expects)}" if table.expects else "")


def _kind(table: Table) -> str:
    if table.history:
        views = "live rows and every version" if table.history is History.FULL else "live rows only"
        return f"source table, history {table.history.name}: {views}"
    if table.kind is Kind.GOLD:
        return f"gold table from {', '.join(_code(table.inputs))}, recomputed by `{table.slice}`"
    if table.is_view:
        return f"gold view over {', '.join(_code(table.inputs))}"
    if table.kind is Kind.LIVE:
        return f"table of the live half, from {f'topic `{table.topic}`' if table.topic else ', '.join(_code(table.inputs))}"
    return "the platform's own table"


def _columns(columns: Iterable[Column]) -> str:
    rows = [(f"`{c.name}`", f"`{c.type}`", c.doc + _notes(c)) for c in columns]
    return grid(("Column", "Type", "Meaning"), rows)


def _notes(column: Column) -> str:
    notes = (
        ["Personal data."] * column.pii
        + ["Shown as a keyed hash."] * column.hashed
        + ["Its change opens no version."] * (not column.tracked)
    )
    return "".join(f" **{note}**" for note in notes)


def _expectations(expects: Iterable[Expect]) -> str:
    rows = [(f"`{expect.name}`", f"`{expect.condition}`", expect.severity.value, expect.doc) for expect in expects]
    return grid(("Expectation", "Condition", "A row that breaks it", "Why"), rows)


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a vertical bar within a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _code(names: Iterable[str]) -> list[str]:
    return [f"`{name}`" for name in names]


def _anchor(table: Table) -> str:
    # GitHub's anchors drop the dot.
    return table.full_name.replace(".", "")


def _duration(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
