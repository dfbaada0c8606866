"""Order of the changes of one key: identity, position and lateness.

A log position alone does not order them. A snapshot read takes no row lock: a transaction that was open while the snapshot was
taken commits later with a lower lsn, and must stand after the read. `source.sequence[0]`, kept as `_last_commit_lsn`, tells where it
is at or beyond the read's lsn; where it is lower or NULL, the smaller Kafka offset came first (key and read share a partition).
A timestamp never orders anything: all rows of a transaction share one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import groupby
from operator import attrgetter

from lakehouse.transforms.history.steps import RANK, Step
from lakehouse.transforms.records.changes import READ, TRUNCATE

_BY_LSN = attrgetter("lsn", "rank")
_by_epoch = attrgetter("epoch")


def sort_key(step: Step) -> tuple[int, int, bool, int, int]:
    """What sorts the changes of a key, once `after_reads` is known."""
    return step.epoch, step.after_reads, step.is_change, step.lsn, step.rank


def in_order(steps: list[Step]) -> list[Step]:
    """The changes of one key, one an identity, in order."""
    if len(steps) == 1:
        return steps
    steps = _distinct(steps)
    if not all(step.is_change for step in steps):
        _number_reads(steps)
    return sorted(steps, key=sort_key)


def is_late(step: Step, newest: Step | None) -> bool:
    """Whether a change that arrives can only be placed with all that is stored of its key, of which `newest` is the newest.

    It is not where the change is later than that one and of another transaction: then the newest is state enough. A repeat of the
    newest itself, which brings nothing new, is no reason either. A key change is told by two keys: what it moves can only be found
    in the whole of both.
    """
    if step.linked_key is not None:
        return True
    if newest is None or _repeats(step, newest):
        return False
    return not _is_later(step, newest) or (step.txid is not None and (step.epoch, step.txid) == (newest.epoch, newest.txid))


def _distinct(steps: list[Step]) -> list[Step]:
    """One change an identity: the greatest content hash, with the smallest offset and time that came with it.

    Which record came first makes no difference, so that any order of delivery ends the same. What is stored under the identity stays
    known whichever wins.
    """
    best: dict[tuple[int, int, str], Step] = {}
    for step in steps:
        known = best.setdefault((step.epoch, step.lsn, step.kind), step)
        if known is not step:
            best[step.epoch, step.lsn, step.kind] = _merged(known, step)
    return list(best.values())


def _merged(one: Step, other: Step) -> Step:
    winner, loser = (one, other) if _preference(one) >= _preference(other) else (other, one)
    # What a key change tells of its delete has no hash.
    is_contested = bool(loser.content_hash) and loser.content_hash != winner.content_hash
    winner.is_contested = one.is_contested or other.is_contested or is_contested
    stored = one if one.old is not None else other
    if winner.kind == TRUNCATE and stored.old is not None:
        # Its offset decides nothing; to follow a repetition's would only write the row again.
        winner.offset = stored.offset
    elif winner.offset is None or (loser.offset is not None and loser.offset < winner.offset):
        winner.offset = loser.offset
    winner.old = stored.old
    return winner


def _preference(step: Step) -> tuple[str, bool, int, int]:
    return step.content_hash, step.is_state, -step.commit_at, -1 if step.offset is None else -step.offset


def _number_reads(steps: list[Step]) -> None:
    """Set `after_reads`: a read's own number among the reads of its epoch, and of another change the last read it stands after.

    Locks keep changes among themselves in order of lsn, so that number never falls along them.
    """
    for _, members in groupby(sorted(steps, key=_by_epoch), key=_by_epoch):
        of_epoch = list(members)
        reads = sorted((step for step in of_epoch if not step.is_change), key=_by_offset)
        for number, read in enumerate(reads, 1):
            read.after_reads = number
        lsns = [read.lsn for read in reads]
        # The smallest offset of a read and all that follow it: rising, so that the last read before an offset is found by halves.
        least = [_offset(read) for read in reads]
        for number in reversed(range(len(least) - 1)):
            least[number] = min(least[number], least[number + 1])
        rising = 0
        for step in sorted((step for step in of_epoch if step.is_change), key=_BY_LSN):
            rising = max(rising, _reads_before(step, lsns, least))
            step.after_reads = rising


def _offset(read: Step) -> int:
    assert read.offset is not None, "a read is always a record of its own"
    return read.offset


def _by_offset(read: Step) -> tuple[int, int]:
    return read.lsn, _offset(read)


def _reads_before(step: Step, lsns: list[int], least_offsets: list[int]) -> int:
    """How many reads come before the change: the number of the last one it stands after."""
    if step.kind == TRUNCATE:
        # TRUNCATE locks readers out, so its lsn alone places it.
        return bisect_left(lsns, step.lsn)
    by_commit = 0 if step.last_commit_lsn is None else bisect_right(lsns, step.last_commit_lsn)
    by_offset = 0 if step.offset is None else bisect_left(least_offsets, step.offset)
    return max(by_commit, by_offset)


def _is_later(step: Step, newest: Step) -> bool:
    if step.epoch != newest.epoch:
        return bool(step.epoch > newest.epoch)
    if step.kind == READ:
        return False
    if newest.kind == READ and step.kind != TRUNCATE:
        # A repeat carries a larger offset than the first delivery, which only the whole key knows: offsets decide nothing here.
        return step.last_commit_lsn is not None and step.last_commit_lsn >= newest.lsn
    return (step.lsn, step.rank) > (newest.lsn, RANK[newest.kind])


def _repeats(step: Step, newest: Step) -> bool:
    if (step.lsn, step.epoch, step.kind, step.content_hash) != (newest.lsn, newest.epoch, newest.kind, newest.content_hash):
        return False
    return step.offset is not None and newest.offset is not None and step.offset >= newest.offset and step.commit_at >= newest.commit_at
