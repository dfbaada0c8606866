"""Reconcile a source table: compare silver with a repeatable-read snapshot of the source, and report the keys that differ.

Does: takes the snapshot, waits until silver has every change visible in it, compares, writes the result to `silver.reconciliations`.
Runs: from Airflow for each table, on the warm server; by spark-submit too: `reconcile.py TABLE`.
Safe to run again: it writes only its result; repairs are idempotent.
When it fails: the output lists the keys; `python -m lakehouse reconcile TABLE --repair` repairs them.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("reconcile")
