"""The independent oracle of gold: one SQL a table over the source's own rows and its audit log.

Nothing of EBAP's transforms is used here. The log (`audit.sql`) must have begun before the first order, and orders must have been
written after capture began: the snapshot's time, at which silver opens what stood before, is not known to Postgres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SQL = Path(__file__).parent / "gold_sql"
_LINES = "order_lines"


def expected(cursor: Any, table_name: str) -> list[tuple[Any, ...]]:
    """Rows of a gold table as the source says they must be, columns as declared; the cursor must be within a transaction."""
    cursor.execute(_text("prepare"))
    lines = _text(_LINES)
    cursor.execute(lines if table_name == _LINES else f"WITH {_LINES} AS (\n{lines}\n)\n{_text(table_name)}")
    return [tuple(row) for row in cursor.fetchall()]


def _text(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text()
