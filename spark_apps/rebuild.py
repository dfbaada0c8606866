"""Rebuild one source table from bronze: all of it, given keys, or the keys that changed on given days.

Does: folds what bronze holds of them anew and puts it in the place of what is stored, in one commit: readers see the old until then.
Runs: when asked, from Airflow or a shell; by spark-submit too: `rebuild.py TABLE [--keys KEY ... | --days FROM [TO]]`.
Safe to run again, beside land and beside refine: of two writers one is first and the other begins its write again, or says so.
When it fails: the table is as it was, and at worst refine takes some of bronze a second time, which changes nothing.

The mark says up to which version of bronze nothing is missing in the table. What is written here stands at the version that was read
when the rebuild began, and a refine may have come further since: so, before the write, the mark is taken back to that version, in a
way that a refine under way can no longer move it. What lies behind that version is taken again by the next refine.
"""

from lakehouse.cli import submitted

if __name__ == "__main__":
    submitted.main("rebuild")
