"""Entry point of the scripts of `spark_apps` under spark-submit; the result is written to a file, which Airflow reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lakehouse import process
from lakehouse.errors import EbapError, exit_code_of
from lakehouse.spark import session
from lakehouse.verbs import VERBS

_OPTION = "--result"


def main(name: str) -> None:
    """Run the verb with the arguments of this process and print its result; `--result FILE` at their end also writes it to a file."""
    argv = sys.argv[1:]
    argv, file = (argv[:-2], Path(argv[-1])) if argv[-2:-1] == [_OPTION] else (argv, None)
    sys.exit(exit_code_of(f"{name}:", lambda: _run(name, argv, file), failed=1))


def _run(name: str, argv: list[str], file: Path | None) -> None:
    try:
        call, settings = VERBS[name].parse(argv), process.begin()
        result = call(session.open_for_verb(settings), settings)
    except EbapError as error:
        if file:
            file.write_text(json.dumps({"error": str(error)}))
        raise
    print(result)
    if file:
        file.write_text(json.dumps({"changed": result.changed, "said": str(result)}))


def with_result(argv: list[str], file: Path) -> list[str]:
    """The arguments that also write the verb's result to that file."""
    return [*argv, _OPTION, str(file)]
