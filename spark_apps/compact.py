"""Compact one stored table: merge small files, delete files that no reader needs, and old days of bronze where configured.

Does: joins small files; once a day deletes files that no version of the last `retention_h` hours needs, unless a mark waits; reports.
Runs: from Airflow for each table, over the warm server; by spark-submit too: `compact.py TABLE [--vacuum]`.
Safe to run again, beside every writer and reader, and beside itself: a reader keeps its version, and a writer that met it wins.
When it fails: nothing is half done; the next run takes up what is left.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("compact")
