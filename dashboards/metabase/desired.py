"""The desired state of Metabase as request bodies, built from files and declarations, and live objects in the same form.

Each `*_seen` converts an object from Metabase's API into the shape of a request, so that the two can be compared.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import sqlglot
from sqlglot import exp

from dashboards.metabase.files import Board, Question, Tile
from lakehouse.contract import Column, Layer, Table
from lakehouse.lake import ddl
from lakehouse.settings import Settings

Body = dict[str, Any]

DATABASE = "EBAP gold"
COLLECTION: Body = {"name": "EBAP", "description": "Managed by EBAP: changes made here are overwritten. Save your own items elsewhere."}
# Prefix of the entity ids of managed cards, by which they are recognised after their file is deleted.
CARD_PREFIX = "ebap-"
# Only cards accept an entity id; a managed dashboard is recognised by its caveats, a field that no page shows.
BOARD_PREFIX = "ebap:board:"

_DISPLAYS = {"number": "scalar", "bar": "bar", "stacked": "bar", "combo": "combo", "table": "table"}
_TAG_TYPES = {"from": "date", "to": "date", "category": "text", "region": "text"}
_CATEGORIES = ("category", "region", "status", "tier")
_PARAMETER_KEYS = ("id", "name", "slug", "type")
_PLACE_KEYS = ("card_id", "row", "col", "size_x", "size_y")


def entity_id(kind: str, name: str) -> str:
    """The 21-character id of an object in Metabase, derived from its kind and name."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(f"{kind}/{name}".encode()).digest()).decode()
    return CARD_PREFIX + digest[: 21 - len(CARD_PREFIX)]


def database(settings: Settings) -> Body:
    """The connection, without JDBC flags: Metabase's Spark driver supports binary transport only."""
    details = {"host": settings.spark_host, "port": settings.thrift_port, "dbname": Layer.GOLD.value, "user": "ebap", "jdbc-flags": ""}
    return {"name": DATABASE, "engine": "sparksql", "details": details}


def database_seen(live: Mapping[str, Any], wanted: Body) -> Body:
    """Without the details that Metabase adds itself."""
    return {**live, "details": {key: live.get("details", {}).get(key) for key in wanted["details"]}}


def table(declared: Table) -> Body:
    """A table's metadata: its comment in the catalog."""
    return {"description": ddl.comment(declared)}


def column(declared: Table, column: Column) -> Body:
    """A column's metadata: its doc, its semantic type where it follows from the name, and hidden visibility for personal data.

    Only a single-column key gets the type of a primary key, which Metabase uses to open one row.
    """
    body: Body = {"description": column.doc}
    if declared.key == (column.name,):
        body["semantic_type"] = "type/PK"
    elif column.name.endswith("_usd"):
        body["semantic_type"] = "type/Currency"
    elif column.name.rsplit("_", 1)[-1] in _CATEGORIES:
        body["semantic_type"] = "type/Category"
    if column.pii:
        body["visibility_type"] = "sensitive"
    return body


def card(question: Question, database_id: int | None, collection_id: int | None) -> Body:
    """The question as a native card; the ids are None in a plan that would create them."""
    tags = {name: _tag(question, name) for name in question.filters}
    return {
        "name": question.title,
        "description": question.audience,
        "type": "question",
        "archived": False,
        "collection_id": collection_id,
        "dataset_query": {"type": "native", "database": database_id, "native": {"query": question.sql, "template-tags": tags}},
        "display": _DISPLAYS[question.kind],
        "visualization_settings": _drawing(question),
    }


def card_seen(live: Mapping[str, Any]) -> Body:
    """Metabase returns a query as sent before version 57 and as stages from 57 on; both are read."""
    query = live["dataset_query"]
    stage = (query.get("stages") or [{}])[0]
    native = query.get("native") or {"query": stage.get("native"), "template-tags": stage.get("template-tags")}
    keys = ("id", "name", "display-name", "type")
    tags = {name: {key: tag.get(key) for key in keys} for name, tag in (native.get("template-tags") or {}).items()}
    seen = {"type": "native", "database": query.get("database"), "native": {"query": native.get("query"), "template-tags": tags}}
    return {**live, "dataset_query": seen}


