"""Refine one source table by Spark: fold what bronze received since the table's checkpoint into its history in silver.

Does: the work of `lakehouse.silver.refine` for many records, a first fill, and records of forgotten people.
Runs: on the warm server if the run in process raises TooLargeError; by spark-submit too: `refine.py TABLE`.
Safe to run again: each write is idempotent, so a run that crashed between two of them is repeated.
When it fails: the checkpoint does not move, and the next run processes the same changes.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("refine")
