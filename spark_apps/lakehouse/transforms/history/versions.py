"""Versions of a key, from its ordered changes with resolved values.

Only the last state of a transaction counts. A run of rows equal on the tracked columns is one version, with the start time of its first row
and the values of its last row. A row moved by a primary-key change always starts a version.
"""

from __future__ import annotations

from typing import Any

from lakehouse.transforms.history.form import Form, Row
from lakehouse.transforms.history.steps import Head, Step
from lakehouse.transforms.records.changes import READ

_NO_HEAD: Head = (None, None, None)


def make(form: Form, steps: list[Step]) -> None:
    """Set the version columns of each change of one key; the changes are ordered and resolved, without ineffective truncates."""
    _start(form, steps)
    _end(steps)


def retract(steps: list[Step]) -> None:
    """Clear the version columns of stored truncates that turn out to have no effect."""
    for step in steps:
        step.effective_at = step.valid_to = step.to_lsn = None
        step.head = _NO_HEAD
        step.is_visible = step.is_last = False


def _start(form: Form, steps: list[Step]) -> None:
    """Forward pass: which changes count, where runs start, the effective time of each change, and the head of its run.

    A change takes effect at its commit time, but at least 1 µs after the previous one that counts, because the source's clock may step
    back. A change that does not count keeps the previous effective time, as does a read that finds an unchanged row.
    """
    image_of = form.tracked_of
    previous_image: tuple[Any, ...] | None = None  # tracked values of the preceding live row, None if there is none
    effective_at: int | None = None
    head = _NO_HEAD
    following = iter(steps)
    next(following, None)
    for step in steps:
        after = next(following, None)
        is_last_of_transaction = after is None or not step.is_same_transaction(after)
        image = image_of(step.values) if step.is_row else None
        continues = previous_image is not None and image is not None and previous_image == image and step.moved_from is None
        # A state row represents the changes before it: it counts if one of them did.
        counts = step.state_at is not None if step.is_state else is_last_of_transaction and (step.is_row or previous_image is not None)
        if counts and not (continues and step.kind == READ):
            own_at = step.commit_at if step.state_at is None else step.state_at
            effective_at = own_at if effective_at is None or own_at > effective_at else effective_at + 1
        step.counts = counts
        step.starts = is_last_of_transaction and step.is_row and not continues
        step.effective_at = effective_at
        if step.starts:
            head = step.head if step.is_state else (effective_at, step.lsn, step.moved_from)
        step.head = head
        if is_last_of_transaction:
            previous_image = image


def _end(steps: list[Step]) -> None:
    """Backward pass: which change is the last of its run and shows the version, and the end of that version."""
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
    """The row of the stored form; it keeps the stored `_run` if its content is the same."""
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