def dashboard(board: Board, card_ids: Mapping[str, int | None], collection_id: int | None) -> Body:
    """The board with all its dashcards, without their ids; `card_ids` is by question name."""
    return {
        "name": board.title,
        "description": board.about,
        "archived": False,
        "collection_id": collection_id,
        "caveats": f"{BOARD_PREFIX}{board.name} is made from a file.",
        "parameters": [_parameter(name) for name in board.filters],
        "dashcards": sorted((_dashcard(board, tile, card_ids) for tile in board.tiles), key=_place),
    }


def dashboard_seen(live: Mapping[str, Any]) -> Body:
    """Parameters and dashcards without the keys that Metabase adds; a dashcard on a manually added tab differs by that tab."""
    dashcards = []
    for found in live.get("dashcards", []):
        mappings = sorted(found.get("parameter_mappings") or [], key=lambda mapping: str(mapping["parameter_id"]))
        kept = {key: found.get(key) for key in _PLACE_KEYS} | {"parameter_mappings": mappings}
        kept["visualization_settings"] = found.get("visualization_settings") or {}
        dashcards.append(kept if found.get("dashboard_tab_id") is None else {**kept, "tab": found["dashboard_tab_id"]})
    parameters = [{key: found.get(key) for key in (*_PARAMETER_KEYS, "sectionId")} for found in live.get("parameters") or []]
    return {**live, "parameters": parameters, "dashcards": sorted(dashcards, key=_place)}


def board_name(live: Mapping[str, Any]) -> str | None:
    """The board a live dashboard was created from; None if the dashboard is not managed."""
    caveats = live.get("caveats") or ""
    return caveats.removeprefix(BOARD_PREFIX).split()[0] if caveats.startswith(BOARD_PREFIX) else None


def _tag(question: Question, name: str) -> Body:
    digest = hashlib.sha256(f"{question.name}/{name}".encode()).hexdigest()
    uuid = "-".join((digest[:8], digest[8:12], f"4{digest[13:16]}", f"8{digest[17:20]}", digest[20:32]))
    return {"id": uuid, "name": name, "display-name": name.title(), "type": _TAG_TYPES[name]}


def _drawing(question: Question) -> Body:
    selected = sqlglot.parse_one(question.render({}), dialect="spark")
    assert isinstance(selected, exp.Select)
    first, *others = selected.named_selects
    if question.kind == "table":
        return {}
    if question.kind == "number":
        return {"scalar.field": first}
    drawn: Body = {"graph.dimensions": [first], "graph.metrics": others}
    if question.kind == "stacked":
        drawn["stackable.stack_type"] = "stacked"
    if question.kind == "combo":
        line = question.chart.split(": ")[1].split()[0]
        drawn["series_settings"] = {name: {"display": "line" if name == line else "bar"} for name in others}
    return drawn


def _parameter(name: str) -> Body:
    is_date = _TAG_TYPES[name] == "date"
    kind, section = ("date/single", "date") if is_date else ("string/=", "string")
    return {"id": name, "name": name.title(), "slug": name, "type": kind, "sectionId": section}


def _dashcard(board: Board, tile: Tile, card_ids: Mapping[str, int | None]) -> Body:
    """Connects the filters that both the board and the question have."""
    card_id = card_ids[tile.question.name]
    wired = sorted(name for name in tile.question.filters if name in board.filters)
    return {
        "card_id": card_id,
        "row": tile.row,
        "col": tile.column,
        "size_x": tile.width,
        "size_y": tile.height,
        "parameter_mappings": [
            {"parameter_id": name, "card_id": card_id, "target": ["variable", ["template-tag", name]]} for name in wired
        ],
        "visualization_settings": {},
    }


def _place(dashcard: Mapping[str, Any]) -> tuple[int, int, int]:
    return dashcard["row"], dashcard["col"], dashcard["card_id"] or 0
