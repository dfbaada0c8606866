"""The token bucket keeps the requested rate regardless of scheduling."""

import pytest

from generator.pace import MAX_DEBT_S, Bucket


class Clock:
    """A clock that is set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pay(bucket: Bucket) -> int:
    due = bucket.due()
    for _ in range(due):
        bucket.paid()
    return due


@pytest.mark.parametrize("rate", [0.5, 5, 50, 200, 500])
def test_the_rate_is_kept_by_uneven_ticks_and_a_stall_is_caught_up(rate: float) -> None:
    clock = Clock()
    bucket = Bucket(rate, clock)
    done = 0
    for tick in range(6000):
        clock.now += 2.0 if tick == 3000 else 0.007 + 0.006 * (tick % 2)
        done += pay(bucket)
    assert done == pytest.approx(rate * (clock.now - 100), abs=1)


def test_a_long_outage_is_not_made_up_for() -> None:
    clock = Clock()
    bucket = Bucket(200, clock)
    clock.now += 600
    assert pay(bucket) == 200 * MAX_DEBT_S


def test_a_new_rate_applies_from_then_on() -> None:
    clock = Clock()
    bucket = Bucket(100, clock)
    bucket.set_rate(10)
    clock.now += 3
    assert pay(bucket) == 30


def test_it_wakes_often_enough_to_see_a_request() -> None:
    bucket = Bucket(0.01, Clock())
    assert bucket.wait_s <= 0.1
