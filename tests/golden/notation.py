"""The short form of the golden cases, close to how people write them on a board.

A change: `KEY:KIND(values)@lsn#transaction~seconds^commit`. KIND is U (upsert), D (delete) or R (read); values are `name` or
`name,detail`, `null` is NULL and `?` a value that was not carried. Left out, the key is `k`, the transaction is its own, the commit
time is lsn seconds after a fixed instant, and no commit before it is known. A version: `KEY:(values)[from,to)` in seconds, `+1` for
one microsecond more, `∞` for an open one, `?` for a value not known.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.golden.oracle import COLUMNS, UNCHANGED, Change, Key, Value, Version

INSTANT_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
_KINDS = {"U": "upsert", "D": "delete", "R": "read"}
_CHANGE = re.compile(r"(?:([\w/]+):)?([UDR])(?:\(([^)]*)\))?@(\d+)(?:#(\d+))?(?:~(\d+))?(?:\^(\d+))?")
_VERSION = re.compile(r"(?:([\w/]+):)?(?:\(([^)]*)\)|(\w+))\[(\d+)(?:\+(\d+))?,(?:(\d+)(?:\+(\d+))?|∞)\)")


@dataclass(frozen=True)
class Case:
    """One golden case: batches in, versions out. `is_silent`: the last batch writes nothing."""

    name: str
    doc: str
    batches: tuple[tuple[Change, ...], ...]
    versions: tuple[tuple[Key, tuple[Value, ...], int, int | None, tuple[str, ...]], ...]
    tracked: tuple[str, ...] = COLUMNS
    is_silent: bool = False


def read_case(path: Path) -> Case:
    """The case of one TOML file; raises ValueError that names the file and the word it cannot read."""
    text = tomllib.loads(path.read_text())
    try:
        batches = [part for part in (text.get("given"), text["batch"]) if part is not None]
        return Case(
            name=path.stem,
            doc=text["doc"],
            batches=tuple(_batches(" | ".join(batches))),
            versions=tuple(sorted(map(_version, text["history"].split()), key=lambda version: (version[0], version[2]))),
            tracked=tuple(text.get("tracked", COLUMNS)),
            is_silent=text.get("is_silent", False),
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def summary(version: Version) -> tuple[Key, tuple[Value, ...], int, int | None, tuple[str, ...]]:
    """What a case says about a version."""
    return version.key, version.values, version.from_us, version.to_us, version.unresolved


def _batches(text: str) -> list[tuple[Change, ...]]:
    offset = 0
    batches = []
    for part in text.split("|"):
        batch = [_change(word, offset + place) for place, word in enumerate(part.split())]
        offset += len(batch)
        batches.append(tuple(batch))
    return batches


def _change(word: str, offset: int) -> Change:
    match = _CHANGE.fullmatch(word)
    if not match:
        raise ValueError(f"{word!r} is no change")
    key, kind, values, lsn, txid, at_s, commit = match.groups()
    return Change(
        key=_key(key),
        kind=_KINDS[kind],
        lsn=int(lsn),
        at_us=INSTANT_US + int(at_s or lsn) * SECOND_US,
        offset=offset,
        values=None if kind == "D" else _values(values),
        txid=None if kind == "R" else int(txid or lsn),
        last_commit_lsn=int(commit) if commit else None,
    )


def _version(word: str) -> tuple[Key, tuple[Value, ...], int, int | None, tuple[str, ...]]:
    match = _VERSION.fullmatch(word)
    if not match:
        raise ValueError(f"{word!r} is no version")
    key, several, one, from_s, from_us, to_s, to_us = match.groups()
    values = _values(several or one)
    unresolved = tuple(name for name, value in zip(COLUMNS, values, strict=True) if value == UNCHANGED)
    known = tuple(None if value == UNCHANGED else value for value in values)
    to = INSTANT_US + int(to_s) * SECOND_US + int(to_us or 0) if to_s else None
    return _key(key), known, INSTANT_US + int(from_s) * SECOND_US + int(from_us or 0), to, unresolved


def _key(text: str | None) -> Key:
    first, _, second = (text or "k").partition("/")
    return first, second


def _values(text: str) -> tuple[Value, ...]:
    given = [None if part == "null" else part for part in text.split(",")]
    return tuple(given + [None] * (len(COLUMNS) - len(given)))
