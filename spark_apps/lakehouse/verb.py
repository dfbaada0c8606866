"""The command line that every batch verb has, and how Airflow hears of a submitted one: by a file, for a process has only a number."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse import session
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Call = Callable[["SparkSession", Settings], Any]
# What an operator can do something about; anything else keeps its stack.
_SAID = (RuntimeError, ValueError, KeyError)
_OPTION = "--result"


def main(name: str, asked: Callable[[list[str]], Call], arguments: list[str]) -> None:
    """Do what the words ask on the session of this process and print the result; `--result FILE` at their end has it written too."""
    words, file = (arguments[:-2], Path(arguments[-1])) if arguments[-2:-1] == [_OPTION] else (arguments, None)
    try:
        call, settings = asked(words), Settings.from_environment()
        result = call(session.open_for_verb(settings), settings)
    except _SAID as error:
        said = str(error.args[0] if error.args else error)
        if file:
            file.write_text(json.dumps({"error": said}))
        sys.exit(f"{name}: {said}")
    print(result)
    if file:
        file.write_text(json.dumps({"changed": result.changed, "said": str(result)}))


def with_result(words: list[str], file: Path) -> list[str]:
    """The words that have the verb write its result into that file."""
    return [*words, _OPTION, str(file)]
