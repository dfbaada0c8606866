"""Order of the changes of one key: identity, position and lateness.

The log position alone does not order them. A snapshot read takes no row lock: a transaction that was open during the snapshot commits later
with a lower lsn and must follow the read. It follows if `source.sequence[0]`, stored as `_last_commit_lsn`, is at or beyond the read's lsn;
where it is lower or NULL, the Kafka offset decides (key and read share a partition). Timestamps are not used: all rows of a transaction
share one.
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
    """Sort key of the changes of one key; requires `after_reads`."""
    return step.epoch, step.after_reads, step.is_change, step.lsn, step.rank


def in_order(steps: list[Step]) -> list[Step]:
    """The changes of one key, one per identity, in order."""
    if len(steps) == 1:
        return steps
    steps = _distinct(steps)
    if not all(step.is_change for step in steps):
        _number_reads(steps)
    return sorted(steps, key=sort_key)


def is_late(step: Step, newest: Step | None) -> bool:
    """Whether an arriving change can be placed only with all stored rows of its key, whose newest is `newest`.

    A change is not late if it follows the newest row and belongs to another transaction, or if it repeats the newest row. A key change is
    always late: the row it moves can only be found in the histories of both keys.
    """
    if step.linked_key is not None:
        return True
    if newest is None or _repeats(step, newest):
        return False
    return not _is_later(step, newest) or (step.txid is not None and (step.epoch, step.txid) == (newest.epoch, newest.txid))


def _distinct(steps: list[Step]) -> list[Step]:
    """One change per identity: the one with the greatest content hash, with the smallest offset and time received with it.

    The order of delivery does not change the result. The stored row of the identity is kept, whichever record wins.
    """
    best: dict[tuple[int, int, str], Step] = {}
    for step in steps:
        known = best.setdefault((step.epoch, step.lsn, step.kind), step)
        if known is not step:
            best[step.epoch, step.lsn, step.kind] = _merged(known, step)
    return list(best.values())


def _merged(one: Step, other: Step) -> Step:
    winner, loser = (one, other) if _preference(one) >= _preference(other) else (other, one)
    # An implied delete has no hash.
    is_contested = bool(loser.content_hash) and loser.content_hash != winner.content_hash
    winner.is_contested = one.is_contested or other.is_contested or is_contested
    stored = one if one.old is not None else other
    if winner.kind == TRUNCATE and stored.old is not None:
        # A truncate's offset does not affect the order; taking a repetition's would rewrite the row without need.
        winner.offset = stored.offset
    elif winner.offset is None or (loser.offset is not None and loser.offset < winner.offset):
        winner.offset = loser.offset
    winner.old = stored.old
    return winner


def _preference(step: Step) -> tuple[str, bool, int, int]:
    return step.content_hash, step.is_state, -step.commit_at, -1 if step.offset is None else -step.offset


def _number_reads(steps: list[Step]) -> None:
    """Set `after_reads`: a read's number among the reads of its epoch; for other changes, the number of the last read they follow.

    Row locks keep changes in order of lsn, so the number never decreases along them.
    """
    for _, members in groupby(sorted(steps, key=_by_epoch), key=_by_epoch):
        of_epoch = list(members)
        reads = sorted((step for step in of_epoch if not step.is_change), key=_by_offset)
        for number, read in enumerate(reads, 1):
            read.after_reads = number
        lsns = [read.lsn for read in reads]
        # The smallest offset of each read and all that follow it: ascending, for the binary search in `_reads_before`.
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
    """How many reads precede the change: the number of the last read it follows."""
    if step.kind == TRUNCATE:
        # TRUNCATE takes an exclusive lock, so its lsn alone places it.
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
        # A repeated delivery has a larger offset than the first one, which only the whole key shows, so offsets are not compared here.
        return step.last_commit_lsn is not None and step.last_commit_lsn >= newest.lsn
    return (step.lsn, step.rank) > (newest.lsn, RANK[newest.kind])


def _repeats(step: Step, newest: Step) -> bool:
    if (step.lsn, step.epoch, step.kind, step.content_hash) != (newest.lsn, newest.epoch, newest.kind, newest.content_hash):
        return False
    return step.offset is not None and newest.offset is not None and step.offset >= newest.offset and step.commit_at >= newest.commit_at
