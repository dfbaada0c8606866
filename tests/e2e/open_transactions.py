"""Transactions held open where a snapshot is taken, so that a read of theirs is stale when it is stamped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from tests.e2e import wire
from tests.e2e.conftest import Platform, until

_WAIT_S = 600


@contextmanager
def session(platform: Platform) -> Iterator[Any]:
    """A connection of the shop's owner whose transactions the caller ends."""
    dsn, password = platform.settings.shop_dsn, platform.settings.secret("shop_owner")
    with closing(psycopg2.connect(dsn, password=password, options="-c timezone=UTC")) as connection:
        yield connection


def execute(connection: Any, statement: str, values: tuple[Any, ...] = ()) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@contextmanager
def across_the_initial_snapshot(platform: Platform, user_ids: tuple[int, int]) -> Iterator[None]:
    """Two transactions, each updating one user before the initial snapshot's position, that commit after the users were read.

    A new slot waits for the transactions that run when it begins, and then for those that have begun meanwhile; only what begins after
    that can be open across its snapshot. So two others are held open first, one after the other; they lock nothing.
    """
    failed: list[BaseException | None] = []

    def hold() -> None:
        try:
            _hold(platform, user_ids)
        except BaseException as error:  # told to the thread that waits
            failed.append(error)

    holding = threading.Thread(target=hold, daemon=True)
    holding.start()
    yield
    holding.join(timeout=_WAIT_S)
    if failed or holding.is_alive():
        raise AssertionError("the transactions were not held open across the initial snapshot") from next(iter(failed), None)


def _hold(platform: Platform, user_ids: tuple[int, int]) -> None:
    with session(platform) as first, session(platform) as second, session(platform) as third, session(platform) as fourth:
        execute(first, "SELECT pg_current_xact_id()")
        until(lambda: _slot_waits_for(platform, first), _WAIT_S, "the new slot to wait for the first transaction")
        execute(second, "SELECT pg_current_xact_id()")
        first.commit()
        until(lambda: _slot_waits_for(platform, second), _WAIT_S, "the new slot to wait for the second transaction")
        for user_id, held in zip(user_ids, (third, fourth), strict=True):
            execute(held, "UPDATE shop.users SET full_name = 'held open', updated_at = now() WHERE user_id = %s", (user_id,))
        second.commit()
        for user_id, held in zip(user_ids, (third, fourth), strict=True):
            wire.until_sent(platform, "users", {"user_id": user_id}, lambda found: found)
            held.commit()


def _slot_waits_for(platform: Platform, connection: Any) -> bool:
    """Whether a slot that is being made waits for the end of that connection's transaction."""
    with platform.postgres() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks held JOIN pg_locks waiting USING (transactionid) JOIN pg_replication_slots s"
            " ON s.active_pid = waiting.pid WHERE held.pid = %s AND held.granted AND NOT waiting.granted)",
            [connection.info.backend_pid],
        )
        return bool(cursor.fetchone()[0])
