"""Refine one source table by Spark: fold what bronze received since the table's checkpoint into its history in silver.

Does: what `silver.refine` does in its own process, by Spark: for many records, a first fill, and records of forgotten people.
Runs: where the run in process leaves the work to Spark, over the warm server; by spark-submit too: `refine.py TABLE`.
Safe to run again: each write repeats to nothing, so a crash between two of them costs only the repetition.
When it fails: the mark stays, and the next run takes up the same changes.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("refine")
