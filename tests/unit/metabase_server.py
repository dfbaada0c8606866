"""In-memory fake of Metabase; each request and response body is validated against Metabase's own published schemas.

It follows the server's documentation and source: the setup token works once, all other endpoints require a session, fields appear only
after a sync, dashcards are replaced as a whole and negative ids get new ones, sensitive columns are omitted from metadata unless
requested, queries are returned as stages, and unknown keys are refused.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema

from lakehouse.contract import Table
from lakehouse.settings import Settings
from tests.serving import Request, answering, serving

Body = dict[str, Any]

# Commands whose schemas `mb COMMAND --help --json` prints; it has no command to create a connection.
COMMANDS = (
    "setup",
    "db get",
    "card create",
    "card update",
    "dashboard create",
    "dashboard update",
    "collection create",
    "table update",
    "field update",
)
# From the server's own validation of POST and PUT /api/database.
_CONNECTION = {
    "type": "object",
    "required": ["name", "engine", "details"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string", "minLength": 1}, "engine": {"const": "sparksql"}, "details": {"type": "object"}},
}
_TRASH = 1_000_000
_DASHBOARD_DEFAULTS: Body = {
    "description": None,
    "archived": False,
    "collection_id": None,
    "creator_id": 1,
    "width": "fixed",
    "auto_apply_filters": True,
    "enable_embedding": False,
    "public_uuid": None,
    "cache_ttl": None,
    "caveats": None,
    "parameters": [],
    "dashcards": [],
    "tabs": [],
}


def published_schemas(settings: Settings) -> dict[str, Body]:
    """Metabase's schemas by command, from the CLI that `make install-dev` installs; each has `inputSchema` or `outputSchema`."""
    program = settings.home_dir / "venv" / "dev" / "node_modules" / ".bin" / "mb"
    path = f"{settings.home_dir / 'venv' / 'dev' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    assert program.exists(), f"there is no {program}: run `make install-dev`"
    found = {}
    for command in COMMANDS:
        argv = [str(program), *command.split(), "--help", "--json"]
        done = subprocess.run(argv, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True)
        found[command] = json.loads(done.stdout)
        assert found[command]["command"] == command
    return found


