"""Aggregate one gold table by Spark: recompute the slices affected by changes of its inputs, and replace those that differ.

Does: the work of `lakehouse.gold.aggregate`, from the same SQL, for any number of rows.
Runs: on the warm server if the work is too large for Airflow's task; by spark-submit: `aggregate.py TABLE [DAY ...]`.
Safe to run again: the same inputs give the same rows, and slices without differences are not written.
When it fails: the checkpoint does not move, and the next run processes the same changes.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("aggregate")
