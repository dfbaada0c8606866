"""SQL of each gold table and view: a file beside its declaration, or generated from it where it reads bronze.

`tables/<name>.sql` is one SELECT over `silver.<table>` (live rows), `silver.<table>_history` (every version) and `gold.<table>`.
`tables/<name>.touched.sql` is optional: it selects the slices that a change of the source tables can affect; without it, any change
recomputes all slices. It may also read `changed.<table>`, the changed keys with the instant `since`, see `lakehouse.gold.reach`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.errors import ContractError
from lakehouse.transforms.gold.orders_live import orders_live_sql

FOLDER = Path(tables.__file__).parent
HISTORY_SUFFIX = "_history"
_GENERATED = {"orders_live": orders_live_sql}


@cache
def select(table: Table) -> str:
    """The SELECT of a gold table or view; raises ContractError if there is no file."""
    if table.name in _GENERATED:
        return _GENERATED[table.name]()
    path = FOLDER / f"{table.name}.sql"
    if not path.is_file():
        raise ContractError(f"gold table {table.name!r} has no SQL", f"add tables/{table.name}.sql")
    return path.read_text().strip()


@cache
def touched(table: Table) -> str | None:
    """The SELECT of the slices that changes of source tables can affect; None if all must be recomputed."""
    path = FOLDER / f"{table.name}.touched.sql"
    return path.read_text().strip() if path.is_file() else None


def reads_bronze(table: Table) -> bool:
    """Whether the view reads bronze directly, without a batch run in between."""
    return table.name in _GENERATED
