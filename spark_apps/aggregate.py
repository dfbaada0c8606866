"""Aggregate one gold table by Spark: recompute the slices that its inputs' changes reach, and replace those that differ.

Does: what `lakehouse.gold.aggregate` does in the caller's own process for small work, from the same SQL, however many rows it takes.
Runs: over the warm server where Airflow's task found the work too large; by spark-submit: `aggregate.py TABLE [DAY ...]`.
Safe to run again: the same inputs give the same rows, and slices that came out equal are not written.
When it fails: the checkpoint stays, and the next run takes up the same changes.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("aggregate")
