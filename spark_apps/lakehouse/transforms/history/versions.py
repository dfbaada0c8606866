"""Versions of a key, from its ordered changes with complete values.

Only the last state of a transaction counts; then a run of rows equal on the tracked columns is one version, which starts at its head's
time and carries its tail's values. A row that a primary-key change brought starts a version whatever it equals.
"""

from __future__ import annotations

from typing import Any

from lakehouse.transforms.history.form import Form, Row
from lakehouse.transforms.history.steps import Head, Step
from lakehouse.transforms.records.changes import READ

_NO_HEAD: Head = (None, None, None)


def make(form: Form, steps: list[Step]) -> None:
    """Set what each change of one key shows: the changes in order, resolved, without truncates that had no effect."""
    _start(form, steps)
    _end(steps)


def retract(steps: list[Step]) -> None:
    """Stored truncates that turn out to have had no effect show nothing."""
    for step in steps:
        step.effective_at = step.valid_to = step.to_lsn = None
        step.head = _NO_HEAD
        step.is_visible = step.is_last = False


def _start(form: Form, steps: list[Step]) -> None:
    """Forwards: which changes count, where runs start, when each takes effect, and the head of its run.

    A change takes effect at its commit time, and at least 1 µs after the previous one that counts: the source's clock may step back, a
    key's history may not. A change that does not count repeats what came before it, and so does a read that found what was known: when
    Debezium looked is no time of the row's.
    """
    image_of = form.tracked_of
    met: tuple[Any, ...] | None = None  # tracked values of the live row before, None where there is none
    effective_at: int | None = None
    head = _NO_HEAD
    following = iter(steps)
    next(following, None)
    for step in steps:
        after = next(following, None)
        stands = after is None or not step.is_with(after)
        image = image_of(step.values) if step.is_row else None
        continues = met is not None and image is not None and met == image and step.moved_from is None
        # A state row stands for the changes before it: it counts where one of them did.
        counts = step.state_at is not None if step.is_state else stands and (step.is_row or met is not None)
        if counts and not (continues and step.kind == READ):
            own_at = step.commit_at if step.state_at is None else step.state_at
            effective_at = own_at if effective_at is None or own_at > effective_at else effective_at + 1
        step.counts = counts
        step.starts = stands and step.is_row and not continues
        step.effective_at = effective_at
        if step.starts:
            head = step.head if step.is_state else (effective_at, step.lsn, step.moved_from)
        step.head = head
        if stands:
            met = image


def _end(steps: list[Step]) -> None:
    """Backwards: which change is the tail of its run and shows the version, and what ended that."""
    ends_run = True
    ended_at: int | None = None
    ended_lsn: int | None = None
    for step in reversed(steps):
        step.is_last = step is steps[-1]
        step.is_visible = step.counts and step.is_row and ends_run
        if step.is_visible:
            step.valid_to, step.to_lsn = ended_at, ended_lsn
        else:
            step.valid_to = step.to_lsn = None
            step.head = _NO_HEAD
        if step.counts:
            ends_run, ended_at, ended_lsn = step.starts or not step.is_row, step.effective_at, step.lsn


def stored(form: Form, step: Step, run: int, *, is_blocked: bool) -> Row:
    """The row of the stored form; `_run` is the stored row's where its content is the same."""
    flags = form.flags_of(step.values, step.unresolved) if form.flags_of is not None and step.is_row else ()
    valid_from, from_lsn, previous_key = step.head
    row = (
        *step.values,
        *(step.kind, step.epoch, step.lsn, step.txid, step.last_commit_lsn, step.offset, step.commit_at, step.effective_at),
        *(step.content_hash, step.unchanged, step.linked_key, previous_key, step.unresolved, flags),
        *(is_blocked, step.is_visible, valid_from, step.valid_to, from_lsn, step.to_lsn, run, step.is_last),
    )
    old = step.old
    if old is not None and form.content_of(row) == form.content_of(old):
        return (*row[:-2], old[form.width - 2], row[-1])
    return row
