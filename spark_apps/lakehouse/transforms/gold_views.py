"""The SELECT of each gold view: plain SQL over silver and gold in `gold/<view>.sql`, or made from the declarations where it reads bronze.

`{counted}` in a file stands for the statuses that count as revenue. Nothing here needs Spark.
"""

from __future__ import annotations

from pathlib import Path

from lakehouse.contract import ContractError, Table
from lakehouse.definitions import COUNTED_STATUSES
from lakehouse.transforms.orders_live import orders_live_sql

_FOLDER = Path(__file__).parent / "gold"
_GENERATED = {"orders_live": orders_live_sql}


def select(table: Table) -> str:
    """The view's SELECT; raises ContractError where no file has it."""
    if table.name in _GENERATED:
        return _GENERATED[table.name]()
    path = _FOLDER / f"{table.name}.sql"
    if not path.is_file():
        raise ContractError(f"gold view {table.name!r} has no SQL: add transforms/gold/{table.name}.sql, or give it a slice")
    return path.read_text().format(counted=", ".join(f"'{status}'" for status in COUNTED_STATUSES)).strip()


def reads_bronze(table: Table) -> bool:
    """Whether the view stands on what has landed, with no batch run in between."""
    return table.name in _GENERATED
