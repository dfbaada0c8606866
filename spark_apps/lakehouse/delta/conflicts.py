"""Conflict detection: whether concurrent commits affect a pending one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from lakehouse.delta.actions import Commit, File
from lakehouse.delta.errors import AlreadyAppliedError
from lakehouse.delta.log import Snapshot
from lakehouse.delta.pruning import Filter, Pruner
from lakehouse.errors import ConflictError


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What a commit depends on: the files it marks or removes, the filter it has read (None: the whole table), and its transaction.

    A blind append has read nothing.
    """

    touched: Collection[str]
    reads: Filter | None
    is_blind: bool
    txn: tuple[str, int] | None


def check(snapshot: Snapshot, intent: Intent, newest: Snapshot, commits: Iterable[Commit]) -> None:
    """Raise ConflictError if one of `commits`, those after the snapshot up to the newest, changes what the intent depends on.

    Raises AlreadyAppliedError if the intent's transaction, or a later one of the same writer, is in the log.
    """
    if newest.version < snapshot.version or newest.metadata.raw.get("id") != snapshot.metadata.raw.get("id"):
        raise ConflictError(f"{snapshot.root} was recreated concurrently: version {snapshot.version} is of another table")
    check_txn(snapshot.root, intent, newest.txns)
    may_match = Pruner(snapshot.fields, snapshot.partition_columns, intent.reads or {}).may_match
    for commit in commits:
        where = f"{snapshot.root}: version {commit.version} ({commit.operation or 'unnamed'}), committed concurrently,"
        if commit.metadata or commit.protocol:
            raise ConflictError(f"{where} changed the table's columns, properties or protocol")
        if intent.txn and intent.txn[0] in commit.txns:
            raise ConflictError(f"{where} is by the same writer, {intent.txn[0]}")
        conflicting = sorted(file.path for file in commit.removes if file.path in intent.touched)
        if conflicting:
            raise ConflictError(f"{where} removed, rewrote or marked rows in {conflicting[0]}, which this commit changes")
        if intent.is_blind or commit.is_blind_append:
            continue
        changed = _changed(commit, may_match)
        if changed:
            raise ConflictError(f"{where} changed rows that this commit read: {changed[0].path}")


def check_txn(where: str, intent: Intent, txns: Mapping[str, int]) -> None:
    """Raise AlreadyAppliedError if the log has the intent's transaction, or a later one of the same writer."""
    if intent.txn is None:
        return
    writer, version = intent.txn
    newest = txns.get(writer)
    if newest is not None and newest >= version:
        raise AlreadyAppliedError(f"{where} has transaction {newest} of {writer}: {version} is already applied")


def _changed(commit: Commit, may_match: Callable[[File], bool]) -> list[File]:
    return [file for file in (*commit.adds, *commit.removes) if file.is_data_change and may_match(file)]
