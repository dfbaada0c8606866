"""Log replay: the state of a table from a checkpoint and the commits after it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lakehouse.delta.actions import Commit, File, Metadata, TableProtocol
from lakehouse.delta.errors import NoTableError, VersionGoneError
from lakehouse.delta.store import Store
from lakehouse.errors import EbapError

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.[0-9a-f-]{36})?\.(parquet|json)")
LAST_CHECKPOINT = "_last_checkpoint"
# The struct statistics repeat the JSON ones.
_ADD_FIELDS = ("path", "partitionValues", "size", "modificationTime", "dataChange", "stats", "tags", "deletionVector")
_REMOVE_FIELDS = ("path", "deletionTimestamp", "dataChange", "extendedFileMetadata", "partitionValues", "size", "tags", "deletionVector")


@dataclass
class State:
    """A table's state during replay; `removed` is filled only if tombstones are kept."""

    version: int = -1
    files: dict[str, File] = field(default_factory=dict)
    removed: dict[tuple[str, str | None], File] = field(default_factory=dict)
    txns: dict[str, int] = field(default_factory=dict)
    txns_updated: dict[str, int | None] = field(default_factory=dict)
    domains: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    protocol: TableProtocol | None = None
    metadata: Metadata | None = None
    commit: Commit | None = None
    keeps_removed: bool = False

    def apply(self, commit: Commit) -> None:
        """Apply the next commit."""
        for file in commit.removes:
            held = self.files.get(file.path)
            if held and held.key == file.key:
                del self.files[file.path]
            if self.keeps_removed:
                self.removed[file.key] = file
        for file in commit.adds:
            self.files[file.path] = file
            self.removed.pop(file.key, None)
        self.txns.update(commit.txns)
        self.txns_updated.update(commit.txns_updated)
        for name, domain in commit.domains.items():
            if domain.get("removed"):
                self.domains.pop(name, None)
            else:
                self.domains[name] = domain
        self.protocol = commit.protocol or self.protocol
        self.metadata = commit.metadata or self.metadata
        self.version, self.commit = commit.version, commit


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: the version and the names of its files."""

    version: int
    names: tuple[str, ...]


def commit_name(version: int) -> str:
    """The file name of a commit."""
    return f"{version:020d}.json"


def parse_commit(version: int, data: bytes) -> Commit:
    """A commit from its file."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in data.splitlines():
        if line.strip():
            for kind, action in json.loads(line).items():
                found.setdefault(kind, []).append(action)
    return Commit(
        version=version,
        info=next(iter(found.get("commitInfo", ())), {}),
        adds=tuple(File.parse(each) for each in found.get("add", ())),
        removes=tuple(File.parse(each) for each in found.get("remove", ())),
        cdc=tuple(File.parse(each) for each in found.get("cdc", ())),
        txns={each["appId"]: each["version"] for each in found.get("txn", ())},
        txns_updated={each["appId"]: each.get("lastUpdated") for each in found.get("txn", ())},
        metadata=next((Metadata.parse(each) for each in found.get("metaData", ())), None),
        protocol=next((TableProtocol.parse(each) for each in found.get("protocol", ())), None),
        domains={each["domain"]: each for each in found.get("domainMetadata", ())},
    )


def load(store: Store, log: str, at: int | None = None, keeps_removed: bool = False) -> State:
    """The state at a version, by default the newest. Raises NoTableError, VersionGoneError if the log does not contain that version."""
    for is_last_try in (False, True):
        try:
            return _load(store, log, at, keeps_removed, uses_hint=not is_last_try)
        except FileNotFoundError:
            # Another writer wrote a newer checkpoint and cleaned up between the listing and the read.
            if is_last_try:
                raise
    raise AssertionError("unreachable")


