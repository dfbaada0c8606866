"""A Delta table's log: snapshots of its versions, refreshed by reading only newer commits."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lakehouse.delta.actions import Commit, File, Metadata, TableProtocol
from lakehouse.delta.errors import VersionGoneError
from lakehouse.delta.features import check_readable
from lakehouse.delta.replay import State, commit_name, commit_versions, load, parse_commit
from lakehouse.delta.schema import Field
from lakehouse.delta.store import Store

_KEPT_COMMITS = 512


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An immutable snapshot of a version; `by_path`: its files; `txns`: the newest transaction version of each writer."""

    root: str
    version: int
    by_path: Mapping[str, File]
    protocol: TableProtocol
    metadata: Metadata
    txns: Mapping[str, int]
    domains: Mapping[str, Mapping[str, Any]]
    commit: Commit | None

    @cached_property
    def files(self) -> tuple[File, ...]:
        """The files that hold the table's rows."""
        return tuple(self.by_path.values())

    @property
    def schema(self) -> tuple[Field, ...]:
        """The columns, partition columns included, in the table's order."""
        return self.metadata.schema

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The columns by name."""
        return {field.name: field for field in self.schema}

    @property
    def configuration(self) -> Mapping[str, str]:
        """The table's properties."""
        return self.metadata.configuration

    @property
    def partition_columns(self) -> tuple[str, ...]:
        """Columns whose values the log keeps per file."""
        return self.metadata.partition_columns

    @property
    def info(self) -> Mapping[str, Any]:
        """`commitInfo` of this version; empty if its commit was cleaned up."""
        return self.commit.info if self.commit else {}

    @property
    def user_metadata(self) -> str | None:
        """The user metadata of this version's commit."""
        return self.commit.user_metadata if self.commit else None


class TableLog:
    """The log of one table; safe to share between threads.

    Raises NoTableError if there is no table, EbapError if reading it requires an unsupported feature.
    """

    def __init__(self, store: Store, location: str) -> None:
        self.store = store
        self.root = store.root(location)
        self.log = f"{self.root}/_delta_log"
        self._lock = threading.RLock()
        self._current: Snapshot | None = None
        self._identity: str | None = None
        self._commits: OrderedDict[int, Commit] = OrderedDict()

    def snapshot(self, at: int | None = None) -> Snapshot:
        """The table as of a version, by default the newest. Raises VersionGoneError if the log does not contain it."""
        with self._lock:
            if at is None:
                return self._refreshed()
            if self._current and self._current.version == at:
                return self._current
            return self._snapshot(load(self.store, self.log, at))

    def commits(self, start: int, end: int) -> list[Commit]:
        """The commits of these versions, both inclusive. Raises VersionGoneError if one is not in the log (any more, or yet)."""
        return [self._commit(version) for version in range(start, end + 1)]

    def earliest(self) -> int:
        """The first version whose commit is in the log. Raises VersionGoneError if there is none."""
        versions = commit_versions(self.store.list(self.log))
        if not versions:
            raise VersionGoneError(f"{self.log} holds no commit")
        return versions[0]

    def path(self, file: File) -> str:
        """Path of a file of this table in the store."""
        return f"{self.root}/{file.path}"

    def commit_path(self, version: int) -> str:
        """Path of the commit of that version, existing or not."""
        return f"{self.log}/{commit_name(version)}"

    def _refreshed(self) -> Snapshot:
        current = self._current
        if current is None or not self._is_same_log(current):
            return self._loaded()
        commits, identity = self._newer(current.version)
        if not commits:
            return current
        state = State(
            version=current.version,
            files=dict(current.by_path),
            txns=dict(current.txns),
            domains=dict(current.domains),
            protocol=current.protocol,
            metadata=current.metadata,
        )
        for commit in commits:
            state.apply(commit)
        self._current, self._identity = self._snapshot(state), identity
        return self._current

    def _loaded(self) -> Snapshot:
        self._commits.clear()
        while True:
            state = load(self.store, self.log)
            path = self.commit_path(state.version)
            found = self.store.stat(path)
            # The identity must be that of the commit that was read, see `_put` in commit.
            if found is None or state.commit is None or parse_commit(state.version, self.store.read(path)).info == state.commit.info:
                self._current, self._identity = self._snapshot(state), found.identity if found else None
                return self._current

    def _is_same_log(self, current: Snapshot) -> bool:
        """Whether the newest known commit is the one that was read; false if the table was recreated or the log cleaned up."""
        found = self.store.stat(self.commit_path(current.version))
        return (found.identity if found else None) == self._identity

    def _newer(self, version: int) -> tuple[list[Commit], str | None]:
        """The commits after a version, and the identity of the last one."""
        commits: list[Commit] = []
        identity = None
        while found := self.store.stat(self.commit_path(version + 1)):
            version, identity = version + 1, found.identity
            commits.append(self._read(version))
        return commits, identity

    def _commit(self, version: int) -> Commit:
        with self._lock:
            if version in self._commits:
                return self._commits[version]
            try:
                return self._read(version)
            except FileNotFoundError:
                raise VersionGoneError(f"{self.log} has no commit {version}: it was cleaned up or does not exist yet") from None

    def _read(self, version: int) -> Commit:
        commit = parse_commit(version, self.store.read(self.commit_path(version)))
        self._commits[version] = commit
        while len(self._commits) > _KEPT_COMMITS:
            self._commits.popitem(last=False)
        return commit

    def _snapshot(self, state: State) -> Snapshot:
        assert state.protocol and state.metadata
        check_readable(self.root, state.protocol, state.metadata)
        return Snapshot(
            root=self.root,
            version=state.version,
            by_path=state.files,
            protocol=state.protocol,
            metadata=state.metadata,
            txns=state.txns,
            domains=state.domains,
            commit=state.commit,
        )
