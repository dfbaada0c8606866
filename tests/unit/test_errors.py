"""Errors with a cause and a cure: their one line, their exit code, and which of them are tried again."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from lakehouse.delta.errors import VersionGoneError
from lakehouse.errors import ConflictError, EbapError, SettingsError, TooLargeError, exit_code_of, retry


def failing(times: int, error: Exception) -> tuple[list[int], Callable[[], str]]:
    """What fails so many times and then gives its result, with a list that grows by one at each call."""
    calls: list[int] = []

    def do() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return calls, do


def test_the_text_of_an_error_is_what_and_cure_in_one_line() -> None:
    assert str(EbapError("there is no x", "run `make x`")) == "there is no x: run `make x`"
    assert str(EbapError("there is no x")) == "there is no x"


def test_an_error_comes_whole_out_of_another_process() -> None:
    sent = EbapError("there is no x", "run `make x`", is_retryable=True)
    received = pickle.loads(pickle.dumps(sent))
    assert (received.what, received.cure, received.is_retryable) == (sent.what, sent.cure, sent.is_retryable)


@pytest.mark.parametrize("error", [ConflictError("x moved"), VersionGoneError("x is gone"), EbapError("x", is_retryable=True)])
def test_a_retryable_error_is_tried_again(error: EbapError) -> None:
    calls, do = failing(4, error)
    assert (retry(do), len(calls)) == ("done", 5)


def test_the_last_of_five_retryable_errors_is_raised_as_it_is() -> None:
    error = ConflictError("x moved")
    calls, do = failing(5, error)
    with pytest.raises(ConflictError) as caught:
        retry(do)
    assert (caught.value, len(calls)) == (error, 5)


@pytest.mark.parametrize("error", [EbapError("rows do not conform"), TooLargeError("x is large"), ValueError("a bug")])
def test_any_other_error_is_raised_at_once(error: Exception) -> None:
    calls, do = failing(1, error)
    with pytest.raises(type(error)):
        retry(do)
    assert len(calls) == 1


def test_a_command_line_reports_an_error_as_one_line_with_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def do() -> None:
        raise SettingsError("EBAP_X is 1", "give 2")

    assert exit_code_of("x:", do) == SettingsError.exit_code == 2
    assert exit_code_of("x:", do, failed=1) == 1
    assert capsys.readouterr().err == "x: EBAP_X is 1: give 2\n" * 2


def test_a_command_line_has_the_exit_code_of_its_work_and_leaves_bugs_their_trace() -> None:
    assert exit_code_of("x:", lambda: None) == 0
    assert exit_code_of("x:", lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        exit_code_of("x:", lambda: 1 // 0)
