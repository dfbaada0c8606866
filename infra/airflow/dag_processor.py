"""Airflow's DAG processor, with the imports of the DAG files loaded before it forks.

Started by `python -m infra.airflow dag-processor`.
"""

from __future__ import annotations

import sys

from infra.airflow import providers


def main(arguments: list[str]) -> None:
    """Run `airflow dag-processor` in this process."""
    from airflow.__main__ import main as airflow_main

    providers.load()
    sys.argv = ["airflow", *arguments]
    airflow_main()


if __name__ == "__main__":
    main(sys.argv[1:])