class Refusal(Exception):  # noqa: N818
    """An error response: its status and body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


class FakeMetabase:
    """The state, and one method per endpoint. A sync skips tables in `unread`; the first `starting` health checks fail."""

    def __init__(self, schemas: dict[str, Body], gold: Sequence[Table]) -> None:
        self.schemas, self.gold = schemas, gold
        self.unread: set[str] = set()
        self.starting = 0
        self.token: str | None = "token-of-setup"
        self.password: str | None = None
        self.sessions: set[str] = set()
        self.is_tracking = True
        self.rows: dict[str, dict[int, Body]] = {kind: {} for kind in ("database", "table", "field", "card", "dashboard", "collection")}
        self.writes: list[tuple[str, str, Any]] = []
        self.faults: list[str] = []
        self._last = 0
        self.lock = threading.Lock()

    def answer(self, verb: str, path: str, query: dict[str, str], body: Any, session: str | None) -> Any:
        """The response body to a request; raises Refusal."""
        is_open = path in ("health", "session/properties", "setup", "session")
        if not is_open and session not in self.sessions:
            raise Refusal(401, "Unauthenticated")
        if verb != "GET":
            self.writes.append((verb, path, copy.deepcopy(body)))
        for known_verb, pattern, act in self._routes():
            match = re.fullmatch(pattern, path)
            if match and verb == known_verb:
                return copy.deepcopy(
                    act(*(int(part) if part.isdigit() else part for part in match.groups()), **_arguments(verb, query, body))
                )
        raise Refusal(404, "API endpoint does not exist.")

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        kinds = "(database|card|dashboard|collection)"
        return [
            ("GET", "health", self._health),
            ("GET", "session/properties", self._properties),
            ("POST", "setup", self._setup),
            ("POST", "session", self._session),
            ("PUT", "setting/(anon-tracking-enabled)", self._setting),
            ("POST", r"database/(\d+)/sync_schema", self._sync),
            ("GET", r"database/(\d+)/metadata", self._metadata),
            ("GET", kinds, self._list),
            ("GET", rf"{kinds}/(\d+)", self._get),
            ("POST", kinds, self._create),
            ("PUT", r"(database|table|field|card|dashboard|collection)/(\d+)", self._update),
        ]

    def _health(self) -> Body:
        if self.starting:
            self.starting -= 1
            raise Refusal(503, {"status": "initializing", "progress": 0.5})
        return {"status": "ok"}

    def _properties(self) -> Body:
        known = {"has-user-setup": self.password is not None, "anon-tracking-enabled": self.is_tracking}
        return known | ({"setup-token": self.token} if self.token else {})

    def _setup(self, body: Body) -> Body:
        self._check("setup", "inputSchema", body)
        if self.password is not None:
            raise Refusal(403, "The /api/setup route can only be used to create the first user, however a user currently exists.")
        if body["token"] != self.token:
            raise Refusal(400, {"errors": {"token": "Token does not match the setup token."}})
        if len(body["user"]["password"]) < 6 or not re.search(r"\d", body["user"]["password"]):
            raise Refusal(400, {"errors": {"password": "password is too common."}})
        self.token, self.password, self.is_tracking = None, body["user"]["password"], True
        return self._checked("setup", self._new_session())

    def _session(self, body: Body) -> Body:
        if body != {"username": "admin@ebap.local", "password": self.password}:
            raise Refusal(401, {"errors": {"password": "did not match stored password"}})
        return self._new_session()

    def _new_session(self) -> Body:
        self.sessions.add(f"session-{len(self.sessions)}")
        return {"id": f"session-{len(self.sessions) - 1}"}

    def _setting(self, _name: str, body: Body) -> None:
        self.is_tracking = body["value"]

    def _sync(self, database_id: int) -> Body:
        self._row("database", database_id)
        for table in self.gold:
            if table.name not in self.unread:
                self._read(database_id, table)
        return {"status": "ok"}

    def _read(self, database_id: int, table: Table) -> None:
        row = next((row for row in self.rows["table"].values() if row["name"] == table.name), None)
        if row is None:
            row = self._insert("table", name=table.name, display_name=table.name, description=None, db_id=database_id, schema="gold")
            row |= {"entity_type": None, "active": True, "visibility_type": None}
        known = {one["name"] for one in self.rows["field"].values() if one["table_id"] == row["id"]}
        for position, column in enumerate(table.columns):
            if column.name not in known:
                self._insert(
                    "field",
                    table_id=row["id"],
                    name=column.name,
                    display_name=column.name.title(),
                    description=None,
                    base_type="type/Text" if column.type == "STRING" else "type/*",
                    semantic_type=None,
                    fk_target_field_id=None,
                    visibility_type="normal",
                    position=position,
                )

    def _metadata(self, database_id: int, include_hidden: str = "false") -> Body:
        hidden = () if include_hidden == "true" else ("sensitive",)
        tables = []
        for table in self.rows["table"].values():
            fields = [one for one in self.rows["field"].values() if one["table_id"] == table["id"] and one["visibility_type"] not in hidden]
            tables.append({**table, "fields": fields})
        return self._checked("db get", {**self._row("database", database_id), "tables": tables})

    def _list(self, kind: str, f: str = "all") -> Any:
        is_archived = f == "archived"
        found = [row for row in self.rows[kind].values() if row.get("archived", False) is is_archived]
        if kind == "collection":
            return [{"id": "root", "name": "Our analytics"}, *found]
        if kind == "dashboard":
            return [{key: value for key, value in row.items() if key not in ("dashcards", "tabs")} for row in found]
        return {"data": found, "total": len(found)} if kind == "database" else found

    def _get(self, kind: str, number: int) -> Body:
        row = self._row(kind, number)
        # An archived object reports the trash as its collection.
        return self._checked(_answers_of(kind), {**row, "collection_id": _TRASH} if row.get("archived") else row)

    def _create(self, kind: str, body: Body) -> Body:
        if kind == "database":
            self._validate("POST database", _CONNECTION, body)
            return self._insert(kind, **body, is_full_sync=True)
        self._check(f"{kind} create", "inputSchema", body)
        if kind == "card":
            row = self._card(body)
        elif kind == "dashboard":
            row = self._insert(kind, **(_DASHBOARD_DEFAULTS | body), entity_id=f"{self._last:021d}")
        else:
            row = self._insert(kind, **body, archived=False, location="/", entity_id=f"{self._last:021d}")
        return self._checked(_answers_of(kind), row)

    def _card(self, body: Body) -> Body:
        if any(row["entity_id"] == body["entity_id"] for row in self.rows["card"].values()):
            raise Refusal(500, "duplicate key value violates unique constraint on entity_id")
        self._row("collection", body["collection_id"])
        query = self._query(body["dataset_query"])
        row = self._insert("card", **({"type": "question", "description": None} | body | {"dataset_query": query, "archived": False}))
        row |= {"query_type": "native", "database_id": query["database"], "table_id": None, "creator_id": 1}
        return row

    def _query(self, sent: Body) -> Body:
        """From version 57 on, Metabase returns every query as stages, whatever was sent."""
        self._row("database", sent["database"])
        stage = {"lib/type": "mbql.stage/native", "native": sent["native"]["query"], "template-tags": sent["native"]["template-tags"]}
        return {"lib/type": "mbql/query", "database": sent["database"], "stages": [stage]}

    def _update(self, kind: str, number: int, body: Body) -> Body:
        row = self._row(kind, number)
        if kind == "database":
            self._validate("PUT database", {**_CONNECTION, "required": []}, body)
        elif kind != "collection":
            self._check(f"{kind} update", "inputSchema", body)
        changed = dict(body)
        if kind == "card" and "dataset_query" in body:
            changed["dataset_query"] = self._query(body["dataset_query"])
        if "dashcards" in body:
            if row["archived"]:
                raise Refusal(404, "The object has been archived.")
            changed["dashcards"] = [self._dashcard(row, sent) for sent in body["dashcards"]]
        row.update(changed)
        return self._checked(_answers_of(kind), row)

    def _dashcard(self, dashboard: Body, sent: Body) -> Body:
        # Tabs omitted from the request are deleted with their dashcards.
        known = {one["id"] for one in dashboard["dashcards"] if one["dashboard_tab_id"] is None}
        if self._row("card", sent["card_id"])["archived"] or (sent["id"] > 0 and sent["id"] not in known):
            raise Refusal(404, "Not found.")
        number = sent["id"] if sent["id"] > 0 else self._next()
        added = {"dashboard_id": dashboard["id"], "dashboard_tab_id": None, "entity_id": f"{number:021d}", "inline_parameters": None}
        return {**sent, **added, "id": number}

    def _next(self) -> int:
        self._last += 1
        return self._last

    def _insert(self, kind: str, **values: Any) -> Body:
        row = {**values, "id": self._next()}
        self.rows[kind][row["id"]] = row
        return row

    def _row(self, kind: str, number: int) -> Body:
        if number not in self.rows[kind]:
            raise Refusal(404, "Not found.")
        return self.rows[kind][number]

    def _check(self, command: str, side: str, body: Any) -> None:
        schema = self.schemas[command][side]
        if side == "inputSchema":
            # The published schemas allow unknown keys; the server does not.
            unknown = sorted(set(body) - set(schema["properties"]))
            if unknown:
                self.faults.append(f"{command}: unknown {unknown}")
                raise Refusal(400, {"errors": dict.fromkeys(unknown, "disallowed key")})
        self._validate(f"{command} {side}", schema, body)

    def _validate(self, what: str, schema: Body, body: Any) -> None:
        errors = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(body)]
        if errors:
            self.faults.append(f"{what}: {errors}")
            raise Refusal(400, {"errors": errors})

    def _checked(self, command: str, answer: Body) -> Body:
        """The response, validated against Metabase's published schema as well."""
        self._check(command, "outputSchema", answer)
        return answer


def _answers_of(kind: str) -> str:
    return {"database": "db get", "table": "table update", "field": "field update"}.get(kind, f"{kind} create")


def _arguments(verb: str, query: dict[str, str], body: Any) -> Body:
    return query if verb == "GET" else ({} if body is None else {"body": body})


@contextmanager
def serve(fake: FakeMetabase) -> Iterator[str]:
    """Serve the fake on a free local port; yields its base URL."""

    def answer(request: Request) -> tuple[int, Any]:
        parts = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        body, session = json.loads(request.body) if request.body else None, request.headers.get("X-Metabase-Session")
        with fake.lock:
            try:
                return 200, fake.answer(request.method, parts.path.removeprefix("/api/"), query, body, session)
            except Refusal as refusal:
                return refusal.status, refusal.body

    with serving(answering(answer)) as address:
        yield address
