"""Queries over Trino's HTTP interface, as its client protocol defines it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import EbapError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import requests

_USER = {
    "X-Trino-User": "ebap",
    "X-Trino-Source": "ebap",
    "X-Trino-Catalog": "iceberg",
    "X-Trino-Schema": "ebap",
    "X-Trino-Time-Zone": "UTC",
}

# A node joins within some 3 s of the first answer (Trino 476); with no node after this time, its error is the answer.
NODE_S = 30
_CANCEL_S = 5


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of a query: names of its columns, rows of JSON values, and the number of rows read from tables."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    read_rows: int


def query(settings: Settings, sql: str, limit_s: float = 600) -> Answer:
    """The answer to a query; EbapError with Trino's message, or if it does not answer within the limit.

    Beyond the limit the query is cancelled.

    A query that found no node for its catalog has done nothing and is sent again: for some seconds after its start Trino has none.
    """
    import requests  # declarations of services are read where no query is made

    address = f"http://{settings.trino_host}:{settings.trino_port}"
    began = time.monotonic()
    try:
        while (answer := _sent(f"{address}/v1/statement", sql, began + limit_s, began + NODE_S)) is None:
            time.sleep(0.5)
        return answer
    except requests.RequestException as error:
        raise EbapError(f"Trino at {address} does not answer ({type(error).__name__})", "see `make status`") from None


def _sent(address: str, sql: str, until: float, node_until: float) -> Answer | None:
    """The answer; None if no node was there to run the query, and one may still come."""
    import requests

    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = []
    page = _page(requests.post(address, data=sql.encode(), headers=_USER, timeout=_left_s(until)))
    while True:
        if "error" in page:
            if page["error"]["errorName"] == "NO_NODES_AVAILABLE" and time.monotonic() < min(until, node_until):
                return None
            raise EbapError(f"Trino: {page['error']['message']}")
        columns = columns or tuple(column["name"] for column in page.get("columns", ()))
        rows += [tuple(row) for row in page.get("data", ())]
        if "nextUri" not in page:
            return Answer(columns=columns, rows=tuple(rows), read_rows=page["stats"]["processedRows"])
        if time.monotonic() > until:
            # Trino would go on for five minutes after the last request for its result.
            requests.delete(page["nextUri"], headers=_USER, timeout=_CANCEL_S)
            raise EbapError(
                "Trino has not answered within the time limit, and the query is cancelled", "ask for less, or see `make status`"
            )
        # Trino itself waits up to a second until there is more.
        page = _page(requests.get(page["nextUri"], headers=_USER, timeout=_left_s(until)))


def _left_s(until: float) -> float:
    return max(until - time.monotonic(), 1)


def _page(response: requests.Response) -> dict[str, Any]:
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found
