"""Reconcile a source table: compare silver with a repeatable-read snapshot of the source, and report the keys that differ.

Does: takes the snapshot, waits until silver holds all that it has seen, compares, records the result in `silver.reconciliations`.
Runs: from Airflow for each table, over the warm server; by spark-submit too: `reconcile.py TABLE`.
Safe to run again: it changes nothing but its own record; a repair sent twice is the same repair.
When it fails: the keys are named; `python -m lakehouse reconcile TABLE --repair` mends them.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("reconcile")
