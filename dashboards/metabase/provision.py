"""Bring Metabase to the state that files and declarations describe: `python -m dashboards.metabase.provision plan|apply`.

A plan after an apply is empty; apply stops at the first error and continues when run again. Both compare the whole state every time.
Objects that are not managed are left unchanged: managed cards are recognised by their entity id, dashboards by their caveats.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dashboards.metabase import available, desired, files
from dashboards.metabase.client import Metabase
from dashboards.metabase.desired import Body
from dashboards.metabase.files import Board, Question
from lakehouse import process, tables, wait
from lakehouse.contract import Table
from lakehouse.errors import EbapError, exit_code_of
from lakehouse.settings import Settings

_EXIT_CODES = "Exits with 0 when done, or where a plan finds no difference, 1 on an error, 2 where a plan finds a difference."
_NEW = -1  # the id of an object that a plan would create; never sent in a request


@dataclass(kw_only=True)
class Provisioner:
    """One comparison with a Metabase, and the changes made, one line each; a dry run only lists them.

    `ready_limit_s` is how long Metabase may take to start.
    `sync_limit_s` is how long Metabase may take to read the tables from Spark: 10 s on a warm server, minutes on a cold one.
    """

    settings: Settings
    is_dry: bool
    boards: Mapping[str, Board]
    ready_limit_s: float
    gold: Sequence[Table] = tables.GOLD
    sync_limit_s: float = 300
    changes: list[str] = field(default_factory=list)
    metabase: Metabase = field(init=False)
    has_admin: bool = field(init=False, default=False)

    def run(self) -> dict[str, str]:
        """Compare, and change what differs; returns each board's link by its title. Raises EbapError."""
        self.metabase = Metabase(self.settings)
        self.metabase.wait_until_healthy(self.ready_limit_s)
        self.has_admin = self._open()
        database = self._database()
        self._describe(database)
        collection_id = self._collection()
        card_ids = self._cards(database["id"], collection_id)
        return self._dashboards(card_ids, collection_id)

    def _open(self) -> bool:
        """Log in, creating the admin if there is none; False if a plan finds none and cannot continue."""
        properties = self.metabase.properties()
        if not properties["has-user-setup"]:
            self._note("create admin")
            if self.is_dry:
                return False
            self.metabase.set_up(properties["setup-token"])
        self.metabase.log_in()
        if self.metabase.properties().get("anon-tracking-enabled"):
            # Metabase's setup turns it on, whatever the request contains.
            self._note("change setting anon-tracking-enabled")
            if not self.is_dry:
                self.metabase.put("setting/anon-tracking-enabled", {"value": False})
        return True

    def _database(self) -> Body:
        wanted = desired.database(self.settings)
        found = _first(self._list("database"), name=wanted["name"])
        seen = desired.database_seen(self.metabase.get(f"database/{found['id']}"), wanted) if found else None
        return self._settle("connection", wanted["name"], "database", seen, wanted)

    def _describe(self, database: Body) -> None:
        """Set the metadata of each table and column from its declaration."""
        found = {} if database["id"] == _NEW else self._synced(database["id"])
        for declared in self.gold:
            live = found.get(declared.name)
            self._settle("table", declared.name, "table", live or {"id": _NEW}, desired.table(declared))
            fields = {one["name"]: one for one in live["fields"]} if live else {}
            for column in declared.columns:
                name = f"{declared.name}.{column.name}"
                self._settle("column", name, "field", fields.get(column.name) or {"id": _NEW}, desired.column(declared, column))

    def _synced(self, database_id: int) -> dict[str, Any]:
        """Live tables by name, with every declared table and column; starts a sync if one is missing."""
        found = self._live_tables(database_id)
        lacking = _lacking(self.gold, found)
        if lacking:
            self._note(f"change connection {desired.DATABASE}: sync {', '.join(lacking)}")
            if not self.is_dry:
                self.metabase.post(f"database/{database_id}/sync_schema")
        if self.is_dry or not lacking:
            return found
        for _ in wait.looks(self.sync_limit_s, every_s=min(1.0, self.sync_limit_s / 10)):
            found = self._live_tables(database_id)
            lacking = _lacking(self.gold, found)
            if not lacking:
                return found
        what = f"Metabase has not read {', '.join(lacking)} after {self.sync_limit_s:g} s"
        raise EbapError(what, "check that `make status` shows the tables, then apply again")

    def _live_tables(self, database_id: int) -> dict[str, Any]:
        # Without include_hidden, sensitive columns are omitted and would appear not to be synced.
        answer = self.metabase.get(f"database/{database_id}/metadata", include_hidden="true")
        return {one["name"]: one for one in answer["tables"] if one.get("active", True)}

    def _collection(self) -> int:
        listed, wanted = self._list("collection"), desired.COLLECTION
        found = _first(listed, name=wanted["name"], location="/") or _first(listed, description=wanted["description"])
        return int(self._settle("collection", wanted["name"], "collection", found, wanted)["id"])

    def _cards(self, database_id: int, collection_id: int) -> dict[str, int | None]:
        """Card ids by question name."""
        listed = {one["entity_id"]: one for one in [*self._list("card"), *self._list("card", f="archived")]}
        ids: dict[str, int | None] = {}
        for question in _questions(self.boards):
            entity_id = desired.entity_id("card", question.name)
            live = listed.pop(entity_id, None)
            seen = desired.card_seen(self.metabase.get(f"card/{live['id']}")) if live else None
            wanted = desired.card(question, database_id, collection_id)
            ids[question.name] = self._settle("card", question.name, "card", seen, wanted, {"entity_id": entity_id})["id"]
        for entity_id, one in listed.items():
            if (entity_id or "").startswith(desired.CARD_PREFIX):
                self._archive("card", one)
        return ids

    def _dashboards(self, card_ids: Mapping[str, int | None], collection_id: int) -> dict[str, str]:
        listed = [*self._list("dashboard"), *self._list("dashboard", f="archived")]
        links = {}
        for board in self.boards.values():
            wanted = desired.dashboard(board, card_ids, collection_id)
            ours = [one for one in listed if desired.board_name(one) == board.name]
            # An interrupted apply leaves a dashboard without caveats.
            incomplete = [
                one for one in listed if not one.get("caveats") and (one["name"], one["collection_id"]) == (board.title, collection_id)
            ]
            live = next(iter(ours or incomplete), None)
            dashboard_id = self._dashboard(board, self.metabase.get(f"dashboard/{live['id']}") if live else None, wanted)
            links[board.title] = f"{self.settings.metabase_page}/dashboard/{dashboard_id}#refresh={board.refresh_s}"
        for one in listed:
            if desired.board_name(one) not in (None, *self.boards):
                self._archive("dashboard", one)
        return links

    def _dashboard(self, board: Board, live: Body | None, wanted: Body) -> int:
        """Create or change one dashboard; all dashcards are sent in one request, since Metabase deletes those omitted from it."""
        seen = desired.dashboard_seen(live) if live else {}
        fields = _differing(seen, wanted)
        if not fields:
            return int(seen["id"])
        self._note(f"change dashboard {board.name}: {', '.join(fields)}" if live else f"create dashboard {board.name}")
        if self.is_dry:
            return seen.get("id", _NEW)
        if not live:
            live = self.metabase.post("dashboard", {key: wanted[key] for key in ("name", "description", "collection_id")})
        elif live["archived"]:
            # An archived dashboard accepts no dashcards.
            live = self.metabase.put(f"dashboard/{live['id']}", {"archived": False, "collection_id": wanted["collection_id"]})
        body = {key: wanted[key] for key in fields if key != "archived"}
        if "dashcards" in body:
            body |= {"dashcards": _with_ids(body["dashcards"], live), "tabs": []}
        self.metabase.put(f"dashboard/{live['id']}", body)
        return int(live["id"])

    def _settle(self, what: str, name: str, path: str, seen: Body | None, wanted: Body, only_at_creation: Body | None = None) -> Body:
        """Create the object, or change the fields that differ; returns it, with id -1 if a plan would create it."""
        if seen is None:
            self._note(f"create {what} {name}")
            # Metabase's create endpoints do not accept `archived`.
            body = {key: value for key, value in wanted.items() if key != "archived"} | (only_at_creation or {})
            return {"id": _NEW} if self.is_dry else dict(self.metabase.post(path, body))
        fields = _differing(seen, wanted)
        if fields:
            self._note(f"change {what} {name}: {', '.join(fields)}")
            if not self.is_dry:
                self.metabase.put(f"{path}/{seen['id']}", {key: wanted[key] for key in fields})
        return seen

    def _archive(self, what: str, live: Body) -> None:
        if not live["archived"]:
            self._note(f"archive {what} {live['name']}")
            if not self.is_dry:
                self.metabase.put(f"{what}/{live['id']}", {"archived": True})

    def _list(self, path: str, **params: str) -> list[Body]:
        answer = self.metabase.get(path, **params) if self.has_admin else []
        return list(answer["data"] if isinstance(answer, dict) else answer)

    def _note(self, change: str) -> None:
        """Print the change at once, so that the output is complete up to an error."""
        self.changes.append(change)
        print(change, flush=True)


