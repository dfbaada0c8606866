"""Requests to the running connector, left for it in the source's own table `ebap.signal`."""

from __future__ import annotations

import json
import re
import secrets

from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.source import owner


def snapshot(settings: Settings, table: Table, condition: str | None = None) -> str:
    """Have the table's rows, or those that meet an SQL condition, read again while capture goes on; gives the request's id."""
    # The names are patterns to the connector.
    name = re.escape(f"{settings.source_schema}.{table.name}")
    request: dict[str, object] = {"type": "incremental", "data-collections": [name]}
    if condition:
        request["additional-conditions"] = [{"data-collection": name, "filter": condition}]
    made = f"ebap-{secrets.token_hex(8)}"
    with owner(settings) as cursor:
        cursor.execute("INSERT INTO ebap.signal (id, type, data) VALUES (%s, 'execute-snapshot', %s)", [made, json.dumps(request)])
    return made