def _load(store: Store, log: str, at: int | None, keeps_removed: bool, uses_hint: bool) -> State:
    hint = _hint(store, log) if uses_hint else None
    names = store.list(log, f"{hint:020d}") if hint is not None and (at is None or hint <= at) else store.list(log)
    checkpoints = [each for each in complete_checkpoints(names) if at is None or each.version <= at]
    if not checkpoints and hint is not None:
        names = store.list(log)
        checkpoints = [each for each in complete_checkpoints(names) if at is None or each.version <= at]
    state = State(keeps_removed=keeps_removed)
    if checkpoints:
        _read_checkpoint(store, log, checkpoints[-1], state)
    newer = [version for version in commit_versions(names) if version > state.version and (at is None or version <= at)]
    if not newer and not checkpoints and not commit_versions(names):
        raise NoTableError(f"there is no Delta table: {log} holds no commit")
    if newer and newer != list(range(state.version + 1, state.version + 1 + len(newer))):
        missing = sorted(set(range(state.version + 1, newer[-1])) - set(newer))[:1] or [state.version + 1]
        raise VersionGoneError(f"{log} has no commit {missing[0]}, and no checkpoint from which version {newer[-1]} could be read")
    for version in newer:
        state.apply(parse_commit(version, store.read(f"{log}/{commit_name(version)}")))
    if at is not None and state.version != at:
        raise VersionGoneError(f"{log} cannot be read as of version {at}: the newest that can is {state.version}")
    if state.commit is None:
        _read_commit_of_checkpoint(store, log, state)
    if state.protocol is None or state.metadata is None:
        raise EbapError(f"{log}: no protocol or no metadata up to version {state.version}; the log is damaged")
    return state


def _read_commit_of_checkpoint(store: Store, log: str, state: State) -> None:
    try:
        state.commit = parse_commit(state.version, store.read(f"{log}/{commit_name(state.version)}"))
    except FileNotFoundError:
        state.commit = None


def _hint(store: Store, log: str) -> int | None:
    try:
        return int(json.loads(store.read(f"{log}/{LAST_CHECKPOINT}"))["version"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # the hint only saves a listing


def commit_versions(names: Iterable[str]) -> list[int]:
    """Versions of the commits among a log's files, ascending."""
    return sorted(int(found[1]) for name in names if (found := _COMMIT.fullmatch(name)))


def complete_checkpoints(names: Iterable[str]) -> list[Checkpoint]:
    """The complete checkpoints among a log's files, by version."""
    found: dict[tuple[int, str], list[str]] = {}
    complete: dict[int, Checkpoint] = {}
    for name in sorted(names):
        if match := _CHECKPOINT.fullmatch(name):
            version, parts = int(match[1]), match[3]
            group = found.setdefault((version, parts or name), [])
            group.append(name)
            if len(group) == int(parts or 1):
                complete[version] = Checkpoint(version, tuple(group))
    return [complete[version] for version in sorted(complete)]


def _read_checkpoint(store: Store, log: str, checkpoint: Checkpoint, state: State) -> None:
    for name in checkpoint.names:
        _read_rows(store, log, store.read(f"{log}/{name}"), name.endswith(".json"), state)
    state.version = checkpoint.version


def _read_rows(store: Store, log: str, data: bytes, is_json: bool, state: State) -> None:
    rows = (json.loads(line) for line in data.splitlines() if line.strip()) if is_json else _parquet_rows(data, state.keeps_removed)
    for row in rows:
        if add := row.get("add"):
            file = File.parse(add)
            state.files[file.path] = file
        elif (remove := row.get("remove")) and state.keeps_removed:
            file = File.parse(remove)
            state.removed[file.key] = file
        elif txn := row.get("txn"):
            state.txns[txn["appId"]] = txn["version"]
            state.txns_updated[txn["appId"]] = txn.get("lastUpdated")
        elif protocol := row.get("protocol"):
            state.protocol = TableProtocol.parse(protocol)
        elif metadata := row.get("metaData"):
            state.metadata = Metadata.parse(metadata)
        elif domain := row.get("domainMetadata"):
            state.domains[domain["domain"]] = domain
        elif sidecar := row.get("sidecar"):
            _read_rows(store, log, store.read(f"{log}/_sidecars/{sidecar['path']}"), False, state)


def _parquet_rows(data: bytes, keeps_removed: bool) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(data))
    wanted = {"add": _ADD_FIELDS, **({"remove": _REMOVE_FIELDS} if keeps_removed else {})}
    there = {path.split(".")[0] for path in (file.schema.column(i).path for i in range(len(file.schema)))}
    paths = [f"{kind}.{name}" for kind, names in wanted.items() for name in names]
    paths += [kind for kind in there if kind not in ("add", "remove")]
    for batch in file.iter_batches(columns=paths):
        for column in batch.schema.names:
            values = batch.column(column)
            kept = values.drop_null()
            for value in kept.to_pylist(maps_as_pydicts="strict"):
                yield {column: {name: each for name, each in value.items() if each is not None}}
