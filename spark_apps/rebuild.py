"""Rebuild one source table from bronze: all of it, given keys, or the keys that changed on given days.

Does: folds the changes in bronze again and replaces the stored rows in one commit; readers see the old rows until then.
Runs: on request, from Airflow or a shell; by spark-submit too: `rebuild.py TABLE [--keys KEY ... | --days FROM [TO]]`.
Safe to run again, beside land and refine: after a conflict the write is retried, or fails with an error.
When it fails: the table is unchanged, and at worst refine reads some of bronze a second time, without effect.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("rebuild")
