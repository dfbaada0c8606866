"""Notation of the golden cases.

A change: `KEY:KIND(values)@lsn#transaction~seconds^commit`. KIND is U (upsert), D (delete), R (read) or T (truncate, without a key); values
are `name` or `name,detail`, `null` is NULL and `?` a value that was not carried. `OLD>NEW:` is half of a primary-key change: the delete of
OLD, or the upsert of NEW. An lsn of a later epoch is `e2.lsn`. Defaults: the key is `k`, the transaction is its own, the commit time is lsn
seconds after a fixed instant, and no previous commit is known. A version: `KEY:(values)[from,to)` in seconds, `+1` for one microsecond
more, `∞` for an open one, `?` for an unknown value; `NEW<OLD:` if a key change created it.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.golden.oracle import COLUMNS, UNCHANGED, WHOLE_TABLE, Change, Key, Value, Version

INSTANT_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
_KINDS = {"U": "upsert", "D": "delete", "R": "read", "T": "truncate"}
_CHANGE = re.compile(r"(?:([\w/>]+):)?([UDRT])(?:\(([^)]*)\))?@(?:e(\d+)\.)?(\d+)(?:#(\d+))?(?:~(\d+))?(?:\^(\d+))?")
_VERSION = re.compile(r"(?:([\w/]+)(?:<([\w/]+))?:)?(?:\(([^)]*)\)|(\w+))\[(\d+)(?:\+(\d+))?,(?:(\d+)(?:\+(\d+))?|∞)\)")


Shown = tuple[Key, tuple[Value, ...], int, int | None, tuple[str, ...], Key | None]


@dataclass(frozen=True)
class Case:
    """One golden case: batches in, versions out. `is_silent`: the last batch writes nothing.

    `either`: another valid outcome, where the content hash decides which record wins. `contested`: lsns of which a record goes to
    quarantine as a conflicting duplicate.
    """

    name: str
    doc: str
    batches: tuple[tuple[Change, ...], ...]
    versions: tuple[Shown, ...]
    tracked: tuple[str, ...] = COLUMNS
    is_silent: bool = False
    either: tuple[Shown, ...] | None = None
    contested: tuple[int, ...] = ()


def read_case(path: Path) -> Case:
    """The case of one TOML file; raises ValueError that names the file and the token it cannot read."""
    text = tomllib.loads(path.read_text())
    try:
        batches = [part for part in (text.get("given"), text["batch"]) if part is not None]
        return Case(
            name=path.stem,
            doc=text["doc"],
            batches=tuple(_batches(" | ".join(batches))),
            versions=_versions(text["history"]),
            tracked=tuple(text.get("tracked", COLUMNS)),
            is_silent=text.get("is_silent", False),
            either=_versions(text["either"]) if "either" in text else None,
            contested=tuple(text.get("contested", ())),
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def summary(version: Version) -> Shown:
    """The parts of a version that a case specifies."""
    return version.key, version.values, version.from_us, version.to_us, version.unresolved, version.previous


def _versions(text: str) -> tuple[Shown, ...]:
    return tuple(sorted(map(_version, text.split()), key=lambda version: (version[0], version[2])))


def _batches(text: str) -> list[tuple[Change, ...]]:
    offset = 0
    batches = []
    for part in text.split("|"):
        batch = [_change(token, offset + place) for place, token in enumerate(part.split())]
        offset += len(batch)
        batches.append(tuple(batch))
    return batches


def _change(token: str, offset: int) -> Change:
    match = _CHANGE.fullmatch(token)
    if not match:
        raise ValueError(f"{token!r} is not a change")
    keys, kind, values, epoch, lsn, txid, at_s, commit = match.groups()
    key, linked = _halves(keys, kind)
    return Change(
        key=key,
        kind=_KINDS[kind],
        lsn=int(lsn),
        at_us=INSTANT_US + int(at_s or lsn) * SECOND_US,
        offset=offset,
        values=None if kind in "DT" else _values(values),
        txid=None if kind == "R" else int(txid or lsn),
        epoch=int(epoch or 1),
        last_commit_lsn=int(commit) if commit else None,
        linked=linked,
    )


def _version(token: str) -> Shown:
    match = _VERSION.fullmatch(token)
    if not match:
        raise ValueError(f"{token!r} is not a version")
    key, previous, several, one, from_s, from_us, to_s, to_us = match.groups()
    values = _values(several or one)
    unresolved = tuple(name for name, value in zip(COLUMNS, values, strict=True) if value == UNCHANGED)
    known = tuple(None if value == UNCHANGED else value for value in values)
    to = INSTANT_US + int(to_s) * SECOND_US + int(to_us or 0) if to_s else None
    began = INSTANT_US + int(from_s) * SECOND_US + int(from_us or 0)
    return _key(key), known, began, to, unresolved, _key(previous) if previous else None


def _halves(keys: str | None, kind: str) -> tuple[Key, Key | None]:
    """The change's own key and the key it is linked with."""
    if kind == "T":
        return WHOLE_TABLE, None
    old, is_moved, new = (keys or "k").partition(">")
    if not is_moved:
        return _key(old), None
    return (_key(old), _key(new)) if kind == "D" else (_key(new), _key(old))


def _key(text: str | None) -> Key:
    first, _, second = (text or "k").partition("/")
    return first, second


def _values(text: str) -> tuple[Value, ...]:
    given = [None if part == "null" else part for part in text.split(",")]
    return tuple(given + [None] * (len(COLUMNS) - len(given)))