def _questions(boards: Mapping[str, Board]) -> list[Question]:
    shown = {tile.question.name: tile.question for board in boards.values() for tile in board.tiles}
    return [shown[name] for name in sorted(shown)]


def _first(listed: Sequence[Body], **wanted: str) -> Body | None:
    return next((one for one in listed if all(one.get(key) == value for key, value in wanted.items())), None)


def _differing(seen: Mapping[str, Any], wanted: Body) -> list[str]:
    return sorted(key for key, value in wanted.items() if key not in seen or seen[key] != value)


def _lacking(declared: Sequence[Table], found: Mapping[str, Any]) -> list[str]:
    """Declared tables that are missing in Metabase, or lack a column there."""
    known = {name: {one["name"] for one in live["fields"]} for name, live in found.items()}
    return [table.name for table in declared if not known.get(table.name, set()) >= set(table.column_names)]


def _with_ids(dashcards: Sequence[Body], live: Body) -> list[Body]:
    """Cards already on the dashboard keep their dashcard id; negative ids create new ones. Deleting a tab deletes its dashcards."""
    known = {one["card_id"]: one["id"] for one in live.get("dashcards", []) if one.get("dashboard_tab_id") is None}
    return [{"id": known.get(one["card_id"], -number), **one} for number, one in enumerate(dashcards, start=1)]


def parser() -> argparse.ArgumentParser:
    """The command line: `plan` and `apply`."""
    text = "Bring Metabase, the local one or that of EBAP_METABASE_URL, to the state that files and declarations describe."
    commands = argparse.ArgumentParser(prog="python -m dashboards.metabase.provision", description=text, epilog=_EXIT_CODES)
    verbs = commands.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("plan", help="Print the differences without changing anything.")
    verbs.add_parser("apply", help="Apply the differences, and print each change and each board's link.")
    return commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan or apply; returns the exit code."""
    is_dry = parser().parse_args(arguments).verb == "plan"
    return exit_code_of("error  ", lambda: _do(is_dry), failed=1)


def _do(is_dry: bool) -> int:
    # A Metabase that was just started takes a minute to be ready; a plan fails early instead.
    limit_s = 5 if is_dry else 120
    shown = available.shown(files.boards(), tables.GOLD)
    work = Provisioner(settings=process.begin(), is_dry=is_dry, boards=shown.boards, ready_limit_s=limit_s)
    for line in shown.left_out.values():
        print(line)
    links = work.run()
    if not work.changes:
        print("no change")
    if is_dry:
        return 2 if work.changes else 0
    print("\n".join(f"{title}: {link}" for title, link in links.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
