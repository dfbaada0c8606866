"""Compact one stored table: merge small files, delete files that no reader needs, and old days of bronze where configured.

Does: merges small files; once a day deletes files that no version of the last `retention_h` hours needs, unless a checkpoint lags.
Runs: from Airflow for each table, on the warm server; by spark-submit too: `compact.py TABLE [--vacuum]`.
Safe to run again and beside readers, writers and itself: readers keep their version, and a conflict is resolved for the writer.
When it fails: each commit is atomic; the next run continues.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("compact")
