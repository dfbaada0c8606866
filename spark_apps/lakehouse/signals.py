"""Requests to the running connector, left for it in the source's own table `ebap.signal`."""

from __future__ import annotations

import json
import uuid

from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.source import owner

# What ebap.signal holds of a request.
MOST_CHARACTERS = 2048


class SignalError(RuntimeError):
    """A request that cannot be made; the message says why."""


def snapshot(settings: Settings, table: Table, condition: str = "") -> str:
    """Have the table's rows read again while capture goes on, those of an SQL condition only; gives the request's id."""
    name = f"{settings.source_schema}.{table.name}"
    request: dict[str, object] = {"type": "incremental", "data-collections": [name]}
    if condition:
        request["additional-conditions"] = [{"data-collection": name, "filter": condition}]
    data = json.dumps(request)
    if len(data) > MOST_CHARACTERS:
        raise SignalError(f"the condition for {name} is too long: a request has {MOST_CHARACTERS} characters, this one {len(data)}")
    made = str(uuid.uuid4())
    with owner(settings) as cursor:
        cursor.execute("INSERT INTO ebap.signal (id, type, data) VALUES (%s, 'execute-snapshot', %s)", [made, data])
    return made
