"""Entry point of the scripts of `spark_apps` under spark-submit; the result goes to a file, which Airflow reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lakehouse.settings import Settings
from lakehouse.spark import session
from lakehouse.verbs import VERBS

# Errors whose message names the cure; any other keeps its stack trace.
_CLEAR = (RuntimeError, ValueError, KeyError)
_OPTION = "--result"


def main(name: str) -> None:
    """Run the verb with the arguments of this process and print its result; `--result FILE` at their end also writes it to a file."""
    argv = sys.argv[1:]
    argv, file = (argv[:-2], Path(argv[-1])) if argv[-2:-1] == [_OPTION] else (argv, None)
    try:
        call, settings = VERBS[name].parse(argv), Settings.from_environment()
        result = call(session.open_for_verb(settings), settings)
    except _CLEAR as error:
        message = str(error.args[0] if error.args else error)
        if file:
            file.write_text(json.dumps({"error": message}))
        sys.exit(f"{name}: {message}")
    print(result)
    if file:
        file.write_text(json.dumps({"changed": result.changed, "said": str(result)}))


def with_result(argv: list[str], file: Path) -> list[str]:
    """The arguments that also write the verb's result to that file."""
    return [*argv, _OPTION, str(file)]
