"""The one loop that waits: when it looks, when it gives up, and what it reports then."""

import pytest

from lakehouse import wait


class Clock:
    """Time that passes only while something pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(wait.time, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(wait.time, "sleep", self.pause)

    def pause(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_it_looks_at_once_and_for_the_last_time_when_the_limit_has_passed(clock):
    assert list(wait.looks(1.2, every_s=0.5, pause=clock.pause)) == pytest.approx([0.0, 0.5, 1.0, 1.2])


def test_a_look_that_takes_longer_than_what_is_left_is_followed_by_a_last_one(clock):
    seen = []
    for elapsed_s in wait.looks(1.0, every_s=0.4, pause=clock.pause):
        seen.append(elapsed_s)
        clock.pause(0.7)
    assert seen == pytest.approx([0.0, 1.0])


def test_without_any_time_it_still_looks_once(clock):
    assert list(wait.looks(-3.0, pause=clock.pause)) == [0.0]


def test_what_is_seen_is_returned_and_errors_named_as_passing_are_not_yet():
    answers = iter([ConnectionRefusedError("no"), None, "there"])

    def look():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait.until(look, 5.0, "it", every_s=0.001, passing=(ConnectionError,)) == "there"


def test_an_error_that_is_not_passing_ends_the_wait():
    def look():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        wait.until(look, 5.0, "it", passing=(OSError,))


def test_the_limit_names_what_was_awaited_and_what_was_seen_last():
    with pytest.raises(TimeoutError, match=r"waited 0 s for the page; last seen: \[\]"):
        wait.until(list, 0.0, "the page")
